"""Where it is wanted, eligible fields are promoted by themselves; what fails never holds up the rest."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from fragments.jobs import ARCHIVE, CLEAN_UP, ENHANCE
from fragments.models import (
    Enhancement,
    EnhancementMode,
    EnhancementState,
    Promotion,
    PromotionCause,
)
from fragments.selectors_recommendations import recommendation_of_field
from fragments.services import enhancement
from fragments.services.enhancement import ATTEMPTS_MAX, enhancement_set, enhancement_turn
from fragments.services.promotions import promotion_undo
from registry.selectors import effective_schema
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.jobs import job_alive, job_request, run_job
from schemaevo.kernel.models import JobState, User
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_maximum,
    make_run,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    """An owner whose schema grows by itself."""
    make_version(document=make_definition(k="string"))
    owner = make_user()
    enhancement_set(user_id=owner.pk, entity_type=THING, mode=EnhancementMode.AUTO, actor=SHELL)
    return owner


def see(owner: User, times: Any = 10, **fields: Any) -> None:
    """So many records with these fields, each of an entity of its own."""
    records: list[JsonObject] = [{"k": f"k{n}", **fields} for n in range(times)]
    make_run(user=owner, records=records)


def turn(owner: User) -> tuple[set[str], set[str]]:
    """What one turn promoted, and what failed."""
    done = enhancement_turn(user_id=owner.pk, entity_type=THING, actor=SHELL)
    return set(done.promoted), set(done.failed)


def declared(owner: User) -> set[str]:
    definition = effective_schema(entity_type=THING, user_id=owner.pk).definition
    assert definition is not None
    return set(definition.fields)


def run() -> Any:
    """The job, as a worker runs it; gives its result."""
    job = job_request(kind=ENHANCE)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert job.state == JobState.DONE, job.error
    return job.result


def test_what_is_eligible_is_promoted_and_told_why(owner: User) -> None:
    see(owner, amount=1, created_at=1_700_000_000)
    see(owner, times=1, rare=1)

    assert run() == {"promoted": 2, "failed": 0}

    assert declared(owner) == {"k", "amount", "created_at"}
    rows = {row.fragment_key: row for row in Enhancement.objects.all()}
    assert rows.keys() == {"amount", "created_at"}
    row = rows["created_at"]
    assert (row.state, row.confidence) == (EnhancementState.PROMOTED, 10_000)
    assert "100 % of the values that are not null are of type date" in str(row.reasons)
    assert row.promotion is not None
    assert row.promotion.cause == PromotionCause.ENHANCEMENT
    assert row.promotion.declaration == {
        "type": "date",
        "converters": [{"from": "number", "function": "timestamp_s_to_iso", "to": "date"}],
    }
    assert job_alive(ARCHIVE, "") is not None
    assert job_alive(CLEAN_UP, "") is not None


@pytest.mark.parametrize("mode", [EnhancementMode.SUGGEST, EnhancementMode.OFF])
def test_where_it_is_not_wanted_nothing_happens(owner: User, mode: EnhancementMode) -> None:
    enhancement_set(user_id=owner.pk, entity_type=THING, mode=mode, actor=SHELL)
    see(owner, amount=1)
    assert run() == {"promoted": 0, "failed": 0}
    assert turn(owner) == (set(), set())
    assert not Promotion.objects.exists()
    found = recommendation_of_field(user_id=owner.pk, entity_type=THING, name="amount")
    assert found is not None
    assert found.is_eligible == (mode == EnhancementMode.SUGGEST)


def test_a_field_that_cannot_be_promoted_does_not_hold_up_the_next(owner: User) -> None:
    """Once the first of two that look alike is declared, the other cannot be."""
    see(owner, Due_Date="2024-01-02", due_date="2024-01-02", zone_name="x")

    promoted, failed = turn(owner)

    assert "zone_name" in promoted
    assert len(promoted) == 2
    assert len(failed) == 1
    row = Enhancement.objects.get(fragment_key__in=failed)
    assert (row.state, row.attempts, row.promotion) == (EnhancementState.WAITING, 1, None)
    assert row.error.startswith("invalid_extension")
    assert row.next_at is not None
    assert row.next_at > timezone.now()


def test_what_fails_again_and_again_is_given_up_until_it_is_seen_twice_as_often() -> None:
    """Until a job has adopted the owner's own schema, no field can be added to it."""
    owner = make_user()
    make_version(document=make_definition(k="string"), user=owner)
    see(owner, amount=1)
    make_version(document=make_definition(k="string"))
    enhancement_set(user_id=owner.pk, entity_type=THING, mode=EnhancementMode.AUTO, actor=SHELL)
    for _ in range(ATTEMPTS_MAX):
        assert turn(owner) == (set(), {"amount"})
        assert turn(owner) == (set(), set())
        Enhancement.objects.filter(next_at__isnull=False).update(next_at=timezone.now())
    row = Enhancement.objects.get()
    assert (row.state, row.attempts) == (EnhancementState.GIVEN_UP, ATTEMPTS_MAX)
    assert row.error.startswith("not_adopted")

    see(owner, times=9, amount=2)
    assert turn(owner) == (set(), set())
    see(owner, times=1, amount=3)
    assert turn(owner) == (set(), {"amount"})
    row.refresh_from_db()
    assert (row.state, row.attempts) == (EnhancementState.WAITING, 1)


