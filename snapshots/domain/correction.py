"""A correction: what a person says of one field against what was observed, and how it has to stand to win."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from registry.domain.definition import Definition, Field, FieldType, Strategy
from registry.domain.fit import fits, json_type
from registry.domain.names import field_name_problem
from registry.domain.times import LAST_US, from_us, text_of_us
from schemaevo.kernel.canonical import (
    Json,
    Unstorable,
    canonical_json,
    content_hash,
    decode,
    exact_number,
    require_storable,
)
from schemaevo.kernel.errors import Conflict, Invalid
from snapshots.domain.arrays import contributed_items
from snapshots.domain.merge import merge, project
from snapshots.domain.observed import Observed, Observing
from snapshots.domain.state import MergeState, read_state

#: The least that a correction has of each; more only where something about its field has as much.
CORRECTION_PRIORITY: Final = 1000
CORRECTION_SPECIFICITY: Final = 1
CORRECTION_KIND: Final = "human"
#: What the column of priorities holds.
PRIORITY_LAST: Final = 2**31 - 1


class Reached(NamedTuple):
    """How far those observations go that say something about a field: each is the highest of them all."""

    observed_us: int
    priority: int
    specificity: int | float


class Standing(NamedTuple):
    """When a correction is observed and how far it is trusted; `specificity` is the exact value of a double."""

    observed_us: int
    priority: int
    specificity: int | Decimal

    @property
    def observed_at(self) -> datetime:
        """When it is observed."""
        return from_us(self.observed_us)


def reached_by(carriers: Iterable[Observed]) -> Reached | None:
    """How far these observations go, all of which say something about one field; None where there are none."""
    some = list(carriers)
    if not some:
        return None
    return Reached(
        max(one.observed_us for one in some),
        max(one.priority for one in some),
        max(float(one.specificity) for one in some),
    )


def strategy_of(name: str, definition: Definition | None) -> Strategy:
    """How observations of the field merge; where nothing is declared, the last one holds."""
    return Strategy.LAST_WRITE if definition is None else definition.policy_of(name).strategy


def standing_above(reached: Reached | None, strategy: Strategy, now_us: int) -> Standing:
    """How a correction stands that comes before all of these, now and by whatever policy the field has later.

    By time alone it would win under last_write only, and be lost with the first change of the policy; so it is ahead in
    everything that any policy asks first. What cannot be topped is no hindrance unless the policy in force asks it.

    Raises: Conflict `cannot_win`.
    """
    if reached is None:
        return Standing(now_us, CORRECTION_PRIORITY, CORRECTION_SPECIFICITY)
    observed_us = max(now_us, reached.observed_us + 1)
    if observed_us > LAST_US:
        _require_not_asked(strategy, {Strategy.LAST_WRITE}, "later than the end of the year 9999")
        observed_us = LAST_US
    priority = max(CORRECTION_PRIORITY, reached.priority + 1)
    if priority > PRIORITY_LAST:
        asking = {Strategy.HIGHEST_PRIORITY, Strategy.MERGE_ARRAY}
        _require_not_asked(strategy, asking, f"of a higher priority than {PRIORITY_LAST}")
        priority = PRIORITY_LAST
    specificity: float = CORRECTION_SPECIFICITY
    if reached.specificity >= CORRECTION_SPECIFICITY:
        specificity = math.nextafter(reached.specificity, math.inf)
    if math.isinf(specificity):
        _require_not_asked(strategy, {Strategy.MOST_SPECIFIC}, "more specific than any number")
        specificity = reached.specificity
    return Standing(observed_us, priority, exact_number(specificity))


def _require_not_asked(strategy: Strategy, asking: set[Strategy], how: str) -> None:
    if strategy in asking:
        raise Conflict(
            "cannot_win",
            f"The correction would have to be {how}, since what holds now is as far as that goes. "
            f"Retract its source, or change the merge policy of the field ({strategy}).",
            rule=strategy.value,
        )


# --- what can be said -----------------------------------------------------------------------------------------
def field_corrected(name: str, definition: Definition | None) -> Field | None:
    """The declaration of the field that is to be corrected; None where nothing is declared.

    Raises: Invalid `invalid_name`, `undeclared_field`.
    """
    if definition is None:
        problem = field_name_problem(name)
        if problem is not None:
            raise Invalid("invalid_name", f"This cannot be the name of a field: {problem}.", field=name[:128])
        return None
    field = definition.fields.get(name)
    if field is None:
        raise Invalid(
            "undeclared_field",
            f"{name[:128]!r} is not declared, so no snapshot shows it. Declare it first, or promote it.",
            field=name[:128],
        )
    return field


def require_fitting(name: str, value: Json, field: Field | None) -> None:
    """Refuses what ingest would not store as this field as it is: nothing is converted.

    Raises: Unstorable; Invalid `value_misfit`, whose context tells the broken rule and what fits.
    """
    require_storable({name: value})
    misfit = None if field is None else fits(value, field)
    if field is None or misfit is None:
        return
    what, do = "out of these bounds", ""
    if misfit == "type_mismatch":
        what = (
            "none"
            if isinstance(value, str) and takes_plain_text(field)
            else f"of the type {json_type(value)}"
        )
        do = " Nothing is converted here."
        if takes_plain_text(field) and not isinstance(value, str):
            do = " A text that reads as JSON stands in quotes."
    raise Invalid(
        "value_misfit",
        f"{name} takes {fitting_words(field)}; this is {what}.{do}",
        field=name,
        rule=misfit,
        fits=fitting_words(field),
    )


def fitting_words(field: Field) -> str:
    """What fits as this field, in words."""
    bounds = ", ".join(
        f"{name} {canonical_json(value)}" for name, value in field.constraints.to_json().items()
    )
    return f"{_FITTING[field.type]} ({bounds})" if bounds else _FITTING[field.type]


_FITTING: Final = {
    FieldType.STRING: "a text",
    FieldType.NUMBER: "a number such as 12.5",
    FieldType.DATE: "a date such as 2026-11-23 or an RFC 3339 time",
    FieldType.BOOLEAN: "true or false",
    FieldType.ARRAY: "an array such as [1, 2]",
    FieldType.OBJECT: 'an object such as {"a": 1}',
}
#: What somebody begins who means JSON; a mistake further on does not make it a text.
_JSON_BEGINS: Final = ('"', "[", "{")


def takes_plain_text(field: Field | None) -> bool:
    """Whether what is no JSON is taken for a text: where nothing else could be meant."""
    return field is not None and field.type in (FieldType.STRING, FieldType.DATE)


def value_written(text: str, field: Field | None) -> Json:
    """The value that a person wrote: JSON, or for a field of texts the bare text.

    Raises: Unstorable.
    """
    try:
        return decode(text)
    except Unstorable as error:
        is_bare = error.context["rule"] in {"malformed", "not_a_number"}
        if is_bare and takes_plain_text(field) and not text.lstrip().startswith(_JSON_BEGINS):
            require_storable(text)
            return text
        if is_bare:
            message = f'This is not JSON ({error.message}). A text stands in quotes: "so".'
            raise Unstorable(error.context["rule"], message) from None
        raise


def as_written(value: Json, field: Field | None) -> str:
    """How a person would write a value: what `value_written` reads as the same."""
    if isinstance(value, str) and takes_plain_text(field):
        try:
            if value_written(value, field) == value:
                return value
        except Unstorable:
            # It begins as JSON does; in quotes it is read.
            pass
    return canonical_json(value)


# --- what it does ---------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a correction does to its field. Values are as the snapshot shows them; None where it shows none.

    `strategy` is that of the policy in force. `holds_off_deletion` tells that from then on the correction says that the
    entity is there, against all of less trust.
    """

    field: str
    before: Json
    after: Json
    standing: Standing
    strategy: Strategy
    holds_off_deletion: bool


