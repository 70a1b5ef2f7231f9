"""Locking, reading and writing snapshot rows: what recording and recomputing have in common.

Everything here runs inside the caller's transaction, READ COMMITTED, in this order: lock the rows, then read
histories in a *later* statement. In one statement the history would be older than the lock, and an observation
that was committed in between would be missed for good.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar, cast

from django.db import connection

from registry.domain.effective import EffectiveSchema
from registry.domain.times import text_of_us, to_us
from schemaevo.kernel.bulk import copy_into_temporary, copy_unless_taken, uuid_array
from schemaevo.kernel.canonical import Json, canonical_json, decode_trusted, exact_number
from snapshots.domain.observed import Observed
from snapshots.domain.reducer import Reduced

Row = TypeVar("Row")


class LockedSnapshot(NamedTuple):
    """A snapshot row that this transaction has locked. `state` is the JSON text of its merge state."""

    entity_id: str
    user_id: int
    reduction_hash: str
    observation_count: int
    state: str


class NewSnapshot(NamedTuple):
    """What a locked row is to become, and the schema it was reduced under."""

    entity_id: str
    schema: EffectiveSchema
    reduced: Reduced


class FirstSnapshot(NamedTuple):
    """What the row of an entity that has none is to be: its names and its content."""

    user_id: int
    entity_key: str
    content: NewSnapshot


_SNAPSHOT_COLUMNS = {
    "id": "uuid",
    "values": "jsonb",
    "provenance": "jsonb",
    "merge_state": "jsonb",
    "deleted": "boolean",
    "observation_count": "bigint",
    "last_observation_at": "timestamptz",
    "last_computed_observation_id": "uuid",
    "schema_version_id": "bigint",
    "extension_revision_id": "bigint",
    "reduction_hash": "text",
}


#: The exact value of a specificity. There are few of them, and reading one costs as much as all else of an
#: observation.
exact_specificity = lru_cache(maxsize=1024)(exact_number)


def snapshots_present(entity_ids: Collection[str]) -> set[str]:
    """The entities that have a row now; others may have one by the next statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id::text FROM entity_snapshots WHERE id = ANY(%s::uuid[])", [uuid_array(entity_ids)]
        )
        return {identity for (identity,) in cursor.fetchall()}


def snapshots_lock_for_update(entity_ids: Collection[str]) -> list[LockedSnapshot]:
    """Locks the rows in the order (user, entity) and gives them as they are once locked."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT id::text, user_id, reduction_hash, observation_count, merge_state
              FROM entity_snapshots WHERE id = ANY(%s::uuid[]) ORDER BY user_id, id FOR UPDATE
            """,
            [uuid_array(entity_ids)],
        )
        return [LockedSnapshot(*row) for row in cursor.fetchall()]


def within_memory(rows: Iterable[Row], length: Callable[[Row], int], *, limit: int) -> Iterator[list[Row]]:
    """The rows in parts whose histories together have at most `limit` observations; a longer one stands alone.

    After a change of schema every entity of a batch can be stale, and a thousand long histories at once would not
    fit into memory.
    """
    part: list[Row] = []
    held = 0
    for row in rows:
        if part and held + length(row) > limit:
            yield part
            part, held = [], 0
        part.append(row)
        held += length(row)
    if part:
        yield part


#: Of the observations `o`, those whose source is not retracted.
TAKES_PART = (
    "NOT EXISTS (SELECT FROM retractions AS r WHERE r.source_id = o.source_id AND r.undone_at IS NULL)"
)
_HISTORIES = f"""
    SELECT entity_id::text, id::text, observed_at, priority, specificity, kind, fields, ranks_as::text
      FROM observations AS o WHERE entity_id = ANY(%s::uuid[]) AND {TAKES_PART}
"""  # noqa: S608  a constant
_HISTORIES_SUPPOSING = f"""
    SELECT entity_id::text, id::text, observed_at, priority, specificity, kind, fields, ranks_as::text
      FROM observations AS o
     WHERE entity_id = ANY(%s::uuid[]) AND CASE WHEN source_id = %s::uuid THEN %s ELSE {TAKES_PART} END
"""  # noqa: S608


def histories_of(entity_ids: Collection[str]) -> dict[str, list[Observed]]:
    """All observations of each entity that take part, as committed now or written by this transaction."""
    return _histories(_HISTORIES, [list(entity_ids)])


