"""The compatibility rules against their meaning: who can read the records that somebody else stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.domain.compatibility import (
    Direction,
    IncompatibleChange,
    Mode,
    Predecessor,
    Reason,
    Rule,
    incompatibilities,
)
from registry.domain.converters import NOT_CONVERTED, convert
from registry.domain.definition import NO_CONSTRAINTS, Definition, Field
from registry.domain.fit import convert_for_ingest, fits
from registry.domain.tightness import Effect, effect_of
from registry.domain.validation import parse_definition
from registry.domain.vocabulary import ConstraintName, FieldType
from schemaevo.kernel.canonical import Json
from tests.domain.strategies import VALUES, constraint_sets, converters, definitions, fields

POOL: list[Json] = [None, *(value for values in VALUES.values() for value in values)]
Record = dict[str, Json]


def _refused(mode: Mode, old: Definition, new: Definition) -> tuple[Reason, ...]:
    return incompatibilities(mode, new, Predecessor("1.0.0", old))


def _rules(mode: Mode, old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str]]:
    reasons = _refused(mode, parse_definition({"fields": old}), parse_definition({"fields": new}))
    return [(reason.field, reason.rule.value) for reason in reasons]


def _stored(writer: Definition) -> Iterator[Record]:
    """Every complete record of the pool that could be stored under a definition; a null is as good as absent."""
    kept = [
        [value for value in POOL if (not field.required if value is None else fits(value, field) is None)]
        for field in writer.fields.values()
    ]
    for values in product(*kept):
        yield dict(zip(writer.fields, values, strict=True))


def _unreadable(record: Record, reader: Definition) -> set[str]:
    """The fields for which a reader finds no value that it can use, or none where it needs one."""
    return {name for name, field in reader.fields.items() if not _reads(field, record.get(name))}


def _reads(field: Field, value: Json) -> bool:
    if value is None:
        return not field.required
    return fits(value, field) is None or convert_for_ingest(value, field) is not NOT_CONVERTED


@st.composite
def _neighbours(draw: st.DrawFn) -> tuple[Definition, Definition]:
    """Two definitions of the fields a and b that differ in little, with all that fields may have."""
    old, new = {}, {}
    for name in ("a", "b"):
        before, other = draw(fields(name)), draw(fields(name))
        after = draw(
            st.sampled_from(
                [
                    before,
                    other,
                    replace(before, required=not before.required),
                    replace(before, constraints=draw(constraint_sets(before.type))),
                    replace(before, converters=draw(converters(before.type))),
                    replace(other, required=before.required, constraints=NO_CONSTRAINTS),
                ]
            )
        )
        if draw(st.integers(0, 4)):
            old[name] = before
        if draw(st.integers(0, 4)):
            new[name] = after
    return Definition(old, {}), Definition(new, {})


_FAMILIES: dict[str, tuple[FieldType, ConstraintName, tuple[Json, ...]]] = {
    "low": (FieldType.NUMBER, ConstraintName.MIN, (0, 1, 2, 3)),
    "high": (FieldType.NUMBER, ConstraintName.MAX, (1, 2, 3)),
    "numbers": (FieldType.NUMBER, ConstraintName.ENUM, ([1], [1, 2], [2, 1], [2, 3], [1, 2, 3])),
    "short": (FieldType.STRING, ConstraintName.MIN_LENGTH, (0, 1, 2, 3)),
    "long": (FieldType.STRING, ConstraintName.MAX_LENGTH, (0, 1, 2, 3)),
    "words": (FieldType.STRING, ConstraintName.ENUM, (["a"], ["a", "b"], ["b", "ab"], ["b", "a", "ab"])),
    "few": (FieldType.ARRAY, ConstraintName.MAX_LENGTH, (0, 1, 2)),
    "plain": (FieldType.OBJECT, ConstraintName.ENUM, ()),
}


@st.composite
def _separable(draw: st.DrawFn, families: dict[str, str]) -> Definition:
    """A definition whose fields have at most one constraint each, always of the same kind."""
    declared = {}
    for name, family in families.items():
        if not draw(st.booleans()):
            continue
        own_type, constraint, choices = _FAMILIES[family]
        field_type = draw(st.sampled_from([own_type, own_type, own_type, *FieldType]))
        constraints = NO_CONSTRAINTS
        if field_type is own_type and choices:
            constraints = constraints.changed({constraint: draw(st.sampled_from([None, *choices]))})
        declared[name] = Field(
            name,
            field_type,
            required=draw(st.booleans()),
            converters=draw(converters(field_type)),
            constraints=constraints,
        )
    return Definition(declared, {})


@st.composite
def _separable_pairs(draw: st.DrawFn) -> tuple[Definition, Definition]:
    families = {name: draw(st.sampled_from(sorted(_FAMILIES))) for name in ("a", "b")}
    return draw(_separable(families)), draw(_separable(families))


def _sides(direction: Direction, old: Definition, new: Definition) -> tuple[Definition, Definition]:
    """Who stores, and who reads."""
    return (old, new) if direction is Direction.BACKWARD else (new, old)


@given(st.deferred(lambda: _neighbours() | _separable_pairs()))
def test_what_is_allowed_can_be_read(pair: tuple[Definition, Definition]):
    old, new = pair
    for mode, direction in ((Mode.BACKWARD, Direction.BACKWARD), (Mode.FORWARD, Direction.FORWARD)):
        if _refused(mode, old, new):
            continue
        writer, reader = _sides(direction, old, new)
        for record in _stored(writer):
            for name in _unreadable(record, reader):
                # The one promise that is not kept to the letter: a converter is taken at its word.
                field, value = reader.fields[name], record[name]
                assert direction is Direction.BACKWARD
                source = writer.fields[name].type
                declared = [one.function for one in field.converters if one.source is source]
                assert declared
                assert all(convert(function, value) is NOT_CONVERTED for function in declared)


def _is_stricter_than_its_meaning(reason: Reason, writer: Definition, reader: Definition) -> bool:
    """Whether a reason is one of those that the rules give although every record can be read."""
    source, target = writer.fields.get(reason.field), reader.fields.get(reason.field)
    if source is None or target is None or source.type is target.type:
        return False
    if reason.rule is not Rule.TYPE_CHANGED:
        # A bound that everything keeps that is converted.
        return True
    every_date_is_a_string = source.type is FieldType.DATE and target.type is FieldType.STRING
    return every_date_is_a_string or any(one.source is source.type for one in target.converters)


@given(_separable_pairs())
def test_what_is_refused_cannot_be_read(pair: tuple[Definition, Definition]):
    old, new = pair
    for mode, direction in ((Mode.BACKWARD, Direction.BACKWARD), (Mode.FORWARD, Direction.FORWARD)):
        writer, reader = _sides(direction, old, new)
        lost = {name for record in _stored(writer) for name in _unreadable(record, reader)}
        for reason in _refused(mode, old, new):
            if not _is_stricter_than_its_meaning(reason, writer, reader):
                assert reason.field in lost, reason.message


PLAIN: dict[str, Any] = {"f": {"type": "string"}}
REQUIRED: dict[str, Any] = {"f": {"type": "string", "required": True}}


@pytest.mark.parametrize(
    ("old", "new", "backward", "forward"),
    [
        ({}, PLAIN, None, None),
        (PLAIN, {}, None, None),
        ({}, REQUIRED, "required_field_added", None),
        (REQUIRED, {}, None, "required_field_removed"),
        (PLAIN, REQUIRED, "became_required", None),
        (REQUIRED, PLAIN, None, "became_optional"),
        (PLAIN, {"f": {"type": "number"}}, "type_changed", "type_changed"),
        (PLAIN, {"f": {"type": "number", "converters": ["string_to_number"]}}, None, "type_changed"),
        (PLAIN, {"f": {"type": "boolean", "converters": ["string_to_boolean"]}}, None, "type_changed"),
        ({"f": {"type": "number"}}, {"f": {"type": "string", "converters": ["boolean_to_string"]}},
         "type_changed", "type_changed"),
        ({"f": {"type": "date"}}, PLAIN, "type_changed", "type_changed"),
        (PLAIN, {"f": {"type": "string", "converters": ["number_to_string"]}}, None, None),
        ({"f": {"type": "string", "converters": ["number_to_string"]}}, PLAIN, None, None),
        (PLAIN, {"f": {"type": "string", "constraints": {"max_length": 3}}}, "constraint_tightened", None),
        ({"f": {"type": "string", "constraints": {"max_length": 3}}}, PLAIN, None, "constraint_loosened"),
        (PLAIN, {"f": {"type": "string", "constraints": {"pattern": "a"}}}, "constraint_tightened", None),
        ({"f": {"type": "string", "constraints": {"pattern": "a"}}}, PLAIN, None, "constraint_loosened"),
        ({"f": {"type": "string", "constraints": {"pattern": "a"}}},
         {"f": {"type": "string", "constraints": {"pattern": "b"}}},
         "constraint_incomparable", "constraint_incomparable"),
        ({"f": {"type": "string", "constraints": {"enum": ["a", "b"]}}},
         {"f": {"type": "string", "constraints": {"enum": ["b", "c"]}}},
         "constraint_incomparable", "constraint_incomparable"),
        ({"f": {"type": "string", "constraints": {"enum": ["a", "b"]}}},
         {"f": {"type": "string", "constraints": {"enum": ["b", "a"], "min_length": 0}}}, None, None),
        (PLAIN, {"f": {"type": "string", "description": "words"}}, None, None),
        # Only looked at one by one: both say the same.
        ({"f": {"type": "number", "constraints": {"enum": [5]}}},
         {"f": {"type": "number", "constraints": {"enum": [5], "min": 1}}}, "constraint_tightened", None),
        ({"f": {"type": "boolean"}}, {"f": {"type": "boolean", "constraints": {"enum": [True, False]}}},
         "constraint_tightened", None),
    ],
)  # fmt: skip
def test_each_rule(old, new, backward, forward):
    assert _rules(Mode.BACKWARD, old, new) == ([("f", backward)] if backward else [])
    assert _rules(Mode.FORWARD, old, new) == ([("f", forward)] if forward else [])
    both = [("f", rule) for rule in (backward, forward) if rule]
    assert _rules(Mode.FULL, old, new) == both
    assert _rules(Mode.NONE, old, new) == []


def test_policies_and_the_kind_order_are_compatible_with_everything():
    old = parse_definition({"fields": PLAIN})
    new = parse_definition(
        {
            "fields": PLAIN,
            "merge_policies": {"f": {"strategy": "merge_array"}},
            "observation_source_priority": [],
        }
    )
    assert _refused(Mode.FULL, old, new) == ()


def test_transitive_modes_compare_with_every_version_that_was_ever_active():
    first = Predecessor("1.0.0", parse_definition({"fields": PLAIN}))
    second = Predecessor("2.0.0", parse_definition({"fields": {}}))
    new = parse_definition({"fields": {"f": {"type": "array"}}})
    ever = [first, second]
    for mode in (Mode.BACKWARD, Mode.FORWARD, Mode.FULL):
        assert incompatibilities(mode, new, second, ever) == ()
    for mode in (Mode.BACKWARD_TRANSITIVE, Mode.FORWARD_TRANSITIVE):
        (reason,) = incompatibilities(mode, new, second, ever)
        assert (reason.rule, reason.against, reason.path) == (Rule.TYPE_CHANGED, "1.0.0", "/fields/f/type")
    assert len(incompatibilities(Mode.FULL_TRANSITIVE, new, second, ever)) == 2
    assert incompatibilities(Mode.NONE, new, first, ever) == ()
    assert incompatibilities(Mode.FULL, new, None, ever) == ()
    assert len(incompatibilities(Mode.BACKWARD_TRANSITIVE, new, None, ever)) == 1


@given(definitions(), definitions(), definitions())
def test_modes_agree_with_each_other(first: Definition, active: Definition, new: Definition):
    ever = [Predecessor("1.0.0", first), Predecessor("2.0.0", active)]

    def refused(mode: Mode) -> list[Reason]:
        return list(incompatibilities(mode, new, ever[1], ever))

    def ordered(reasons: list[Reason]) -> list[tuple[str, str, str, str]]:
        return sorted((one.against, one.direction, one.path, one.rule) for one in reasons)

    assert ordered(refused(Mode.FULL)) == ordered(refused(Mode.BACKWARD) + refused(Mode.FORWARD))
    for mode in (Mode.BACKWARD, Mode.FORWARD, Mode.FULL):
        transitive = Mode(f"{mode.value}_TRANSITIVE")
        alone = list(incompatibilities(mode, new, ever[0]))
        assert ordered(refused(transitive)) == ordered(refused(mode) + alone)
        assert incompatibilities(transitive, active, ever[1]) == ()
    # What is backward from the old to the new is forward from the new to the old, but for type changes.
    back = {one.path: one.rule for one in _refused(Mode.BACKWARD, first, new)}
    forth = {one.path: one.rule for one in _refused(Mode.FORWARD, new, first)}
    assert back.keys() <= forth.keys()
    assert all(forth[path] is Rule.TYPE_CHANGED for path in forth.keys() - back.keys())


def test_a_refusal_carries_every_reason():
    old = Predecessor("1.2.0", parse_definition({"fields": {**PLAIN, "g": {"type": "number"}}}))
    new = parse_definition(
        {
            "fields": {
                "f": {"type": "string", "required": True},
                "g": {"type": "number", "constraints": {"min": 2}},
            }
        }
    )
    refusal = IncompatibleChange(Mode.BACKWARD, incompatibilities(Mode.BACKWARD, new, old))
    assert refusal.code == "incompatible_change"
    assert refusal.context["mode"] == "BACKWARD"
    reasons = refusal.context["reasons"]
    assert [(r["rule"], r["field"], r["old"], r["new"], r["against"]) for r in reasons] == [
        ("became_required", "f", False, True, "1.2.0"),
        ("constraint_tightened", "g", None, 2, "1.2.0"),
    ]
    assert "1 more" in refusal.message
    assert incompatibilities(Mode.FORWARD, new, old) == ()


@given(st.sampled_from(list(_FAMILIES.values())), st.data())
def test_the_effect_of_a_constraint_is_what_becomes_of_the_values(family, data):
    field_type, constraint, choices = family
    old, new = (data.draw(st.sampled_from([None, *choices])) for _ in range(2))
    effect = effect_of(constraint, old, new)
    allowed = [
        {
            place
            for place, value in enumerate(VALUES[field_type])
            if fits(value, Field("f", field_type, constraints=NO_CONSTRAINTS.changed({constraint: side})))
            is None
        }
        for side in (old, new)
    ]
    if effect in (None, Effect.EQUIVALENT):
        assert allowed[0] == allowed[1]
    elif effect is Effect.TIGHTENED:
        assert allowed[1] < allowed[0]
    elif effect is Effect.LOOSENED:
        assert allowed[0] < allowed[1]
    else:
        assert not allowed[0] <= allowed[1]
        assert not allowed[1] <= allowed[0]