def value_seen(value: Json) -> str:
    """What tells whether somebody still sees this value of a field; None stands for no value."""
    return content_hash(value)


def foresee(
    *,
    state: str,
    name: str,
    correction: Observing,
    standing: Standing,
    definition: Definition | None,
    seen: str | None = None,
) -> Foreseen:
    """What merging the correction into a merge state does, as JSON text, that was made by this definition.

    `seen` is what `value_seen` told of the value that the correction is based on; None takes whatever there is.

    Raises: Conflict `entity_deleted`, `value_changed`, `nothing_to_correct`; Invalid `repeated_items`.
    """
    present = project(read_state(state), definition)
    if present.deleted:
        raise Conflict(
            "entity_deleted",
            "The entity is deleted, so there is no value to correct. A correction must not bring it back unasked: "
            "ingest a living record of it first, of at least the priority of the one that deleted it.",
        )
    before = present.values.get(name)
    if seen is not None and seen != value_seen(before):
        raise Conflict("value_changed", f"{name} has another value by now. Look at it once more.", field=name)
    after_state = read_state(state)
    merge(after_state, [correction], definition)
    strategy = strategy_of(name, definition)
    if strategy is Strategy.MERGE_ARRAY and definition is not None:
        _require_no_repetition(name, correction.fields[name], definition.fields[name])
    after = project(after_state, definition).values.get(name)
    if canonical_json(before) == canonical_json(after):
        raise Conflict("nothing_to_correct", f"This is what {name} says already.", field=name)
    mark = after_state.deletion
    holds_off = mark is not None and mark.key[-1] == correction.ranking_id
    return Foreseen(name, before, after, standing, strategy, holds_off)


def _require_no_repetition(name: str, value: Json, field: Field) -> None:
    items = [canonical_json(item) for item in contributed_items(value, field)]
    if len(set(items)) < len(items):
        raise Invalid(
            "repeated_items",
            f"{name} joins arrays, and of equal items keeps one: an array with the same item twice cannot be shown.",
            field=name,
        )


def still_holds(state: MergeState, name: str, observation_id: str, priority: int) -> bool:
    """Whether a correction of that id and priority is what the field says, of a joined array at least a part of it."""
    held = state.fields.get(name)
    if held is None:
        return False
    if held.is_joined:
        return bool(held.tier == priority)
    return bool(held.key[-1] == observation_id)


def beaten_by_words(foreseen: Foreseen) -> str:
    """What takes the place of the correction later, in words."""
    at, priority, specificity = foreseen.standing
    match foreseen.strategy:
        case Strategy.LAST_WRITE:
            return f"any observation of {foreseen.field} that is observed later than {text_of_us(at)}"
        case Strategy.HIGHEST_PRIORITY:
            return (
                f"only observations of {foreseen.field} with a priority of {priority} or more, such as a later "
                "correction"
            )
        case Strategy.MOST_SPECIFIC:
            return (
                f"only observations of {foreseen.field} with a specificity of {canonical_json(specificity)} or more, "
                "such as a later correction"
            )
        case Strategy.MERGE_ARRAY:
            return (
                f"only observations of {foreseen.field} with a priority above {priority}, such as a later correction; "
                f"one of {priority} adds its items"
            )
