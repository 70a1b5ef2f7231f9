"""JSON enters by one strict door and has exactly one written form.

Numbers are `int` or `Decimal`, never `float`, everywhere inside the system: 1e23 read as a float comes back
from jsonb as another integer. What passed `decode` therefore has one value per meaning, and the canonical
text (keys by code point, numbers by value, strings untouched, no spaces) can be compared and hashed as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from hashlib import sha256
from typing import TypeAlias, TypeVar, cast

import msgspec

from schemaevo.kernel.errors import Invalid

Json: TypeAlias = "bool | int | Decimal | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = "dict[str, Json]"
Kind = TypeVar("Kind", bound=msgspec.Struct)

MAX_EXPONENT = 308
MAX_NESTING = 100
# A jsonb number holds at most 16,383 digits after its point; with the exponent's bound this stays inside.
MAX_NUMBER_LENGTH = 16_000

_INTEGER_BOUND = 10 ** (MAX_EXPONENT + 1)
# Never rounds: the default context would cut a number at 28 digits.
_UNROUNDED = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)

# Nearly every fraction is written like this: not whole, without an exponent or a zero at its end, and in bounds. Such
# a one is exact as it stands.
_PLAIN_FRACTION = re.compile(r"-?[0-9]{1,300}\.[0-9]{0,300}[1-9]")

# Every digit becomes "0" and every other byte " ", so that a long run of digits is found by one substring
# search.
_DIGITS_ONLY = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_TOO_MANY_DIGITS = b"0" * (MAX_EXPONENT + 2)

_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_NOT_A_NUMBER = re.compile(rb'(?<![\w"])-?(?:NaN|Infinity)(?![\w"])')


class Unstorable(Invalid):
    """A JSON text or value cannot be stored exactly; `context["rule"]` names the rule it breaks.

    Rules: malformed, not_a_number (NaN and infinities), nul, surrogate, nesting, number.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__("unstorable_json", message, rule=rule)


def exact_number(number: str | int | float | Decimal) -> int | Decimal:
    """The one value that stands for a number: an `int` if whole, else a `Decimal` without trailing zeros.

    Raises ValueError for what is no finite number, has an exponent beyond 308, or more digits than jsonb
    keeps.
    """
    if isinstance(number, bool):
        raise ValueError("a boolean is not a number")
    if isinstance(number, int):
        if -_INTEGER_BOUND < number < _INTEGER_BOUND:
            return int(number)
        raise ValueError(f"a number's exponent must be within ±{MAX_EXPONENT}")
    if isinstance(number, float):
        number = repr(number)
    if isinstance(number, str):
        if len(number) > MAX_NUMBER_LENGTH:
            raise ValueError(f"a number may have at most {MAX_NUMBER_LENGTH} digits")
        try:
            number = Decimal(number)
        except InvalidOperation:
            raise ValueError("not a number, or one with an exponent that no computer keeps") from None
    elif len(number.as_tuple().digits) > MAX_NUMBER_LENGTH:
        raise ValueError(f"a number may have at most {MAX_NUMBER_LENGTH} digits")
    if not number.is_finite():
        raise ValueError("NaN and infinities are not numbers that can be stored")
    if not number:
        return 0
    if not -MAX_EXPONENT <= number.adjusted() <= MAX_EXPONENT:
        raise ValueError(f"a number's exponent must be within ±{MAX_EXPONENT}")
    whole = int(number)
    return whole if whole == number else number.normalize(_UNROUNDED)


def _exact_fraction(number: str) -> int | Decimal:
    """As `exact_number`, for what a JSON text holds that is no plain integer."""
    if _PLAIN_FRACTION.fullmatch(number):
        return Decimal(number)
    return exact_number(number)


# Coders hold no state between calls, so one of each serves every thread.
_decoder = msgspec.json.Decoder(float_hook=_exact_fraction)
_encoder = msgspec.json.Encoder(order="sorted", decimal_format="number")


