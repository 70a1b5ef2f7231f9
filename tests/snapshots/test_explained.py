"""An entity as of a time, and its past, through the real database and by a model of its own."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.domain.definition import Definition
from registry.domain.times import from_us, to_us
from registry.selectors import effective_schemas
from schemaevo.kernel.canonical import JsonObject, canonical_json
from snapshots import selectors_timeline
from snapshots.models import EntitySnapshot, ObservationOrigin
from snapshots.selectors_explained import AT_SHELL, Bounds, Content, snapshot_explained
from snapshots.selectors_timeline import Moment, entity_past
from tests.domain.histories import definitions, histories
from tests.factories import (
    NOON,
    make_definition,
    make_observation,
    make_recorded,
    make_recorded_from,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)
from tests.rounds import rounds
from tests.snapshots.reduction_model import reduced
from tests.snapshots.store_draws import FEEDS, draw_document, draw_record
from tests.snapshots.store_model import AT, ID, KEY, OWNER, Feed, StoreModel

pytestmark = pytest.mark.django_db

slow = settings(
    max_examples=rounds(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class _Past:
    """One entity in the store and in the model, under a drawn schema or none."""

    def __init__(self, dice: random.Random) -> None:
        self.owner = make_user()
        if dice.random() < 0.9:
            make_version(document=draw_document(dice), entity_type="past")
        self.model = StoreModel("past", {self.owner.username: self.owner.pk}, 1_000)
        self.model.schemas_are(effective_schemas(entity_type="past", user_ids={self.owner.pk}))
        self.records = [
            ({OWNER: self.owner.username, **draw_record(dice), KEY: "p", ID: str(number)}, dice.choice(FEEDS))
            for number in range(dice.randint(1, 8))
        ]

    def ingest(self, record: dict[str, Any], feed: Feed) -> EntitySnapshot:
        """The snapshot after that record."""
        record = record if feed.names_its_records else {n: v for n, v in record.items() if n != ID}
        make_run(records=[record], source=feed.source, entity_type="past", **feed.options)
        self.model.takes_in([record], feed)
        return make_snapshot(user=self.owner, key="p", entity_type="past")

    def modelled(self, until: datetime) -> dict[str, Any]:
        """What the law says of the observations up to then."""
        (history,) = self.model.histories.values()
        known = [said for said in history if said.at <= to_us(until)]
        if not known:
            return {"values": {}, "provenance": {}, "deleted": False, "count": 0, "last": None}
        row = reduced(known, self.model.in_force[self.owner.pk][1])
        return {
            "values": row["values"],
            "provenance": row["provenance"],
            "deleted": row["deleted"],
            "count": row["observation_count"],
            "last": row["last_observation_at"],
        }


def _told(content: Content | EntitySnapshot) -> str:
    """What is shown, as text, in which true is not 1."""
    last = content.last_observation_at
    return canonical_json(
        {
            "values": content.values,
            "provenance": {name: [*ids] for name, ids in content.provenance.items()},
            "deleted": content.deleted,
            "count": content.observation_count,
            "last": None if last is None else to_us(last),
        }
    )


@pytest.mark.rounds
@slow
@given(seed=st.integers(0, 2**32))
def test_as_of_a_time_is_what_was_stored_then_where_records_came_in_order(seed: int) -> None:
    with transaction.atomic():
        past = _Past(random.Random(seed))
        stored: dict[datetime, str] = {}
        for record, feed in sorted(past.records, key=lambda pair: pair[0][AT]):
            # The last one of a moment is what stood at its end.
            stored[datetime.fromisoformat(record[AT])] = _told(past.ingest(record, feed))
        snapshot = make_snapshot(user=past.owner, key="p", entity_type="past")
        for moment, then in stored.items():
            assert _told(snapshot_explained(snapshot_id=snapshot.pk, as_of=moment).content) == then
        transaction.set_rollback(True)


@pytest.mark.rounds
@slow
@given(seed=st.integers(0, 2**32))
def test_as_of_a_time_is_the_reduction_of_what_was_observed_by_then_in_whatever_order_it_came(
    seed: int,
) -> None:
    with transaction.atomic():
        past = _Past(random.Random(seed))
        for record, feed in past.records:
            snapshot = past.ingest(record, feed)
        for seconds in range(-1, 4):
            moment = NOON + timedelta(seconds=seconds)
            right = canonical_json(past.modelled(moment))
            told = snapshot_explained(snapshot_id=snapshot.pk, as_of=moment)
            assert _told(told.content) == right
            # Read while it is merged, which a long history is.
            short = Bounds(explained=0, read=None, listed=None)
            long = snapshot_explained(snapshot_id=snapshot.pk, as_of=moment, bounds=short)
            assert _told(long.content) == right
            assert not long.is_explained
            assert {one.name: one.instead for one in long.differing} == (
                {one.name: one.instead for one in told.differing}
            )
            now = past.modelled(from_us(2**52))["values"]
            then = {field.name: field.value for field in told.fields if field.has_value}
            for field in told.fields:
                shown = field.instead.value if field.instead else then.get(field.name)
                assert canonical_json(shown) == canonical_json(now.get(field.name))
        transaction.set_rollback(True)


@pytest.mark.rounds
@slow
@given(definition=st.none() | definitions(), history=histories())
def test_the_pages_of_a_past_lead_to_what_is_stored(
    definition: Definition | None, history: list[Any]
) -> None:
    if not history:
        return
    with transaction.atomic(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(selectors_timeline, "PER_PAGE", 3)
        owner = make_user()
        if definition is not None:
            make_version(document=definition.to_json())
        make_recorded(observations=make_recorded_from(user=owner, history=history))
        snapshot = make_snapshot(user=owner)
        pages = list(_pages(snapshot.pk))
        moments = [moment for page in pages for moment in page]
        assert [moment.observation_id for moment in moments] == _in_base_order(history)
        values: JsonObject = {}
        for moment in reversed(moments):
            assert moment.step is not None
            assert not moment.is_retracted
            for change in moment.step.changes:
                values[change.name] = change.after
                if not change.is_shown:
                    del values[change.name]
            as_of = snapshot_explained(snapshot_id=snapshot.pk, as_of=moment.observed_at).content
            if moment is moments[0] or moments[moments.index(moment) - 1].observed_at > moment.observed_at:
                shown = {} if moment.step.is_deleted else values
                assert canonical_json(shown) == canonical_json(as_of.values)
        assert moments[0].step is not None
        assert canonical_json({} if moments[0].step.is_deleted else values) == canonical_json(snapshot.values)
        back = entity_past(snapshot_id=snapshot.pk, before=UUID(pages[-1][0].observation_id))
        if len(pages) > 1:
            assert back.moments == tuple(pages[-2])
        transaction.set_rollback(True)


def _pages(snapshot_id: UUID) -> Iterable[tuple[Moment, ...]]:
    page = entity_past(snapshot_id=snapshot_id)
    yield page.moments
    while page.older:
        page = entity_past(snapshot_id=snapshot_id, after=UUID(page.older))
        assert page.newer
        yield page.moments


def _in_base_order(history: Iterable[Any]) -> list[str]:
    """Newest first, ties by the id that ranks; what was promoted before what it came with."""
    ranked = sorted(
        history, key=lambda one: (-one.observed_us, one.ranks_as or one.id, not one.ranks_as, one.id)
    )
    return [one.id for one in ranked]


def test_a_past_that_is_too_long_is_listed_without_what_it_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = make_user()
    make_recorded(observations=[make_observation(user=owner, fields={"a": n}, seconds=n) for n in range(5)])
    snapshot = make_snapshot(user=owner)
    monkeypatch.setattr(selectors_timeline, "STEPS_MAX", 4)
    past = entity_past(snapshot_id=snapshot.pk)
    assert not past.is_told
    assert [(one.names, one.step, one.is_retracted) for one in past.moments] == [(("a",), None, False)] * 5
    monkeypatch.setattr(selectors_timeline, "STEPS_MAX", 5)
    assert entity_past(snapshot_id=snapshot.pk).is_told


def test_a_past_costs_the_same_number_of_queries_however_long_it_is() -> None:
    owner = make_user()
    make_version(document=make_definition(a="number", b="string"))

    def cost(**asked: Any) -> int:
        snapshot = make_snapshot(user=owner)
        entity_past(snapshot_id=snapshot.pk)
        with CaptureQueriesContext(connection) as queries:
            entity_past(snapshot_id=snapshot.pk, **asked)
        return len(queries)

    def explained(**asked: Any) -> int:
        snapshot = make_snapshot(user=owner)
        with CaptureQueriesContext(connection) as queries:
            snapshot_explained(snapshot_id=snapshot.pk, **asked)
        return len(queries)

    def record(first: int, last: int) -> None:
        make_recorded(
            observations=[
                make_observation(user=owner, fields={"a": n, "b": str(n)}, seconds=n, source="feed")
                for n in range(first, last)
            ]
        )

    record(0, 2)
    few = cost(), explained(), explained(as_of=NOON)
    record(2, 120)
    assert (cost(), explained(), explained(as_of=NOON)) == few
    second = entity_past(snapshot_id=make_snapshot(user=owner).pk).older
    assert cost(after=UUID(second)) == few[0] + 1


def test_a_page_that_is_asked_for_by_an_unknown_observation_is_the_newest() -> None:
    owner, other = make_user(), make_user()
    make_recorded(observations=[make_observation(user=owner, fields={"a": 1})])
    make_recorded(observations=[make_observation(user=other, fields={"a": 2})])
    snapshot = make_snapshot(user=owner)
    newest = entity_past(snapshot_id=snapshot.pk)
    of_other = UUID(entity_past(snapshot_id=make_snapshot(user=other).pk).moments[0].observation_id)
    for unknown in (UUID(int=7), of_other):
        assert entity_past(snapshot_id=snapshot.pk, after=unknown) == newest
        assert entity_past(snapshot_id=snapshot.pk, before=unknown) == newest


def test_a_waiting_snapshot_is_explained_by_the_rules_in_force() -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"))
    make_recorded(
        observations=[
            make_observation(user=owner, fields={"a": "trusted"}, priority=200),
            make_observation(user=owner, fields={"a": "newer"}, seconds=1),
        ]
    )
    make_version(document=make_definition(a="string", policies={"a": {"strategy": "highest_priority"}}))
    snapshot = make_snapshot(user=owner)
    told = snapshot_explained(snapshot_id=snapshot.pk)
    [field] = told.fields
    assert told.is_waiting
    assert field.value == "newer"
    assert field.instead is not None
    assert field.instead.value == "trusted"
    assert [one.value for one in field.winners] == ["trusted"]
    assert field.runners_up[0].lost_by == "higher priority: 200 over 100"
    then = snapshot_explained(snapshot_id=snapshot.pk, as_of=NOON)
    assert [(one.value, one.instead) for one in then.fields] == [("trusted", None)]


def test_what_is_promoted_counts_as_read_and_of_a_long_history_only_winners_are_told() -> None:
    owner = make_user()
    make_version(document=make_definition(a="string", p="string"))
    [origin, *rest] = [
        make_observation(user=owner, fields={"a": str(n)}, seconds=n, given_id=str(n)) for n in range(3)
    ]
    make_recorded(observations=[origin, *rest])
    promoted = make_observation(user=owner, fields={"p": "x"})
    make_recorded(
        observations=[
            msgspec.structs.replace(promoted, ranks_as=origin.id, origin=ObservationOrigin.PROMOTION)
        ]
    )
    snapshot = make_snapshot(user=owner)
    assert snapshot.observation_count == 3
    bounds = Bounds(explained=3, read=3, listed=20)
    told = snapshot_explained(snapshot_id=snapshot.pk, bounds=bounds)
    assert not told.is_explained
    assert {field.name: len(field.winners) for field in told.fields} == {"a": 1, "p": 1}
    assert {field.runners_up_count for field in told.fields} == {None}
    assert told.fields[1].winners[0].observation_id == origin.id
    then = snapshot_explained(snapshot_id=snapshot.pk, as_of=NOON, bounds=bounds)
    assert (then.is_readable, then.fields) == (False, ())
    whole = snapshot_explained(snapshot_id=snapshot.pk, bounds=AT_SHELL)
    assert whole.fields[1].winners[0].promotion_id == promoted.id


def test_of_many_only_some_are_listed_and_all_are_counted() -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"))
    make_recorded(
        observations=[make_observation(user=owner, fields={"a": str(n)}, seconds=n) for n in range(30)]
    )
    [field] = snapshot_explained(snapshot_id=make_snapshot(user=owner).pk).fields
    assert (len(field.runners_up), field.runners_up_count) == (10, 29)
    [field] = snapshot_explained(snapshot_id=make_snapshot(user=owner).pk, bounds=AT_SHELL).fields
    assert (len(field.runners_up), field.runners_up_count) == (29, 29)
