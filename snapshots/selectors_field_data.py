"""Which declared fields no observation ever carried."""

from collections.abc import Collection

from django.db import connection

from registry.providers import FieldsWithoutData
from registry.selectors import effective_schema

#: Snapshots looked at, of one user and entity type: enough to find any field in common use, and over in a moment.
LOOKED_AT_MAX = 2000


def snapshot_fields_without_data(
    user_id: int, entity_type: str, names: Collection[str]
) -> FieldsWithoutData | None:
    """Those of `names` that are in no merge state of the user's snapshots of that type, among the first
    LOOKED_AT_MAX. None while one of them waits: what was just declared is not in its merge state yet.
    """
    wanted = effective_schema(entity_type=entity_type, user_id=user_id).reduction_hash
    with connection.cursor() as cursor:
        # The ends of an index, and not whether there is another hash: for that the planner, which knows how many hashes
        # there are but not whose, may read the whole table.
        cursor.execute(
            """
            SELECT min(reduction_hash), max(reduction_hash) FROM entity_snapshots
             WHERE entity_type = %(type)s AND user_id = %(user)s
            """,
            {"type": entity_type, "user": user_id},
        )
        if any(found not in {None, wanted} for found in cursor.fetchone()):
            return None
        cursor.execute(
            """
            WITH looked_at AS MATERIALIZED (
                SELECT merge_state -> 'fields' AS fields FROM entity_snapshots
                 WHERE entity_type = %(type)s AND user_id = %(user)s LIMIT %(limit)s
            )
            SELECT (SELECT count(*) FROM looked_at),
                   ARRAY(SELECT DISTINCT name FROM looked_at CROSS JOIN LATERAL jsonb_object_keys(fields) AS k (name))
            """,
            {"type": entity_type, "user": user_id, "limit": LOOKED_AT_MAX + 1},
        )
        count, seen = cursor.fetchone()
    return FieldsWithoutData(
        entity_type=entity_type,
        names=tuple(sorted(set(names) - set(seen))),
        looked_at=min(count, LOOKED_AT_MAX),
        is_complete=count <= LOOKED_AT_MAX,
    )
