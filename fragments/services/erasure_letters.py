"""Erasure of dead letters: records that were refused, and so belong to nobody by any column.

Whose a letter is its own text tells, read as its run read it. Where it tells that it is another's it stays. Where it
tells nothing, since it could not be read, it goes if it names the owner, or the entity.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from fragments.domain.erasing import Clearing
from fragments.models import DeadLetter
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.models import Erasure
from schemaevo.kernel.owners import owner_name

#: Letters that one look is about; each is read alone, since it may be megabytes.
LETTERS_AT_ONCE: Final = 200

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Look(NamedTuple):
    """Letters that belong to whom is erased, of some that were looked at up to `last`; None where there are no more."""

    ids: list[int]
    last: int | None


def letters_look(erasure: Erasure, called: Clearing, after: int) -> Look:
    """The next letters after that number, and those of them that go. Changes nothing."""
    listed = list(
        DeadLetter.objects.filter(pk__gt=after)
        .order_by("pk")
        .values_list("pk", "message", "run__options", "run__entity_type")[:LETTERS_AT_ONCE]
    )
    ids = [
        number
        for number, message, options, entity_type in listed
        if _may_be(erasure, options, entity_type) and _is_of(erasure, called, number, message, options)
    ]
    return Look(ids, listed[-1][0] if len(listed) == LETTERS_AT_ONCE else None)


def _may_be(erasure: Erasure, options: JsonObject, entity_type: str) -> bool:
    """Whether a letter of such a run may be about whom is erased."""
    is_of_type = erasure.entity_id is None or entity_type == erasure.entity_type
    return is_of_type and options.get("user_id") in (None, erasure.user_id)


def _is_of(erasure: Erasure, called: Clearing, number: int, message: str, options: JsonObject) -> bool:
    is_of_owner = options.get("user_id") == erasure.user_id
    if erasure.entity_id is None and is_of_owner:
        return True
    raw = bytes(DeadLetter.objects.values_list("raw", flat=True).get(pk=number))
    told = _read(raw)
    owner, key = (_named(told, options.get(option)) for option in ("user_field", "key_field"))
    names_it = called.is_in(f"{raw.decode(errors='replace')}\n{message}")
    if erasure.entity_id is None:
        return names_it if owner is None else owner_name(owner) == erasure.user.username
    if owner is not None and owner_name(owner) != erasure.user.username:
        return False
    return names_it if key is None else key in [str(name) for name in erasure.names]


def _read(raw: bytes) -> dict[str, msgspec.Raw]:
    """The fields of a letter, as far as it can be taken apart."""
    try:
        return _fields.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _named(told: dict[str, msgspec.Raw], field: Json) -> str | None:
    """What the letter says in that field, where it names something."""
    if not isinstance(field, str) or field not in told:
        return None
    try:
        value = msgspec.json.decode(told[field])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None
