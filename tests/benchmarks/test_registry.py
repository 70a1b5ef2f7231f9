"""The registry: loading schemas from the cache, composing them, and activating one that thousands extend."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from registry.cache import cache_clear, cache_figures, load_active_schema, load_current_schemas
from registry.domain.composition import compose
from registry.domain.definition import Definition
from registry.domain.extension import Extension
from registry.models import ExtensionRevision
from registry.services.activation import schema_activate
from registry.services.schemas import schema_register
from registry.services.settling import CHUNK_USERS, extensions_settle
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json, content_hash
from schemaevo.kernel.owners import owners_create
from tests.benchmarks.figures import ROUNDS, Printer, alternating, scaled, seconds
from tests.benchmarks.histories import copy_rows, vacuum
from tests.benchmarks.records import ACTOR, ENTITY_TYPE, make_owner, register

GLOBAL_FIELDS = 200
ADDITIONAL_FIELDS = 40
OVERRIDES = 10
BATCH_USERS = settings.SCHEMAEVO_INGEST_BATCH_USERS
FEW_TYPE = "rarely_extended"
FEW = 10
MANY = scaled(10_000, at_least=50)
ACTIVATIONS = scaled(20, at_least=2)
#: Declared by the second version of a type, and by every extension before.
ABSORBED = "absorbed"


def test_a_cached_load(printer: Printer) -> None:
    register()
    owner = make_owner("owner")
    load_active_schema(entity_type=ENTITY_TYPE, user_id=owner)
    calls = scaled(100_000, at_least=100)
    held = {(ENTITY_TYPE, owner): object()}

    def measured() -> None:
        for _ in range(calls):
            load_active_schema(entity_type=ENTITY_TYPE, user_id=owner)

    def floor() -> None:
        for _ in range(calls):
            held[ENTITY_TYPE, owner]

    misses = cache_figures().misses
    with CaptureQueriesContext(connection) as queries:
        system_s, floor_s = alternating(partial(seconds, measured), partial(seconds, floor))
    assert (len(queries), cache_figures().misses) == (0, misses)
    _print(
        printer,
        "load_active_schema on a hit, floor: a dict",
        system_s / calls,
        floor_s / calls,
        "<= 2 µs",
        "µs",
    )


def test_current_schemas_of_a_batch(printer: Printer) -> None:
    """What an ingest transaction pays: nothing was changed, so that the epochs are all it asks for."""
    register()
    users = list(owners_create([f"owner-{n}" for n in range(BATCH_USERS)]).values())
    calls = scaled(50, at_least=2)
    load_current_schemas(entity_type=ENTITY_TYPE, user_ids=users)

    def measured() -> None:
        for _ in range(calls):
            load_current_schemas(entity_type=ENTITY_TYPE, user_ids=users)

    def floor() -> None:
        for _ in range(calls):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT user_id, epoch FROM schema_epochs WHERE entity_type = %s"
                    " AND (user_id IS NULL OR user_id = ANY(%s))",
                    [ENTITY_TYPE, users],
                )
                cursor.fetchall()

    before = cache_figures()
    with transaction.atomic():
        system_s, floor_s = alternating(partial(seconds, measured), partial(seconds, floor))
    after = cache_figures()
    assert (after.misses, after.stale) == (before.misses, before.stale)
    name = f"load_current_schemas of {BATCH_USERS} users, all hits, floor: the query"
    _print(printer, name, system_s / calls, floor_s / calls, "none")


def test_composing(printer: Printer) -> None:
    shared = Definition.from_json(
        {
            "fields": {
                f"global_{n}": {"type": "string", "constraints": {"max_length": 100}}
                for n in range(GLOBAL_FIELDS)
            },
            "merge_policies": {
                f"global_{n}": {"strategy": "highest_priority"} for n in range(0, GLOBAL_FIELDS, 4)
            },
        }
    )
    extension = Extension.from_json(
        {
            "additional_fields": {
                f"own_{n}": {"type": "number", "merge_policy": {"strategy": "most_specific"}}
                for n in range(ADDITIONAL_FIELDS)
            },
            "field_overrides": {f"global_{n}": {"constraints": {"max_length": 50}} for n in range(OVERRIDES)},
        }
    )
    composition = compose(shared, extension)
    assert len(composition.definition.fields) == GLOBAL_FIELDS + ADDITIONAL_FIELDS
    assert not composition.conflicts
    calls = scaled(200, at_least=2)

    def measured() -> None:
        for _ in range(calls):
            compose(shared, extension)

    def used() -> None:
        for _ in range(calls):
            compose(shared, extension).definition.reduction_hash  # noqa: B018  computed when it is asked for

    def floor() -> None:
        for _ in range(calls):
            {**shared.fields, **extension.additional_fields}  # noqa: B018
            {**shared.merge_policies, **extension.merge_policies}  # noqa: B018

    name = f"composing {GLOBAL_FIELDS} fields with {ADDITIONAL_FIELDS} and {OVERRIDES} overrides"
    system_s, floor_s = alternating(partial(seconds, measured), partial(seconds, floor))
    _print(printer, f"{name}, floor: copying", system_s / calls, floor_s / calls, "none")
    system_s, floor_s = alternating(partial(seconds, used), partial(seconds, floor))
    _print(printer, "the same with its reduction hash", system_s / calls, floor_s / calls, "none")


def test_a_global_activation_that_many_extend(printer: Printer) -> None:
    versions = {kind: _two_versions(kind) for kind in (ENTITY_TYPE, FEW_TYPE)}
    users = _make_extensions(ENTITY_TYPE, MANY, "owner")
    few = _make_extensions(FEW_TYPE, FEW, "other")
    _print_first_loads(printer, users)
    cache_clear()
    many_s, few_s = alternating(
        lambda: _activations(versions[ENTITY_TYPE]), lambda: _activations(versions[FEW_TYPE])
    )
    name = f"global activation with {MANY:,} extensions, floor: with {FEW}"
    _print(printer, name, many_s / ACTIVATIONS, few_s / ACTIVATIONS, "<= 1.3")

    def with_cache(entity_type: str, user_ids: list[int]) -> float:
        for version_id in versions[entity_type]:
            _activate(version_id)
        _fill_cache(entity_type, user_ids)
        return seconds(lambda: _activate(versions[entity_type][0]))

    many_s, few_s = alternating(lambda: with_cache(ENTITY_TYPE, users), lambda: with_cache(FEW_TYPE, few))
    _print(printer, "the same where the cache holds all their schemas", many_s, few_s, "<= 1.3")


def _print_first_loads(printer: Printer, users: list[int]) -> None:
    """Of users whose extensions this process has not met: five times as many as a batch has, none twice."""
    size = min(BATCH_USERS, len(users) // ROUNDS)
    batches = [users[start : start + size] for start in range(0, size * ROUNDS, size)]
    remaining = iter(batches)
    again = iter(batches)

    def floor() -> None:
        rows = ExtensionRevision.objects.filter(user__in=next(again), entity_type=ENTITY_TYPE, is_active=True)
        assert len([row.parsed for row in rows]) == size

    system_s, floor_s = alternating(
        lambda: seconds(lambda: load_current_schemas(entity_type=ENTITY_TYPE, user_ids=next(remaining))),
        lambda: seconds(floor),
    )
    name = f"first load of {size} extended schemas, floor: reading them"
    _print(printer, name, system_s, floor_s, "none")


def test_settling(printer: Printer) -> None:
    """What follows a global activation in the background, once: a field leaves every extension."""
    _, second = _two_versions(ENTITY_TYPE)
    users = _make_extensions(ENTITY_TYPE, scaled(1_000, at_least=CHUNK_USERS), "owner")
    _activate(second)
    rows = ExtensionRevision.objects.filter(entity_type=ENTITY_TYPE)
    system_s = seconds(_settle)
    absorbed = list(rows.filter(is_active=True).order_by("user_id").values_list("user_id", "content_hash"))
    assert len(absorbed) == len(users)
    assert not rows.filter(is_active=True, additional_fields__has_key=ABSORBED).exists()
    floor_s = seconds(lambda: _write_revisions(users))
    printer.figure(
        f"settling {len(users):,} extensions, floor: writing the rows",
        f"{len(users) / system_s:,.0f}/s",
        f"{len(users) / floor_s:,.0f}/s",
        floor_s / system_s,
        "none",
    )


def _two_versions(entity_type: str) -> tuple[int, int]:
    """The ids of two versions, the first of them in force; the second declares ABSORBED as well."""
    fields: dict[str, Json] = {f"global_{n}": {"type": "string"} for n in range(20)}
    more: dict[str, Json] = {**fields, ABSORBED: {"type": "string"}}
    ids = [
        schema_register(entity_type=entity_type, document={"fields": declared}, actor=ACTOR).version.pk
        for declared in (fields, more)
    ]
    _activate(ids[0])
    return ids[0], ids[1]


def _activate(version_id: int) -> None:
    schema_activate(version_id=version_id, actor=ACTOR, without_review="a benchmark")


def _activations(versions: tuple[int, int]) -> float:
    """So many activations, each of the version that is not in force."""

    def work() -> None:
        for number in range(ACTIVATIONS):
            _activate(versions[(number + 1) % 2])

    _activate(versions[0])
    return seconds(work)


def _fill_cache(entity_type: str, user_ids: list[int]) -> None:
    cache_clear()
    for start in range(0, len(user_ids), BATCH_USERS):
        load_current_schemas(entity_type=entity_type, user_ids=user_ids[start : start + BATCH_USERS])
    assert cache_figures().entries == min(len(user_ids), settings.SCHEMAEVO_SCHEMA_CACHE_MAX)


def _make_extensions(entity_type: str, count: int, name: str) -> list[int]:
    """So many users, each with an extension of two fields; written at once, since only the reading is measured."""
    user_ids = sorted(owners_create([f"{name}-{n}" for n in range(count)]).values())
    with transaction.atomic():
        copy_rows("user_schema_extensions", COLUMNS, _revisions(entity_type, user_ids, revision=1))
    vacuum("user_schema_extensions", "schema_epochs")
    return user_ids


COLUMNS = (
    *("entity_type", "user_id", "revision", "base_schema_version", "additional_fields", "field_overrides"),
    *("content_hash", "is_active", "cause", "absorbed", "note", "created_at"),
)


def _revisions(entity_type: str, user_ids: list[int], revision: int) -> Iterator[tuple[Any, ...]]:
    for user_id in user_ids:
        fields: JsonObject = {f"own_{user_id % 100}": {"type": "number"}, ABSORBED: {"type": "string"}}
        stored = Extension.from_json({"additional_fields": fields}).to_json()
        yield (
            *(entity_type, user_id, revision, "", canonical_json(stored["additional_fields"]), "{}"),
            *(content_hash(stored), True, "edit", "{}", "", "now"),
        )


def _settle() -> None:
    """What the job does, without its ledger row."""
    user: int | None = 0
    while user is not None:
        user = extensions_settle(entity_type=ENTITY_TYPE, after_user=user, actor=ACTOR).up_to_user


def _write_revisions(user_ids: list[int]) -> None:
    """The next revision of every user, in transactions of the same size, each by two statements."""
    for start in range(0, len(user_ids), CHUNK_USERS):
        chunk = user_ids[start : start + CHUNK_USERS]
        rows = list(chain(_revisions(ENTITY_TYPE, chunk, revision=3)))
        with transaction.atomic():
            ExtensionRevision.objects.filter(user__in=chunk, is_active=True).update(is_active=False)
            copy_rows("user_schema_extensions", COLUMNS, iter(rows))


def _print(printer: Printer, name: str, taken: float, floor: float, target: str, unit: str = "ms") -> None:
    factor = {"ms": 1e3, "µs": 1e6}[unit]
    printer.figure(
        name, f"{taken * factor:.2f} {unit}", f"{floor * factor:.2f} {unit}", taken / floor, target
    )
