"""Any course of ingest, schema changes, recomputations, retractions and deaths: the store holds what the model says
(I1, I2)."""

from __future__ import annotations

import itertools
import random
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from pytest_django import Settings

from fragments.models import RawFragment
from registry.domain.targets import of_target
from registry.models import SchemaVersion
from registry.selectors import owned_by
from registry.services.activation import schema_activate, schema_deactivate
from schemaevo.kernel.jobs import job_alive, job_request, run_job
from schemaevo.kernel.models import Job, JobState
from snapshots.domain.identity import source_id
from snapshots.jobs import SHARE
from snapshots.models import EntitySnapshot, Observation
from snapshots.services import recompute, refresh
from snapshots.services.recomputation import REFRESH
from snapshots.services.retractions import SETTLE_RETRACTION, retraction_undo, source_retract
from tests.factories import SHELL, make_extension
from tests.rounds import rounds
from tests.snapshots.deaths import Died, Fate, Late
from tests.snapshots.reduction_model import text_of
from tests.snapshots.store_at_work import INLINE_MAX, StoreAtWork
from tests.snapshots.store_draws import (
    FEEDS,
    NAMES,
    OWNERS,
    POLICIES,
    VALUES,
    draw_batch,
    draw_document,
    draw_field,
)
from tests.threads import PATIENCE_S, Aside
from tests.waiting import wait_for

#: All bounds are so small that a handful of entities comes to each of them.
BOUNDS = {
    "OWNERS_AT_ONCE": 2,
    "CHUNK_ENTITIES": 2,
    "CHUNK_OBSERVATIONS": 4,
    "PART_OBSERVATIONS": 4,
    "LONG_HISTORY": 6,
    "ROWS_AT_ONCE": 2,
}

#: What may happen, and how often. Chosen here and not by rules, of which Hypothesis leaves out many in each example:
#: schemas that change without records, and runs without schemas that change, come to nothing.
STEPS = {
    "ingest": 5,
    "ingest_again": 2,
    "ingest_under_a_taken_name": 1,
    "begin_to_ingest": 1,
    "commit_late": 2,
    "die_before_the_commit": 1,
    "correct": 2,
    "declare": 5,
    "change_words": 1,
    "go_back": 2,
    "extend": 2,
    "recompute_a_chunk": 4,
    "recompute_a_chunk_in_vain": 2,
    "run": 2,
    "die_within_a_batch": 3,
    "stop_between_batches": 3,
    "share": 3,
    "run_beside_locked_rows": 2,
    "refresh": 3,
    "retract": 2,
    "give_back": 2,
}
#: Seeded by Hypothesis.
randoms = st.randoms(use_true_random=True)


def some_owner(dice: random.Random) -> int | None:
    """An owner; None stands for all of them."""
    owner: int | None = dice.choice([None, None, *range(OWNERS)])
    return owner


