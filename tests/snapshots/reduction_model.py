"""What records come to, said once more and slowly: the law of splitting and reduction, read from the design.

It works on documents as they are stored, looks through everything each time, compares two and two, and uses none of
the program's own rules: neither its reducer, nor its merging, nor how it looks at types, converters and arrays. What
it knows of the world are small values: the alphabets of the tests that use it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

DELETED = "_deleted"
KINDS = ["sensor", "workflow_state", "llm_summary", "human", "import", "sync"]

#: A definition's document; None where nothing is declared.
Document = Mapping[str, Any] | None


@dataclass(frozen=True)
class Said:
    """An observation: what it says, when in microseconds, and how far it is trusted."""

    id: str
    at: int
    priority: int
    specificity: Decimal
    kind: str | None
    fields: Mapping[str, Any]


Before = Callable[[Said, Said], bool]


# --- values -------------------------------------------------------------------------------------------------------
def text_of(value: Any) -> str:
    """Canonical JSON: keys in order, no spaces, numbers by their value."""
    if isinstance(value, Decimal):
        return str(int(value)) if value == int(value) else str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    if isinstance(value, Mapping):
        pairs = (text_of(name) + ":" + text_of(value[name]) for name in sorted(value))
        return "{" + ",".join(pairs) + "}"
    return json.dumps(value, ensure_ascii=False)


def type_of(value: Any) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for name, kinds in (("number", (int, Decimal)), ("string", str), ("array", list), ("object", dict)):
        if isinstance(value, kinds):
            return name
    raise AssertionError(f"{value!r} is not JSON")


def has_type(value: Any, wanted: str) -> bool:
    """A date is any string as far as its type goes, and null has every type."""
    return value is None or type_of(value) == ("string" if wanted == "date" else wanted)


def fits(value: Any, field: Mapping[str, Any]) -> bool:
    """Whether the value may stand in an observation as this field."""
    if value is None:
        return True
    if not has_type(value, field["type"]) or (field["type"] == "date" and not _is_date(value)):
        return False
    limits = field.get("constraints") or {}
    if type_of(value) == "number":
        return bool(limits.get("min", value) <= value <= limits.get("max", value))
    if type_of(value) in ("string", "array"):
        return bool(limits.get("min_length", 0) <= len(value) <= limits.get("max_length", len(value)))
    return True


def _is_date(text: str) -> bool:
    """A date, or a time as converters give it."""
    form = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z)?"
    try:
        return re.fullmatch(form, text) is not None and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


CONVERTED_FROM = {
    "timestamp_s_to_iso": "number",
    "timestamp_ms_to_iso": "number",
    "timestamp_nanos_to_iso": "number",
    "number_to_string": "number",
    "string_to_number": "string",
    "boolean_to_string": "boolean",
    "string_to_boolean": "string",
}


def converted(function: str, value: Any) -> Any:
    """What the converter gives; None where it cannot read the value, which is of the type it is from."""
    parts = {"timestamp_s_to_iso": 1, "timestamp_ms_to_iso": 10**3, "timestamp_nanos_to_iso": 10**9}
    if function in parts:
        seconds = Fraction(value) / parts[function]
        if not 0 <= seconds <= 4_102_444_800 or (
            function == "timestamp_nanos_to_iso" and value != int(value)
        ):
            return None
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(seconds * 1000))
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
    if function == "number_to_string":
        return text_of(value)
    if function == "string_to_number":
        return _number(Decimal(value)) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) else None
    if function == "boolean_to_string":
        return str(value).lower()
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return words.get(value.strip().lower())


def _number(value: Decimal) -> int | Decimal:
    return int(value) if value == int(value) else value


def first_conversion(value: Any, field: Mapping[str, Any], accepts: Callable[[Any], bool]) -> Any:
    """What the first converter gives that reads the value and whose result is accepted; None if there is none."""
    for converter in field.get("converters", []):
        if CONVERTED_FROM[converter["function"]] == type_of(value):
            result = converted(converter["function"], value)
            if result is not None and accepts(result):
                return result
    return None


# --- splitting ----------------------------------------------------------------------------------------------------
def split(
    record: Mapping[str, Any], document: Document, control: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of a record is in its observation, and what becomes fragments."""
    if document is None:
        return dict(record), {}
    kept: dict[str, Any] = {}
    left: dict[str, Any] = {}
    for name, value in record.items():
        field = document["fields"].get(name)
        if name == DELETED or (field is not None and fits(value, field)):
            kept[name] = value
        else:
            if field is not None:
                other = first_conversion(value, field, lambda it, field=field: fits(it, field))  # type: ignore[misc]
                if other is not None:
                    kept[name] = other
            if name not in control:
                left[name] = value
    return kept, left


# --- orders -------------------------------------------------------------------------------------------------------
def base_before(one: Said, other: Said) -> bool:
    """Newest first, then the smaller id by its bytes."""
    if one.at != other.at:
        return one.at > other.at
    return UUID(one.id).bytes < UUID(other.id).bytes


def kind_rank(kind: str | None, document: Document) -> int:
    """The place in the kind order; unknown kinds and none stand last, together."""
    order = KINDS if document is None else document.get("observation_source_priority", KINDS)
    return order.index(kind) if kind is not None and kind in order else len(order)


def kind_before(document: Document, then: Before) -> Before:
    """By kind, and else by what comes then."""

    def before(one: Said, other: Said) -> bool:
        ranks = kind_rank(one.kind, document), kind_rank(other.kind, document)
        return ranks[0] < ranks[1] if ranks[0] != ranks[1] else then(one, other)

    return before


def priority_before(then: Before) -> Before:
    """By priority, and else by what comes then."""

    def before(one: Said, other: Said) -> bool:
        return one.priority > other.priority if one.priority != other.priority else then(one, other)

    return before


