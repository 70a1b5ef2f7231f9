"""Records as they arrive: read line by line, and taken apart into what the options ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from datetime import datetime
from functools import cached_property
from math import isfinite
from typing import Any

import msgspec

from fragments.domain.exported import Exported
from fragments.domain.repeated_keys import repeated_key
from registry.domain.names import NAME_MAX_BYTES
from registry.domain.times import LAST_US, parse_time, to_us
from schemaevo.kernel.bulk import collector_paused
from schemaevo.kernel.canonical import (
    Json,
    JsonObject,
    Unstorable,
    canonical_bytes,
    decode,
    exact_number,
    is_storable_text,
)
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.owners import owner_name, owner_name_problem

#: The key stands in a unique index, whose rows PostgreSQL bounds at a third of a page.
KEY_MAX_BYTES = 1_000
#: What the columns of an observation hold.
PRIORITY_MIN, PRIORITY_MAX = -(2**31), 2**31 - 1
KIND_MAX = 63
#: A longer line is refused: it would be held several times over, and PostgreSQL bounds a JSON text at 256 MB.
LINE_MAX_BYTES = 16 * 2**20
_BOM = b"\xef\xbb\xbf"
# Only takes an object apart, so that the field can be named in which something is wrong.
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True)
class IngestOptions:
    """How records are read and trusted. Either `user_id` or `user_field` is given.

    With `is_export` the lines are exported observations, which say all that themselves; see `for_export`.
    """

    entity_type: str
    key_field: str
    user_id: int | None = None
    user_field: str | None = None
    create_users: bool = False
    observed_at_field: str | None = None
    id_field: str | None = None
    priority: int = 100
    specificity: float = 1.0
    kind: str | None = None
    batch_size: int = 1000
    is_export: bool = False

    @classmethod
    def for_export(cls, *, entity_type: str, create_users: bool = False) -> IngestOptions:
        """The options for exported observations: the fields are where a line of an export says these things."""
        return cls(
            entity_type=entity_type,
            key_field="key",
            user_field="user",
            create_users=create_users,
            observed_at_field="observed_at",
            id_field="id",
            is_export=True,
        )

    @cached_property
    def control_fields(self) -> frozenset[str]:
        """The fields that name the user, the key and the time.

        Not the one that names the observation: only a hash of its value is kept, so it has to be stored like any
        other field.
        """
        named = (self.user_field, self.key_field, self.observed_at_field)
        return frozenset(name for name in named if name is not None)

    @property
    def named_fields(self) -> frozenset[str]:
        """All fields that these options speak of."""
        return self.control_fields if self.id_field is None else self.control_fields | {self.id_field}

    @property
    def problem(self) -> str | None:
        """Why no observation can be stored with these options, in words, or None."""
        if not PRIORITY_MIN <= self.priority <= PRIORITY_MAX:
            return f"a priority is a whole number from {PRIORITY_MIN} to {PRIORITY_MAX}"
        if not isfinite(self.specificity):
            return "a specificity is a finite number"
        if self.kind is not None and not (0 < len(self.kind) <= KIND_MAX and self.kind.isprintable()):
            return f"an observation kind has 1 to {KIND_MAX} printable characters"
        if not all(is_storable_text(name) for name in self.named_fields):
            return "a field's name can hold neither NUL nor bytes that are no text"
        if self.batch_size < 1:
            return "a batch has at least one record"
        return None

    def to_json(self) -> JsonObject:
        """The options as the ingest run keeps them."""
        return {
            name: exact_number(value) if isinstance(value, float) else value
            for name, value in self._items()
            if value is not None
        }

    def _items(self) -> Iterator[tuple[str, Any]]:
        return ((option.name, getattr(self, option.name)) for option in dataclass_fields(self))


class Line(msgspec.Struct, frozen=True):
    """One record of the input, as it stands there; of JSON Lines this is a line.

    `record_number` counts what is not blank, from 1. `line_number` is where the record begins, among all lines;
    of a JSON array the elements are counted instead. `content` is what a reader of another format made of it: the
    fields, the observation of an export, or why there are none. Without it `raw` is a JSON text.
    """

    line_number: int
    record_number: int
    raw: bytes
    content: JsonObject | Exported | Invalid | None = None


class Record(msgspec.Struct, frozen=True):
    """A record that can be stored. `canonical` is the text of its fields, and `user_name` None where the options name
    the user; `exported` is all else that an exported observation says, which has an id and no need of a text."""

    line: Line
    fields: JsonObject
    canonical: bytes
    user_name: str | None
    entity_key: str
    observed_us: int
    given_id: str | None
    exported: Exported | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot be stored, and why: the rule it breaks, in words, and the field if it is in one."""

    line: Line
    code: str
    message: str
    field: str | None = None


