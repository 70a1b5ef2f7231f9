"""`manage.py resume`: ends the pause of everything."""

from typing import Any

from django.core.management.base import CommandParser

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.pause import store_resume


class Command(ServiceCommand):
    help = (
        "Ends the pause of everything: jobs go on from where they were. An ingest run that the pause ended "
        "is run again by hand; it stores only what is missing."
    )

    def add_options(self, parser: CommandParser) -> None:
        """Nothing beside --json."""

    def run(self, **options: Any) -> JsonObject:
        was_paused = store_resume(actor=Actor.shell())
        self.say("Ingest and jobs run again." if was_paused else "Nothing was paused.")
        return {"paused": False, "was_paused": was_paused}
