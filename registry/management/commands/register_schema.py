"""register_schema FILE|- [--entity-type T] [--user U] [--base VERSION] [--activate] [--note TEXT] …"""

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from registry.management.documents import add_reason, owner_named, read_document
from registry.management.quotas import told
from registry.services.activation import schema_activate
from registry.services.schemas import schema_register
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand


class Command(ServiceCommand):
    help = (
        "Registers a definition as a version of a schema. FILE is JSON: "
        '{"entity_type": …, "definition": {"fields": …, "merge_policies": …}}, or a bare definition with '
        "--entity-type. '-' reads standard input."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="path of the JSON file, or -")
        parser.add_argument("--entity-type", help="for a file that holds a bare definition")
        parser.add_argument("--user", help="register it as this user's own schema (id, e-mail or username)")
        parser.add_argument(
            "--base", metavar="VERSION", help="refuse if another version is in force, or newest, by now"
        )
        parser.add_argument("--activate", action="store_true", help="put it in force as well")
        parser.add_argument("--note", default="", help="why this version exists")
        add_reason(parser)

    @transaction.atomic
    def run(self, **options: Any) -> JsonObject:
        entity_type, document = read_document(options["file"], options["entity_type"], "definition")
        actor = Actor.shell()
        user = owner_named(options["user"])
        registered = schema_register(
            entity_type=entity_type,
            document=document,
            actor=actor,
            user_id=user.pk if user else None,
            note=options["note"],
            base=options["base"],
        )
        version, warning = registered.version, registered.warning
        if options["activate"]:
            version = schema_activate(
                version_id=version.pk, actor=actor, without_review=options["without_review"]
            )
            warning = version.quota_warning
        what = "registered" if registered.created else "already registered"
        state = "in force" if version.is_active else "not in force"
        self.say(f"{entity_type} {version.number} ({user or 'global'}): {what}, {state}.")
        return {
            "entity_type": entity_type,
            "user": user.username if user else None,
            "version": version.number,
            "created": registered.created,
            "active": version.is_active,
            **told(self, warning),
        }
