"""trim_ledgers [--dry-run]"""

from typing import Any

from django.core.management.base import CommandParser

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.retention import ledger_trim, ledgers_overdue, ledgers_registered


class Command(ServiceCommand):
    help = (
        "Deletes old rows of the system's own ledgers (jobs, dead letters, ingest runs), as the periodic job does "
        "by itself; the settings SCHEMAEVO_RETENTION_DAYS_* say how old. The audit log is kept."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many rows would go")

    def run(self, **options: Any) -> JsonObject:
        is_dry = bool(options["dry_run"])
        counts = ledgers_overdue() if is_dry else _trim()
        for name, count in counts.items():
            self.say(f"{name}: {count} {'would be ' if is_dry else ''}deleted")
        return {"dry_run": is_dry, **counts}


def _trim() -> dict[str, int]:
    actor = Actor.shell()
    deleted: dict[str, int] = {}
    for ledger in ledgers_registered():
        deleted[ledger.name] = 0
        cutoff = ledger.cutoff
        while cutoff is not None and (count := ledger_trim(ledger=ledger, cutoff=cutoff, actor=actor)):
            deleted[ledger.name] += count
    return deleted
