"""Random definitions, extensions and edits with everything that they can hold, out of small alphabets.

Small, so that two of them often speak of the same field, and differ in one thing only.
"""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from registry.domain.converters import CONVERTERS
from registry.domain.definition import (
    NO_CONSTRAINTS,
    Constraints,
    Converter,
    Declaration,
    Definition,
    Field,
    Policy,
)
from registry.domain.edits import (
    AddConverter,
    AddField,
    ChangeType,
    Edit,
    OrderConverters,
    RemoveConverter,
    RemoveField,
    ResetKindOrder,
    SetConstraints,
    SetDescription,
    SetKindOrder,
    SetPolicy,
    SetRequired,
)
from registry.domain.extension import Extension, Override
from registry.domain.field_rules import field_without_enum
from registry.domain.fit import fits
from registry.domain.vocabulary import DEFAULT_KIND_ORDER, ConstraintName, FieldType, Strategy, TieBreaker
from schemaevo.kernel.canonical import Json

NAMES = ("a", "b", "Ruby-Versions", "Straße", "createdAt")

VALUES: dict[FieldType, tuple[Json, ...]] = {
    FieldType.STRING: ("", "a", "b", "ab", "abc", "abcd", "1", "2", "true", "2024-01-01", "soon"),
    FieldType.NUMBER: (-1, 0, Decimal("0.5"), 1, Decimal("1.5"), 2, Decimal("2.5"), 3, 4, 5, 10**21),
    FieldType.DATE: ("2024-01-01", "2024-02-29T10:00:00Z", "1999-12-31"),
    FieldType.BOOLEAN: (True, False),
    FieldType.ARRAY: ([], [1], [True], [1, 2], [1, 2, 3], ["a", None, 1, 2]),
    FieldType.OBJECT: ({}, {"x": 1}, {"x": True}, {"x": [1]}),
}
"""A few values of each type, on both sides of every bound that is drawn below."""

descriptions = st.sampled_from(["", "words", "other words"])
policies = st.builds(Policy, st.sampled_from(Strategy), st.sampled_from(TieBreaker)).map(
    lambda policy: policy.normalised
)
kind_orders = st.lists(st.sampled_from([*DEFAULT_KIND_ORDER, "probe"]), unique=True, max_size=4).map(tuple)


def converter(function: str) -> Converter:
    """The converter of this name."""
    spec = CONVERTERS[function]
    return Converter(spec.source, spec.target, function)


def converters(field_type: FieldType) -> st.SearchStrategy[tuple[Converter, ...]]:
    """Converters that end in this type, in any order."""
    ending = [converter(name) for name, spec in CONVERTERS.items() if spec.target is field_type]
    if not ending:
        return st.just(())
    return st.lists(st.sampled_from(ending), unique=True).map(tuple)


def _ranges(*ends: int | Decimal) -> st.SearchStrategy[tuple[Json, Json]]:
    """Lower and upper bounds that do not cross, or none at either end."""
    pairs: list[tuple[Json, Json]] = [(low, high) for low in ends for high in ends if low <= high]
    open_ended: list[tuple[Json, Json]] = [(None, None), *((end, None) for end in ends)]
    return st.sampled_from([*open_ended, *((None, end) for end in ends), *pairs])


_bounds = _ranges(0, 1, Decimal("1.5"), 3, 4)
_lengths = _ranges(0, 1, 2, 3, 4)


@st.composite
def constraint_sets(draw: st.DrawFn, field_type: FieldType) -> Constraints:
    """Constraints that this type can have and that some value keeps."""
    drawn: dict[ConstraintName, Json] = {}
    if field_type is FieldType.NUMBER:
        drawn[ConstraintName.MIN], drawn[ConstraintName.MAX] = draw(_bounds)
    if field_type in (FieldType.STRING, FieldType.ARRAY):
        drawn[ConstraintName.MIN_LENGTH], drawn[ConstraintName.MAX_LENGTH] = draw(_lengths)
    if field_type is FieldType.STRING:
        drawn[ConstraintName.PATTERN] = draw(st.sampled_from([None, None, "a", "^[a-z]*$"]))
    constraints = NO_CONSTRAINTS.changed(drawn)
    if not draw(st.booleans()):
        return constraints
    plain = field_without_enum("f", field_type, constraints)
    fitting = [value for value in VALUES[field_type] if fits(value, plain) is None]
    # Chosen by place: as values, true would be 1.
    places = draw(st.lists(st.sampled_from(range(len(fitting))), unique=True, max_size=4)) if fitting else []
    return constraints.changed({ConstraintName.ENUM: [fitting[place] for place in places] or None})


