"""How an undeclared field would be declared, by what its values look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fragments.domain.conversions import (
    converter_of_form,
    converter_of_value,
    form_fits,
    in_order,
    may_convert,
)
from fragments.domain.counts import FieldCounts
from fragments.domain.inference import infer
from registry.domain.definition import Field, FieldType
from schemaevo.kernel.canonical import Json, JsonObject


@dataclass(frozen=True, slots=True)
class SuggestedField:
    """A field, and what would become of the values that are counted.

    `fitting` are of its type as they are, null among them, `converted` are so after a converter that reads all values
    of that form, `uncertain` are of a form of which the few known samples would be converted, `misfitting` would stay
    fragments.
    """

    field: Field
    fitting: int
    converted: int
    uncertain: int
    misfitting: int

    @property
    def definition(self) -> JsonObject:
        """The field as a schema or extension declares it, everything said."""
        return {
            "type": self.field.type.value,
            "converters": [converter.to_json() for converter in self.field.converters],
            "required": self.field.required,
        }


def suggested_field(
    name: str, dominant_type: str, counts: FieldCounts, samples: Sequence[Json] = ()
) -> SuggestedField | None:
    """The field of the type of most values, with the converters that others need; None where all are null.

    It is never required: it was undeclared so far, and records without it came in.
    """
    if not dominant_type:
        return None
    field_type = FieldType(dominant_type)
    sampled: dict[str, set[str | None]] = {}
    for sample in samples:
        sampled.setdefault(":".join(infer(name, sample)), set()).add(converter_of_value(sample, field_type))
    functions: set[str] = set()
    fitting = converted = uncertain = misfitting = 0
    for form, count in counts.forms():
        always = converter_of_form(form, field_type)
        read_by = sampled.get(form, {None})
        if form_fits(form, field_type):
            fitting += count
        elif always is not None:
            functions.add(always)
            converted += count
        elif may_convert(form, field_type) and None not in read_by:
            functions.update(function for function in read_by if function is not None)
            uncertain += count
        else:
            misfitting += count
    field = Field(name, field_type, converters=in_order(functions))
    return SuggestedField(field, fitting, converted, uncertain, misfitting)
