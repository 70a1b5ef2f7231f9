"""export_schema TYPE [--user U] [--number VERSION]"""

from typing import Any

from django.core.management.base import CommandParser

from registry.errors import SchemaNotFound
from registry.selectors import version_by_number, version_in_force
from schemaevo.kernel.canonical import JsonObject, canonical_json
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.owners import user_by_name


class Command(ServiceCommand):
    help = "Prints a definition as register_schema reads it, in canonical JSON. Default: the one in force."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("--user", help="this user's own schema (id, e-mail or username)")
        parser.add_argument("--number", metavar="VERSION", help="this version instead of the one in force")

    def run(self, **options: Any) -> JsonObject:
        entity_type = options["entity_type"]
        user = user_by_name(options["user"]) if options["user"] else None
        user_id = user.pk if user else None
        if options["number"]:
            version = version_by_number(entity_type=entity_type, user_id=user_id, number=options["number"])
        else:
            found = version_in_force(entity_type=entity_type, user_id=user_id)
            if found is None:
                raise SchemaNotFound(entity_type, "", user.username if user else "global")
            version = found
        exported: JsonObject = {
            "entity_type": entity_type,
            "version": version.number,
            "definition": version.definition,
        }
        # The output is JSON either way; with --json the base class prints it.
        if not self._is_json:
            self.stdout.write(canonical_json(exported))
        return exported
