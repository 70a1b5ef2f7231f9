"""backup PATH"""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from schemaevo.backups import backup_create, servers_running
from schemaevo.database_command import DatabaseCommand
from schemaevo.kernel.canonical import JsonObject


class Command(DatabaseCommand):
    help = (
        "Writes the whole database, as of one instant, to a file that does not exist yet. Work may go on meanwhile. "
        "Embedded servers that do not run are started for it."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("path", metavar="PATH", type=Path, help="a file that does not exist yet")

    def work(self, **options: Any) -> JsonObject:
        with servers_running("making a backup"):
            made = backup_create(path=options["path"])
        self.say(f"{made.path}: {made.size:,} bytes")
        for table, rows in made.rows.items():
            self.say(f"  {table}: {rows:,}")
        return {"path": str(made.path), "bytes": made.size, "rows": dict(made.rows)}
