"""The first observations of one entity come by two transactions at once: neither sees the other's row yet."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import pytest
from django.db import connection, transaction

from schemaevo.kernel.models import User
from snapshots.models import EntitySnapshot
from snapshots.services.observations import NewObservation
from snapshots.services.verify import snapshots_verify
from tests.content import forget_content, stored_content
from tests.factories import (
    make_definition,
    make_observation,
    make_recorded,
    make_snapshot,
    make_user,
    make_version,
)
from tests.threads import PATIENCE_S, Aside
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENT = make_definition(a="number", tags="array", policies={"tags": {"strategy": "merge_array"}})


@pytest.fixture(params=[None, DOCUMENT], ids=["undeclared", "declared"])
def owner(request: pytest.FixtureRequest) -> User:
    if request.param is not None:
        make_version(document=request.param)
    owner = make_user()
    # The source is there already: making it would let only one of them in at a time.
    make_recorded(observations=[make_observation(user=owner, key="there", fields={"a": 0})])
    return owner


class GivenUp(Exception):
    """The earlier transaction ends without a commit."""


def what_waits_for_me() -> list[str]:
    """The statements of connections that wait for this transaction to end."""
    with connection.cursor() as cursor:
        # Within a transaction the server's activity stays as it was at the first look.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            """
            SELECT query FROM pg_stat_activity
             WHERE wait_event_type = 'Lock' AND pg_backend_pid() = ANY(pg_blocking_pids(pid))
            """
        )
        return [query for (query,) in cursor]


def record_in_the_window(
    earlier: Sequence[NewObservation], later: Sequence[NewObservation], *, is_given_up: bool = False
) -> None:
    """`earlier` has inserted and not committed when `later` looks, sees no row, and waits to insert the same key."""
    with ExitStack() as asides:
        try:
            with transaction.atomic():
                make_recorded(observations=earlier)
                recording = asides.enter_context(Aside(partial(make_recorded, observations=later)))
                [statement] = wait_for(what_waits_for_me, "the later transaction to wait")
                assert statement.startswith('COPY "entity_snapshots"')
                assert not recording.done()
                if is_given_up:
                    raise GivenUp
        except GivenUp:
            assert is_given_up
        recording.result(PATIENCE_S)


def assert_is_right() -> None:
    ids = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
    verified = snapshots_verify(ids)
    assert (verified.checked, verified.waiting, verified.divergent) == (len(ids), 0, [])


def test_the_later_of_two_first_observations_is_merged_into_the_row_of_the_earlier(owner: User) -> None:
    record_in_the_window(
        [make_observation(user=owner, fields={"a": 1, "tags": [1]}, seconds=2)],
        [make_observation(user=owner, fields={"a": 2, "tags": [2]}, seconds=1)],
    )
    snapshot = make_snapshot(user=owner)
    assert snapshot.observation_count == 2
    # The later transaction brought the older observation.
    assert snapshot.values["a"] == 1
    assert_is_right()


def test_of_a_batch_only_what_met_another_row_is_merged_and_the_rest_inserted(owner: User) -> None:
    def batch(number: int, keys: Sequence[str]) -> list[NewObservation]:
        return [
            make_observation(user=owner, key=key, fields={"a": number, "tags": [number]}, seconds=number)
            for key in keys
        ]

    batches = (batch(1, ["x", "y", "z", "only-1"]), batch(2, ["z", "there", "x", "only-2", "y"]))
    record_in_the_window(*batches)
    counts = dict(EntitySnapshot.objects.values_list("entity_key", "observation_count"))
    assert counts == {"there": 2, "x": 2, "y": 2, "z": 2, "only-1": 1, "only-2": 1}
    assert_is_right()

    together = stored_content()
    forget_content()
    make_recorded(observations=[make_observation(user=owner, key="there", fields={"a": 0})])
    for one in batches:
        make_recorded(observations=one)
    assert together == stored_content()


def test_where_the_earlier_gives_up_the_later_makes_the_row(owner: User) -> None:
    record_in_the_window(
        [make_observation(user=owner, fields={"a": 1}, seconds=2)],
        [make_observation(user=owner, fields={"a": 2}, seconds=1)],
        is_given_up=True,
    )
    snapshot = make_snapshot(user=owner)
    assert (snapshot.observation_count, snapshot.values) == (1, {"a": 2})
    assert_is_right()
