"""retire_schema TYPE [VERSION] [--user U] [--note TEXT] [--dry-run] [--without-review REASON]"""

from typing import Any

from django.core.management.base import CommandParser

from registry.management.documents import (
    add_dry_run,
    add_reason,
    entity_type_named,
    owner_named,
    writing,
)
from registry.selectors import version_in_force
from registry.services.activation import schema_retire
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand


class Command(ServiceCommand):
    help = (
        "Takes a version, or every version of the schema, out of force and out of use. Nothing is deleted: "
        "activate_schema brings one back."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("number", metavar="VERSION", nargs="?", help="default: all of them")
        parser.add_argument("--user", help="of this user's own schema (id, e-mail or username)")
        parser.add_argument("--note", default="", help="why")
        add_dry_run(parser)
        add_reason(parser)

    def run(self, **options: Any) -> JsonObject:
        entity_type = entity_type_named(options["entity_type"])
        user = owner_named(options["user"])
        user_id = user.pk if user else None
        is_dry_run = options["dry_run"]
        with writing(is_dry_run=is_dry_run):
            retired = schema_retire(
                entity_type=entity_type,
                user_id=user_id,
                number=options["number"],
                actor=Actor.shell(),
                note=options["note"],
                without_review=options["without_review"],
            )
            left = version_in_force(entity_type=entity_type, user_id=user_id)
        retired.sort(key=lambda version: (version.major, version.minor, version.patch))
        numbers = [version.number for version in retired]
        would = "Nothing was written. It would be " if is_dry_run else ""
        if numbers:
            self.say(f"{would}{entity_type} ({user or 'global'}): retired {', '.join(numbers)}.")
        else:
            self.say(f"{entity_type} ({user or 'global'}): retired already, nothing has changed.")
        self.say(f"In force is {left.number}." if left else "No version of it is in force.")
        return {
            "entity_type": entity_type,
            "user": user.username if user else None,
            "retired": [*numbers],
            "in_force": left.number if left else None,
            "dry_run": is_dry_run,
        }
