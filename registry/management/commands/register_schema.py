"""register_schema FILE [--entity-type T] [--user U] [--activate] [--note TEXT] [--without-review REASON]"""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from registry.services.schemas import schema_activate, schema_register
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject, decode
from schemaevo.kernel.commands import EXIT_USAGE, ServiceCommand
from schemaevo.kernel.owners import user_by_name


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
        parser.add_argument("--activate", action="store_true", help="put it in force as well")
        parser.add_argument("--note", default="", help="why this version exists")
        parser.add_argument(
            "--without-review", default="", metavar="REASON", help="change a global schema in use; audited"
        )

    @transaction.atomic
    def run(self, **options: Any) -> JsonObject:
        entity_type, document = _read(options["file"], options["entity_type"])
        actor = Actor.shell()
        user = user_by_name(options["user"]) if options["user"] else None
        registered = schema_register(
            entity_type=entity_type,
            document=document,
            actor=actor,
            user_id=user.pk if user else None,
            note=options["note"],
        )
        version = registered.version
        if options["activate"]:
            version = schema_activate(
                version_id=version.pk, actor=actor, without_review=options["without_review"]
            )
        what = "registered" if registered.created else "already registered"
        state = "in force" if version.is_active else "not in force"
        self.say(f"{entity_type} {version.number} ({user or 'global'}): {what}, {state}.")
        return {
            "entity_type": entity_type,
            "user": user.username if user else None,
            "version": version.number,
            "created": registered.created,
            "active": version.is_active,
        }


def _read(name: str, entity_type: str | None) -> tuple[str, Json]:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}", returncode=EXIT_USAGE) from error
    document = decode(data)
    if isinstance(document, dict) and "definition" in document:
        found = document.get("entity_type")
        if entity_type and found not in (None, entity_type):
            raise CommandError(f"The file is for {found}, not for {entity_type}.", returncode=EXIT_USAGE)
        entity_type = entity_type or (found if isinstance(found, str) else None)
        document = document["definition"]
    if not entity_type:
        raise CommandError(
            "The file names no entity_type; give it with --entity-type.", returncode=EXIT_USAGE
        )
    return entity_type, document
