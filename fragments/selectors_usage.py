"""Who has which field of an entity type, and with what type: counted in the database, each user once per field.

A user's declarations are those that apply: with a global schema the extension, else the own schema that is read as
one; without a global schema the own one, else the extension that waits for one. Aggregates count for users who do not
declare the field.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from fragments.domain.counts import FieldCounts
from fragments.domain.field_use import FieldUse, Shape, UserGroup
from registry.domain.definition import DEFAULT_POLICY, Converter, Policy
from schemaevo.kernel.canonical import Json, canonical_json, decode

#: The entities of a field are counted where no more values of it wait.
ENTITIES_COUNTED: Final = 1_000

#: Every user has one document at most.
_DOCUMENTS: Final = """
    WITH own AS (
        SELECT user_id, definition FROM schema_registry
         WHERE entity_type = %(entity_type)s AND user_id IS NOT NULL AND is_active
    ), extension AS (
        SELECT user_id, additional_fields FROM user_schema_extensions
         WHERE entity_type = %(entity_type)s AND is_active
    ), document AS MATERIALIZED (
        SELECT user_id, 'own_schema' AS shape, definition -> 'fields' AS fields,
               coalesce(definition -> 'merge_policies', '{}') AS policies
          FROM own WHERE NOT %(has_global)s OR user_id NOT IN (SELECT user_id FROM extension)
        UNION ALL
        SELECT user_id, 'extension', additional_fields, '{}'
          FROM extension WHERE %(has_global)s OR user_id NOT IN (SELECT user_id FROM own)
    )
"""

#: What is not of one row is counted by hashing. Functions stand in the list of columns: so they need no loop.
_FIELDS_USED: Final = """, expanded AS (
        SELECT user_id, shape, policies, jsonb_each(fields) AS field FROM document
    ), declared AS MATERIALIZED (
        SELECT user_id, shape, (field).key AS name, (field).value ->> 'type' AS type,
               coalesce((field).value -> 'merge_policy', policies -> (field).key) AS policy,
               (field).value -> 'converters' AS converters
          FROM expanded
    ), used AS (
        SELECT name, shape, type, policy, converters FROM declared
        UNION ALL
        SELECT a.fragment_key, 'fragments', a.dominant_type, NULL, NULL
          FROM raw_fragment_aggregates AS a
         WHERE a.entity_type = %(entity_type)s AND a.sample_count > 0
           AND NOT EXISTS (SELECT FROM declared AS d WHERE d.user_id = a.user_id AND d.name = a.fragment_key)
    ), grouped AS (
        SELECT name, shape, type, policy, converters, count(*) AS users FROM used GROUP BY 1, 2, 3, 4, 5
    )
    SELECT name, jsonb_agg(jsonb_build_array(shape, type, users, policy, converters))::text
      FROM grouped GROUP BY name
    HAVING sum(users) >= %(users)s OR name = ANY(%(names)s)
     ORDER BY name = ANY(%(names)s) DESC, sum(users) DESC, name COLLATE "C"
     LIMIT %(limit)s
"""

#: The aggregates of these fields of users who do not declare them.
_UNDECLARED: Final = """, expanded AS (
        SELECT user_id, jsonb_object_keys(fields) AS name FROM document
    ), declared AS (
        SELECT user_id, name FROM expanded WHERE name = ANY(%(names)s)
    ), undeclared AS (
        SELECT * FROM raw_fragment_aggregates AS a
         WHERE a.entity_type = %(entity_type)s AND a.fragment_key = ANY(%(names)s) AND a.sample_count > 0
           AND NOT EXISTS (SELECT FROM declared AS d WHERE d.user_id = a.user_id AND d.name = a.fragment_key)
    )