@st.composite
def fields(draw: st.DrawFn, name: str) -> Field:
    """A field of any type with all that it may have."""
    field_type = draw(st.sampled_from(FieldType))
    return Field(
        name=name,
        type=field_type,
        required=draw(st.booleans()),
        description=draw(descriptions),
        converters=draw(converters(field_type)),
        constraints=draw(constraint_sets(field_type)),
    )


@st.composite
def declarations(draw: st.DrawFn, name: str) -> Declaration:
    """A field with its merge policy."""
    return Declaration(draw(fields(name)), draw(policies))


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """A definition that uses everything a definition may hold."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    return Definition(
        fields={name: draw(fields(name)) for name in names},
        merge_policies={name: draw(policies) for name in names if draw(st.booleans())},
        observation_source_priority=draw(st.none() | kind_orders),
    )


@st.composite
def overrides(draw: st.DrawFn, suited_to: FieldType) -> Override:
    """An override that was written for a field of this type."""
    return Override(
        description=draw(st.none() | descriptions),
        policy=draw(st.none() | policies),
        converters=draw(st.none() | converters(suited_to)),
        constraints=draw(constraint_sets(suited_to)),
        required=draw(st.booleans()),
    )


@st.composite
def extensions(draw: st.DrawFn) -> Extension:
    """An extension that may or may not go together with a global definition."""
    names = draw(st.permutations((*NAMES, "own")))
    split = draw(st.integers(0, len(names)))
    end = draw(st.integers(split, len(names)))
    types = st.sampled_from(FieldType)
    return Extension(
        base_schema_version=draw(st.sampled_from([None, "1.0.0", "2.10.3"])),
        additional_fields={name: draw(fields(name)) for name in names[:split]},
        merge_policies={name: draw(policies) for name in names[:split] if draw(st.booleans())},
        field_overrides={name: draw(overrides(draw(types))) for name in names[split:end]},
    )


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """Any edit; of a field that may not be declared, and with a result that may not be valid."""
    name = draw(st.sampled_from(NAMES))
    functions = st.sampled_from(sorted(CONVERTERS))
    changes = st.dictionaries(
        st.sampled_from(ConstraintName),
        st.sampled_from([None, 1]),
        min_size=1,
        max_size=2,
    ).map(
        lambda drawn: {
            name: {ConstraintName.PATTERN: "b", ConstraintName.ENUM: ["a", "2024-01-01"]}.get(name, value)
            if value
            else None
            for name, value in drawn.items()
        }
    )
    chosen: Edit = draw(
        st.one_of(
            declarations(name).map(lambda declared: AddField(name, declared)),
            st.just(RemoveField(name)),
            st.builds(ChangeType, st.just(name), st.sampled_from(FieldType), st.booleans()),
            st.builds(SetRequired, st.just(name), st.booleans()),
            st.builds(SetDescription, st.just(name), descriptions),
            st.builds(SetConstraints, st.just(name), changes),
            st.builds(SetPolicy, st.just(name), st.none() | policies),
            st.builds(AddConverter, st.just(name), functions.map(converter), st.none() | st.integers(0, 2)),
            st.builds(RemoveConverter, st.just(name), functions),
            st.builds(
                OrderConverters, st.just(name), st.lists(functions, unique=True, max_size=3).map(tuple)
            ),
            st.builds(SetKindOrder, kind_orders),
            st.just(ResetKindOrder()),
        )
    )
    return chosen
