"""Records of one made-up shape: ten declared fields of all types but merge_array, values at random.

Every record has every field and values of a fixed length, so that snapshots are of one size however long their
history is.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from registry.domain.effective import EffectiveSchema
from registry.selectors import effective_schema
from registry.services.activation import schema_activate
from registry.services.schemas import schema_register
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject, canonical_bytes
from schemaevo.kernel.owners import owners_create

ENTITY_TYPE = "order"
KEY_FIELD = "number"
USER_FIELD = "shop"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

#: The ten declared fields; the key and the owner are named by options and are not among them.
DEFINITION: JsonObject = {
    "fields": {
        "buyer": {"type": "string"},
        "status": {"type": "string", "constraints": {"enum": ["open", "paid", "sent", "lost"]}},
        "currency": {"type": "string", "constraints": {"min_length": 3, "max_length": 3}},
        "note": {"type": "string"},
        "amount": {"type": "number", "constraints": {"min": 0}},
        "items": {"type": "number"},
        "due": {"type": "date"},
        "express": {"type": "boolean"},
        "labels": {"type": "array"},
        "address": {"type": "object"},
    },
    "merge_policies": {
        "status": {"strategy": "highest_priority"},
        "amount": {"strategy": "most_specific", "tie_breaker": "source_priority"},
    },
}
ACTOR = Actor.system("bench")

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def register(document: JsonObject = DEFINITION, *, entity_type: str = ENTITY_TYPE) -> None:
    """The definition is in force for every user."""
    registered = schema_register(entity_type=entity_type, document=document, actor=ACTOR)
    schema_activate(version_id=registered.version.pk, actor=ACTOR)


def make_owner(name: str) -> int:
    """The id of a new user."""
    return owners_create([name])[name]


def schema_of(user_id: int) -> EffectiveSchema:
    return effective_schema(entity_type=ENTITY_TYPE, user_id=user_id)


def random_fields(rng: random.Random) -> JsonObject:
    """A value for each declared field."""
    return {
        "buyer": _text(rng, 12),
        "status": rng.choice(["open", "paid", "sent", "lost"]),
        "currency": rng.choice(["EUR", "USD", "GBP"]),
        "note": _text(rng, 40),
        "amount": Decimal(rng.randrange(10_001, 99_999, 10)) / 100,
        "items": rng.randint(10, 99),
        "due": (EPOCH + timedelta(seconds=rng.randrange(31_536_000))).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "express": rng.random() < 0.5,
        "labels": [_text(rng, 4) for _ in range(3)],
        "address": {"street": _text(rng, 16), "city": _text(rng, 8)},
    }


def write_records(path: Path, *, records: int, entities: int, users: int, undeclared: int = 0) -> None:
    """A file of so many records, of entities and owners at random, each with so many undeclared fields."""
    rng = random.Random(records)
    with path.open("wb") as file:
        for _ in range(records):
            entity = rng.randrange(entities)
            extra: dict[str, Json] = {f"extra_{n}": _text(rng, 10) for n in range(undeclared)}
            record = {
                KEY_FIELD: f"order-{entity}",
                USER_FIELD: f"shop-{entity % users}",
                **random_fields(rng),
                **extra,
            }
            file.write(canonical_bytes(record) + b"\n")


def _text(rng: random.Random, length: int) -> str:
    return "".join(rng.choices(_LETTERS, k=length))
