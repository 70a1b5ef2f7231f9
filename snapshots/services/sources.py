"""Sources: the rows that say where observations came from."""

from collections.abc import Collection, Mapping

from django.db import connection

from snapshots.domain.identity import source_id


def sources_ensure(*, user_ids: Collection[int], name: str, content_hash: str) -> Mapping[int, str]:
    """Every user has a source of that name and content; gives the ids by user."""
    ids = {user_id: source_id(user_id, name, content_hash) for user_id in sorted(user_ids)}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO sources (id, user_id, name, content_hash)
            SELECT id, user_id, %s, %s FROM unnest(%s::uuid[], %s::bigint[]) AS t(id, user_id) ORDER BY user_id
            ON CONFLICT DO NOTHING
            """,
            [name, content_hash, list(ids.values()), list(ids)],
        )
    return ids
