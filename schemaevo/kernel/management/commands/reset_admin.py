"""`manage.py reset_admin`: gives a superuser a new password, making the login if there is none."""

from typing import Any

from django.core.management.base import CommandParser

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.demo_logins import demo_passwords_reset
from schemaevo.kernel.logins import superuser_reset


class Command(ServiceCommand):
    help = "Makes a superuser or resets its password. The password is random and shown only this once."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--username", default="admin", help="the login's name (default: admin)")
        parser.add_argument(
            "--promote",
            action="store_true",
            help="make an existing user, who is no superuser, one",
        )
        parser.add_argument(
            "--demo",
            action="store_true",
            help="give the logins of the demo new passwords, and the admin none",
        )

    def run(self, **options: Any) -> JsonObject:
        if options["demo"]:
            return self._demo()
        fresh = superuser_reset(
            username=options["username"], actor=Actor.shell(), may_promote=options["promote"]
        )
        self.say(f"login: {fresh.username}\npassword: {fresh.password}")
        return {"username": fresh.username, "password": fresh.password, "is_new": fresh.is_new}

    def _demo(self) -> JsonObject:
        made = demo_passwords_reset(actor=Actor.shell())
        for fresh in made:
            self.say(f"login: {fresh.username}\npassword: {fresh.password}")
        return {"logins": [{"username": fresh.username, "password": fresh.password} for fresh in made]}
