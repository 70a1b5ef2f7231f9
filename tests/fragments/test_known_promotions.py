"""Real records: fields promoted as suggested, and a converter that comes later, leave nothing waiting that fits."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fragments.models import RawFragment
from fragments.selectors_converters import converter_outlooks
from fragments.selectors_recommendations import eligible_fields
from fragments.services.backfill_runs import PROMOTE
from fragments.services.promotions import field_promote
from registry.domain.targets import job_target
from schemaevo.kernel.jobs import job_alive, run_job
from schemaevo.kernel.models import JobState, User
from snapshots.models import EntitySnapshot
from snapshots.services.observations import RECOMPUTE
from snapshots.services.verify import snapshots_verify
from tests.factories import SHELL, make_definition, make_run, make_user, make_version

pytestmark = pytest.mark.django_db

REPOSITORY = "repository"
RECORDS = Path(__file__).parent.parent / "data" / "octokit" / "repositories.jsonl.gz"


def repositories() -> list[dict[str, Any]]:
    """Deliveries of a forge: of 280 repositories seven give their times as epoch seconds."""
    with gzip.open(RECORDS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def ingested(**declared: Any) -> User:
    """Their owner, under a schema that declares these fields and the key."""
    owner = make_user()
    make_version(document=make_definition(delivery="string", **declared), entity_type=REPOSITORY)
    make_run(records=repositories(), user=owner, entity_type=REPOSITORY, key_field="delivery")
    return owner


def work(owner: User | None) -> None:
    """The backfill, and then what waits for it, as workers do."""
    for kind in (PROMOTE, RECOMPUTE):
        job = job_alive(kind, job_target(REPOSITORY, owner.pk if owner else None))
        assert job is not None
        run_job(str(job.pk))
        job.refresh_from_db()
        assert job.state == JobState.DONE, job.error


def states(field: str) -> Counter[str]:
    """How many fragments of the field are in each state."""
    rows = RawFragment.objects.filter(fragment_key=field).values_list("lifecycle_state", flat=True)
    return Counter(rows)


def test_once_the_suggested_converter_is_added_nothing_of_the_field_waits() -> None:
    owner = ingested(created_at="date")
    assert states("created_at") == {"active": 7}
    [outlook] = converter_outlooks(entity_type=REPOSITORY, user_id=owner.pk).outlooks

    make_version(
        document=make_definition(delivery="string", created_at=outlook.definition), entity_type=REPOSITORY
    )
    work(None)

    assert states("created_at") == {"promoted": 7}
    shown = {row.entity_key: row.values["created_at"] for row in EntitySnapshot.objects.filter(user=owner)}
    assert len(shown) == len(repositories())
    assert all(isinstance(value, str) for value in shown.values())


def test_everything_that_is_recommended_can_be_promoted_and_is_then_in_every_snapshot() -> None:
    owner = ingested()
    found = list(eligible_fields(user_id=owner.pk, entity_type=REPOSITORY))
    assert len(found) > 20
    for one in found:
        assert one.suggested is not None
        field_promote(
            user_id=owner.pk,
            entity_type=REPOSITORY,
            field=one.name,
            declaration=one.suggested.definition,
            actor=SHELL,
        )
    work(owner)

    waiting = {one.name: states(one.name)["active"] for one in found}
    for one in found:
        assert one.suggested is not None
        # What a sample of values did not show may be a surprise; what is known of every value is not.
        assert waiting[one.name] <= one.suggested.misfitting + one.suggested.uncertain, one.name
    records = {record["delivery"]: record for record in repositories()}
    rows = list(EntitySnapshot.objects.filter(user=owner))
    assert len(rows) == len(records)
    fitting = {name for name, count in waiting.items() if not count}
    for row in rows:
        record = records[row.entity_key]
        assert {name for name in fitting if record.get(name) is not None} <= row.values.keys()
    verified = snapshots_verify([str(row.pk) for row in rows])
    assert (verified.waiting, verified.divergent) == (0, [])
