"""The reader of exported observations: every line is checked member by member before anything is made of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Final

import msgspec

from fragments.domain.exported import PROMOTION, Exported
from fragments.domain.repeated_keys import repeated_key
from fragments.models import FragmentReason
from fragments.services.ingest import NAME_MAX
from fragments.services.records import (
    KEY_MAX_BYTES,
    KIND_MAX,
    PRIORITY_MAX,
    PRIORITY_MIN,
    Line,
    encoding_problem,
    is_cut,
    jsonl_lines,
)
from registry.domain.names import NAME_MAX_BYTES
from registry.domain.times import parse_time, to_us
from schemaevo.kernel.canonical import Json, JsonObject, Unstorable, canonical_bytes, decode
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.owners import ID_MAX, USERNAME_MAX
from snapshots.models import ObservationOrigin

#: An export says more than the record that arrived (ids, trust, originals beside converted values) and writes
#: numbers out, so that of a record of the greatest length the line is longer.
EXPORTED_LINE_MAX_BYTES: Final = 64 * 2**20
#: Far more often than any value is seen, and few enough that millions of them are no overflow.
COUNT_MAX: Final = 10**12
#: What the column for the hash of a source's content holds.
HASH_MAX: Final = 64

_MEMBERS: Final = frozenset(
    (
        *("id", "content_id", "entity_type", "user", "user_id", "key", "observed_at", "source", "priority"),
        *("specificity", "kind", "origin", "ranks_as", "schema_version", "fields", "fragments"),
    )
)
_FRAGMENT_MEMBERS: Final = frozenset(("field", "value", "reason", "count"))
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Both only take apart: what the members hold is read by the strict decoder, one by one. So a record may be nested
# as deeply as where it came from, although a line puts it deeper.
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_fragments = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def exported_lines(stream: Iterable[bytes]) -> Iterator[Line]:
    """The lines of an export that are not blank, each with the observation it says, or why it says none."""
    for line in jsonl_lines(stream, longest=EXPORTED_LINE_MAX_BYTES):
        content: Exported | Invalid
        try:
            content = exported_observation(line.raw)
        except Invalid as error:
            content = error
        yield Line(line.line_number, line.record_number, line.raw, content)


def exported_observation(raw: bytes) -> Exported:
    """The observation that a line says.

    Raises: Unstorable; Invalid `line_too_long`, `not_utf8`, `not_an_object`, `duplicate_key`, `key_too_long`,
    `name_too_long`, `unreadable_time`, and `invalid_observation` for what no export writes; the context names the
    member as `field`.
    """
    if is_cut(raw, EXPORTED_LINE_MAX_BYTES):
        message = (
            f"An exported observation has at most {EXPORTED_LINE_MAX_BYTES} bytes; this is how it begins."
        )
        raise Invalid("line_too_long", message)
    said = _document(raw)
    _require_members(said, _MEMBERS, "")
    source = _object(said, "source")
    _require_members(source, frozenset(("name", "content_hash")), "source.")
    origin = _text(said, "origin")
    if origin not in ObservationOrigin.values:
        raise _wrong("origin", f"must be one of {', '.join(ObservationOrigin.values)}")
    version = said["schema_version"]
    if version is not None and not isinstance(version, str):
        raise _wrong("schema_version", f"must be a text or null, not {_kind_of(version)}")
    record, counts = _record(said)
    if origin == PROMOTION and counts:
        raise _wrong("fragments", "must be empty: a promotion observation carries none")
    return Exported(
        id=_uuid(said, "id"),
        content_id=_uuid(said, "content_id"),
        entity_type=_text(said, "entity_type"),
        user_id=_whole(said, "user_id", 1, ID_MAX),
        user_name=_text(said, "user", USERNAME_MAX),
        entity_key=_key(said),
        observed_us=_time(said),
        source=(_text(source, "name", NAME_MAX, "source."), _source_hash(source)),
        priority=_whole(said, "priority", PRIORITY_MIN, PRIORITY_MAX),
        specificity=_specificity(said),
        kind=_kind(said),
        origin=origin,
        ranks_as=_ranks_as(said, origin),
        record=record,
        counts=counts,
    )


def _document(raw: bytes) -> JsonObject:
    """What a line decodes to."""
    problem = encoding_problem(raw)
    if problem is not None:
        raise problem
    try:
        members = _members.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        decode(raw)  # says more of what is wrong; what it accepts is JSON, but no object
        raise Invalid("not_an_object", "An exported observation must be a JSON object.") from None
    document = {
        name: _fragments_of(value) if name == "fragments" else _value(value, name)
        for name, value in members.items()
    }
    repeated = repeated_key(raw, canonical_bytes(document))
    if repeated is not None:
        message = f"{_shown(repeated)} stands twice in one object; only one of its values could be kept."
        raise Invalid("duplicate_key", message, field=repeated)
    return document


def _fragments_of(raw: msgspec.Raw) -> Json:
    try:
        found = _fragments.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        _value(raw, "fragments")
        raise _wrong("fragments", "must be an array of objects") from None
    return [
        {name: _value(value, f"fragments[{place}].{name}") for name, value in fragment.items()}
        for place, fragment in enumerate(found)
    ]


def _value(raw: msgspec.Raw, field: str) -> Json:
    try:
        return decode(bytes(raw))
    except Unstorable as error:
        message = f"{_shown(field)}: {error.message}."
        raise Invalid(error.code, message, field=_shown(field), rule=error.context["rule"]) from None


def _require_members(said: JsonObject, wanted: frozenset[str], within: str) -> None:
    missing = sorted(wanted - said.keys())
    if missing:
        raise _wrong(f"{within}{missing[0]}", "is missing")
    unknown = sorted(said.keys() - wanted)
    if unknown:
        # Passing over it would lose what it says.
        raise _wrong(f"{within}{unknown[0]}", "is nothing that an exported observation has")


def _record(said: JsonObject) -> tuple[JsonObject, dict[str, int]]:
    """The record, and how often each of its fragments was seen."""
    record = dict(_object(said, "fields"))
    counts: dict[str, int] = {}
    fragments = said["fragments"]
    assert isinstance(fragments, list)  # noqa: S101  _fragments_of gives nothing else
    for place, fragment in enumerate(fragments):
        assert isinstance(fragment, dict)  # noqa: S101
        within = f"fragments[{place}]."
        _require_members(fragment, _FRAGMENT_MEMBERS, within)
        name = fragment["field"]
        if not isinstance(name, str):
            raise _wrong(f"{within}field", f"must be a text, not {_kind_of(name)}")
        if name in counts:
            raise _wrong(
                f"{within}field", f"{_shown(name)!r} stands in another fragment of this line already"
            )
        reason = _text(fragment, "reason", within=within)
        if reason not in FragmentReason.values:
            raise _wrong(f"{within}reason", f"must be one of {', '.join(FragmentReason.values)}")
        counts[name] = _whole(fragment, "count", 1, COUNT_MAX, within)
        record[name] = fragment["value"]
    for name in record:
        if len(name.encode()) > NAME_MAX_BYTES:
            message = f"A field name has at most {NAME_MAX_BYTES} bytes: {_shown(name)}"
            raise Invalid("name_too_long", message, field=_shown(name))
    return record, counts


def _uuid(said: JsonObject, name: str) -> str:
    value = said[name]
    if not isinstance(value, str) or _UUID.fullmatch(value) is None:
        raise _wrong(name, "must be a UUID as it is exported, in lower case with hyphens")
    return value


def _ranks_as(said: JsonObject, origin: str) -> str | None:
    if (said["ranks_as"] is not None) != (origin == PROMOTION):
        raise _wrong("ranks_as", "names an observation if, and only if, the origin is promotion")
    return None if said["ranks_as"] is None else _uuid(said, "ranks_as")


def _key(said: JsonObject) -> str:
    key = _text(said, "key")
    if len(key.encode()) > KEY_MAX_BYTES:
        raise Invalid("key_too_long", f"key: it is longer than {KEY_MAX_BYTES} bytes.", field="key")
    return key


def _time(said: JsonObject) -> int:
    text = _text(said, "observed_at")
    try:
        return to_us(parse_time(text))
    except ValueError as error:
        message = f"observed_at: {text[:60]!r} is {error}."
        raise Invalid("unreadable_time", message, field="observed_at") from None


def _source_hash(source: JsonObject) -> str:
    # '' is that of a source which is only a name.
    return _text(source, "content_hash", HASH_MAX, "source.") if source["content_hash"] != "" else ""


def _specificity(said: JsonObject) -> float:
    value = said["specificity"]
    if isinstance(value, (bool, str, list, dict)) or value is None:
        raise _wrong("specificity", f"must be a number, not {_kind_of(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not isfinite(number):
        raise _wrong("specificity", "must be a number that double precision can hold")
    return number


def _kind(said: JsonObject) -> str | None:
    if said["kind"] is None:
        return None
    kind = _text(said, "kind", KIND_MAX)
    if not kind.isprintable():
        raise _wrong("kind", "must be printable")
    return kind


def _whole(said: JsonObject, name: str, least: int, most: int, within: str = "") -> int:
    value = said[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _wrong(f"{within}{name}", f"must be a whole number from {least} to {most}")
    return value


def _text(said: JsonObject, name: str, longest: int | None = None, within: str = "") -> str:
    value = said[name]
    if not isinstance(value, str):
        raise _wrong(f"{within}{name}", f"must be a text, not {_kind_of(value)}")
    if not value:
        raise _wrong(f"{within}{name}", "must not be empty")
    if longest is not None and len(value) > longest:
        raise _wrong(f"{within}{name}", f"has at most {longest} characters")
    return value


def _object(said: JsonObject, name: str) -> JsonObject:
    value = said[name]
    if not isinstance(value, dict):
        raise _wrong(name, f"must be an object, not {_kind_of(value)}")
    return value


def _kind_of(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a text"
        case list():
            return "an array"
        case dict():
            return "an object"
        case _:
            return "a number"


def _wrong(field: str, problem: str) -> Invalid:
    return Invalid("invalid_observation", f"{_shown(field)}: {problem}.", field=_shown(field))


def _shown(name: str) -> str:
    return name[:60] + "…" if len(name) > 60 else name
