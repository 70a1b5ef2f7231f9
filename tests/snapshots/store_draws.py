"""Random records and schemas of few names and small values: ties, clears, misfits and equal items are common.

Drawn by a generator that Hypothesis seeds, and not piece by piece: of records drawn by strategies so much was drawn for
each that there were hardly any.
"""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.factories import NOON
from tests.snapshots.reduction_model import CONVERTED_FROM, DELETED, KINDS
from tests.snapshots.store_model import AT, KEY, Feed

OWNERS = 3
NAMES = ("a", "b", "c")
FEEDS = (
    Feed("plain"),
    Feed("sensor", kind="sensor", specificity=Decimal("2.5")),
    Feed("human", priority=1000, kind="human", names_its_records=True),
    Feed("probe", kind="probe", specificity=Decimal(0)),
)
SCALARS = [None, True, False, 0, 1, Decimal("1.5"), 1_700_000_000, "", "x", "1", "1.5", "yes", "2024-01-01"]
VALUES = [*SCALARS, '["x",1]', '[1.0,"x",[2]]', "[broken", [1, "x"], ["x", None, 1], [], {"y": 1}]
CONVERTED_TO = {
    "timestamp_s_to_iso": "date",
    "timestamp_ms_to_iso": "date",
    "timestamp_nanos_to_iso": "date",
    "number_to_string": "string",
    "string_to_number": "number",
    "boolean_to_string": "string",
    "string_to_boolean": "boolean",
}
TYPES = ("string", "number", "date", "boolean", "array", "object")
CONSTRAINTS = {"number": {"min": 1}, "string": {"max_length": 3}, "array": {"min_length": 1}}
POLICIES = (
    {"strategy": "last_write"},
    {"strategy": "highest_priority"},
    {"strategy": "most_specific"},
    {"strategy": "most_specific", "tie_breaker": "source_priority"},
    {"strategy": "merge_array"},
)


def draw_field(dice: random.Random) -> dict[str, Any]:
    """A field of any type, often with converters in any order, sometimes with a constraint."""
    kind = dice.choice(TYPES)
    ending = [name for name in CONVERTED_FROM if CONVERTED_TO[name] == kind]
    field: dict[str, Any] = {"type": kind, "converters": dice.sample(ending, dice.randint(0, len(ending)))}
    if kind in CONSTRAINTS and dice.random() < 0.25:
        field["constraints"] = CONSTRAINTS[kind]
    return field


def draw_document(dice: random.Random) -> dict[str, Any]:
    """A definition that declares some of the names."""
    declared = dice.sample(NAMES, dice.randint(1, len(NAMES)))
    document: dict[str, Any] = {
        "fields": {name: draw_field(dice) for name in declared},
        "merge_policies": {name: dice.choice(POLICIES) for name in declared},
    }
    if dice.random() < 0.3:
        document["observation_source_priority"] = dice.sample([*KINDS, "probe"], dice.randint(0, 4))
    return document


def draw_record(dice: random.Random) -> dict[str, Any]:
    """A record but for its owner: times are often equal, and deletion is not rare."""
    record = {name: dice.choice(VALUES) for name in NAMES if dice.random() < 0.6}
    if dice.random() < 0.2:
        record[DELETED] = dice.random() < 0.7
    return {
        **record,
        KEY: dice.choice("pq"),
        AT: (NOON + timedelta(seconds=dice.randint(0, 3))).isoformat(),
    }


def draw_batch(dice: random.Random) -> list[tuple[int, dict[str, Any]]]:
    """Some records, each with its owner."""
    return [(dice.randrange(OWNERS), draw_record(dice)) for _ in range(dice.randint(1, 7))]
