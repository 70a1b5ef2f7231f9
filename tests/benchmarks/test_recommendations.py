"""Recommendations over many fragments against over few, of the same number of fields: aggregates do not grow."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from fragments.models import RawFragment
from fragments.selectors_recommendations import (
    RecommendationPage,
    recommendations_of_user,
    recommendations_over_users,
)
from tests.benchmarks.figures import Printer, alternating, scaled, seconds
from tests.benchmarks.histories import copy_rows, vacuum
from tests.benchmarks.records import ENTITY_TYPE, EPOCH, make_owner, register

FIELDS = 40
USERS = 20
#: Fragments of each of the two stores; of the larger one 1 is a million.
MANY = scaled(1_000_000, at_least=FIELDS * USERS * 4)
FEW = scaled(10_000, at_least=FIELDS * 36)
CALLS = 20

COLUMNS = (
    *(
        "user_id",
        "entity_type",
        "entity_id",
        "fragment_key",
        "source_id",
        "value",
        "value_hash",
        "value_type",
    ),
    *(
        "value_format",
        "reason",
        "priority",
        "specificity",
        "frequency_count",
        "observation_id",
        "observed_at",
    ),
)
#: Fragments are inserted in statements of this size, as ingest does: a trigger holds what one statement brought.
INSERTED_AT_ONCE = 100_000


def test_recommendations_over_many_fragments(printer: Printer) -> None:
    many, few = _store("many", MANY), _store("few", FEW)
    vacuum("raw_fragments", "raw_fragment_aggregates", "raw_fragment_aggregate_sources")
    assert RawFragment.objects.filter(user_id__in=many.users).count() == MANY
    looks: dict[str, Callable[[_Store], RecommendationPage]] = {
        "of a user": lambda store: recommendations_of_user(
            user_id=store.users[0], entity_type=store.entity_type
        ),
        "of a user with one entity": lambda store: recommendations_of_user(
            user_id=store.users[1], entity_type=store.entity_type
        ),
        f"over {USERS} users": lambda store: recommendations_over_users(entity_type=store.entity_type),
    }
    for name, look in looks.items():
        assert [(one.name, one.is_eligible) for one in look(many).recommendations] == [
            (one.name, one.is_eligible) for one in look(few).recommendations
        ]
        assert len(look(many).eligible) == (0 if "one entity" in name else FIELDS)
        assert _queries(look, many) == _queries(look, few)
        many_s, few_s = alternating(_timed(look, many), _timed(look, few))
        printer.figure(
            f"recommendations {name} over {MANY:,} fragments, floor: over {FEW:,}",
            f"{many_s * 1e3 / CALLS:.1f} ms",
            f"{few_s * 1e3 / CALLS:.1f} ms",
            many_s / few_s,
            "<= 1.3, <= 50 ms",
        )


class _Store:
    """An entity type of its own, with owners."""

    def __init__(self, name: str) -> None:
        self.entity_type = f"{ENTITY_TYPE}_{name}"
        self.users = [make_owner(f"{name}-{number}") for number in range(USERS)]


def _store(name: str, fragments: int) -> _Store:
    store = _Store(name)
    register(entity_type=store.entity_type)
    rows = _rows(store, fragments)
    while True:
        chunk = [row for _, row in zip(range(INSERTED_AT_ONCE), rows, strict=False)]
        if not chunk:
            return store
        with transaction.atomic():
            copy_rows("raw_fragments", COLUMNS, iter(chunk))


def _rows(store: _Store, fragments: int) -> Iterator[tuple[Any, ...]]:
    """All from one source, so that entities have to be looked at. Two users have a third each, the second of them of
    one entity alone, and the others the rest."""
    source = str(uuid.UUID(int=1))
    for number in range(fragments):
        field = number % FIELDS
        at = number // FIELDS
        user = store.users[at % 3] if at % 3 < 2 else store.users[2 + at // 3 % (USERS - 2)]
        entity = user if user == store.users[1] else number // (FIELDS * 6)
        value = f'"value {number}"'
        yield (
            *(user, store.entity_type, str(uuid.UUID(int=entity)), f"field_{field:02}_name"),
            *(
                source,
                value,
                hashlib.sha256(value.encode()).digest(),
                "string",
                "text",
                "unknown_field",
                100,
                1.0,
                1,
            ),
            *(str(uuid.UUID(int=number)), EPOCH),
        )


def _timed(look: Callable[[_Store], RecommendationPage], store: _Store) -> Callable[[], float]:
    def calls() -> None:
        for _ in range(CALLS):
            look(store)

    return lambda: seconds(calls)


def _queries(look: Callable[[_Store], RecommendationPage], store: _Store) -> int:
    with CaptureQueriesContext(connection) as captured:
        look(store)
    return len(captured)
