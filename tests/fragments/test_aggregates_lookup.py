"""Aggregates are looked up by their key, whatever the planner believes of their table."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from tests.aggregates import assert_aggregates_are_right

pytestmark = pytest.mark.django_db

USERS = 60
FIELDS = 5
#: One row of each field for so many users, whom nobody knows.
BRING = """
    INSERT INTO raw_fragments (user_id, entity_type, entity_id, fragment_key, source_id, value, value_hash, value_type,
                               value_format, reason, priority, specificity, frequency_count, observation_id,
                               observed_at)
    SELECT u, 'thing', gen_random_uuid(), 'field_' || n, gen_random_uuid(), to_jsonb(n), sha256(n::text::bytea),
           'number', 'integer', 'unknown_field', 100, 1, 1, gen_random_uuid(), now()
      FROM generate_series(%s::bigint, %s) AS u CROSS JOIN generate_series(1, %s) AS n
"""


@pytest.fixture(autouse=True)
def _misled() -> None:
    """The last ANALYZE saw one row among many that are gone, as after a large import that failed."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO raw_fragment_aggregates (user_id, entity_type, fragment_key)"
            " SELECT u, 'thing', 'field' FROM generate_series(1, 20000) AS u"
        )
        transaction.set_rollback(True)
    bring(1, 1, fields=1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE raw_fragment_aggregates, raw_fragment_aggregate_sources, raw_fragments")


def bring(first: int, last: int, *, fields: int = FIELDS) -> None:
    with connection.cursor() as cursor:
        cursor.execute(BRING, [first, last, fields])


def read() -> int:
    """How many rows of the aggregates this transaction has read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
            " WHERE relname = 'raw_fragment_aggregates'"
        )
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize(
    "statements",
    [
        [],
        ["UPDATE raw_fragments SET frequency_count = 2"],
        ["UPDATE raw_fragments SET lifecycle_state = 'archived', archived_at = now()"],
        [
            "UPDATE raw_fragments SET lifecycle_state = 'promoted', promoted_at = now(), expires_at = now()",
            "UPDATE raw_fragments SET lifecycle_state = 'pending_deletion'",
            "DELETE FROM raw_fragments WHERE fragment_key <> 'field_1'",
        ],
    ],
    ids=["brought", "seen again", "archived", "deleted"],
)
def test_a_statement_reads_each_at_most_three_times(statements: list[str]) -> None:
    """To lock it, to count, and for its samples; a loop around all of them would go with the square."""
    before = read()

    bring(2, USERS)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)

    assert read() - before <= 3 * (1 + len(statements)) * USERS * FIELDS
    assert_aggregates_are_right()
