"""Corrections beside others: of two who correct one value one is told, and nothing that comes meanwhile is lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings

from schemaevo.kernel.canonical import Json
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import AuditEvent, User
from snapshots.domain.correction import value_seen
from snapshots.models import Correction, EntitySnapshot, Observation
from snapshots.services.corrections import Wanted, field_correct
from snapshots.services.verify import snapshots_verify
from tests.concurrency.test_first_snapshots import what_waits_for_me
from tests.factories import SHELL, make_definition, make_run, make_snapshot, make_user, make_version
from tests.threads import PATIENCE_S, Aside, side_by_side
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner(transactional_db: None) -> User:
    policies = {"trust": {"strategy": "highest_priority"}}
    make_version(document=make_definition(policies=policies, k="string", colour="string", trust="number"))
    owner = make_user()
    make_run(records=[{"k": "k", "colour": "red", "trust": 1}], user=owner)
    return owner


def correct(entity_id: str, field: str, value: Json, seen: str | None = None) -> str:
    """What became of it: nothing, or the code of the refusal."""
    try:
        field_correct(
            entity_id=entity_id,
            wanted=Wanted(field, value, seen),
            reason="a race",
            actor=SHELL,
        )
    except DomainError as error:
        return error.code
    return ""


def is_sound() -> bool:
    found = snapshots_verify([str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)])
    return not found.divergent and not found.waiting


def test_of_two_who_correct_one_value_at_once_one_wins_and_the_other_is_told(owner: User) -> None:
    entity = str(make_snapshot(user=owner).pk)
    turns: list[tuple[str, Json]] = [("colour", "red"), ("trust", 1), ("colour", "a0")]
    for turn, (field, seen) in enumerate(turns):
        values: list[Json] = [f"a{turn}", f"b{turn}"] if field == "colour" else [7, 8]
        if turn == 2:
            correct(entity, "colour", seen)
        said = side_by_side([partial(correct, entity, field, value, value_seen(seen)) for value in values])
        assert sorted(said) == ["", "value_changed"]
        won = values[said.index("")]
        assert make_snapshot(user=owner).values[field] == won
    assert Correction.objects.count() == AuditEvent.objects.filter(action="snapshot.correct").count()
    assert is_sound()


def test_corrections_of_many_at_once_that_saw_nothing_all_stand_in_some_order(owner: User) -> None:
    entity = str(make_snapshot(user=owner).pk)
    said = side_by_side([partial(correct, entity, "trust", number) for number in range(10, 16)])
    assert said == [""] * 6
    rows = Observation.objects.filter(origin="correction").order_by("-priority")
    assert [row.priority for row in rows] == [1005, 1004, 1003, 1002, 1001, 1000]
    assert make_snapshot(user=owner).values["trust"] == rows[0].fields["trust"]
    assert is_sound()


def test_what_is_being_ingested_meanwhile_is_seen_or_merged_after(owner: User) -> None:
    entity = str(make_snapshot(user=owner).pk)

    def ingests(number: int) -> str:
        records = [{"k": "k", "colour": f"in{n}", "trust": n} for n in range(20)]
        make_run(records=records, user=owner, source=f"s{number}", observed_at=timezone.now(), batch_size=5)
        return ""

    jobs: list[Callable[[], str]] = [partial(ingests, number) for number in range(3)]
    jobs += [partial(correct, entity, "trust", 100 + number) for number in range(3)]
    assert side_by_side(jobs) == [""] * 6
    assert make_snapshot(user=owner).values["trust"] >= 100
    assert Observation.objects.count() == 1 + 3 * 20 + 3
    assert is_sound()


def test_who_would_wait_too_long_is_told_to_try_again(owner: User, settings: Settings) -> None:
    settings.SCHEMAEVO_LOCK_TIMEOUT_S = 0.2
    entity = str(make_snapshot(user=owner).pk)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM entity_snapshots WHERE id = %s FOR UPDATE", [entity])
        with Aside(partial(correct, entity, "colour", "blue")) as told:
            assert told.result(PATIENCE_S) == "lock_timeout"
    assert make_snapshot(user=owner).values["colour"] == "red"
    assert not Correction.objects.exists()


def test_a_schema_that_changes_meanwhile_is_the_one_it_is_judged_by(owner: User) -> None:
    entity = str(make_snapshot(user=owner).pk)
    with ExitStack() as stack:
        with transaction.atomic():
            make_version(document=make_definition(k="string", trust="number"))
            late = stack.enter_context(Aside(partial(correct, entity, "colour", "green")))
            wait_for(what_waits_for_me, "the correction to wait for the schema")
        # Only the commit lets it go on.
        assert late.result(PATIENCE_S) == "undeclared_field"
    assert not Correction.objects.exists()
