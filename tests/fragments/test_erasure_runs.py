"""Erasure while its worker dies, and while records come in: the same end, and nothing is stored for who is erased."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from fragments.domain import erasing
from fragments.models import DeadLetter, Enhancement, IgnoredPattern, RawFragment
from fragments.services import erasure_contents, erasure_runs, erasure_texts
from fragments.services.dry_run import ingest_foresee
from fragments.services.erasure import entity_erase, owner_erase
from fragments.services.ignore_lists import pattern_ignore
from fragments.services.ingest import Input
from fragments.services.records import IngestOptions
from registry.services.extensions import extension_save
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.errors import Conflict, Denied, DomainError, Invalid, NotFound
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import AuditEvent, Erasure, Job, JobState, User
from snapshots.models import EntitySnapshot, Observation
from tests.aggregates import assert_aggregates_are_right
from tests.enhancements import make_given_up
from tests.erasing import content_of, make_marked, places_of, run_erasure
from tests.factories import (
    NOON,
    SHELL,
    THING,
    make_definition,
    make_lines,
    make_login,
    make_maximum,
    make_run,
    make_user,
    make_version,
)
from tests.snapshots.deaths import Died

pytestmark = pytest.mark.django_db


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions take one entity, two of its rows, and few rows of a table."""
    monkeypatch.setattr(erasure_contents, "ENTITIES_AT_ONCE", 1)
    monkeypatch.setattr(erasure_contents, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(erasure_texts, "ROWS_AT_ONCE", 100)
    monkeypatch.setattr(erasure_runs, "ROWS_AT_ONCE", 1)


@pytest.fixture
def owner() -> User:
    """The owner of two entities, with a fragment each."""
    owner = make_user(username="annabelle")
    make_version(document=make_definition(k="string", u="string"))
    make_run(user=owner, records=[{"k": "one", "size": 1}, {"k": "two", "size": 2}])
    return owner


def erase(owner: User) -> Erasure:
    return owner_erase(user_id=owner.pk, reason="they asked", actor=SHELL).erasure


def erase_one(owner: User, key: str = "one") -> Erasure:
    return entity_erase(
        user_id=owner.pk, entity_type=THING, entity_key=key, reason="it was wrong", actor=SHELL
    ).erasure


def refused(do: object) -> str:
    assert callable(do)
    with pytest.raises(DomainError) as error:
        do()
    return error.value.code


def test_whatever_dies_in_the_midst_it_ends_as_if_nothing_had(
    monkeypatch: pytest.MonkeyPatch, small_pieces: None
) -> None:
    marked = make_marked(entities=2)
    before = {table: rows for table, rows in content_of(marked.other).items() if table != "quota_grants"}
    erase(marked.owner)
    calls = deaths = 0

    def added(counts: JsonObject, more: Iterable[tuple[str, int]]) -> JsonObject:
        """Called at the end of each piece, when all of it is written and nothing is committed."""
        nonlocal calls
        calls += 1
        if calls % 2:
            raise Died
        return erasing.added(counts, more)

    monkeypatch.setattr(erasure_runs, "added", added)
    job = Job.objects.get(kind="erase")
    while job.state in (JobState.PENDING, JobState.RUNNING):
        try:
            run_job(str(job.pk))
        except Died:
            deaths += 1
            # Nobody renews the lease of who has died.
            Job.objects.filter(pk=job.pk).update(lease_expires_at=Now() - timedelta(seconds=1))
        job.refresh_from_db()
    assert job.state == JobState.DONE, job.error
    assert deaths > 50
    assert places_of(*marked.names) == []
    after = {table: rows for table, rows in content_of(marked.other).items() if table != "quota_grants"}
    assert after == before
    assert_aggregates_are_right()
    erasure = Erasure.objects.get()
    # Each row is counted once, however often it was on its way.
    assert erasure.counts["entity_snapshots"] == 4
    assert erasure.counts["users"] == 1


def test_an_owner_with_more_rows_than_one_transaction_takes_goes_wholly(
    small_pieces: None, owner: User
) -> None:
    make_run(user=owner, records=[{"k": "one", "size": n, "v": n} for n in range(7)], source="again")
    erase(owner)
    assert run_erasure().state == JobState.DONE
    assert not Observation.objects.filter(user=owner).exists()
    assert not RawFragment.objects.filter(user=owner).exists()
    assert not EntitySnapshot.objects.filter(user=owner).exists()
    assert Erasure.objects.get().counts["observations"] == 9


def test_an_entity_goes_alone(owner: User) -> None:
    other = content_of(owner)["entity_snapshots"]
    erase_one(owner)
    run_erasure()
    assert set(EntitySnapshot.objects.values_list("entity_key", flat=True)) == {"two"}
    assert content_of(owner)["entity_snapshots"] == [row for row in other if '"two"' in row]
    assert_aggregates_are_right()


def test_nothing_is_stored_for_an_owner_who_is_erased_or_is_being_erased(owner: User) -> None:
    somebody = make_user(username="somebody")
    for state in ("being erased", "erased"):
        if state == "being erased":
            erase(owner)
        else:
            run_erasure()
        assert refused(lambda: make_run(user=owner, records=[{"k": "three"}])) == "owner_erased"
        owner.refresh_from_db()
        name = owner.username
        run = make_run(
            user_field="u",
            records=[{"u": name, "k": "three", "secret": "x"}, {"u": "somebody", "k": "three"}],
            source=state,
        )
        assert (run.observation_count, run.rejected_count) == (1, 1)
        letter = DeadLetter.objects.filter(run=run).get()
        assert (letter.code, bytes(letter.raw)) == ("owner_erased", b"")
        assert name not in letter.message
        assert (
            refused(
                lambda: extension_save(
                    entity_type=THING,
                    user_id=owner.pk,
                    document={"additional_fields": {"colour": {"type": "string"}}},
                    actor=SHELL,
                )
            )
            == "owner_erased"
        )
        foreseen = ingest_foresee(
            source=Input(make_lines(records=[{"u": name, "k": "four"}]), "stream", default_observed_at=NOON),
            options=IngestOptions(entity_type=THING, key_field="k", user_field="u"),
            actor=SHELL,
        )
        assert foreseen.by_code == {"owner_erased": 1}
    assert not Observation.objects.filter(user=owner).exists()
    assert Observation.objects.filter(user=somebody).count() == 2


def test_an_entity_may_come_again_once_it_is_erased(owner: User) -> None:
    erase_one(owner)
    run = make_run(user=owner, records=[{"k": "one", "size": 5}, {"k": "two", "size": 5}], source="again")
    assert (run.observation_count, run.rejected_count) == (1, 1)
    letter = DeadLetter.objects.get()
    assert (letter.code, bytes(letter.raw)) == ("entity_erased", b"")
    run_erasure()
    assert make_run(user=owner, records=[{"k": "one", "size": 6}], source="third").observation_count == 1
    erase_one(owner)
    run_erasure()
    assert Erasure.objects.count() == 2


def test_asking_twice_is_one_erasure_and_a_finished_one_is_told(owner: User) -> None:
    first = erase(owner)
    assert erase(owner).pk == first.pk
    assert refused(lambda: erase_one(owner)) == "owner_erased"
    run_erasure()
    assert refused(lambda: erase(owner)) == "owner_erased"


def test_the_erasure_of_an_owner_ends_those_of_their_entities(owner: User) -> None:
    erase_one(owner)
    erase(owner)
    run_erasure()
    assert not Erasure.objects.filter(finished_at=None).exists()
    for job in Job.objects.filter(kind="erase", state=JobState.PENDING):
        run_job(str(job.pk))
    assert not Job.objects.filter(kind="erase").exclude(state=JobState.DONE).exists()


def test_what_came_in_after_its_step_is_found_at_the_end(
    monkeypatch: pytest.MonkeyPatch, owner: User
) -> None:
    """Whoever was at work for the owner when it was asked for may write where all was gone already."""
    erase(owner)
    steps = list(erasure_runs.STEPS)
    person = steps.index(erasure_runs._person)
    late = iter([True])

    def with_somebody_late(erasure: Erasure, place: Json) -> erasure_runs.Piece:
        if next(late, False):
            make_given_up(user=owner, field="late")
        return erasure_runs._person(erasure, place)

    monkeypatch.setattr(erasure_runs, "STEPS", [*steps[:person], with_somebody_late, *steps[person + 1 :]])
    assert run_erasure().state == JobState.DONE
    assert not Enhancement.objects.exists()


def test_a_short_name_goes_where_it_is_a_name_and_stays_where_it_may_be_a_word() -> None:
    login, owner = make_user(username="Bo", is_staff=True, is_superuser=True), make_user()
    make_maximum(user=owner, max_fields=300)
    pattern_ignore(
        pattern="x-*", user_id=None, actor=Actor.login(login), entity_type=THING, reason="bo is a word"
    )
    User.objects.filter(pk=login.pk).update(is_superuser=False)
    erase(login)
    run_erasure()
    pattern = IgnoredPattern.objects.get()
    assert (pattern.made_by_name, pattern.reason) == (f"erased-{login.pk}", "bo is a word")
    assert not AuditEvent.objects.filter(actor_name="Bo").exists()


def test_superusers_alone_erase_and_not_one_another(owner: User) -> None:
    admin = Actor.login(make_login(role="schema_admin"))
    with pytest.raises(Denied):
        owner_erase(user_id=owner.pk, reason="x", actor=admin)
    with pytest.raises(Denied):
        entity_erase(user_id=owner.pk, entity_type=THING, entity_key="one", reason="x", actor=admin)
    boss = make_login(is_superuser=True)
    with pytest.raises(Conflict) as refusal:
        owner_erase(user_id=boss.pk, reason="x", actor=Actor.login(boss))
    assert refusal.value.code == "superuser"
    assert owner_erase(user_id=owner.pk, reason="x", actor=Actor.login(boss)).erasure.requested_by == boss


def test_what_is_not_there_or_has_no_reason_is_refused(owner: User) -> None:
    with pytest.raises(NotFound):
        owner_erase(user_id=10**9, reason="x", actor=SHELL)
    with pytest.raises(NotFound) as missing:
        erase_one(owner, "three")
    # A key that nobody has may be the one that was meant.
    assert "three" not in missing.value.message
    with pytest.raises(Invalid):
        owner_erase(user_id=owner.pk, reason=" ", actor=SHELL)
    assert not Erasure.objects.exists()
