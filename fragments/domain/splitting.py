"""Splitting a record: what its schema declares goes into the observation, the rest becomes fragments."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple, TypeAlias

from registry.domain.converters import NOT_CONVERTED
from registry.domain.definition import Definition
from registry.domain.fit import convert_for_ingest, fits
from registry.domain.names import field_name_problem
from schemaevo.kernel.canonical import Json, JsonObject
from snapshots.domain.observed import DELETED_KEY

Reason: TypeAlias = Literal[
    "unknown_field", "type_mismatch", "constraint", "invalid_name", "converted_original"
]


class Fragment(NamedTuple):
    """One field value that is kept outside the observation, why, and how many observations carried it."""

    key: str
    value: Json
    reason: Reason
    frequency: int = 1


def split(
    record: Mapping[str, Json], definition: Definition | None, control_fields: Collection[str]
) -> tuple[JsonObject, list[Fragment]]:
    """The fields of the observation, and the fragments, of one record.

    Where nothing is declared (`definition` None) every field goes into the observation. `control_fields` are
    those that name the user, the key or the time: they are in the observation if declared, and never fragments,
    since what they say is kept in what they control.
    """
    if definition is None:
        return dict(record), []
    fields: JsonObject = {}
    fragments: list[Fragment] = []
    declared, settling = definition.fields, definition.settling_types
    for name, value in record.items():
        # Most values are of this kind, and this is the busiest loop of all.
        if name in settling and type(value) in settling[name]:
            fields[name] = value
            continue
        field = declared.get(name)
        if field is None:
            if name == DELETED_KEY:
                fields[name] = value
            elif name not in control_fields:
                reason: Reason = "unknown_field" if field_name_problem(name) is None else "invalid_name"
                fragments.append(Fragment(name, value, reason))
            continue
        misfit = fits(value, field)
        if misfit is None:
            fields[name] = value
            continue
        converted = convert_for_ingest(value, field) if field.converters else NOT_CONVERTED
        if converted is not NOT_CONVERTED:
            fields[name] = converted
            misfit_or_original: Reason = "converted_original"
        else:
            misfit_or_original = misfit
        if name not in control_fields:
            fragments.append(Fragment(name, value, misfit_or_original))
    return fields, fragments
