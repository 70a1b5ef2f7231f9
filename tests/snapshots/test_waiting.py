"""The work list of recomputation is asked of its index alone, however much of the table one owner has."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from snapshots.services.waiting import owners_waiting, waiting_of
from tests.factories import THING, make_user

pytestmark = pytest.mark.django_db

#: All rows have one of these, and what is wanted is greater, less, or the same.
THERE = "b" * 64
WANTED = ["c" * 64, "a" * 64, THERE]


@pytest.fixture
def owner_id() -> int:
    """The one owner of all there is, of which the planner knows."""
    owner = make_user()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO entity_snapshots (id, user_id, entity_type, entity_key, "values", provenance, merge_state,
                                          deleted, observation_count, reduction_hash)
            SELECT gen_random_uuid(), %s, %s, n::text, '{}', '{}', '{}', false, 0, %s FROM generate_series(1, 5000) AS n
            """,
            [owner.pk, THING, THERE],
        )
        cursor.execute("ANALYZE entity_snapshots")
    return owner.pk


def plans_of(queries: CaptureQueriesContext) -> list[str]:
    """How each of the queries is done."""
    plans = []
    with connection.cursor() as cursor:
        for query in queries.captured_queries:
            cursor.execute(f"EXPLAIN {query['sql']}")
            plans.append("\n".join(line for (line,) in cursor))
    return plans


@pytest.mark.parametrize("wanted", WANTED)
def test_no_look_at_the_work_list_reads_the_table(owner_id: int, wanted: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        busy = owners_waiting(THING, {owner_id: wanted})
        found = [
            *waiting_of(THING, owner_id, wanted, passed_over=[], limit=7, claims=False),
            *waiting_of(THING, owner_id, wanted, passed_over=[], limit=7, claims=True),
        ]
    assert busy == ({owner_id} if wanted != THERE else set())
    assert len(found) == (14 if wanted != THERE else 0)
    for plan in plans_of(queries):
        assert "entity_snapshots_waiting_ix" in plan
        assert "Seq Scan" not in plan