@dataclass(slots=True)
class Parsed:
    """A batch of lines, taken apart. `records` and `rejections` together are all of them."""

    records: list[Record] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


def is_cut(piece: bytes, longest: int) -> bool:
    """Whether this is only the beginning of a line that is longer than that."""
    return len(piece) > longest and not piece.endswith(b"\n")


def jsonl_lines(stream: Iterable[bytes], *, longest: int | None = None) -> Iterator[Line]:
    """The lines of a JSON Lines stream that are not blank. A byte order mark at its start is skipped.

    Lines above `longest` bytes (default LINE_MAX_BYTES) come as they are cut.
    """
    most = LINE_MAX_BYTES if longest is None else longest
    record_number = 0
    for line_number, line in enumerate(stream, start=1):
        raw = line.removeprefix(_BOM) if line_number == 1 else line
        if not is_cut(line, most):
            raw = raw.strip()
        if raw:
            record_number += 1
            yield Line(line_number, record_number, raw)


@collector_paused()
def parse(lines: Iterable[Line], options: IngestOptions, default_observed_at: datetime | None) -> Parsed:
    """Every line as a record or a rejection; touches no database.

    A record without a time takes `default_observed_at` plus its number in microseconds, so that of two records
    of one entity the later line wins.
    """
    parsed = Parsed()
    default_us = None if default_observed_at is None else to_us(default_observed_at)
    for line in lines:
        try:
            parsed.records.append(_record(line, options, default_us))
        except Invalid as error:
            field = error.context.get("field")
            parsed.rejections.append(Rejection(line, error.code, error.message, field))
    return parsed


def _record(line: Line, options: IngestOptions, default_us: int | None) -> Record:
    if options.is_export:
        return _exported_record(line, options.entity_type)
    if len(line.raw) > LINE_MAX_BYTES:
        raise Invalid("line_too_long", f"A record has at most {LINE_MAX_BYTES} bytes; this is how it begins.")
    fields = _decoded(line.raw) if line.content is None else line.content
    if isinstance(fields, Invalid):
        raise fields
    assert not isinstance(fields, Exported)  # noqa: S101  only the reader of exports gives one
    # A character has four bytes at most: only where a name is long do they need to be measured.
    if max(map(len, fields), default=0) * 4 > NAME_MAX_BYTES:
        _require_short_names(fields)
    canonical = canonical_bytes(fields)
    if line.content is None:
        _require_distinct_keys(line.raw, canonical)
    return Record(
        line=line,
        fields=fields,
        canonical=canonical,
        user_name=None if options.user_field is None else _user_name(fields, options.user_field),
        entity_key=_key(fields, options.key_field),
        observed_us=_observed_us(fields, options.observed_at_field, default_us, line.record_number),
        given_id=None if options.id_field is None else _name(fields, options.id_field, "id"),
    )


def _exported_record(line: Line, entity_type: str) -> Record:
    exported = line.content
    if isinstance(exported, Invalid):
        raise exported
    assert isinstance(exported, Exported)  # noqa: S101  the reader of exports gives nothing else
    if exported.entity_type != entity_type:
        message = f"entity_type: the observation is of {_shown(exported.entity_type)}, not of {entity_type}."
        raise Invalid("other_entity_type", message, field="entity_type")
    return Record(
        line=line,
        fields=exported.record,
        canonical=b"",
        user_name=exported.user_name,
        entity_key=exported.entity_key,
        observed_us=exported.observed_us,
        given_id=exported.id,
        exported=exported,
    )


