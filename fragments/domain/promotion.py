"""What becomes of a fragment once its field is declared."""

from __future__ import annotations

from typing import NamedTuple

from fragments.domain.splitting import Reason
from registry.domain.converters import NOT_CONVERTED
from registry.domain.definition import Field
from registry.domain.fit import convert_for_ingest, convert_for_reduction, fits
from schemaevo.kernel.canonical import Json, canonical_bytes


class Judged(NamedTuple):
    """What an observation says of a fragment's value, or, with `reason`, why it stays a fragment. `is_converted` tells
    that the snapshot shows something else than came."""

    value: Json
    reason: Reason | None = None
    is_converted: bool = False


def judge(value: Json, field: Field) -> Judged:
    """Whether a fragment's value fits the field that was declared for it, and how an observation then holds it.

    A converted value is kept as it came: reduction converts it as ingest does, and under another declaration, after an
    undo, it is still there to be converted otherwise. Only where constraints made ingest choose another converter than
    reduction would, the observation holds what that one made of it, as one that was ingested does.
    """
    misfit = fits(value, field)
    if misfit is None:
        return Judged(value)
    converted = convert_for_ingest(value, field) if field.converters else NOT_CONVERTED
    if converted is NOT_CONVERTED:
        return Judged(value, misfit)
    shown = convert_for_reduction(value, field)
    is_shown = canonical_bytes(shown) == canonical_bytes(converted)
    return Judged(value if is_shown else converted, is_converted=True)
