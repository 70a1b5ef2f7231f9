"""How much waits for recomputation, for a page: bounded, and in a number of queries that does not depend on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.db import connection

from registry.domain.targets import job_target
from registry.selectors_pages import reduction_hashes_in_force
from schemaevo.kernel.models import LIVE_JOB_STATES, Job
from schemaevo.kernel.pages.estimates import COUNTED_MAX, Amount, rows_by_choice, rows_counted
from snapshots.models import EntitySnapshot
from snapshots.services.observations import RECOMPUTE
from snapshots.services.recomputation import REFRESH
from snapshots.services.waiting import entity_types_stored

#: Entity types that a page lists, and owners of each whose snapshots are looked at.
TYPES_MAX = 50
OWNERS_MAX = 2000


@dataclass(frozen=True, slots=True)
class WaitingTold:
    """Of an entity type: how many snapshots wait, at least so many where that is not exact; about how many there are,
    where that is known; and the jobs that are at it already."""

    entity_type: str
    waiting: Amount
    stored: Amount | None
    jobs: tuple[Job, ...]


def waiting_told(*, user_id: int | None = None) -> tuple[WaitingTold, ...]:
    """What waits of each entity type, of all owners or of one. Twelve queries at most."""
    types = entity_types_stored(user_id=user_id)[:TYPES_MAX]
    if not types:
        return ()
    owners, is_all = _owners_of(types, user_id)
    waiting = _waiting_counted(owners)
    stored = _stored(types, user_id)
    jobs = _jobs_at_it(types, user_id)
    return tuple(
        WaitingTold(
            name,
            Amount(waiting[name], is_exact=name in is_all and waiting[name] < COUNTED_MAX),
            stored.get(name),
            tuple(jobs.get(name, ())),
        )
        for name in types
    )


def _owners_of(types: Collection[str], user_id: int | None) -> tuple[set[tuple[str, int]], set[str]]:
    """Owners of each type, one step of the index for each of them, and the types of which these are all."""
    if user_id is not None:
        return {(name, user_id) for name in types}, set(types)
    limit = max(1, OWNERS_MAX // len(types))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT t.name, o.id FROM unnest(%(types)s::text[]) AS t(name)
             CROSS JOIN LATERAL (
                WITH RECURSIVE owner(id, step) AS (
                    (SELECT user_id, 1 FROM entity_snapshots
                      WHERE entity_type = t.name ORDER BY user_id LIMIT 1)
                    UNION ALL
                    SELECT (SELECT user_id FROM entity_snapshots
                             WHERE entity_type = t.name AND user_id > owner.id ORDER BY user_id LIMIT 1),
                           step + 1
                      FROM owner WHERE owner.id IS NOT NULL AND step <= %(limit)s
                )
                SELECT id FROM owner WHERE id IS NOT NULL
             ) AS o
            """,
            {"types": [*types], "limit": limit},
        )
        found = list(cursor)
    counts: dict[str, int] = dict.fromkeys(types, 0)
    for name, _owner in found:
        counts[name] += 1
    return set(found), {name for name, count in counts.items() if count <= limit}


def _waiting_counted(owners: Collection[tuple[str, int]]) -> Mapping[str, int]:
    """How many snapshots of these owners wait, by type; counting ends at COUNTED_MAX of each."""
    wanted = reduction_hashes_in_force(owners=owners)
    rows = [(name, owner, wanted[name, owner]) for name, owner in sorted(owners)]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH wanted AS MATERIALIZED (
                SELECT * FROM unnest(%(types)s::text[], %(owners)s::bigint[], %(hashes)s::text[])
                    AS w(entity_type, user_id, hash)
            )
            SELECT t.entity_type, (
                SELECT count(*) FROM (
                    SELECT FROM wanted AS w
                     CROSS JOIN LATERAL (
                        SELECT FROM entity_snapshots AS s WHERE s.entity_type = w.entity_type
                           AND s.user_id = w.user_id AND s.reduction_hash < w.hash
                        UNION ALL
                        SELECT FROM entity_snapshots AS s WHERE s.entity_type = w.entity_type
                           AND s.user_id = w.user_id AND s.reduction_hash > w.hash
                     ) AS waiting
                     WHERE w.entity_type = t.entity_type LIMIT %(limit)s
                ) AS found
            ) FROM (SELECT DISTINCT entity_type FROM wanted) AS t
            """,
            {
                "types": [name for name, _owner, _hash in rows],
                "owners": [owner for _name, owner, _hash in rows],
                "hashes": [hash_ for _name, _owner, hash_ in rows],
                "limit": COUNTED_MAX,
            },
        )
        return dict(cursor.fetchall())


def _stored(types: Collection[str], user_id: int | None) -> Mapping[str, Amount]:
    """How many snapshots there are of each type, as far as that is known without counting many."""
    if user_id is None:
        return rows_by_choice(EntitySnapshot, "entity_type", rows_counted(EntitySnapshot))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT t.name, (
                SELECT count(*) FROM (
                    SELECT FROM entity_snapshots WHERE user_id = %(user)s AND entity_type = t.name LIMIT %(limit)s
                ) AS found
            ) FROM unnest(%(types)s::text[]) AS t(name)
            """,
            {"user": user_id, "types": [*types], "limit": COUNTED_MAX},
        )
        return {name: Amount(count, is_exact=count < COUNTED_MAX) for name, count in cursor}


def _jobs_at_it(types: Collection[str], user_id: int | None) -> Mapping[str, list[Job]]:
    """The recomputations that live, by type."""
    targets = {job_target(name, user_id): name for name in types}
    found: dict[str, list[Job]] = {}
    jobs = Job.objects.filter(kind__in=(RECOMPUTE, REFRESH), target__in=targets, state__in=LIVE_JOB_STATES)
    for job in jobs.order_by("requested_at"):
        found.setdefault(targets[job.target], []).append(job)
    return found
