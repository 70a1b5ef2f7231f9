"""The plain floor: the fewest statements that leave the rows an ingest or a recomputation left, without logic.

It has the rows at hand as Python values, JSON decoded, and knows what every snapshot will be. For the rest it works
as the system does (batches, transactions, COPY, decoding what it reads, encoding what it writes), so that what is
above it is the price of reading, splitting, deriving ids, recognising duplicates and merging.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from psycopg import sql

from schemaevo.kernel.bulk import copy_into_temporary
from schemaevo.kernel.canonical import canonical_json, decode_trusted
from tests.benchmarks.histories import SNAPSHOT_COLUMNS, copy_rows

Row = tuple[Any, ...]

BATCH = 1000

_OBSERVATIONS = (
    *("id", "user_id", "entity_type", "entity_id", "schema_version_id", "source_id", "ingest_run_id"),
    *("observed_at", "priority", "specificity", "kind", "origin", "ranks_as", "content_id", "fields"),
)
_FRAGMENTS = (
    *("observation_id", "user_id", "entity_type", "entity_id", "fragment_key", "source_id", "value_hash"),
    *("value_type", "value_format", "reason", "priority", "specificity", "kind", "frequency_count"),
    *("observed_at", "lifecycle_state", "value"),
)
_SNAPSHOTS = SNAPSHOT_COLUMNS
_SNAPSHOT_TYPES = (
    *("uuid", "bigint", "text", "text", "jsonb", "jsonb", "jsonb", "boolean"),
    *("bigint", "timestamptz", "uuid", "bigint", "text"),
)
_SNAPSHOT_JSON = (4, 5, 6)


@dataclass(frozen=True, slots=True)
class StoredRows:
    """What an ingest left: observations in the order of the records, the rest by what it belongs to."""

    observations: list[Row]
    snapshots: dict[str, Row]
    fragments: dict[str, list[Row]]


def stored_rows() -> StoredRows:
    """All rows of the three tables."""
    fragments: dict[str, list[Row]] = defaultdict(list)
    for row in _read("raw_fragments", _FRAGMENTS, order="id"):
        fragments[row[0]].append((*row[:-1], decode_trusted(row[-1])))
    return StoredRows(
        [(*row[:-1], decode_trusted(row[-1])) for row in _read("observations", _OBSERVATIONS, "observed_at")],
        stored_snapshots(),
        fragments,
    )


def stored_snapshots() -> dict[str, Row]:
    """The rows of all snapshots, by id."""
    return {
        row[0]: tuple(decode_trusted(v) if n in _SNAPSHOT_JSON else v for n, v in enumerate(row))
        for row in _read("entity_snapshots", _SNAPSHOTS, "id")
    }


def empty_tables() -> None:
    """What records leave is gone; schemas and users stay."""
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE observations, entity_snapshots, raw_fragments, raw_fragment_aggregates,"
            " raw_fragment_aggregate_sources, sources, ingest_runs CASCADE"
        )


@contextmanager
def aggregates_kept(*, by_triggers: bool) -> Iterator[None]:
    """Fragments are counted as they come in, or are not."""
    verb = "ENABLE" if by_triggers else "DISABLE"
    _switch_triggers(verb)
    try:
        yield
    finally:
        _switch_triggers("ENABLE")


def _switch_triggers(verb: str) -> None:
    with connection.cursor() as cursor:
        for event in ("insert", "update", "delete"):
            cursor.execute(f"ALTER TABLE raw_fragments {verb} TRIGGER raw_fragments_aggregated_{event}")


def write_ingested(rows: StoredRows) -> None:
    """COPY of the observations, the snapshots of their entities read for update and upserted, batch by batch."""
    for start in range(0, len(rows.observations), BATCH):
        batch = rows.observations[start : start + BATCH]
        with transaction.atomic():
            copy_rows("observations", _OBSERVATIONS, ((*row[:-1], canonical_json(row[-1])) for row in batch))
            entities = sorted({row[3] for row in batch})
            with connection.cursor() as cursor:
                cursor.execute(
                    """
                    SELECT id::text, merge_state FROM entity_snapshots
                     WHERE id = ANY(%s::uuid[]) ORDER BY user_id, id FOR UPDATE
                    """,
                    [entities],
                )
                for _, state in cursor:
                    decode_trusted(state)
            _upsert_snapshots([rows.snapshots[entity] for entity in entities])
            carried = [fragment for row in batch for fragment in rows.fragments.get(row[0], ())]
            if carried:
                copy_rows(
                    "raw_fragments", _FRAGMENTS, ((*row[:-1], canonical_json(row[-1])) for row in carried)
                )


def rewrite_snapshots(snapshots: dict[str, Row], entities_at_once: int) -> None:
    """All observations streamed in the order of their entities and decoded, the snapshots written as given."""
    ordered = sorted(snapshots)
    with transaction.atomic():
        # A cursor of the server's own: the history is never in memory.
        with connection.chunked_cursor() as cursor:
            cursor.execute(
                """
                SELECT entity_id::text, id::text, observed_at, priority, specificity, kind, fields
                  FROM observations ORDER BY entity_id
                """
            )
            while rows := cursor.fetchmany(BATCH):
                for row in rows:
                    decode_trusted(row[-1])
        for start in range(0, len(ordered), entities_at_once):
            _upsert_snapshots([snapshots[entity] for entity in ordered[start : start + entities_at_once]])


def _upsert_snapshots(rows: Sequence[Row]) -> None:
    copy_into_temporary(
        "floor_snapshots",
        dict(zip(_SNAPSHOTS, _SNAPSHOT_TYPES, strict=True)),
        (tuple(canonical_json(v) if n in _SNAPSHOT_JSON else v for n, v in enumerate(row)) for row in rows),
    )
    names = sql.SQL(", ").join(map(sql.Identifier, _SNAPSHOTS))
    changes = sql.SQL(", ").join(
        sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in _SNAPSHOTS[4:]
    )
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "INSERT INTO entity_snapshots ({names}) SELECT {names} FROM floor_snapshots ORDER BY user_id, id "
                "ON CONFLICT (id) DO UPDATE SET {changes}, computed_at = now()"
            ).format(names=names, changes=changes)
        )


def _read(table: str, columns: Sequence[str], order: str) -> list[Row]:
    # Ids as text, as the system has them while it works, and times as it sends them.
    names = sql.SQL(", ").join(
        sql.SQL("{}::text").format(sql.Identifier(name)) if name in _UUIDS else sql.Identifier(name)
        for name in columns
    )
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
                names, sql.Identifier(table), sql.Identifier(order)
            )
        )
        return [
            tuple(value.isoformat() if isinstance(value, datetime) else value for value in row)
            for row in cursor
        ]


_UUIDS = frozenset(
    {
        *("id", "entity_id", "source_id", "ranks_as", "content_id", "observation_id"),
        "last_computed_observation_id",
    }
)