"""

_COUNTS: Final = """, part AS (
        SELECT fragment_key AS name, 'type' AS kind, (type).key AS of, (type).value::bigint AS n
          FROM (SELECT fragment_key, jsonb_each_text(type_counts) AS type FROM undeclared) AS t
        UNION ALL
        SELECT fragment_key, 'format', (format).key, (format).value::bigint
          FROM (SELECT fragment_key, jsonb_each_text(format_counts) AS format FROM undeclared) AS f
        UNION ALL
        SELECT fragment_key, 'values', '', sample_count FROM undeclared
        UNION ALL
        SELECT fragment_key, 'seen', '', frequency_total FROM undeclared
        UNION ALL
        SELECT fragment_key, 'sources', '', unique_sources FROM undeclared
        UNION ALL
        SELECT fragment_key, 'users', '', 1 FROM undeclared
    )
    SELECT name, kind, of, sum(n)::bigint FROM part GROUP BY 1, 2, 3 ORDER BY name COLLATE "C", kind, of COLLATE "C"
"""

_WITH_FORMS: Final = """
    SELECT fragment_key, count(*) FROM undeclared
     WHERE format_counts ?| ARRAY(SELECT jsonb_array_elements_text(%(forms)s::jsonb -> fragment_key))
     GROUP BY 1
"""

#: An entity has one user. One look into the index of fragments for each aggregate.
_ENTITIES: Final = """
    SELECT a.fragment_key, sum((
        SELECT count(DISTINCT f.entity_id) FROM raw_fragments AS f
         WHERE f.user_id = a.user_id AND f.entity_type = a.entity_type AND f.fragment_key = a.fragment_key
           AND f.lifecycle_state BETWEEN 'active' AND 'archived'
           AND raw_fragment_counts_v2(f.lifecycle_state, f.reason, f.is_retracted)
    ))::bigint
      FROM undeclared AS a GROUP BY 1
"""

#: One step of the index for each user, however many entities they have.
_USERS_OF_TYPE: Final = """
    WITH RECURSIVE holder (user_id) AS (
        (SELECT user_id FROM entity_snapshots WHERE entity_type = %(entity_type)s ORDER BY user_id LIMIT 1)
        UNION ALL
        SELECT (SELECT s.user_id FROM entity_snapshots AS s
                 WHERE s.entity_type = %(entity_type)s AND s.user_id > h.user_id ORDER BY s.user_id LIMIT 1)
          FROM holder AS h WHERE h.user_id IS NOT NULL
    )
    SELECT count(*) FROM (
        SELECT user_id FROM holder WHERE user_id IS NOT NULL
        UNION
        SELECT user_id FROM schema_registry
         WHERE entity_type = %(entity_type)s AND user_id IS NOT NULL AND is_active
        UNION
        SELECT user_id FROM user_schema_extensions WHERE entity_type = %(entity_type)s AND is_active
    ) AS every
"""

_TYPES_USED: Final = """
    WITH RECURSIVE counted AS (
        (SELECT entity_type FROM raw_fragment_aggregates ORDER BY entity_type LIMIT 1)
        UNION ALL
        SELECT (SELECT a.entity_type FROM raw_fragment_aggregates AS a
                 WHERE a.entity_type > counted.entity_type ORDER BY a.entity_type LIMIT 1)
          FROM counted WHERE counted.entity_type IS NOT NULL
    )
    SELECT entity_type FROM counted WHERE entity_type IS NOT NULL
     UNION
    SELECT entity_type FROM schema_registry WHERE user_id IS NOT NULL AND is_active
     UNION
    SELECT entity_type FROM user_schema_extensions WHERE is_active
"""


def entity_types_used() -> list[str]:
    """The entity types that users have fields of, declared or waiting, by name. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_TYPES_USED)
        return sorted(entity_type for (entity_type,) in cursor.fetchall())


