"""export_snapshots TYPE [--user U] [--deleted] [--output PATH]"""

from collections.abc import Generator
from typing import Any

from django.core.management.base import CommandParser

from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.exports import ExportCommand
from snapshots.selectors_exports import snapshots_exported


class Command(ExportCommand):
    table = "entity_snapshots"
    help = (
        "Writes the merged state of every entity of a type as JSON Lines, as of one instant: entity_type, user, key, "
        "deleted, last_observation_at, schema_version (by which it was computed; null where undeclared), values."
    )

    def add_options(self, parser: CommandParser) -> None:
        super().add_options(parser)
        parser.add_argument("--deleted", action="store_true", help="deleted entities too")

    def filters(self, **options: Any) -> JsonObject:
        return {} if options["deleted"] else {"deleted": "0"}

    def lines(
        self, *, entity_type: str, user_id: int | None, **options: Any
    ) -> Generator[JsonObject, None, None]:
        return snapshots_exported(
            entity_type=entity_type, user_id=user_id, with_deleted=bool(options["deleted"])
        )