class Recomputation(StoreAtWork, RuleBasedStateMachine):
    """The services against the model; each example has an entity type and owners of its own, and nothing else."""

    @initialize(dice=randoms, is_declared=st.booleans(), is_own=st.booleans())
    def begin(self, dice: random.Random, is_declared: bool, is_own: bool) -> None:
        """Something is there, under the schemas that came first."""
        self._open(dice.randrange(1000))
        if is_declared:
            self._declare(None, draw_document(dice))
        if is_own:
            self._declare(0, draw_document(dice))
        self.ingest(dice)

    @rule(data=st.data(), dice=randoms)
    def go_on(self, data: st.DataObject, dice: random.Random) -> None:
        impossible = self._impossible()
        possible = [name for name, weight in STEPS.items() if name not in impossible for _ in range(weight)]
        getattr(self, data.draw(st.sampled_from(possible), "step"))(dice)

    def _impossible(self) -> set[str]:
        """The steps for which nothing is there."""
        owed = self._live()
        missing = {
            "ingest_under_a_taken_name": any(feed.names_its_records for _, feed in self.sent),
            "begin_to_ingest": self.late is None,
            "share": any(job.cursor is not None for job in owed),
            "retract": bool(self._sources(are_retracted=False)),
            "give_back": bool(self._sources(are_retracted=True)),
            **dict.fromkeys(("commit_late", "die_before_the_commit"), self.late is not None),
            **dict.fromkeys(
                ("run", "die_within_a_batch", "stop_between_batches", "run_beside_locked_rows"), bool(owed)
            ),
        }
        return {name for name, is_there in missing.items() if not is_there}

    # --- records come in --------------------------------------------------------------------------------------
    def ingest(self, dice: random.Random) -> None:
        feed = dice.choice(FEEDS)
        self._ingest(self._records(draw_batch(dice), feed), feed, dice.choice([1, 3, 1000]))

    def ingest_again(self, dice: random.Random) -> None:
        """What came before comes again, alone or with other things of the same feed."""
        _, feed = dice.choice(self.sent)
        again = [dice.choice([record for record, origin in self.sent if origin == feed]) for _ in range(4)]
        others = self._records(draw_batch(dice), feed) if dice.random() < 0.5 else []
        self._ingest([*again, *others], feed, 1000)

    def ingest_under_a_taken_name(self, dice: random.Random) -> None:
        """Refused: the name belongs to an observation that says something else."""
        named = [(record, feed) for record, feed in self.sent if feed.names_its_records]
        record, feed = dice.choice(named)
        if self._is_free(record):
            run = self._run_ingest([{**record, "a": "otherwise"}], feed, 1000)
            assert (run.observation_count, run.rejected_count) == (0, 1)

    def begin_to_ingest(self, dice: random.Random) -> None:
        """On another connection; it has stored its observations, and nobody sees them."""
        feed, batch = dice.choice(FEEDS), draw_batch(dice)
        owner = batch[0][0]
        records = self._records([(owner, record) for _, record in batch], feed)
        late = Late(self.fate, partial(self._run_ingest, records, feed, 1000))
        self.late = late, owner, records, feed
        if not late.is_halted:
            self.commit_late(dice)

    def commit_late(self, dice: random.Random) -> None:
        assert self.late is not None
        late, _, records, feed = self.late
        late.end()
        self.late = None
        self._took_in(records, feed, 1000)

    def die_before_the_commit(self, dice: random.Random) -> None:
        assert self.late is not None
        self.late[0].end(dies=True)
        self.late = None

    def correct(self, dice: random.Random) -> None:
        """A field says something else, where it is declared and the value fits."""
        entity = dice.choice(sorted(self.model.owner_of))
        self._correct(entity, dice.choice(NAMES), dice.choice(VALUES))

    # --- schemas change ---------------------------------------------------------------------------------------
    def declare(self, dice: random.Random) -> None:
        """Something new, or what is in force with one policy otherwise."""
        owner = some_owner(dice)
        version = self._in_force(owner)
        if version is None or dice.random() < 0.5:
            self._declare(owner, draw_document(dice))
        else:
            name = dice.choice(sorted(version.definition["fields"]))
            policies = {**version.definition["merge_policies"], name: dice.choice(POLICIES)}
            self._declare(owner, {**version.definition, "merge_policies": policies})

    def change_words(self, dice: random.Random) -> None:
        """Nothing waits for that."""
        owner = some_owner(dice)
        version = self._in_force(owner)
        if version is not None:
            name, field = next(iter(version.definition["fields"].items()))
            changed = {
                **version.definition["fields"],
                name: {**field, "description": dice.choice(["words", "other words"])},
            }
            waiting = self.model.waiting()
            self._declare(owner, {**version.definition, "fields": changed})
            assert self.model.waiting() == waiting

    def go_back(self, dice: random.Random) -> None:
        """To a version that was there before, or to none: what was not recomputed meanwhile waits no more."""
        owner = some_owner(dice)
        user_id = None if owner is None else self.owners[owner]
        known = SchemaVersion.objects.filter(owned_by(user_id), entity_type=self.kind).order_by("pk")
        if known and dice.random() < 0.7:
            version = dice.choice(known)
            self._change(
                owner, lambda: schema_activate(version_id=version.pk, actor=SHELL, without_review="back")
            )
        else:
            self._change(
                owner,
                lambda: schema_deactivate(
                    entity_type=self.kind, user_id=user_id, actor=SHELL, without_review="no more"
                ),
            )

    def extend(self, dice: random.Random) -> None:
        """With a field of the owner's own, or by another policy where the global schema has that field."""
        owner, name = dice.randrange(OWNERS), dice.choice([*NAMES, "own"])
        shared, policy = self._in_force(None), dice.choice(POLICIES)
        if shared is not None and name in shared.definition["fields"]:
            document: dict[str, Any] = {"field_overrides": {name: {"merge_policy": policy}}}
        else:
            document = {"additional_fields": {name: {**draw_field(dice), "merge_policy": policy}}}
        self._change(
            owner, lambda: make_extension(user=self.users[owner], document=document, entity_type=self.kind)
        )

    # --- what waits is recomputed -----------------------------------------------------------------------------
    def recompute_a_chunk(self, dice: random.Random) -> None:
        """From a place that may be older than the schema."""
        self._recomputes(lambda: self._chunk(some_owner(dice), commits=True))

    def recompute_a_chunk_in_vain(self, dice: random.Random) -> None:
        """It dies before it commits."""
        assert not self._recomputes(lambda: self._chunk(some_owner(dice), commits=False))

    def run(self, dice: random.Random) -> None:
        """A job, wherever another worker left it, is done to its end."""
        job = dice.choice(self._live())
        self._work(job, lambda: run_job(str(job.pk)))
        assert Job.objects.get(pk=job.pk).state == JobState.DONE

    def die_within_a_batch(self, dice: random.Random) -> None:
        job = dice.choice(self._live())
        self._work(job, self._death(dice, job))

    def stop_between_batches(self, dice: random.Random) -> None:
        """The worker dies, or has to end and gives the job back."""
        job = dice.choice(self._live())
        begun, count, is_death = itertools.count(), dice.randrange(5), dice.random() < 0.5

        def should_stop() -> bool:
            if next(begun) < count:
                return False
            if is_death:
                raise Died
            return True

        def work() -> None:
            with suppress(Died):
                run_job(str(job.pk), should_stop=should_stop)

        self._work(job, work)

    def share(self, dice: random.Random) -> None:
        """Another worker shares a run that rests, or whose worker is dead; it may die as well."""
        begun = [job for job in self._live() if job.cursor is not None]
        run = dice.choice(begun)
        share = job_request(kind=SHARE, target=f"{run.target}/2")
        self._work(run, self._death(dice, share) if dice.random() < 0.5 else lambda: run_job(str(share.pk)))

    def run_beside_locked_rows(self, dice: random.Random) -> None:
        """The run does what it can, and waits for the rest: nothing that somebody held is left behind."""
        job = dice.choice(self._live())
        some = sorted(self.model.waiting()) or sorted(self.rows)
        held = dice.sample(some, dice.randint(1, len(some)))
        are_held = threading.Event()

        def run_once_held() -> None:
            assert are_held.wait(PATIENCE_S)
            run_job(str(job.pk))

        def work() -> None:
            with Aside(run_once_held) as ran:
                with transaction.atomic():
                    rows = EntitySnapshot.objects.filter(pk__in=held).order_by("user", "pk")
                    assert list(rows.select_for_update())
                    are_held.set()
                    wait_for(lambda: ran.done() or who_waits_for_me(), "the run to end or to wait")
                ran.result(PATIENCE_S)

        self._work(job, work)
        assert Job.objects.get(pk=job.pk).state == JobState.DONE

    def refresh(self, dice: random.Random) -> None:
        """Everything is reduced anew, whether it waits or not, unless that dies."""
        owner = some_owner(dice)
        target = self.kind if owner is None else f"{self.kind}:{self.owners[owner]}"
        job = job_alive(REFRESH, target) or job_request(kind=REFRESH, target=target)
        if dice.random() < 0.5:
            self._work(job, self._death(dice, job), is_refresh=True)
            return
        left = {
            entity
            for entity in self.rows
            if owner is None or self.model.owner_of[entity] == self.owners[owner]
        }
        is_begun = job.cursor is not None
        done = self._work(job, lambda: run_job(str(job.pk)), is_refresh=True)
        assert done == left or (is_begun and done < left)

    # --- sources are retracted --------------------------------------------------------------------------------
    def retract(self, dice: random.Random) -> None:
        """The entities of the source wait; what comes from it is stored, and takes no part."""
        self._turn(dice.choice(self._sources(are_retracted=False)), is_retracted=True)

    def give_back(self, dice: random.Random) -> None:
        self._turn(dice.choice(self._sources(are_retracted=True)), is_retracted=False)

    def _sources(self, *, are_retracted: bool) -> list[tuple[int, str]]:
        """Owners and their sources, but for the owner of an ingest that is on its way, who would be waited for, and for
        the sources of corrections, each of which has a name and a hash of its own."""
        busy = self.owners[self.late[1]] if self.late is not None else None
        feeds = {feed.source for feed in FEEDS}
        known = {origin for origin in self.model.origins.values() if origin[1] in feeds}
        found = known & self.model.retracted if are_retracted else known - self.model.retracted
        return sorted((user_id, source) for user_id, source in found if user_id != busy)

    def _turn(self, origin: tuple[int, str], *, is_retracted: bool) -> None:
        user_id, source = origin
        identity = UUID(source_id(user_id, source, ""))
        if is_retracted:
            source_retract(source_id=identity, reason="the wrong file", actor=SHELL)
        else:
            retraction_undo(source_id=identity, actor=SHELL)
        job = job_alive(SETTLE_RETRACTION, str(identity))
        assert job is not None
        run_job(str(job.pk))
        self.model.turn(user_id, source, is_retracted=is_retracted)
        self.rows = self._read()

    def _death(self, dice: random.Random, job: Job) -> Callable[[], object]:
        """The work for a job, which comes to its end somewhere in a batch, if it is not too short for that."""
        parts, is_before = dice.randrange(4), dice.random() < 0.5
        return lambda: self.fate.strike(parts, is_before=is_before, work=lambda: run_job(str(job.pk)))

    # --- what always holds ------------------------------------------------------------------------------------
    @invariant()
    def every_row_is_the_reduction_of_its_history(self) -> None:
        """I1, under the schema that the row names; of those that wait, too, as long as they took in all there is."""
        self._compare_rows()

    @invariant()
    def what_waits_is_what_was_reduced_by_other_rules(self) -> None:
        hashes = {user_id: schema.reduction_hash for user_id, schema in self.schemas.items()}
        waiting = {
            entity for entity, row in self.rows.items() if row["reduction_hash"] != hashes[row["user_id"]]
        }
        assert waiting == self.model.waiting()
        unread = {entity for entity, row in self.rows.items() if not row["reduction_hash"]}
        assert unread == {entity for entity, by in self.model.reduced_by.items() if by is None}

    @invariant()
    def what_waits_is_owed(self) -> None:
        """Some job that has not ended will come to it."""
        owed = {of_target(job.target)[1] for job in self._live()}
        assert all({None, self.model.owner_of[entity]} & owed for entity in self.model.waiting())

    @invariant()
    def observations_and_fragments_are_what_was_sent(self) -> None:
        stored = Observation.objects.values_list("id", "entity_id", "fields")
        assert {str(pk): (str(entity), text_of(fields)) for pk, entity, fields in stored} == {
            said.id: (entity, text_of(said.fields))
            for entity, history in self.model.histories.items()
            for said in history
        }
        sighted = RawFragment.objects.select_related("source")
        assert {
            (
                *(str(one.entity_id), one.fragment_key, text_of(one.value), one.source.name),
                *(one.priority, one.specificity, one.kind),
            ): one.frequency_count
            for one in sighted
        } == {sighting: len(ids) for sighting, ids in self.model.sightings.items()}

    def teardown(self) -> None:
        if hasattr(self, "late") and self.late is not None:
            self.die_before_the_commit(self.dice)
        if sys.exc_info()[0] is None and hasattr(self, "rows"):
            self._come_to_an_end()


def who_waits_for_me() -> int:
    """How many connections wait for this transaction to end."""
    with connection.cursor() as cursor:
        # Within a transaction the server's activity stays as it was at the first look.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        (count,) = cursor.fetchone()
    return int(count)


@pytest.mark.rounds
@pytest.mark.django_db(transaction=True)
def test_whatever_happens_the_store_holds_what_the_model_says(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = INLINE_MAX
    settings.SCHEMAEVO_JOB_MAX_ATTEMPTS = 1000
    for module in (recompute, refresh):
        for name, bound in BOUNDS.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, bound)
    monkeypatch.setattr(Recomputation, "fate", Fate(monkeypatch), raising=False)
    run_state_machine_as_test(
        Recomputation,
        settings=hypothesis_settings(
            max_examples=rounds(10),
            stateful_step_count=25,
            deadline=None,
            # An example takes a second, and making one smaller takes hundreds of them.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
