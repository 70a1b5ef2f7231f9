"""restore PATH [--replace [--no-input]]"""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connection

from schemaevo.backups import backup_restore, servers_running
from schemaevo.database_command import DatabaseCommand
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_FAILED


class Command(DatabaseCommand):
    help = (
        "Puts a backup into an empty database, in one transaction; then migrates it to this version, checks that "
        "every guard is in place, and verifies a sample of snapshots. Exit code 1 if one diverges."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("path", metavar="PATH", type=Path, help="a file that `backup` wrote")
        parser.add_argument(
            "--replace",
            action="store_true",
            help="delete what is in the database now; asks for the name of the database first",
        )
        parser.add_argument("--no-input", action="store_true", help="with --replace: do not ask")

    def work(self, **options: Any) -> JsonObject:
        with servers_running("restoring a backup"):
            if options["replace"] and not options["no_input"]:
                self._ask()
            restored = backup_restore(
                path=options["path"], is_replacing=bool(options["replace"]), say=self.say
            )
        for table, rows in restored.rows.items():
            self.say(f"  {table}: {rows:,}")
        verified = restored.verified
        self.say(
            f"Restored; {restored.migrated} migrations applied on top. {verified.checked} snapshots compared: "
            f"{len(verified.divergent)} divergent; {verified.waiting} wait for recomputation."
        )
        return {
            "rows": dict(restored.rows),
            "migrated": restored.migrated,
            "verified": verified.to_json(),
        }

    def exit_code(self, result: JsonObject) -> int:
        """1 if a snapshot diverges."""
        verified = result["verified"]
        return EXIT_FAILED if isinstance(verified, dict) and verified["divergent"] else 0

    def _ask(self) -> None:
        name = connection.settings_dict["NAME"]
        self.stderr.write(
            f"Everything in the database {name} will be deleted, and replaced by the backup.",
            style_func=lambda message: message,
        )
        self.stderr.write("Type its name to go on: ", ending="", style_func=lambda message: message)
        self.stderr.flush()
        if sys.stdin.readline().strip() != name:
            raise CommandError("Nothing was changed.", returncode=EXIT_FAILED)
