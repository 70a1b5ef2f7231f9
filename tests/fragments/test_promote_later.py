"""Promoted later or declared from the start: the snapshots are the same (I7), whatever happens on the way.

Sources are retracted and given back meanwhile, and entities erased. What is retracted in the end, or was erased, was as
good as never sent.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fragments.models import LifecycleState, RawFragment
from fragments.models_promotions import Promotion, PromotionState
from fragments.services import backfill, retraction_runs
from fragments.services.backfill_runs import PROMOTE
from fragments.services.promotions import field_promote, promotion_undo
from registry.selectors import effective_schema
from registry.services.extensions import extension_save
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, JobState
from snapshots.models import EntitySnapshot, Observation, Source
from snapshots.services.corrections import Wanted, field_correct
from snapshots.services.observations import RECOMPUTE
from snapshots.services.retractions import SETTLE_RETRACTION
from snapshots.services.verify import snapshots_verify
from tests.aggregates import assert_aggregates_are_right
from tests.content import forget_content
from tests.erasing import make_erased_entity
from tests.factories import SHELL, make_run, make_user, make_version
from tests.lifecycle import put
from tests.retractions import give_back, retract
from tests.rounds import rounds
from tests.snapshots.corrections import record_again, remembered
from tests.snapshots.deaths import Died
from tests.snapshots.store_draws import FEEDS, NAMES, POLICIES, TYPES, VALUES, draw_batch, draw_field
from tests.snapshots.store_model import OWNER

TYPE = "thing"
#: What a snapshot shows, and what it says of its entity.
CONTENT = (
    "entity_key",
    "values",
    "provenance",
    "deleted",
    "observation_count",
    "last_observation_at",
    "last_computed_observation_id",
)
STEPS = {
    "ingest": 5,
    "promote": 5,
    "undo": 2,
    "widen": 2,
    "correct": 3,
    "work": 3,
    "die": 4,
    "archive": 1,
    "clean_up": 1,
    "retract": 3,
    "give_back": 2,
    "erase": 1,
}


class Course:
    """One owner's records and promotions, in the real store."""

    def __init__(self, dice: random.Random, monkeypatch: pytest.MonkeyPatch, *, is_global: bool) -> None:
        self.dice = dice
        self.monkeypatch = monkeypatch
        self.owner = make_user()
        #: What is declared in the end, and what is so from the beginning.
        self.declared = {name: self._declaration() for name in NAMES}
        self.late = dice.sample(NAMES, dice.randint(1, len(NAMES)))
        self.kinds = dice.choice([None, ["human", "sensor"], []])
        self.sent: list[tuple[JsonObject, Any]] = []
        self.retracted: set[str] = set()
        self.shared = None if is_global else self.owner
        self._put_in_force([name for name in NAMES if name not in self.late])

    def _declaration(self) -> JsonObject:
        return {**draw_field(self.dice), "merge_policy": self.dice.choice(POLICIES)}

    def _put_in_force(self, names: list[str]) -> None:
        document: Any = {"fields": {"k": {"type": "string"}}, "merge_policies": {}}
        for name in names:
            stored = dict(self.declared[name])
            document["merge_policies"][name] = stored.pop("merge_policy")
            document["fields"][name] = stored
        if self.kinds is not None:
            document["observation_source_priority"] = self.kinds
        make_version(document=document, entity_type=TYPE, user=self.shared)

    # --- steps ------------------------------------------------------------------------------------------------
    def ingest(self) -> None:
        self._take_back_other_types()
        feed = self.dice.choice(FEEDS)
        records = [{**record, OWNER: self.owner.username} for _, record in draw_batch(self.dice)]
        self.sent += [(record, feed) for record in records]
        self.send(records, feed)

    def send(self, records: list[JsonObject], feed: Any) -> None:
        options = {name: value for name, value in feed.options.items() if name != "id_field"}
        make_run(records=records, source=feed.source, entity_type=TYPE, **options)

    def promote(self) -> None:
        """Some field, at first perhaps with less than it will have in the end."""
        missing = [name for name in self.late if name not in self._in_force()]
        if missing:
            self._promote(self.dice.choice(missing), is_final=self.dice.random() < 0.5)

    def _promote(self, name: str, *, is_final: bool) -> None:
        declaration: Any = dict(self.declared[name])
        if not is_final:
            declaration["converters"] = declaration["converters"][: self.dice.randint(0, 1)]
            if declaration["type"] == "number":
                declaration["constraints"] = {"min": 1, "max": 3}
            if "constraints" not in self.declared[name] and self.dice.random() < 0.4:
                # Somebody took it for something else; it will be undone. What was promoted under no constraint, and
                # would break one, stays: reduction knows types and converters only.
                declaration = {"type": self.dice.choice(TYPES)}
        known = RawFragment.objects.filter(user=self.owner, fragment_key=name, is_retracted=False)
        if not known.exists() and not Promotion.objects.filter(user=self.owner, fragment_key=name).exists():
            feed = next(feed for feed in FEEDS if feed.source not in self.retracted)
            record: JsonObject = {"k": "p", name: None, OWNER: self.owner.username}
            self.send([record], feed)
            self.sent.append((record, feed))
            # It may have come before, from a source that was retracted and is not given back yet.
            self._settle()
        field_promote(
            user_id=self.owner.pk, entity_type=TYPE, field=name, declaration=declaration, actor=SHELL
        )

    def undo(self) -> None:
        live = Promotion.objects.filter(
            user=self.owner, state__in=[PromotionState.RUNNING, PromotionState.DONE]
        )
        if live.exists():
            promotion_undo(promotion_id=self.dice.choice(list(live)).pk, actor=SHELL)

    def widen(self) -> None:
        """Every promoted field is declared as it will be in the end: with all converters, and no constraint more."""
        self._take_back_other_types()
        names = [name for name in self.late if name in self._in_force()]
        if self.shared is not None:
            self._put_in_force([name for name in NAMES if name not in self.late or name in names])
        elif names:
            document: JsonObject = {"additional_fields": {name: self.declared[name] for name in names}}
            extension_save(entity_type=TYPE, user_id=self.owner.pk, document=document, actor=SHELL)

    def correct(self) -> None:
        """Somebody corrects a field of some entity, as it is declared by now, where that can be done."""
        self._take_back_other_types()
        names = sorted(self._in_force() & set(NAMES))
        entities = list(EntitySnapshot.objects.filter(user=self.owner).order_by("entity_key"))
        if not names or not entities:
            return
        value: Any = self.dice.choice(VALUES)
        wanted = Wanted(self.dice.choice(names), value)
        # What does not fit, is so already, or is deleted, is refused; that is tested elsewhere.
        with suppress(DomainError), transaction.atomic():
            entity = str(self.dice.choice(entities).pk)
            field_correct(entity_id=entity, wanted=wanted, reason="a mistake", actor=SHELL)

    def _take_back_other_types(self) -> None:
        """Nothing is declared as what it will not be. What comes in meanwhile would be an observation for good."""
        live = [PromotionState.RUNNING, PromotionState.DONE]
        for promotion in Promotion.objects.filter(user=self.owner, state__in=live):
            if promotion.declaration["type"] != self.declared[promotion.fragment_key]["type"]:
                promotion_undo(promotion_id=promotion.pk, actor=SHELL)

    def work(self) -> None:
        jobs = self.live()
        if jobs:
            run_job(str(self.dice.choice(jobs).pk))

    def die(self) -> None:
        """A backfill dies at any of its writes; its worker's lease runs out."""
        jobs = [job for job in self.live() if job.kind != RECOMPUTE]
        if not jobs:
            return
        left = self.dice.randint(0, 6)
        writes = [(backfill, name) for name in ("observations_record", "_update")]
        writes += [(retraction_runs, name) for name in ("snapshots_let_wait", "_fragments_move", "_ask")]

        def doomed(act: Callable[..., Any]) -> Callable[..., Any]:
            def write(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    raise Died
                done = act(*args, **kwargs)
                if left == 1 and self.dice.random() < 0.5:
                    raise Died
                return done

            return write

        with self.monkeypatch.context() as patch:
            for module, name in writes:
                patch.setattr(module, name, doomed(getattr(module, name)))
            with suppress(Died):
                run_job(str(self.dice.choice(jobs).pk))
        Job.objects.filter(state=JobState.RUNNING).update(lease_expires_at="2020-01-01T00:00:00Z")

    def archive(self) -> None:
        put(
            LifecycleState.ARCHIVED,
            lifecycle_state="active",
            value_type=self.dice.choice(["string", "number"]),
        )

    def clean_up(self) -> None:
        """What was promoted is gone but for its observation."""
        which = {"lifecycle_state": "promoted", "value_type": self.dice.choice(["string", "number", "null"])}
        put(LifecycleState.PENDING_DELETION, since=timezone.now() - timedelta(days=2), **which)
        RawFragment.objects.filter(lifecycle_state="pending_deletion").delete()

    def retract(self) -> None:
        """A source that was the wrong one, if another is left. Its job may be far behind."""
        sources = sorted({feed.source for _, feed in self.sent} - self.retracted)
        if len(FEEDS) - len(self.retracted) > 1 and sources:
            source = self.dice.choice(sources)
            self.retracted.add(source)
            retract(self.owner, source)

    def give_back(self) -> None:
        if self.retracted:
            source = self.dice.choice(sorted(self.retracted))
            self.retracted.remove(source)
            give_back(self.owner, source)

    def erase(self) -> None:
        """An entity goes with all that belongs to it, as if it had never been sent; it may come again."""
        entities = EntitySnapshot.objects.filter(user=self.owner, entity_type=TYPE).order_by("entity_key")
        if not entities.exists():
            return
        key = self.dice.choice(list(entities)).entity_key
        make_erased_entity(user=self.owner, entity_type=TYPE, entity_key=key)
        self.sent = [(record, feed) for record, feed in self.sent if record["k"] != key]
        # A source that nothing is left of is forgotten, and its retraction with it.
        self.retracted &= set(Source.objects.filter(user=self.owner).values_list("name", flat=True))

    def _settle(self) -> None:
        for job in self.live():
            if job.kind == SETTLE_RETRACTION:
                run_job(str(job.pk))

    # --- the end ----------------------------------------------------------------------------------------------
    def come_to_an_end(self) -> None:
        self.widen()
        for name in self.late:
            if name not in self._in_force():
                self._promote(name, is_final=True)
        self.widen()
        while jobs := self.live():
            run_job(str(self.dice.choice(jobs).pk))

    def live(self) -> list[Job]:
        kinds = [PROMOTE, RECOMPUTE, SETTLE_RETRACTION]
        found = Job.objects.filter(kind__in=kinds, state__in=LIVE_JOB_STATES)
        return list(found.order_by("kind", "target"))

    def _in_force(self) -> set[str]:
        definition = effective_schema(entity_type=TYPE, user_id=self.owner.pk).definition
        assert definition is not None
        return set(definition.fields)

    def shown(self) -> list[Any]:
        # Of what only retracted sources knew, nothing is left but the key.
        known = EntitySnapshot.objects.filter(user=self.owner, observation_count__gt=0)
        rows = known.order_by("entity_key")
        return list(rows.values(*CONTENT))

    def declared_from_the_start(self) -> list[Any]:
        """What would be shown, had all been declared before anything came."""
        with transaction.atomic():
            with connection.cursor() as cursor:
                # Nothing is left to be checked later, so that tables can be emptied.
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            corrections = [remembered(row) for row in Observation.objects.filter(origin="correction")]
            forget_content()
            for record, feed in self.sent:
                if feed.source not in self.retracted:
                    self.send([record], feed)
            record_again(corrections)
            shown = self.shown()
            transaction.set_rollback(True)
        return shown


@pytest.mark.rounds
@pytest.mark.django_db
@settings(
    max_examples=rounds(25),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(seed=st.integers(0, 2**32), is_global=st.booleans(), length=st.integers(3, 14))
def test_promoted_later_equals_declared_from_the_start(
    seed: int, is_global: bool, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "CHUNK_FRAGMENTS", 2)
    monkeypatch.setattr(backfill, "PAGE_FRAGMENTS", 3)
    monkeypatch.setattr(retraction_runs, "CHUNK_OBSERVATIONS", 2)
    with transaction.atomic():
        course = Course(random.Random(seed), monkeypatch, is_global=is_global)
        course.ingest()
        steps = [name for name, weight in STEPS.items() for _ in range(weight)]
        for name in course.dice.choices(steps, k=length):
            getattr(course, name)()
        course.come_to_an_end()

        assert course.shown() == course.declared_from_the_start()
        assert_aggregates_are_right()
        rows = [str(row.pk) for row in EntitySnapshot.objects.filter(user=course.owner)]
        verified = snapshots_verify(rows)
        assert (verified.waiting, verified.divergent) == (0, [])
        assert not Promotion.objects.filter(
            user=course.owner, state__in=[PromotionState.RUNNING, PromotionState.UNDOING]
        ).exists()
        transaction.set_rollback(True)