def _decoded(raw: bytes) -> JsonObject:
    try:
        fields = decode(raw)
    except Unstorable as error:
        problem = encoding_problem(raw)
        if problem is not None:
            raise problem from None
        name = _field_at_fault(raw)
        if name is None:
            raise
        message = f"{_shown(name)}: {error.message}."
        raise Invalid(error.code, message, field=name, rule=error.context["rule"]) from None
    if not isinstance(fields, dict):
        raise Invalid("not_an_object", "A record must be a JSON object.")
    return fields


def _require_short_names(fields: JsonObject) -> None:
    for name in fields:
        if len(name.encode()) > NAME_MAX_BYTES:
            raise Invalid(
                "name_too_long",
                f"A field name has at most {NAME_MAX_BYTES} bytes: {name[:40]}…",
                field=f"{name[:40]}…",
            )


def _require_distinct_keys(raw: bytes, canonical: bytes) -> None:
    repeated = repeated_key(raw, canonical)
    if repeated is not None:
        message = f"{_shown(repeated)} stands twice in one object; only one of its values could be kept."
        raise Invalid("duplicate_key", message, field=repeated)


def encoding_problem(raw: bytes) -> Invalid | None:
    """Why bytes are no text, naming the first that is wrong, or None."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return Invalid(
            "not_utf8",
            f"Byte {error.start + 1} of this record (0x{raw[error.start]:02X}) is not UTF-8; convert the file, "
            "as with: iconv -f ITS-ENCODING -t UTF-8",
            offset=error.start,
        )
    return None


def _field_at_fault(raw: bytes) -> str | None:
    """The field whose value alone breaks the rule, if the text can be taken apart into fields at all."""
    try:
        members = _members.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    for name, value in members.items():
        try:
            decode(bytes(value))
        except Unstorable:
            return name
    return None


def _shown(name: str) -> str:
    """A field's name as a message can hold it."""
    return name[:40] + "…" if len(name) > 40 else name


def _key(fields: JsonObject, name: str) -> str:
    key = _name(fields, name, "key")
    if len(key.encode()) > KEY_MAX_BYTES:
        raise Invalid("key_too_long", f"The key in {name} is longer than {KEY_MAX_BYTES} bytes.", field=name)
    return key


def _user_name(fields: JsonObject, name: str) -> str:
    user_name = owner_name(_name(fields, name, "user"))
    problem = owner_name_problem(user_name)
    if problem:
        raise Invalid("invalid_user", f"{name}: {problem}.", field=name)
    return user_name


def _name(fields: JsonObject, field_name: str, what: str) -> str:
    """What names something: a string that is not empty, or a whole number."""
    value: Json = fields.get(field_name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None:
        message = f"The record has no {field_name}, which names the {what}."
        raise Invalid(f"missing_{what}", message, field=field_name)
    if not isinstance(value, str) or not value:
        message = f"{field_name} must be a text that is not empty, or a whole number."
        raise Invalid(f"invalid_{what}", message, field=field_name)
    return value


def _observed_us(fields: JsonObject, field_name: str | None, default: int | None, record_number: int) -> int:
    value = fields.get(field_name) if field_name is not None else None
    if value is not None:
        if not isinstance(value, str):
            message = f"{field_name} must be an RFC 3339 text, not {type(value).__name__}."
            raise Invalid("unreadable_time", message, field=field_name)
        try:
            return to_us(parse_time(value))
        except ValueError as error:
            message = f"{field_name}: {value[:60]!r} is {error}."
            raise Invalid("unreadable_time", message, field=field_name) from None
    if default is None:
        message = f"The record has no {field_name}, and no default time is given."
        raise Invalid("missing_time", message, field=field_name)
    if default + record_number > LAST_US:
        message = "The default time plus the record's number is outside the years 1 to 9999."
        raise Invalid("unreadable_time", message)
    return default + record_number