def users_of_type(*, entity_type: str) -> int:
    """How many users have something of the type: entities, an own schema or an extension. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_USERS_OF_TYPE, {"entity_type": entity_type})
        counted: int = cursor.fetchone()[0]
        return counted


def fields_used(
    *, entity_type: str, has_global: bool, users_at_least: int, names: Collection[str] = (), limit: int
) -> list[FieldUse]:
    """The fields that so many users have, and those of these names that any user has: these first, then those of most
    users. One query, which reads every declaration and every aggregate of the type once."""
    asked: dict[str, Any] = {
        "entity_type": entity_type,
        "has_global": has_global,
        "users": users_at_least,
        "names": sorted(names),
        "limit": limit,
    }
    with _hashing() as cursor:
        cursor.execute(_DOCUMENTS + _FIELDS_USED, asked)
        return [FieldUse(name, _groups(decode(groups.encode()))) for name, groups in cursor.fetchall()]


def counts_undeclared(*, entity_type: str, has_global: bool, names: Sequence[str]) -> dict[str, FieldCounts]:
    """What waits of these fields at users who do not declare them, added up, by name. One query."""
    asked: dict[str, Any] = {"entity_type": entity_type, "has_global": has_global, "names": list(names)}
    with _hashing() as cursor:
        cursor.execute(_DOCUMENTS + _UNDECLARED + _COUNTS, asked)
        rows: list[tuple[str, str, str, int]] = cursor.fetchall()
    found: dict[str, dict[str, dict[str, int]]] = {}
    for name, kind, of, count in rows:
        if count:
            found.setdefault(name, {}).setdefault(kind, {})[of] = count
    return {
        name: FieldCounts(
            _one(parts, "values"),
            _one(parts, "seen"),
            parts.get("type", {}),
            parts.get("format", {}),
            _one(parts, "sources"),
            _one(parts, "users"),
        )
        for name, parts in found.items()
    }


def users_with_forms(
    *, entity_type: str, has_global: bool, forms: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """At how many users who do not declare the field values of one of these forms wait, by field. One query at most."""
    if not forms:
        return {}
    asked: dict[str, Any] = {
        "entity_type": entity_type,
        "has_global": has_global,
        "names": list(forms),
        "forms": canonical_json({name: list(wanted) for name, wanted in forms.items()}),
    }
    with _hashing() as cursor:
        cursor.execute(_DOCUMENTS + _UNDECLARED + _WITH_FORMS, asked)
        return dict(cursor.fetchall())


def entities_counted(*, entity_type: str, has_global: bool, values: Mapping[str, int]) -> dict[str, int]:
    """How many entities have waiting values of a field at users who do not declare it, by field: of those of which
    ENTITIES_COUNTED values wait or fewer. One query at most, by the index of fragments."""
    found = {name: 0 for name, count in values.items() if count <= ENTITIES_COUNTED}
    names = [name for name in found if values[name]]
    if names:
        asked: dict[str, Any] = {"entity_type": entity_type, "has_global": has_global, "names": names}
        with _hashing() as cursor:
            cursor.execute(_DOCUMENTS + _UNDECLARED + _ENTITIES, asked)
            found.update(cursor.fetchall())
    return found


def _one(parts: Mapping[str, Mapping[str, int]], kind: str) -> int:
    return parts.get(kind, {}).get("", 0)


def _groups(stored: Json) -> tuple[UserGroup, ...]:
    found = []
    for row in stored if isinstance(stored, list) else []:
        match row:
            case [str(shape), str(kind), int(users), policy, converters]:
                found.append(
                    UserGroup(Shape(shape), kind, users, _policy(policy), tuple(_functions(converters)))
                )
            case _:
                raise TypeError(f"{row!r} is no group of users")
    return tuple(sorted(found, key=lambda group: (group.shape, group.type, -group.users, group.converters)))


def _policy(stored: Json) -> Policy:
    return Policy.from_json(stored) if isinstance(stored, dict) else DEFAULT_POLICY


def _functions(stored: Json) -> Iterator[str]:
    for converter in stored if isinstance(stored, list) else []:
        if isinstance(converter, (str, dict)):
            yield Converter.from_json(converter).function


@contextmanager
def _hashing() -> Iterator[CursorWrapper]:
    """Statements that join lists of unknown length: by hashing, whatever the planner believes of the tables.

    Where the last ANALYZE saw few rows, it would go around a list of millions for each of millions.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('enable_nestloop'), current_setting('jit')")
        before: tuple[Any, ...] = cursor.fetchone()
        _plan(cursor, "off", "off")
        yield cursor
        # Nothing of it is left for what else the caller's transaction does.
        _plan(cursor, *before)


def _plan(cursor: CursorWrapper, nestloop: str, jit: str) -> None:
    cursor.execute(
        "SELECT set_config('enable_nestloop', %s, true), set_config('jit', %s, true)", [nestloop, jit]
    )
