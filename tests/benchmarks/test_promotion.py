"""How fast the fragments of a promoted field become observations, and until the snapshots show them."""

from __future__ import annotations

import random

from fragments.models import LifecycleState, RawFragment
from fragments.services.backfill_runs import PROMOTE
from fragments.services.ingest import Input, ingest
from fragments.services.promotions import field_promote
from fragments.services.records import IngestOptions, Line
from registry.domain.targets import job_target
from schemaevo.kernel.canonical import canonical_bytes
from schemaevo.kernel.jobs import job_alive, run_job
from snapshots.models import EntitySnapshot
from snapshots.services.observations import RECOMPUTE
from tests.benchmarks.figures import Printer, scaled, seconds
from tests.benchmarks.histories import vacuum
from tests.benchmarks.records import (
    ACTOR,
    ENTITY_TYPE,
    EPOCH,
    KEY_FIELD,
    make_owner,
    random_fields,
    register,
    schema_of,
)

FIELD = "extra"
#: Of each entity so many records, each with a value of its own.
RECORDS_EACH = 4


def test_promotion_of_a_field(printer: Printer) -> None:
    """One owner, one field, nothing else at work. Without a floor: 3,000 fragments a second are wanted."""
    register()
    fragments = scaled(200_000, at_least=400)
    owner = make_owner("shop")
    _fill(owner, fragments)
    vacuum()
    field_promote(
        user_id=owner, entity_type=ENTITY_TYPE, field=FIELD, declaration={"type": "string"}, actor=ACTOR
    )

    backfill_s = seconds(lambda: _run(PROMOTE, owner))
    recompute_s = seconds(lambda: _run(RECOMPUTE, owner))

    promoted = RawFragment.objects.filter(lifecycle_state=LifecycleState.PROMOTED)
    assert promoted.count() == fragments
    wanted = schema_of(owner).reduction_hash
    assert not EntitySnapshot.objects.exclude(reduction_hash=wanted).exists()
    for what, took in (
        ("become observations", backfill_s),
        ("are in the snapshots, the recomputation included", backfill_s + recompute_s),
    ):
        printer.figure(
            f"fragments of a promoted field that {what}, of {fragments:,}",
            f"{fragments / took:,.0f}/s",
            "3,000/s",
            fragments / took / 3_000,
            ">= 1",
        )


def _fill(owner: int, fragments: int) -> None:
    dice = random.Random(1)
    entities = max(1, fragments // RECORDS_EACH)
    lines = (
        Line(
            n,
            n,
            canonical_bytes(
                {KEY_FIELD: f"order-{n % entities}", **random_fields(dice), FIELD: f"value {n} of it"}
            ),
        )
        for n in range(1, fragments + 1)
    )
    ingest(
        source=Input(lines, "stream", source_name="feed", default_observed_at=EPOCH),
        options=IngestOptions(entity_type=ENTITY_TYPE, key_field=KEY_FIELD, user_id=owner),
        actor=ACTOR,
    )


def _run(kind: str, owner: int) -> None:
    job = job_alive(kind, job_target(ENTITY_TYPE, owner))
    assert job is not None
    run_job(str(job.pk))
