"""The life of fragments: promoted ones expire and are deleted, those that nobody sees any more are archived.

Everything here is a *move*: rows in one state that are due go into another, or away. Which moves there are at all is
kept by a trigger. What a retracted source brought stays where it is, so that its undo finds it. The rows of one user
and entity type are moved in one short transaction under their FRAGMENTS lock, so that an ingest waits for its own
user's rows only, and for no longer than one of its own batches takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, islice
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from fragments.models import ARCHIVED_BELOW, LifecycleState, RawFragment
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject, require_storable
from schemaevo.kernel.locks import LockSpace, hold

MAY_ARCHIVE = "fragments.archive_fragment"
#: Rows that one look finds, and that one transaction moves.
PAGE_ROWS = 10_000
MOVED_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Move:
    """A move: its name, which rows it is for, the column that tells how long they have been due, and its statement.

    `rest_setting` names the setting with the rest between that time and the move, in units of `unit`; a move that
    `never_at_zero` is not made while that setting is 0.
    """

    name: str
    rows: str
    due: str
    statement: str
    rest_setting: str = ""
    unit: timedelta = timedelta(days=1)
    never_at_zero: bool = False
    ends_archive: bool = False

    def until(self, now: datetime) -> datetime | None:
        """Rows whose time has come by this instant are due now; None where the move is never made."""
        if not self.rest_setting:
            return now
        rest: int = getattr(settings, self.rest_setting)
        return None if self.never_at_zero and not rest else now - rest * self.unit


#: The grace begins when the row begins to wait, whenever it expired: after a month in which nothing cleaned up there
#: is still time to look.
_TO_PENDING = "UPDATE raw_fragments SET lifecycle_state = 'pending_deletion', expires_at = now()"

DELETE = Move(
    name="delete",
    rows="lifecycle_state = 'pending_deletion' AND NOT is_retracted",
    due="expires_at",
    statement="DELETE FROM raw_fragments",
    rest_setting="SCHEMAEVO_CLEANUP_GRACE_HOURS",
    unit=timedelta(hours=1),
)
EXPIRE = Move(
    name="expire",
    rows="lifecycle_state = 'promoted' AND NOT is_retracted",
    due="expires_at",
    statement=_TO_PENDING,
)
EXPIRE_ARCHIVED = Move(
    name="expire_archived",
    rows="lifecycle_state = 'archived' AND NOT is_retracted",
    due="archived_at",
    statement=_TO_PENDING,
    rest_setting="SCHEMAEVO_ARCHIVE_RETENTION_DAYS",
    never_at_zero=True,
    ends_archive=True,
)
ARCHIVE = Move(
    name="archive",
    rows=f"lifecycle_state = 'active' AND frequency_count < {ARCHIVED_BELOW} AND NOT is_retracted",
    due="last_seen_at",
    statement="UPDATE raw_fragments SET lifecycle_state = 'archived', archived_at = now()",
    rest_setting="SCHEMAEVO_ARCHIVE_AFTER_DAYS",
)

#: What a cleanup does, in this order: what it lets expire is never deleted by the same cleanup.
CLEANUP = (DELETE, EXPIRE, EXPIRE_ARCHIVED)
ARCHIVAL = (ARCHIVE,)


class Due(NamedTuple):
    """Where a row stands among those that are due."""

    at: datetime
    fragment_id: int


class Group(NamedTuple):
    """Rows of one user and entity type that were due when they were looked for."""

    user_id: int
    entity_type: str
    fragment_ids: Sequence[int]


class Page(NamedTuple):
    """Some of the rows that are due, and the last of them: the next page begins after it."""

    groups: Sequence[Group]
    last: Due


def page_due(move: Move, until: datetime, after: Due | None) -> Page | None:
    """The rows that became due next after `after` and by `until`; None where there are none. Locks nothing."""
    sql = f"""
        SELECT {move.due}, id, user_id, entity_type FROM raw_fragments
         WHERE {move.rows} AND {move.due} <= %s
           {f"AND ({move.due}, id) > (%s, %s)" if after else ""}
         ORDER BY {move.due}, id LIMIT %s
        """  # noqa: S608  every part of it stands in this file
    with connection.cursor() as cursor:
        cursor.execute(sql, [until, *(after or ()), PAGE_ROWS])
        found = cursor.fetchall()
    if not found:
        return None

    def owner(row: tuple[datetime, int, int, str]) -> tuple[int, str]:
        return row[2], row[3]

    groups = [
        Group(*whose, ids)
        for whose, rows in groupby(sorted(found, key=owner), key=owner)
        for ids in _pieces(row[1] for row in rows)
    ]
    return Page(groups, Due(*found[-1][:2]))


def fragments_move(move: Move, until: datetime, group: Group) -> int:
    """Those of the group that are still due have moved; gives how many. Runs inside the caller's transaction.

    Raises: LockTimeout where others write fragments of that user and type for too long.
    """
    hold(LockSpace.FRAGMENTS, [(group.user_id, group.entity_type)])
    with connection.cursor() as cursor:
        if move.ends_archive:
            cursor.execute("SELECT set_config('schemaevo.archive_ends', 'yes', true)")
        # In a later statement than the one that took the lock: who was seen again meanwhile stays.
        cursor.execute(
            f"{move.statement} WHERE id = ANY(%s) AND {move.rows} AND {move.due} <= %s",
            [list(group.fragment_ids), until],
        )
        return int(cursor.rowcount)


def fragments_due(moves: Sequence[Move], now: datetime) -> dict[str, int]:
    """How many rows each of the moves would move now. Changes nothing."""
    counts: dict[str, int] = {}
    with connection.cursor() as cursor:
        for move in moves:
            counts[move.name] = 0
            until = move.until(now)
            if until is not None:
                cursor.execute(
                    f"SELECT count(*) FROM raw_fragments WHERE {move.rows} AND {move.due} <= %s",  # noqa: S608
                    [until],
                )
                (counts[move.name],) = cursor.fetchone()
    return counts


class Restored(NamedTuple):
    """How many rows were restored: promoted again, and active again, since they came from the archive."""

    promoted: int
    active: int


def fragments_restore(
    *,
    user_id: int,
    entity_type: str,
    actor: Actor,
    fragment_key: str | None = None,
    reason: str = "",
    at_most: int | None = None,
    on_progress: Callable[[int], object] = lambda count: None,
) -> Restored:
    """What waits for its deletion, of one field or all, is as it was before: promoted, with a new expiry, or, if it was
    archived, active. Of `at_most` rows those go first that would be deleted first.

    Rows are moved as others are, so many at once, each time in a transaction of its own. What is done stays done, and
    is in the audit log, whatever ends it. Raises: Denied; LockTimeout where others write there for too long.
    """
    actor.require("fragments.restore_fragment")
    waiting = RawFragment.objects.filter(
        user_id=user_id, entity_type=entity_type, lifecycle_state=LifecycleState.PENDING_DELETION
    )
    if fragment_key is not None:
        waiting = waiting.filter(fragment_key=fragment_key)
    found = list(waiting.order_by("expires_at", "id").values_list("id", flat=True)[:at_most])
    restored = Restored(0, 0)
    try:
        for ids in _pieces(iter(found)):
            with transaction.atomic():
                done = group_restore(Group(user_id, entity_type, ids))
            restored = Restored(restored.promoted + done.promoted, restored.active + done.active)
            on_progress(sum(done))
    finally:
        if sum(restored):
            after: JsonObject = {**restored._asdict(), "field": fragment_key}
            audit_record(
                actor=actor,
                action="fragment.restore",
                target_type="fragments",
                target_id=f"{entity_type}:{user_id}",
                after=after,
                reason=reason,
            )
    return restored


def group_restore(group: Group) -> Restored:
    """Those of the group that still wait for their deletion are as they were before. Runs inside the caller's
    transaction. Raises: LockTimeout."""
    hold(LockSpace.FRAGMENTS, [(group.user_id, group.entity_type)])
    # In a later statement than the one that took the lock: what was seen again, or deleted, meanwhile is left alone.
    rows = RawFragment.objects.filter(
        pk__in=group.fragment_ids, lifecycle_state=LifecycleState.PENDING_DELETION
    )
    promoted = rows.filter(promoted_at__isnull=False).update(
        lifecycle_state=LifecycleState.PROMOTED,
        expires_at=Now() + timedelta(days=settings.SCHEMAEVO_PROMOTED_RETENTION_DAYS),
    )
    active = rows.filter(promoted_at__isnull=True).update(
        lifecycle_state=LifecycleState.ACTIVE, expires_at=None, archived_at=None
    )
    return Restored(promoted, active)


def fragments_archive(
    *,
    user_id: int,
    entity_type: str,
    fragment_key: str,
    actor: Actor,
    reason: str = "",
    at_most: int | None = None,
    on_progress: Callable[[int], object] = lambda count: None,
) -> int:
    """What is active of the field is archived, whenever it was last seen; gives how many rows. Of `at_most` rows those
    go first that were not seen for longest. Archived rows still count as evidence, are promoted like active ones, and
    are active again once they are seen.

    Rows are moved as others are, so many at once, each time in a transaction of its own. What is done stays done, and
    is in the audit log, whatever ends it. Raises: Denied; Unstorable for such a reason; LockTimeout where others write
    there for too long.
    """
    actor.require(MAY_ARCHIVE)
    require_storable([fragment_key, reason])
    active = RawFragment.objects.filter(
        user_id=user_id,
        entity_type=entity_type,
        fragment_key=fragment_key,
        lifecycle_state=LifecycleState.ACTIVE,
        is_retracted=False,
    )
    found = list(active.order_by("last_seen_at", "id").values_list("id", flat=True)[:at_most])
    archived = 0
    try:
        for ids in _pieces(iter(found)):
            with transaction.atomic():
                done = _archive(Group(user_id, entity_type, ids))
            archived += done
            on_progress(done)
    finally:
        if archived:
            audit_record(
                actor=actor,
                action="fragment.archive",
                target_type="fragments",
                target_id=f"{entity_type}:{user_id}",
                after={"archived": archived, "field": fragment_key},
                reason=reason,
            )
    return archived


def _archive(group: Group) -> int:
    hold(LockSpace.FRAGMENTS, [(group.user_id, group.entity_type)])
    # In a later statement than the one that took the lock: what was promoted, or retracted, meanwhile is left alone.
    rows = RawFragment.objects.filter(
        pk__in=group.fragment_ids, lifecycle_state=LifecycleState.ACTIVE, is_retracted=False
    )
    return rows.update(lifecycle_state=LifecycleState.ARCHIVED, archived_at=Now())


def _pieces(ids: Iterator[int]) -> Iterator[list[int]]:
    while piece := list(islice(ids, MOVED_AT_ONCE)):
        yield piece
