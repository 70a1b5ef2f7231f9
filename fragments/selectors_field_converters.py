"""Converters for one declared field of a user: where they would be declared, and what each would make of what waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fragments.domain.conversions import in_order
from fragments.domain.converter_suggestions import ConverterOutlook
from fragments.domain.promotion import judge
from fragments.errors import DeclaredGlobally, NotDeclared, Undeclared
from fragments.selectors_aggregates import counted_of_user
from fragments.selectors_converters import outlooks_of
from fragments.selectors_promotions import values_waiting
from registry.domain.composition import Origin
from registry.domain.converters import CONVERTERS
from registry.domain.definition import Declaration, Field
from registry.selectors import Standing
from schemaevo.kernel.errors import DomainError

#: Values that a page asks each converter about.
LOOKED_AT: Final = 20_000


@dataclass(frozen=True, slots=True)
class ConvertersTold:
    """What is to be known of a declared field before it gets converters.

    `reads` gives for each converter that the field lacks and could have how many of the `looked_at` waiting values fit
    with it and not without; of a value that two of them read both are told. `suggested` is what counts and samples say.
    """

    declared: Declaration
    origin: Origin
    refusal: DomainError | None
    looked_at: int
    reads: Mapping[str, int]
    suggested: ConverterOutlook | None


def converters_refusal(*, standing: Standing, entity_type: str, field: str) -> DomainError | None:
    """Why the user's part of the schema cannot get converters for the field: Undeclared `undeclared_type`, NotDeclared
    `not_declared`, or DeclaredGlobally `declared_globally`; None where it can."""
    composition = standing.composition
    if composition is None:
        return Undeclared(entity_type)
    if field not in composition.definition.fields:
        return NotDeclared(entity_type, field)
    if standing.shared is not None and composition.origins[field] in (Origin.GLOBAL, Origin.OVERRIDE):
        return DeclaredGlobally(entity_type, field)
    return None


def with_converters(declared: Declaration, functions: Sequence[str]) -> Declaration:
    """The field with these converters as well, all in the order in which they have to be asked: of seconds and
    milliseconds, seconds first. With none that is new, it is as it was."""
    own = {converter.function for converter in declared.field.converters}
    if own >= {*functions}:
        return declared
    return replace(declared, field=replace(declared.field, converters=in_order(own | {*functions})))


def converters_told(
    *, standing: Standing, user_id: int, entity_type: str, field: str
) -> ConvertersTold | None:
    """What each converter would make of what waits of the field; None where it is not declared for the user.

    Reads at most LOOKED_AT fragments; as many queries however many there are.
    """
    composition = standing.composition
    if composition is None or field not in composition.definition.fields:
        return None
    declared = composition.definition.declaration(field)
    reads, looked_at = _reads(user_id, entity_type, declared)
    counts = {
        one.key.name: one.counts
        for one in counted_of_user(user_id=user_id, entity_type=entity_type, names=[field], limit=1)
    }
    outlooks = outlooks_of(
        entity_type=entity_type, user_id=user_id, fields={field: declared.field}, counts=counts
    )
    return ConvertersTold(
        declared,
        composition.origins[field],
        converters_refusal(standing=standing, entity_type=entity_type, field=field),
        looked_at,
        reads,
        next(iter(outlooks), None),
    )


def converters_lacking(field: Field) -> tuple[str, ...]:
    """The converters that end in the field's type and that it does not have, in the order in which they are asked."""
    own = {converter.function for converter in field.converters}
    ending = {name for name, spec in CONVERTERS.items() if spec.target is field.type}
    return tuple(converter.function for converter in in_order(ending - own))


def _reads(user_id: int, entity_type: str, declared: Declaration) -> tuple[dict[str, int], int]:
    """How many of the waiting values that do not fit would, by converter; and how many were looked at."""
    lacking = converters_lacking(declared.field)
    fields = {name: with_converters(declared, [name]).field for name in lacking}
    reads = dict.fromkeys(lacking, 0)
    looked_at = 0
    for value in values_waiting(
        user_id=user_id, entity_type=entity_type, field=declared.field.name, at_most=LOOKED_AT
    ):
        looked_at += 1
        if judge(value, declared.field).reason is not None:
            for name, field in fields.items():
                reads[name] += judge(value, field).reason is None
    return reads, looked_at
