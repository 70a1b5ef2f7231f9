"""export_observations TYPE [--user U] [--output PATH]"""

from collections.abc import Generator
from typing import Any

from fragments.selectors_exports import observations_with_fragments
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.exports import ExportCommand


class Command(ExportCommand):
    table = "observations"
    help = (
        "Writes every observation of a type, with its raw fragments, as JSON Lines, as of one instant. A value that "
        "several observations carried as a fragment stands on the line of the newest of them, with their count: the "
        "store keeps no more. Ids are written as they are and hold the owner's id, so they stay true only in a "
        "store where the owners have the same ids."
    )

    def lines(
        self, *, entity_type: str, user_id: int | None, **options: Any
    ) -> Generator[JsonObject, None, None]:
        return observations_with_fragments(entity_type=entity_type, user_id=user_id)
