"""What converters would make of the values that wait because they do not fit a declared field.

Counts by form tell it exactly where all values of a form are converted, or none. Where only values can tell, a sample
of them is asked, and what it says is taken for all of that form; how many were looked at is part of the answer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from fragments.domain.conversions import (
    converter_of_form,
    converter_of_value,
    form_fits,
    in_order,
    may_convert,
)
from fragments.domain.counts import FieldCounts
from fragments.domain.inference import infer
from fragments.domain.notations import Notation, notation_of
from registry.domain.converters import NOT_CONVERTED, convert
from registry.domain.definition import NO_CONSTRAINTS, Field, FieldType
from registry.domain.fit import convert_for_ingest, fits
from schemaevo.kernel.canonical import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Part:
    """So many of the waiting values; `count` is rounded down where it comes from a sample."""

    count: int
    share: Fraction


@dataclass(frozen=True, slots=True)
class ConverterOutlook:
    """What would become of the values of a declared field that wait because they are of another type.

    `suggested` says for each converter that the field lacks how many it would convert, `already` how many the field's
    own converters read: those are retried. `notations` are dates that no converter reads, and how they are written.
    `rest` is what nothing reads. Of the `sampled` values that only a look can tell of, `looked_at` were looked at.
    """

    field: Field
    waiting: int
    suggested: Mapping[str, Part]
    already: Part
    notations: Mapping[Notation, Part]
    rest: Part
    sampled: int
    looked_at: int

    @property
    def is_exact(self) -> bool:
        """Whether the counts are those of all values, and not taken from a sample."""
        return self.looked_at >= self.sampled

    @property
    def field_with_converters(self) -> Field:
        """The field as it would be declared. Of seconds and milliseconds the first to be asked has to be seconds."""
        own = {converter.function for converter in self.field.converters}
        return replace(self.field, converters=in_order(own | self.suggested.keys()))

    @property
    def definition(self) -> JsonObject:
        """The same in its stored form."""
        return self.field_with_converters.to_json()


def forms_that_misfit(field: Field, counts: FieldCounts) -> dict[str, int]:
    """The forms of the values that wait because they are of another type than the field, and how many have each."""
    return {form: count for form, count in counts.forms() if not form_fits(form, field.type)}


def forms_to_sample(field: Field, counts: FieldCounts) -> frozenset[str]:
    """The forms of which only values can tell what becomes of them."""
    return frozenset(form for form in forms_that_misfit(field, counts) if _needs_values(field, form))


def converter_outlook(field: Field, counts: FieldCounts, sample: Iterable[Json] = ()) -> ConverterOutlook:
    """What converters would make of the waiting values. Of the sample those count whose form needs a look."""
    forms = forms_that_misfit(field, counts)
    waiting = sum(forms.values())
    values: dict[str, list[Json]] = defaultdict(list)
    for value in sample:
        form = ":".join(infer(field.name, value))
        if form in forms and _needs_values(field, form):
            values[form].append(value)
    found: dict[str | Notation, Fraction] = defaultdict(Fraction)
    for form, count in forms.items():
        if not _needs_values(field, form):
            found[_fate_of_form(field, form)] += count
            continue
        # Values that none was looked at of are the rest, until somebody looks.
        fates = Counter(_fate_of_value(field, value) for value in values[form]) or Counter({_REST: 1})
        for fate, looked_at in fates.items():
            found[fate] += Fraction(count * looked_at, fates.total())
    parts = {fate: Part(int(count), count / waiting) for fate, count in found.items()}
    none = Part(0, Fraction())
    return ConverterOutlook(
        field,
        waiting,
        {
            c.function: parts[c.function]
            for c in in_order({str(f) for f in parts if not isinstance(f, Notation)})
        },
        parts.get(_ALREADY, none),
        _most_first({fate: part for fate, part in parts.items() if isinstance(fate, Notation)}),
        parts.get(_REST, none),
        sum(count for form, count in forms.items() if _needs_values(field, form)),
        sum(min(len(values[form]), forms[form]) for form in values),
    )


#: Fates beside the name of a converter, or a notation.
_ALREADY = "already"
_REST = "rest"


def _needs_values(field: Field, form: str) -> bool:
    if not may_convert(form, field.type):
        # Texts that no converter makes a date of may be dates all the same.
        return field.type is FieldType.DATE and form.startswith("string:")
    return converter_of_form(form, field.type) is None or field.constraints != NO_CONSTRAINTS


def _fate_of_form(field: Field, form: str) -> str:
    function = converter_of_form(form, field.type)
    if function is None:
        return _REST
    return _ALREADY if function in {converter.function for converter in field.converters} else function


def _fate_of_value(field: Field, value: Json) -> str | Notation:
    if convert_for_ingest(value, field) is not NOT_CONVERTED:
        return _ALREADY
    function = converter_of_value(value, field.type)
    if function is not None:
        converted = convert(function, value)
        if converted is not NOT_CONVERTED and fits(converted, field) is None:
            return function
        return _REST
    if field.type is FieldType.DATE and isinstance(value, str):
        return notation_of(value) or _REST
    return _REST


def _most_first(parts: Mapping[Notation, Part]) -> dict[Notation, Part]:
    ordered: Sequence[Notation] = sorted(parts, key=lambda notation: (-parts[notation].share, notation))
    return {notation: parts[notation] for notation in ordered}