def order_of(policy: Mapping[str, Any], document: Document) -> Before:
    """The order of a policy for which one observation speaks."""
    by_kind = kind_before(document, base_before)
    if policy["strategy"] == "highest_priority":
        return priority_before(by_kind)
    if policy["strategy"] == "most_specific":
        tie = priority_before(by_kind) if policy.get("tie_breaker") == "source_priority" else by_kind

        def before(one: Said, other: Said) -> bool:
            if one.specificity != other.specificity:
                return one.specificity > other.specificity
            return tie(one, other)

        return before
    return base_before


def first(some: Sequence[Said], before: Before) -> Said:
    """The one before which none comes."""
    (one,) = [it for it in some if not any(before(other, it) for other in some if other is not it)]
    return one


def walked(some: Sequence[Said]) -> list[Said]:
    """All of them in base order, each time the first of those that are left."""
    left, walk = list(some), []
    while left:
        walk.append(first(left, base_before))
        left.remove(walk[-1])
    return walk


# --- reduction ----------------------------------------------------------------------------------------------------
#: What the row of an entity holds of which only retracted sources knew.
NOTHING: Final[dict[str, Any]] = {
    "values": {},
    "provenance": {},
    "deleted": False,
    "observation_count": 0,
    "last_observation_at": None,
    "last_computed_observation_id": None,
    "merge_state": {"count": 0, "top": None, "deletion": None, "fields": {}},
}


def reduced(history: Sequence[Said], document: Document) -> dict[str, Any]:
    """What the row of an entity with this history holds, times as microseconds."""
    if not history:
        return NOTHING
    trusted = priority_before(kind_before(document, base_before))
    mark = first(history, trusted)
    top = first(history, base_before)
    deleted = mark.fields.get(DELETED) is True
    values: dict[str, Any] = {}
    provenance: dict[str, list[str]] = {}
    states: dict[str, Any] = {}
    for name in _names(history, document):
        carriers = [one for one in history if name in one.fields]
        if not carriers:
            continue
        field = None if document is None else document["fields"][name]
        policy = {"strategy": "last_write"}
        if document is not None:
            policy = document["merge_policies"].get(name, policy)
        if policy["strategy"] == "merge_array":
            value, suppliers, states[name] = _joined(name, carriers, field or {})
        else:
            winner = first(carriers, order_of(policy, document))
            value, suppliers = winner.fields[name], [winner.id]
            states[name] = {"key": _key(winner, policy, document), "value": value}
            if field is not None and value is not None:
                value = _shown(value, field)
        if value is not None:
            values[name], provenance[name] = value, suppliers
    return {
        "values": {} if deleted else values,
        "provenance": {} if deleted else provenance,
        "deleted": deleted,
        "observation_count": len(history),
        "last_observation_at": top.at,
        "last_computed_observation_id": top.id,
        "merge_state": {
            "count": len(history),
            "top": [-top.at, top.id],
            "deletion": {"key": _key(mark, {"strategy": "highest_priority"}, document), "deleted": deleted},
            "fields": states,
        },
    }


def _names(history: Sequence[Said], document: Document) -> set[str]:
    if document is not None:
        return set(document["fields"])
    return {name for one in history for name in one.fields} - {DELETED}


def _shown(value: Any, field: Mapping[str, Any]) -> Any:
    """What does not have the declared type is converted if a converter applies, else it stays as it is."""
    if has_type(value, field["type"]):
        return value
    other = first_conversion(value, field, lambda it: has_type(it, field["type"]))
    return value if other is None else other


def _joined(name: str, carriers: Sequence[Said], field: Mapping[str, Any]) -> tuple[Any, list[str], Any]:
    """The items of the observations of the highest priority, in a walk in base order, each where it occurs first."""
    tier = max(one.priority for one in carriers)
    heard = walked([one for one in carriers if one.priority == tier])
    items: list[Any] = []
    seen: dict[str, Any] = {}
    suppliers: list[str] = []
    for one in heard:
        for position, item in enumerate(_items(one.fields[name], field)):
            if text_of(item) in seen:
                continue
            seen[text_of(item)] = [-one.at, one.id, position]
            items.append(item)
            if one.id not in suppliers:
                suppliers.append(one.id)
    says = any(one.fields[name] is not None for one in heard)
    return (items if says else None), suppliers, {"tier": tier, "any": says, "items": seen}


def _items(value: Any, field: Mapping[str, Any]) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        try:
            found = json.loads(value, parse_float=lambda text: _number(Decimal(text)), parse_constant=Decimal)
        except ValueError:
            found = None
        if isinstance(found, list) and not any(isinstance(it, Decimal) and it.is_nan() for it in found):
            return found
    return [_shown(value, field)]


def _key(one: Said, policy: Mapping[str, Any], document: Document) -> list[Any]:
    """The ranking key as docs/incremental-snapshots.md has it in the merge state."""
    base = [-one.at, one.id]
    rank = kind_rank(one.kind, document)
    if policy["strategy"] == "highest_priority":
        return [-one.priority, rank, *base]
    if policy["strategy"] == "most_specific":
        tie = [-one.priority] if policy.get("tie_breaker") == "source_priority" else []
        return [-one.specificity, *tie, rank, *base]
    return base


def rules(document: Document) -> str:
    """All that reduction depends on: what differs only in the rest is reduced by the same rules."""
    if document is None:
        return "undeclared"
    return text_of(
        {
            "fields": {
                name: [field["type"], [one["function"] for one in field.get("converters", [])]]
                for name, field in document["fields"].items()
            },
            "policies": {
                name: policy
                for name, policy in document["merge_policies"].items()
                if policy["strategy"] != "last_write"
            },
            "kinds": document.get("observation_source_priority", KINDS),
        }
    )
