"""Aggregates through any course of sightings, moves, deletions, erasures and rebuilds (I3), seen after every step."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from fragments.models import RawFragment
from fragments.services.aggregates import Part, aggregates_rebuild
from snapshots.domain.identity import entity_id
from snapshots.models import EntitySnapshot
from tests.aggregates import assert_aggregates_are_right
from tests.erasing import make_erased_entity
from tests.factories import THING, make_definition, make_run, make_user, make_version
from tests.rounds import rounds

KEYS = ("a", "b", "c")
keys = st.sampled_from(KEYS)
values: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 1, 2, 2.5, "1", "x", "y" * 400, "2024-05-06", "a@b.example", [], [1], {}, {"a": 1}]
)
#: What any one statement may want to make of some rows; the guard refuses part of it.
CHANGES = {
    "promote": "lifecycle_state = 'promoted', promoted_at = now(), expires_at = now(), archived_at = NULL",
    "archive": "lifecycle_state = 'archived', archived_at = now(), promoted_at = NULL, expires_at = NULL",
    "revive": "lifecycle_state = 'active', archived_at = NULL, promoted_at = NULL, expires_at = NULL",
    "expire": "lifecycle_state = 'pending_deletion', expires_at = now(), promoted_at = now()",
    "see": "frequency_count = frequency_count + 1, last_seen_at = now()",
    "touch": "last_seen_at = now()",
    "misfit": "reason = 'type_mismatch'",
    "misname": "reason = 'invalid_name'",
    "rename": "fragment_key = fragment_key || 'x'",
    "move": "source_id = observation_id",
    "type": "value_type = 'string', value_format = 'text'",
    "retract": "is_retracted = true",
    "give_back": "is_retracted = false",
}


class Aggregates(RuleBasedStateMachine):
    """Two owners whose fragments are written by ingest and by hand."""

    @initialize()
    def begin(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE raw_fragments, raw_fragment_aggregates, raw_fragment_aggregate_sources")
        self.users = [make_user(), make_user()]

    @rule(
        user=st.integers(0, 1),
        source=st.sampled_from(["one", "two"]),
        records=st.lists(st.dictionaries(keys, values, min_size=1), min_size=1, max_size=6),
        times=st.integers(1, 3),
    )
    def arrive(self, user: int, source: str, records: list[dict[str, Any]], times: int) -> None:
        rows = [
            {"k": f"k{n % 3}", "n": f"{n}-{time}", **r}
            for time in range(times)
            for n, r in enumerate(records)
        ]
        make_run(user=self.users[user], source=source, records=rows)

    @rule(change=st.sampled_from(sorted(CHANGES)), which=st.integers(0, 5), key=keys | st.just("%"))
    def write(self, change: str, which: int, key: str) -> None:
        sql = f"UPDATE raw_fragments SET {CHANGES[change]} WHERE id %% 6 >= %s AND fragment_key LIKE %s"
        self._attempt(sql, [which, key])

    @rule(which=st.integers(0, 3))
    def delete(self, which: int) -> None:
        self._attempt(
            "DELETE FROM raw_fragments WHERE id %% 4 >= %s AND lifecycle_state = 'pending_deletion'", [which]
        )

    @rule(user=st.integers(0, 1), number=st.integers(0, 2))
    def erase(self, user: int, number: int) -> None:
        """An entity goes with its fragments; what is counted of the others stays."""
        owner, key = self.users[user], f"k{number}"
        fragments = RawFragment.objects.filter(user=owner, entity_id=UUID(entity_id(owner.pk, THING, key)))
        if EntitySnapshot.objects.filter(user=owner, entity_type=THING, entity_key=key).exists():
            make_erased_entity(user=owner, entity_type=THING, entity_key=key)
            assert not fragments.exists()

    @rule(user=st.integers(0, 1))
    def rebuild(self, user: int) -> None:
        aggregates_rebuild(Part(self.users[user].pk, THING))

    @rule()
    def roll_back(self) -> None:
        with transaction.atomic():
            RawFragment.objects.filter(lifecycle_state="active").update(frequency_count=9)
            transaction.set_rollback(True)

    @invariant()
    def counts_equal_a_group_by(self) -> None:
        assert_aggregates_are_right()

    def _attempt(self, sql: str, given: list[Any]) -> None:
        """The statement, wholly or not at all: a guard may refuse it."""
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(sql, given)
        except IntegrityError:
            pass


@pytest.mark.rounds
@pytest.mark.django_db
def test_whatever_is_written_aggregates_equal_a_group_by() -> None:
    make_version(document=make_definition(k="string", n="string"))
    run_state_machine_as_test(
        Aggregates,
        settings=settings(
            max_examples=rounds(12),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
