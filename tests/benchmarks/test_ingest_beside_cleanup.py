"""How long a batch of ingest takes beside a worker that cleans up a million fragments, against how long alone."""

from __future__ import annotations

from django.db import connection

from fragments.jobs import CLEAN_UP
from fragments.models import LifecycleState, RawFragment
from schemaevo.kernel.jobs import job_alive, job_request, ring
from tests.benchmarks.feed import OWNERS, Feed, Timed, print_beside, shop, work_by
from tests.benchmarks.figures import Printer, scaled
from tests.benchmarks.histories import Histories, vacuum
from tests.benchmarks.records import ENTITY_TYPE, register

#: Entities that the feed is about, and to which the fragments belong.
ENTITIES = 50_000
#: Batches without a cleanup.
BATCHES = 240
BATCHES_MIN = 10
#: Undeclared fields of a record: what they leave is written under the lock under which a cleanup moves rows.
UNDECLARED = 3
#: Half of the fragments expired, and the other half has waited for its deletion; of every entity some of each.
FILL = """
    INSERT INTO raw_fragments (user_id, entity_type, entity_id, fragment_key, source_id, value, value_hash, value_type,
                               value_format, reason, priority, specificity, frequency_count, observation_id,
                               observed_at, lifecycle_state, promoted_at, expires_at)
    SELECT e.user_id, e.entity_type, e.id, 'gone_' || n, %(source)s, to_jsonb(n), sha256(n::text::bytea), 'number',
           'integer', 'unknown_field', 100, 1, 1, gen_random_uuid(), now(),
           CASE WHEN n %% 2 = 0 THEN 'promoted' ELSE 'pending_deletion' END,
           now() - interval '40 days', now() - interval '2 days' - random() * interval '1 day'
      FROM entity_snapshots AS e CROSS JOIN generate_series(1, %(each)s) AS n
     WHERE e.entity_type = %(type)s
"""


def test_ingest_beside_a_cleanup(printer: Printer) -> None:
    """Open loop: a batch is due every half second, and late from then on, whoever held it up."""
    register()
    rows = scaled(1_000_000, at_least=5_000)
    entities = scaled(ENTITIES, at_least=OWNERS * 10)
    for owner in range(OWNERS):
        Histories(shop(owner)).make(entities // OWNERS, 1)
    filled = fill(rows // entities)
    feed = Feed(entities, undeclared=UNDECLARED)
    alone = [feed.next_batch() for _ in range(scaled(BATCHES, at_least=BATCHES_MIN))]
    beside: list[Timed] = []
    run = job_request(kind=CLEAN_UP)
    feed.begin()
    with work_by(1):
        ring(run.pk)
        while job_alive(CLEAN_UP, "") is not None:
            beside.append(feed.next_batch())
    run.refresh_from_db()
    assert run.state == "done"
    assert run.result == {"delete": filled // 2, "expire": filled // 2}
    assert not RawFragment.objects.filter(lifecycle_state=LifecycleState.PROMOTED).exists()
    print_beside(printer, f"cleanup of {filled:,} rows", beside, alone)


def fill(each: int) -> int:
    """Every entity has so many fragments that a cleanup is due for, an even number; gives how many in all."""
    each -= each % 2
    with connection.cursor() as cursor:
        cursor.execute(
            FILL, {"source": "00000000-0000-0000-0000-000000000001", "each": each, "type": ENTITY_TYPE}
        )
        filled = int(cursor.rowcount)
    vacuum("raw_fragments")
    return filled
