"""Through the real database: any order, batching and duplication of a history gives the same rows (I1, I2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.domain.definition import Definition
from registry.domain.times import to_us
from schemaevo.kernel.canonical import canonical_json, decode_trusted
from snapshots.domain.observed import Observed
from snapshots.domain.reducer import reduce
from snapshots.services.observations import NewObservation
from tests.content import stored_content
from tests.domain.histories import as_if_declared_from_the_start, definitions, histories
from tests.factories import (
    NOON,
    make_recorded,
    make_recorded_from,
    make_snapshot,
    make_user,
    make_version,
)
from tests.rounds import rounds

NOON_US = to_us(NOON)


def content_after(batches: Sequence[Sequence[NewObservation]]) -> dict[str, list[Any]]:
    """What the tables hold after these batches; afterwards they are as before."""
    with transaction.atomic():
        for batch in batches:
            if batch:
                make_recorded(observations=batch)
        content = stored_content()
        transaction.set_rollback(True)
    return content


@st.composite
def batchings(draw: st.DrawFn, news: list[NewObservation]) -> list[list[NewObservation]]:
    """The observations in some order, some of them again, cut into batches somewhere."""
    again = draw(st.lists(st.sampled_from(news), max_size=4)) if news else []
    order = draw(st.permutations([*news, *again]))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=4)))
    return [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]


@pytest.mark.rounds
@pytest.mark.django_db
@settings(
    max_examples=rounds(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    definition=st.none() | definitions(),
    history=histories(),
    is_owners=st.booleans(),
    data=st.data(),
)
def test_order_batches_and_repetition_make_no_difference(
    definition: Definition | None, history: list[Observed], is_owners: bool, data: st.DataObject
) -> None:
    with transaction.atomic():
        owner = make_user()
        if definition is not None:
            make_version(document=definition.to_json(), user=owner if is_owners else None)
        halves = data.draw(st.integers(0, len(history)), "entities cut")
        news = [
            *make_recorded_from(user=owner, history=history[:halves], key="one"),
            *make_recorded_from(user=owner, history=history[halves:], key="other"),
        ]
        expected = content_after([news])
        assert len(expected["observations"]) == len(history)
        for _ in range(2):
            assert content_after(data.draw(batchings(news), "batches")) == expected
        make_recorded_if_any(news)
        for key, part in (("one", history[:halves]), ("other", history[halves:])):
            if part:
                assert_is_reduction_of(owner, key, part, definition)
        transaction.set_rollback(True)


def make_recorded_if_any(news: list[NewObservation]) -> None:
    if news:
        make_recorded(observations=news)


def assert_is_reduction_of(
    owner: Any, key: str, history: list[Observed], definition: Definition | None
) -> None:
    """Column by column against the pure full path; I7 along the way, for what was promoted."""
    moved = [shifted(observed) for observed in history]
    right = reduce(moved, definition)
    row = make_snapshot(user=owner, key=key)
    stored = {
        "values": row.values,
        "provenance": row.provenance,
        "merge_state": row.merge_state,
        "deleted": row.deleted,
        "count": row.observation_count,
        "last": None if row.last_observation_at is None else to_us(row.last_observation_at),
        "top": None if row.last_computed_observation_id is None else str(row.last_computed_observation_id),
    }
    wanted = {
        "values": right.values,
        "provenance": right.provenance,
        "merge_state": right.state,
        "deleted": right.deleted,
        "count": right.observation_count,
        "last": right.last_observed_us,
        "top": right.last_computed_id,
    }
    assert canonical_json(stored) == canonical_json(decode_trusted(canonical_json(wanted)))  # type: ignore[arg-type]
    whole = {observed.id for observed in history}
    if all(observed.ranks_as is None or observed.ranks_as in whole for observed in history):
        declared = reduce(as_if_declared_from_the_start(moved, definition), definition)
        assert (row.values, row.provenance) == (declared.values, declared.provenance)


def shifted(observed: Observed) -> Observed:
    """The observation at the time at which it is stored: histories count from 1970, the store from noon."""
    return Observed(
        id=observed.id,
        observed_us=observed.observed_us + NOON_US,
        priority=observed.priority,
        specificity=observed.specificity,
        kind=observed.kind,
        fields=observed.fields,
        ranks_as=observed.ranks_as,
    )