def decode(data: bytes | str) -> Json:
    """The value of one strict JSON text, safe to store and to compare.

    Of a key that is repeated within one object the last value counts, as in jsonb.
    Raises Unstorable.
    """
    if isinstance(data, str):
        try:
            data = data.encode()
        except UnicodeEncodeError:
            raise Unstorable("surrogate", "the text holds a lone surrogate") from None
    try:
        value = cast(Json, _decoder.decode(data))
    except RecursionError:
        raise Unstorable("nesting", f"nested deeper than {MAX_NESTING}") from None
    except msgspec.ValidationError as error:
        # The decoder wraps what exact_number refuses, and reports integers beyond its own bound the same way.
        raise Unstorable("number", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(data, error) from None
    if _is_suspicious(data):
        require_storable(value)
    return value


def decode_trusted(data: bytes | str) -> Json:
    """The value of a JSON text that passed `decode` before it was stored."""
    return cast(Json, _decoder.decode(data))


def trusted_reader(kind: type[Kind]) -> Callable[[str], Kind]:
    """What reads JSON texts that passed `decode` before they were stored, as structs of that kind.

    Of what the kind leaves open the values are as `decode` gives them.
    """
    return msgspec.json.Decoder(kind, float_hook=_exact_fraction).decode


def canonical_bytes(value: Json) -> bytes:
    """The canonical text of a value whose numbers went through `exact_number`, as UTF-8."""
    return _encoder.encode(value)


def canonical_json(value: Json | msgspec.Struct) -> str:
    """The canonical text of a value whose numbers went through `exact_number`; a struct is the object of its fields."""
    return _encoder.encode(value).decode()


def content_hash(value: Json) -> str:
    """The sha256, in hex, of the canonical text."""
    return sha256(_encoder.encode(value)).hexdigest()


def require_storable(value: Json) -> None:
    """Refuses a value that jsonb would not give back as it is, wherever in it the fault lies.

    For values that did not come through `decode`, such as cells of a CSV file. Raises Unstorable.
    """
    waiting: list[tuple[Json, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            _require_storable_text(item)
        elif isinstance(item, (list, dict)):
            if depth > MAX_NESTING:
                raise Unstorable("nesting", f"nested deeper than {MAX_NESTING}")
            if isinstance(item, dict):
                for key in item:
                    _require_storable_text(key)
                waiting.extend((child, depth + 1) for child in item.values())
            else:
                waiting.extend((child, depth + 1) for child in item)
        elif isinstance(item, (int, Decimal)) and not isinstance(item, bool):
            try:
                exact_number(item)
            except ValueError as error:
                raise Unstorable("number", str(error)) from None


def is_storable_text(text: str) -> bool:
    """Whether PostgreSQL takes a text: one with NUL or a lone surrogate can be neither stored nor looked for."""
    try:
        _require_storable_text(text)
    except Unstorable:
        return False
    return True


def _require_storable_text(text: str) -> None:
    if "\0" in text:
        raise Unstorable("nul", "a text holds the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unstorable("surrogate", "a text holds a lone surrogate") from None


def _is_suspicious(data: bytes) -> bool:
    """Whether a decoded text could break a rule that the decoder does not check.

    Three searches over the bytes cost a tenth of a walk over the values, and nearly every record passes them.
    """
    return (
        b"\\u0000" in data
        or data.count(b"[") + data.count(b"{") > MAX_NESTING
        or (len(data) > MAX_EXPONENT and _TOO_MANY_DIGITS in data.translate(_DIGITS_ONLY))
    )


def _malformed(data: bytes, error: Exception) -> Unstorable:
    """The most useful name for what the decoder refused."""
    if _LONE_SURROGATE.search(data):
        return Unstorable("surrogate", "a text holds a lone surrogate")
    if _NOT_A_NUMBER.search(data):
        return Unstorable("not_a_number", "NaN and infinities are not JSON")
    return Unstorable("malformed", str(error))