def test_a_used_up_quota_goes_to_the_best_and_is_asked_again_tomorrow(owner: User) -> None:
    make_maximum(user=owner, max_fields=1)
    see(owner, first_id="a", second=1)
    see(owner, times=1, second="mixed")
    assert turn(owner) == ({"first_id"}, {"second"})
    row = Enhancement.objects.get(fragment_key="second")
    assert (row.state, row.attempts) == (EnhancementState.WAITING, 0)
    assert row.error.startswith("quota_exceeded")

    make_maximum(user=owner, max_fields=5)
    assert turn(owner) == (set(), set())
    Enhancement.objects.filter(pk=row.pk).update(next_at=timezone.now() - timedelta(seconds=1))
    assert turn(owner) == ({"second"}, set())
    row.refresh_from_db()
    assert (row.state, row.error, row.next_at) == (EnhancementState.PROMOTED, "", None)


def test_what_was_undone_is_not_promoted_again(owner: User) -> None:
    see(owner, amount=1)
    turn(owner)
    promotion_undo(promotion_id=Promotion.objects.get().pk, actor=SHELL, note="not this one")
    see(owner, amount=2)
    assert turn(owner) == (set(), set())
    assert declared(owner) == {"k"}


def test_a_turn_is_bounded_and_the_job_takes_as_many_as_it_needs(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enhancement, "FIELDS_PER_TURN", 2)
    names = [f"field_{letter}_id" for letter in "abcde"]
    see(owner, **dict.fromkeys(names, "x1"))
    other = make_user()
    enhancement_set(user_id=other.pk, entity_type=THING, mode=EnhancementMode.AUTO, actor=SHELL)
    see(other, amount=1)
    assert run() == {"promoted": 6, "failed": 0}
    assert declared(owner) == {"k", *names}
    assert declared(other) == {"k", "amount"}


def told(*options: str) -> Any:
    """What the command answers."""
    out = io.StringIO()
    call_command("auto_enhance", *options, "--json", stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue())


def test_the_command_sets_the_mode_and_tells_beforehand_what_it_would_promote(owner: User) -> None:
    see(owner, amount=1)
    named = ("--user", owner.username, "--entity-type", THING)
    [before] = told("--dry-run")["results"]
    assert (before["promoted"], declared(owner)) == (["amount"], {"k"})
    assert told(*named, "--mode", "suggest", "--dry-run")["mode"] == "suggest"
    [after] = told(*named)["results"]
    assert (after["promoted"], declared(owner)) == (["amount"], {"k", "amount"})
    told(*named, "--mode", "off")
    assert told()["results"] == []
    with pytest.raises(CommandError):
        told("--mode", "auto")
