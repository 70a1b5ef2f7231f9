"""export_schema TYPE [--user U [--extension]] [--number N]"""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.errors import SchemaNotFound
from registry.management.documents import entity_type_named, owner_named
from registry.selectors import version_by_number, version_in_force
from registry.selectors_extensions import revision_by_number
from schemaevo.kernel.canonical import JsonObject, canonical_json
from schemaevo.kernel.commands import EXIT_USAGE, ServiceCommand
from schemaevo.kernel.models import User


class Command(ServiceCommand):
    help = (
        "Prints a definition as register_schema reads it, or with --extension a user's extension as extend_schema "
        "reads it, in canonical JSON. Default: what is in force."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("--user", help="what this user has (id, e-mail or username)")
        parser.add_argument(
            "--extension", action="store_true", help="the user's extension, not an own schema"
        )
        parser.add_argument(
            "--number",
            metavar="N",
            help="this version (such as 1.2.0), or this revision of an extension (such as 3)",
        )

    def run(self, **options: Any) -> JsonObject:
        entity_type = entity_type_named(options["entity_type"])
        user = owner_named(options["user"])
        if options["extension"]:
            if user is None:
                raise CommandError("--extension goes with --user.", returncode=EXIT_USAGE)
            exported = _extension(entity_type, user, options["number"])
        else:
            exported = _definition(entity_type, user, options["number"])
        # The output is JSON either way; with --json the base class prints it.
        if not self._is_json:
            self.stdout.write(canonical_json(exported))
        return exported


def _definition(entity_type: str, user: User | None, number: str | None) -> JsonObject:
    user_id = user.pk if user else None
    if number is not None:
        version = version_by_number(entity_type=entity_type, user_id=user_id, number=number)
    else:
        found = version_in_force(entity_type=entity_type, user_id=user_id)
        if found is None:
            raise SchemaNotFound(entity_type, "", user.username if user else "global")
        version = found
    return {"entity_type": entity_type, "version": version.number, "definition": version.definition}


def _extension(entity_type: str, user: User, number: str | None) -> JsonObject:
    revision = None
    if number is not None:
        if not (number.isascii() and number.isdigit() and len(number) <= 10):
            raise SchemaNotFound(entity_type, number, f"extension of {user}")
        revision = int(number)
    found = revision_by_number(entity_type=entity_type, user_id=user.pk, revision=revision)
    return {"entity_type": entity_type, "extension": found.document}
