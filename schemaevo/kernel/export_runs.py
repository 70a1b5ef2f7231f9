"""Exports as acts: each leaves a line in the audit log, whole or broken off; and those that pages stream."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from django.db import connection

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject, is_storable_text
from schemaevo.kernel.export_formats import ExportFormat, portions
from schemaevo.kernel.streams import one_instant

#: What gives the lines of an export, each time from the first; closed by whoever asks.
Lines: TypeAlias = "Callable[[], Generator[JsonObject, None, None]]"

EXPORTED: Final = "rows.export"
TYPE_MAX: Final = 63
#: A fetch that takes longer finds next to nothing in a great deal; nobody waits for its end.
FETCH_LIMIT_S: Final = 60
#: Whoever reads so slowly holds back the cleaning of all tables, and is let go.
SILENCE_LIMIT_S: Final = 300


class Door(StrEnum):
    """By which way something left."""

    PAGE = "page"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Export:
    """What is exported: rows of a table, of one entity type or all, narrowed as `filters` says. Without any value."""

    table: str
    entity_type: str
    filters: JsonObject
    export_format: ExportFormat
    door: Door

    @property
    def target(self) -> str:
        """The entity type as the audit log has it; somebody may have typed anything for one."""
        if not self.entity_type:
            return "all"
        return self.entity_type[:TYPE_MAX] if is_storable_text(self.entity_type) else "?"


@dataclass(slots=True)
class Tally:
    """How many lines were handed on."""

    lines: int = 0


@contextmanager
def export_audited(*, actor: Actor, export: Export) -> Iterator[Tally]:
    """That the actor exports is in the audit log when the block has ended, however it did, with the tally then.

    Written in a transaction of its own, after the one that was read in: that one can write nothing.
    """
    tally, is_whole = Tally(), False
    try:
        yield tally
        is_whole = True
    finally:
        audit_record(
            actor=actor,
            action=EXPORTED,
            target_type=export.table,
            target_id=export.target,
            after={
                "door": export.door.value,
                "format": export.export_format.value,
                "filters": export.filters,
                "rows": tally.lines,
                "is_whole": is_whole,
            },
        )


def export_stream(
    *,
    actor: Actor,
    permission: str,
    export: Export,
    lines: Lines,
    columns: tuple[str, ...],
) -> Iterator[bytes]:
    """The bytes of the file, while they are read, all as of the moment at which the first are asked for.

    What is handed on may not all have arrived; the tally counts it as gone. Broken off, or closed early, the file ends
    in an error and not as a shorter one. Raises: Denied `permission_denied`, at once.
    """
    actor.require(permission)
    return _streamed(actor, export, lines, columns)


def _streamed(
    actor: Actor, export: Export, lines: Lines, columns: tuple[str, ...]
) -> Generator[bytes, None, None]:
    with export_audited(actor=actor, export=export) as tally, one_instant():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true),"
                " set_config('idle_in_transaction_session_timeout', %s, true)",
                [f"{FETCH_LIMIT_S}s", f"{SILENCE_LIMIT_S}s"],
            )
        # Both are closed while the transaction is still there.
        with closing(lines()) as found, closing(portions(found, export.export_format, columns)) as parts:
            for part in parts:
                tally.lines += part.lines
                yield part.data