def histories_supposing(
    entity_ids: Collection[str], *, source_id: str, takes_part: bool
) -> dict[str, list[Observed]]:
    """The same, as it would be if that source took part, or did not."""
    return _histories(_HISTORIES_SUPPOSING, [list(entity_ids), source_id, takes_part])


def _histories(query: str, parameters: Sequence[str | bool | list[str]]) -> dict[str, list[Observed]]:
    histories: dict[str, list[Observed]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        for entity, identity, observed_at, priority, specificity, kind, fields, ranks_as in cursor:
            histories[entity].append(
                observed(identity, to_us(observed_at), priority, specificity, kind, fields, ranks_as)
            )
    return histories


def observed(
    identity: str,
    observed_us: int,
    priority: int,
    specificity: float,
    kind: str | None,
    fields: str,
    ranks_as: str | None,
) -> Observed:
    """An observation as the reducer takes it, from what a row holds; `fields` is JSON text."""
    document = decode_trusted(fields)
    assert isinstance(document, dict)  # noqa: S101  every writer gives an object
    return Observed(
        id=identity,
        observed_us=observed_us,
        priority=priority,
        specificity=exact_specificity(specificity),
        kind=kind,
        fields=document,
        ranks_as=ranks_as,
    )


def snapshots_insert(rows: Callable[[], Iterable[FirstSnapshot]], *, entity_type: str) -> set[str]:
    """Entities that have no row have the one that `rows` gives; their ids. Rows that are there stay as they are.

    Waits for whoever is inserting one of these rows, in the order that `rows` gives them in: (user, entity). They are
    sent as they are made, and made once more where one turns out to be there.
    """
    columns = {"user_id": "bigint", "entity_key": "text", **_SNAPSHOT_COLUMNS}
    made: list[str] = []

    def with_type() -> Iterator[tuple[object, ...]]:
        for row in rows():
            made.append(row.content.entity_id)
            yield (row.user_id, row.entity_key, *_columns_of(row.content), entity_type)

    if copy_unless_taken("entity_snapshots", [*columns, "entity_type"], with_type()):
        return set(made)
    copy_into_temporary(
        "first_snapshots",
        columns,
        ((row.user_id, row.entity_key, *_columns_of(row.content)) for row in rows()),
    )
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO entity_snapshots (id, user_id, entity_type, entity_key, "values", provenance, merge_state,
                   deleted, observation_count, last_observation_at, last_computed_observation_id,
                   schema_version_id, extension_revision_id, reduction_hash)
            SELECT id, user_id, %s, entity_key, "values", provenance, merge_state,
                   deleted, observation_count, last_observation_at, last_computed_observation_id,
                   schema_version_id, extension_revision_id, reduction_hash
              FROM first_snapshots ORDER BY user_id, id
            ON CONFLICT DO NOTHING
            RETURNING id::text
            """,
            [entity_type],
        )
        return {identity for (identity,) in cursor.fetchall()}


def snapshots_write(rows: Iterable[NewSnapshot]) -> None:
    """Every given row, locked before, has its new content."""
    copy_into_temporary("new_snapshots", _SNAPSHOT_COLUMNS, map(_columns_of, rows))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE entity_snapshots AS s
               SET values = n.values, provenance = n.provenance, merge_state = n.merge_state,
                   deleted = n.deleted, observation_count = n.observation_count,
                   last_observation_at = n.last_observation_at,
                   last_computed_observation_id = n.last_computed_observation_id,
                   schema_version_id = n.schema_version_id, extension_revision_id = n.extension_revision_id,
                   reduction_hash = n.reduction_hash, computed_at = now()
              FROM new_snapshots AS n WHERE n.id = s.id
            """
        )


def _columns_of(row: NewSnapshot) -> tuple[object, ...]:
    """The values of _SNAPSHOT_COLUMNS, JSON and times as text."""
    reduced = row.reduced
    return (
        row.entity_id,
        canonical_json(reduced.values),
        canonical_json(cast(Json, reduced.provenance)),
        canonical_json(reduced.state),
        reduced.deleted,
        reduced.observation_count,
        # Its text: psycopg takes five times as long for a datetime.
        None if reduced.last_observed_us is None else text_of_us(reduced.last_observed_us),
        reduced.last_computed_id,
        row.schema.version_id,
        row.schema.extension_revision_id,
        row.schema.reduction_hash,
    )
