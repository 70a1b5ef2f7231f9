"""Records as they arrive: read line by line, and taken apart into what the options ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any

from registry.domain.names import NAME_MAX_BYTES
from registry.domain.times import from_us, parse_time, to_us
from schemaevo.kernel.bulk import collector_paused
from schemaevo.kernel.canonical import Json, JsonObject, decode, exact_number
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.owners import owner_name_problem

#: The key stands in a unique index, whose rows PostgreSQL bounds at a third of a page.
KEY_MAX_BYTES = 1_000
#: What the columns of an observation hold.
PRIORITY_MIN, PRIORITY_MAX = -(2**31), 2**31 - 1
KIND_MAX = 63
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How records are read and trusted. Either `user_id` or `user_field` is given."""

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

    @property
    def control_fields(self) -> frozenset[str]:
        """The fields that name the user, the key and the time.

        Not the one that names the observation: only a hash of its value is kept, so it has to be stored like any
        other field.
        """
        named = (self.user_field, self.key_field, self.observed_at_field)
        return frozenset(name for name in named if name is not None)

    @property
    def problem(self) -> str | None:
        """Why no observation can be stored with these options, in words, or None."""
        if not PRIORITY_MIN <= self.priority <= PRIORITY_MAX:
            return f"a priority is a whole number from {PRIORITY_MIN} to {PRIORITY_MAX}"
        if not isfinite(self.specificity):
            return "a specificity is a finite number"
        if self.kind is not None and not (0 < len(self.kind) <= KIND_MAX and self.kind.isprintable()):
            return f"an observation kind has 1 to {KIND_MAX} printable characters"
        return None

    def to_json(self) -> JsonObject:
        """The options as the ingest run keeps them."""
        return {
            name: exact_number(value) if isinstance(value, float) else value
            for name, value in self._items()
            if value is not None
        }

    def _items(self) -> Iterator[tuple[str, Any]]:
        return ((name, getattr(self, name)) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input. `record_number` counts what is not blank, from 1; so does `line_number` all."""

    line_number: int
    record_number: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """A record that can be stored. `user_name` is None where the options name the user."""

    line: Line
    fields: JsonObject
    user_name: str | None
    entity_key: str
    observed_at: datetime
    given_id: str | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot be stored, and why."""

    line: Line
    code: str
    message: str


@dataclass(slots=True)
class Parsed:
    """A batch of lines, taken apart. `records` and `rejections` together are all of them."""

    records: list[Record] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


def jsonl_lines(stream: Iterable[bytes]) -> Iterator[Line]:
    """The lines of a JSON Lines stream that are not blank. A byte order mark at its start is skipped."""
    record_number = 0
    for line_number, line in enumerate(stream, start=1):
        raw = (line.removeprefix(_BOM) if line_number == 1 else line).strip()
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
    for line in lines:
        try:
            parsed.records.append(_record(line, options, default_observed_at))
        except Invalid as error:
            parsed.rejections.append(Rejection(line, error.code, error.message))
    return parsed


def _record(line: Line, options: IngestOptions, default_observed_at: datetime | None) -> Record:
    fields = decode(line.raw)
    if not isinstance(fields, dict):
        raise Invalid("not_an_object", "A record must be a JSON object.")
    for name in fields:
        # Characters are at least one byte: only a long name needs to be measured.
        if len(name) * 4 > NAME_MAX_BYTES and len(name.encode()) > NAME_MAX_BYTES:
            raise Invalid("name_too_long", f"A field name has at most {NAME_MAX_BYTES} bytes: {name[:40]}…")
    return Record(
        line=line,
        fields=fields,
        user_name=None if options.user_field is None else _user_name(fields, options.user_field),
        entity_key=_key(fields, options.key_field),
        observed_at=_observed_at(fields, options.observed_at_field, default_observed_at, line.record_number),
        given_id=None if options.id_field is None else _name(fields, options.id_field, "id"),
    )


def _key(fields: JsonObject, name: str) -> str:
    key = _name(fields, name, "key")
    if len(key.encode()) > KEY_MAX_BYTES:
        raise Invalid("key_too_long", f"The key in {name} is longer than {KEY_MAX_BYTES} bytes.")
    return key


def _user_name(fields: JsonObject, name: str) -> str:
    user_name = _name(fields, name, "user")
    problem = owner_name_problem(user_name)
    if problem:
        raise Invalid("invalid_user", f"{name}: {problem}.")
    return user_name


def _name(fields: JsonObject, field_name: str, what: str) -> str:
    """What names something: a string that is not empty, or a whole number."""
    value: Json = fields.get(field_name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None:
        raise Invalid(f"missing_{what}", f"The record has no {field_name}, which names the {what}.")
    if not isinstance(value, str) or not value:
        raise Invalid(f"invalid_{what}", f"{field_name} must be a text that is not empty, or a whole number.")
    return value


def _observed_at(
    fields: JsonObject, field_name: str | None, default: datetime | None, record_number: int
) -> datetime:
    value = fields.get(field_name) if field_name is not None else None
    if value is not None:
        if not isinstance(value, str):
            raise Invalid(
                "unreadable_time", f"{field_name} must be an RFC 3339 text, not {type(value).__name__}."
            )
        try:
            return parse_time(value)
        except ValueError as error:
            raise Invalid("unreadable_time", f"{field_name}: {value[:60]!r} is {error}.") from None
    if default is None:
        raise Invalid("missing_time", f"The record has no {field_name}, and no default time is given.")
    try:
        return from_us(to_us(default) + record_number)
    except ValueError as error:
        raise Invalid("unreadable_time", f"The default time plus the record's number is {error}.") from None
