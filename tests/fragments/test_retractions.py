"""Retracting a source, and undoing that: the store is as if it had never been ingested, and as it was."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fragments.models import RawFragment
from fragments.models_promotions import Promotion
from fragments.selectors_exports import observations_with_fragments
from fragments.services import retraction_runs
from fragments.services.lifecycle import ARCHIVAL, fragments_due
from fragments.services.promotions import field_promote
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.job_control import job_cancel
from schemaevo.kernel.jobs import job_alive, run_job
from schemaevo.kernel.models import AuditEvent, Job, User
from snapshots.models import EntitySnapshot, Observation, Retraction, RetractionState
from snapshots.selectors_exports import snapshots_exported
from snapshots.services.retractions import SETTLE_RETRACTION, retraction_undo, source_retract
from snapshots.services.verify import snapshots_verify
from tests.aggregates import assert_aggregates_are_right, stored
from tests.content import forget_content, stored_content
from tests.factories import SHELL, THING, make_definition, make_run, make_snapshot, make_user, make_version
from tests.retractions import assert_all_right, give_back, retract, settle, source_of
from tests.rounds import rounds
from tests.snapshots.store_draws import draw_document, draw_record

pytestmark = pytest.mark.django_db

#: What a snapshot shows, and what it says of its entity.
SHOWN = (
    "entity_key",
    "values",
    "provenance",
    "deleted",
    "observation_count",
    "last_observation_at",
    "last_computed_observation_id",
)


@pytest.fixture
def owner() -> User:
    """The owner of an entity that two sources spoke of, each of a declared field and of another."""
    owner = make_user()
    make_version(document=make_definition(k="string", a="number"))
    make_run(records=[{"k": "p", "a": 1, "x": "one"}], user=owner, source="right")
    make_run(records=[{"k": "p", "a": 2, "x": "two"}, {"k": "q", "a": 3, "y": 5}], user=owner, source="wrong")
    return owner


def shown(user: User) -> list[Any]:
    """The snapshots of the user of which something is left."""
    rows = EntitySnapshot.objects.filter(user=user, observation_count__gt=0).order_by("entity_key")
    return list(rows.values(*SHOWN))


def counts_of(user: User) -> dict[Any, Any]:
    return {key[1:]: counts for key, counts in stored().items() if key[0] == user.pk}


def test_a_retracted_source_takes_no_part_any_more(owner: User) -> None:
    before = Observation.objects.count()
    retract(owner, "wrong")
    settle()
    snapshot = make_snapshot(user=owner, key="p")
    assert (snapshot.values, snapshot.observation_count) == ({"k": "p", "a": 1}, 1)
    assert [row["entity_key"] for row in shown(owner)] == ["p"]
    assert set(counts_of(owner)) == {(THING, "x")}
    assert counts_of(owner)[THING, "x"]["sample_count"] == 1
    assert Observation.objects.count() == before
    assert_all_right()


def test_an_entity_of_retracted_observations_alone_keeps_its_row_and_nothing_else(owner: User) -> None:
    retract(owner, "wrong")
    settle()
    snapshot = make_snapshot(user=owner, key="q")
    assert (snapshot.values, snapshot.provenance, snapshot.observation_count) == ({}, {}, 0)
    assert snapshot.last_observation_at is None
    assert [line["key"] for line in snapshots_exported(entity_type=THING)] == ["p"]


def test_retracted_observations_leave_the_store_in_no_export(owner: User) -> None:
    retract(owner, "wrong")
    # Before any job.
    lines = list(observations_with_fragments(entity_type=THING))
    source: Json = {"name": "right", "content_hash": ""}
    assert [line["source"] for line in lines] == [source]


def test_what_was_retracted_and_given_back_is_as_it_was(owner: User) -> None:
    content = stored_content()
    for _ in range(2):
        retract(owner, "wrong")
        settle()
        assert stored_content() != content
        give_back(owner, "wrong")
        settle()
        assert stored_content() == content
        assert_all_right()
    states = Retraction.objects.values_list("state", flat=True)
    assert set(states) == {RetractionState.GIVEN_BACK}


def test_what_is_sent_again_stays_a_duplicate(owner: User) -> None:
    retract(owner, "wrong")
    settle()
    content = stored_content()
    run = make_run(
        records=[{"k": "p", "a": 2, "x": "two"}, {"k": "q", "a": 3, "y": 5}], user=owner, source="wrong"
    )
    assert (run.observation_count, run.duplicate_count, run.retracted_count) == (0, 2, 0)
    assert stored_content() == content


def test_what_comes_from_a_retracted_source_is_kept_apart_until_the_undo(owner: User) -> None:
    other = make_user()
    news = [{"k": "p", "a": 9, "x": "nine"}, {"k": "new", "a": 4, "z": 1}]
    make_version(document=make_definition(k="string", a="number"))
    retract(owner, "wrong")
    settle()
    before = shown(owner), counts_of(owner)
    run = make_run(records=news, user=owner, source="wrong")
    assert (run.observation_count, run.retracted_count, run.fragment_count) == (2, 2, 2)
    assert (shown(owner), counts_of(owner)) == before
    assert make_snapshot(user=owner, key="new").values == {}
    assert_all_right()
    run = make_run(records=news, user=other, source="wrong")
    assert run.retracted_count == 0
    give_back(owner, "wrong")
    settle()
    assert make_snapshot(user=owner, key="new").values == {"k": "new", "a": 4}
    assert make_snapshot(user=owner, key="p").observation_count == 3
    assert counts_of(owner)[THING, "z"]["sample_count"] == 1
    assert_all_right()


def test_what_comes_between_the_retraction_and_its_job_ends_exact(owner: User) -> None:
    retract(owner, "wrong")
    make_run(records=[{"k": "p", "a": 7, "x": "seven"}], user=owner, source="wrong")
    make_run(records=[{"k": "p", "a": 8, "x": "eight"}], user=owner, source="right")
    settle()
    assert make_snapshot(user=owner, key="p").observation_count == 2
    assert counts_of(owner)[THING, "x"]["sample_count"] == 2
    give_back(owner, "wrong")
    make_run(records=[{"k": "q", "a": 6, "x": "seven"}], user=owner, source="wrong")
    settle()
    assert make_snapshot(user=owner, key="p").observation_count == 4
    assert make_snapshot(user=owner, key="q").observation_count == 2
    assert_all_right()


def test_a_value_seen_again_counts_or_not_before_any_job_comes_to_it(owner: User) -> None:
    for number, (act, counts) in enumerate([(retract, False), (give_back, True)]):
        act(owner, "wrong")
        make_run(records=[{"k": "p", "a": 50 + number, "x": "two"}], user=owner, source="wrong")
        assert RawFragment.objects.get(value="two").is_retracted is not counts
        assert_aggregates_are_right()
        settle()
        assert RawFragment.objects.get(value="two").is_retracted is not counts


def test_until_the_job_is_done_verify_says_waiting_and_not_divergent(owner: User) -> None:
    rows = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
    for act in (retract, give_back):
        act(owner, "wrong")
        verified = snapshots_verify(rows)
        assert (verified.checked, verified.waiting, verified.divergent) == (0, 2, [])
        settle()
        assert_all_right()


def test_what_is_really_wrong_is_divergent_while_another_source_is_being_retracted(owner: User) -> None:
    make_run(records=[{"k": "alone", "a": 1}], user=owner, source="right")
    retract(owner, "wrong")
    EntitySnapshot.objects.filter(entity_key="alone").update(observation_count=77)
    rows = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
    assert [found.entity_id for found in snapshots_verify(rows).divergent] == [
        str(EntitySnapshot.objects.get(entity_key="alone").pk)
    ]


def test_a_retraction_turned_round_in_the_midst_begins_anew(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = stored_content()
    monkeypatch.setattr(retraction_runs, "CHUNK_OBSERVATIONS", 1)
    retract(owner, "wrong")
    job = job_alive(SETTLE_RETRACTION, str(source_of(owner, "wrong")))
    assert job is not None
    reached = retraction_runs._reach

    def turned_round(retraction: Retraction, said: Any) -> tuple[int, int]:
        done = reached(retraction, said)
        turns.append(retraction.undone_at is not None)
        return done

    turns: list[bool] = []
    monkeypatch.setattr(retraction_runs, "_reach", turned_round)
    run_job(str(job.pk), should_stop=lambda: bool(turns))
    assert turns == [False]
    give_back(owner, "wrong")
    settle()
    assert set(turns[1:]) == {True}
    assert stored_content() == content
    assert_all_right()


def test_fragments_of_a_retracted_source_are_left_alone(owner: User) -> None:
    RawFragment.objects.update(last_seen_at="2020-01-01T00:00:00Z")
    retract(owner, "wrong")
    settle()
    assert fragments_due(ARCHIVAL, timezone.now()) == {"archive": 1}
    with pytest.raises(DomainError) as refused:
        field_promote(
            user_id=owner.pk, entity_type=THING, field="y", declaration={"type": "number"}, actor=SHELL
        )
    assert refused.value.code == "no_fragments"


def test_a_field_declared_meanwhile_takes_in_what_is_given_back(owner: User) -> None:
    retract(owner, "wrong")
    settle()
    field_promote(user_id=owner.pk, entity_type=THING, field="x", declaration={"type": "string"}, actor=SHELL)
    settle()
    assert Promotion.objects.get().promoted_count == 1
    assert make_snapshot(user=owner, key="p").values == {"k": "p", "a": 1, "x": "one"}
    give_back(owner, "wrong")
    settle()
    assert make_snapshot(user=owner, key="p").values["x"] in {"one", "two"}
    assert not RawFragment.objects.filter(fragment_key="x", lifecycle_state="active").exists()
    assert_all_right()


def test_a_promoted_field_loses_what_the_retracted_source_said_of_it(owner: User) -> None:
    field_promote(user_id=owner.pk, entity_type=THING, field="y", declaration={"type": "number"}, actor=SHELL)
    settle()
    content = stored_content()
    assert make_snapshot(user=owner, key="q").values["y"] == 5
    retract(owner, "wrong")
    settle()
    assert make_snapshot(user=owner, key="q").values == {}
    give_back(owner, "wrong")
    settle()
    assert stored_content() == content


def test_a_retraction_is_refused_twice_and_so_is_its_undo(owner: User) -> None:
    source = source_of(owner, "wrong")
    with pytest.raises(DomainError) as refused:
        retraction_undo(source_id=source, actor=SHELL)
    assert refused.value.code == "not_retracted"
    retract(owner, "wrong")
    with pytest.raises(DomainError) as refused:
        retract(owner, "wrong")
    assert refused.value.code == "already_retracted"
    give_back(owner, "wrong")
    with pytest.raises(DomainError) as refused:
        give_back(owner, "wrong")
    assert refused.value.code == "not_retracted"
    with pytest.raises(DomainError) as refused:
        source_retract(source_id=source, reason="  ", actor=SHELL)
    assert refused.value.code == "invalid_reason"


def test_a_job_that_ended_too_early_is_owed_again_by_asking_again(owner: User) -> None:
    retract(owner, "wrong")
    job_cancel(job_id=Job.objects.get(kind=SETTLE_RETRACTION).pk, actor=SHELL)
    retract(owner, "wrong")
    settle()
    assert Retraction.objects.get().state == RetractionState.TAKEN_BACK
    give_back(owner, "wrong")
    job_cancel(job_id=Job.objects.latest("requested_at").pk, actor=SHELL)
    give_back(owner, "wrong")
    settle()
    assert_all_right()


def test_two_live_retractions_of_a_source_are_refused_by_the_database(owner: User) -> None:
    source = source_of(owner, "wrong")
    Retraction.objects.create(source_id=source, user=owner, reason="one")
    with pytest.raises(IntegrityError, match="retractions_live_uq"), transaction.atomic():
        Retraction.objects.create(source_id=source, user=owner, reason="two")
    with pytest.raises(IntegrityError, match="retractions_state_ck"), transaction.atomic():
        Retraction.objects.update(state=RetractionState.GIVEN_BACK)


def test_the_audit_log_tells_of_it_without_values(owner: User) -> None:
    retract(owner, "wrong")
    settle()
    give_back(owner, "wrong")
    settle()
    events = AuditEvent.objects.filter(target_type="source").order_by("pk")
    assert [event.action for event in events] == [
        "source.retract",
        "source.taken_back",
        "source.retract_undo",
        "source.given_back",
    ]
    counts = events[1].after
    assert isinstance(counts, dict)
    assert (counts["observations"], counts["snapshots"], counts["fragments"]) == (2, 2, 2)


def test_the_observations_of_a_source_are_found_by_an_index(owner: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        rows = Observation.objects.filter(source_id=source_of(owner, "wrong"))
        # Without an order: of so few rows another index in that order is as good.
        assert "observations_source_ix" in rows.explain()


SOURCES = tuple(f"file-{number}" for number in range(8))


@pytest.mark.rounds
@settings(max_examples=rounds(12), deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), is_declared=st.booleans())
def test_without_one_of_eight_sources_the_store_is_as_if_it_had_never_been_ingested(
    seed: int, is_declared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values, provenance, counts of observations and aggregates; whenever it was retracted."""
    monkeypatch.setattr(retraction_runs, "CHUNK_OBSERVATIONS", 2)
    dice = random.Random(seed)
    with transaction.atomic():
        user, wrong = make_user(), dice.choice(SOURCES)
        if is_declared:
            make_version(document=draw_document(dice))
        batches = [
            (dice.choice(SOURCES), [draw_record(dice) for _ in range(dice.randint(1, 5))])
            for _ in range(dice.randint(4, 16))
        ]
        retracted_at = dice.randrange(len(batches) + 1)
        batches.insert(0, (wrong, [draw_record(dice)]))
        for number, (source, records) in enumerate(batches):
            send(user, source, records)
            if number == retracted_at:
                retract(user, wrong)
                if dice.random() < 0.5:
                    settle()
        settle()
        assert_all_right()
        without = shown(user), counts_of(user)
        give_back(user, wrong)
        settle()
        assert_all_right()
        with_all = stored_content()

        forget(user)
        for source, records in batches:
            if source != wrong:
                send(user, source, records)
        assert (shown(user), counts_of(user)) == without
        for source, records in batches:
            if source == wrong:
                send(user, source, records)
        assert stored_content() == with_all
        transaction.set_rollback(True)


def send(user: User, source: str, records: list[dict[str, Any]]) -> None:
    make_run(records=records, user=user, source=source, entity_type=THING, observed_at_field="at")


def forget(user: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("TRUNCATE retractions")
    forget_content()
