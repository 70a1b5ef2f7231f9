"""The content of the store: every column but clocks of ingest and computation, and numbers of runs and jobs (I2)."""

from __future__ import annotations

from typing import Any, Final

from django.db import connection

CONTENT: Final = {
    "entity_snapshots": "computed_at",
    "observations": "recorded_at, ingest_run_id",
    "raw_fragments": "id, first_seen_at, last_seen_at, promoted_at, archived_at, expires_at",
    "sources": "created_at",
    "raw_fragment_aggregates": "id, last_seen_at, sample_values",
    "raw_fragment_aggregate_sources": "id",
}


def stored_content() -> dict[str, list[Any]]:
    """The rows of the tables that hold content, each as one text, in an order that is theirs."""
    return {table: _rows(table, without.split(", ")) for table, without in CONTENT.items()}


def forget_content() -> None:
    """The tables are as if nothing had been ingested. For transactional tests that compare two ways."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(CONTENT)}, ingest_runs, dead_letters")


def _rows(table: str, without: list[str]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (to_jsonb(t) - %s::text[])::text AS content FROM {table} AS t ORDER BY 1", [without]
        )
        return [content for (content,) in cursor]
