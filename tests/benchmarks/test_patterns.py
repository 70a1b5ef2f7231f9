"""Pattern analysis of many users with many fields: how long it takes, and that its memory does not grow with them.

The floor reads the same rows once, by a server-side cursor, and does nothing with them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from django.db import connection, transaction

from fragments.models import RawFragmentAggregate
from fragments.services.patterns import candidates_propose, patterns_look
from registry.models import ExtensionRevision, Proposal
from schemaevo.kernel.canonical import Json, canonical_json, content_hash
from schemaevo.kernel.owners import owners_create
from tests.benchmarks.commands import peak_memory_of
from tests.benchmarks.figures import Printer, alternating, scaled, seconds
from tests.benchmarks.histories import copy_rows, vacuum
from tests.benchmarks.records import ACTOR, EPOCH, register

USERS = scaled(10_000, at_least=50)
FEW_USERS = max(USERS // 10, 20)
#: Names that users have fields of: a fifth is shared by most, the others by few or by one alone.
FIELDS_MAX = 200
SHARED = 250
WAITING = 40
MANY, FEW = "many_users", "few_users"
#: Rows of 200 fields each are copied at once.
COPIED_AT_ONCE = 1_000


def test_analysis_of_many_users_with_many_fields(printer: Printer) -> None:
    for entity_type, users in ((MANY, USERS), (FEW, FEW_USERS)):
        register(entity_type=entity_type)
        _store(entity_type, users)
    vacuum("user_schema_extensions", "raw_fragment_aggregates")
    declared = ExtensionRevision.objects.filter(entity_type=MANY).count()
    waiting = RawFragmentAggregate.objects.filter(entity_type=MANY).count()
    assert declared == USERS

    patterns = patterns_look(entity_type=MANY)
    assert len(patterns.candidates) > SHARED // 2
    look_s, floor_s = alternating(
        lambda: seconds(lambda: patterns_look(entity_type=MANY)), lambda: seconds(_read_once)
    )
    printer.figure(
        f"analysis of {USERS:,} users, {patterns.looked_at:,} shared fields, {waiting:,} aggregates",
        f"{look_s:.2f} s",
        f"{floor_s:.2f} s",
        look_s / floor_s,
        "<= 30 s",
    )
    drafted_s = seconds(
        lambda: candidates_propose(entity_type=MANY, candidates=patterns.candidates, actor=ACTOR)
    )
    again_s = seconds(
        lambda: candidates_propose(entity_type=MANY, candidates=patterns.candidates, actor=ACTOR)
    )
    assert Proposal.objects.count() == len(patterns.candidates)
    printer.figure(
        f"{len(patterns.candidates):,} drafts written, floor: the same once more",
        f"{drafted_s:.2f} s",
        f"{again_s:.2f} s",
        drafted_s / again_s,
        "<= 30 s in all",
    )
    # Of the drafts nothing is left: what is compared is the look.
    many, few = (peak_memory_of("analyze_patterns", "--entity-type", t, "--dry-run") for t in (MANY, FEW))
    printer.figure(
        f"peak memory of an analysis of {USERS:,} users, floor: of {FEW_USERS:,}",
        f"{many / 1024:.1f} MiB",
        f"{few / 1024:.1f} MiB",
        many / few,
        "<= 1.3",
    )


def _read_once() -> None:
    """Every row that an analysis of the type is about comes here once."""
    for sql in (
        "SELECT user_id, additional_fields FROM user_schema_extensions WHERE entity_type = %s AND is_active",
        "SELECT user_id, fragment_key, type_counts, format_counts FROM raw_fragment_aggregates WHERE entity_type = %s",
    ):
        with transaction.atomic(), connection.chunked_cursor() as cursor:
            cursor.execute(sql, [MANY])
            while cursor.fetchmany(2_000):
                pass


def _store(entity_type: str, users: int) -> None:
    """Extensions of up to so many fields, and aggregates of what is not declared yet."""
    rng = random.Random(entity_type)
    owners = list(owners_create([f"{entity_type}-{n}" for n in range(users)]).values())
    # Quotas are counted by every statement, and are not what is measured.
    _triggers("DISABLE")
    for first in range(0, len(owners), COPIED_AT_ONCE):
        some = owners[first : first + COPIED_AT_ONCE]
        with transaction.atomic():
            copy_rows("user_schema_extensions", EXTENSION_COLUMNS, _extensions(rng, entity_type, some))
            copy_rows("raw_fragment_aggregates", AGGREGATE_COLUMNS, _aggregates(rng, entity_type, some))
    _triggers("ENABLE")


def _triggers(verb: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE user_schema_extensions {verb} TRIGGER USER")


EXTENSION_COLUMNS = (
    *("user_id", "entity_type", "revision", "base_schema_version", "additional_fields", "field_overrides"),
    *("content_hash", "is_active", "cause", "absorbed", "note"),
)
AGGREGATE_COLUMNS = (
    *("user_id", "entity_type", "fragment_key", "sample_count", "frequency_total", "type_counts"),
    *("format_counts", "unique_sources", "last_seen_at"),
)


def _extensions(rng: random.Random, entity_type: str, owners: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    for owner in owners:
        count = rng.randint(FIELDS_MAX // 2, FIELDS_MAX)
        names = [_shared(rng) if rng.random() < 0.8 else f"own_{owner}_{n}" for n in range(count)]
        fields: dict[str, Json] = {name: {"type": _type_of(rng, name)} for name in names}
        yield (
            *(owner, entity_type, 1, "1.0.0", canonical_json(fields), "{}"),
            *(content_hash(fields), True, "edit", "{}", ""),
        )


def _aggregates(rng: random.Random, entity_type: str, owners: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    for owner in owners:
        names = {_shared(rng) for _ in range(WAITING)} | {f"rare_{owner}_{n}" for n in range(WAITING // 4)}
        for name in sorted(names):
            kind = _type_of(rng, name)
            form = {"string": "text", "number": "integer", "date": "date"}[kind]
            yield (
                *(owner, entity_type, name, 20, 20, canonical_json({kind: 20})),
                *(canonical_json({f"{kind}:{form}": 20}), 1, EPOCH + timedelta(seconds=owner)),
            )


def _shared(rng: random.Random) -> str:
    """The first names are those of many users."""
    return f"{_WORDS[int(rng.random() ** 2 * SHARED)]}_name"


def _type_of(rng: random.Random, name: str) -> str:
    """The same for nearly all who have the name."""
    kinds = ("string", "number", "date")
    return kinds[(len(name) + (rng.random() < 0.02)) % 3]


_LETTERS = "bcdfghklmnprstvz"
_WORDS = [f"{_LETTERS[n % 16]}a{_LETTERS[n // 16 % 16]}o{_LETTERS[(n * 7) % 16]}u" for n in range(SHARED)]
