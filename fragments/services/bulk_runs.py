"""Doing an act in bulk: by a job, piece by piece, from wherever it was stopped.

The place and the counts stand in the row of the act, so that a later job goes on where an earlier one was cancelled;
they commit with what was done. Each row is looked at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fragments.domain.bulk import CHANGED, FAILED
from fragments.models import BulkAct, BulkList, BulkState, BulkVerb
from fragments.selectors_bulk import ACT, Look, Row, rows_next
from fragments.selectors_narrowed import RowFilter
from fragments.services.bulk_acts import PERMISSIONS, act_finish, act_for_update
from fragments.services.bulk_pieces import Piece, piece_act, rows_of_piece
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.jobs import GivenUp, Lease

#: Rows that one look finds; pieces are taken from them.
ROWS_LOOKED_FOR = 1_000
#: So many rows that were skipped are kept in words.
REFUSALS_KEPT: Final = 20


def act_run(lease: Lease) -> JsonObject:
    """Every row of the act was looked at, and acted on or skipped, unless the act was cancelled. Gives the counts."""
    act = BulkAct.objects.get(pk=int(lease.target))
    if lease.cursor is None and act.asked_count:
        lease.set_total(max(0, act.asked_count - act.matched_count))
    filtered = RowFilter.from_json(BulkList(act.listed), act.filter)
    verb = BulkVerb(act.verb)
    look: Look | None = None
    left: Sequence[Row] = ()
    while act.state == BulkState.RUNNING:
        if not left:
            look = rows_next(
                filtered,
                after=act.last_id,
                bound=act.bound_id,
                limit=ROWS_LOOKED_FOR,
                is_slow=look is not None and look.is_slow,
            )
            left = look.rows
        with lease.batch() as batch:
            act = act_for_update(act.pk)
            if act.state != BulkState.RUNNING:
                break
            rows = rows_of_piece(verb, left)
            actor = _actor(act)
            try:
                piece = piece_act(act, rows, actor) if rows else Piece()
            except Denied as error:
                raise _given_up(error) from error
            _count(act, rows, piece, lease)
            left = left[len(rows) :]
            if left:
                act.last_id = rows[-1].id
            elif look is not None and look.beyond is not None:
                act.last_id = look.beyond
            else:
                act.last_id = act.bound_id
                _tell_vanished(act)
                act_finish(act, actor)
            act.save(
                update_fields=[
                    "last_id",
                    "matched_count",
                    "done_count",
                    "skipped",
                    "refusals",
                    "state",
                    "finished_at",
                ]
            )
            batch.done(len(rows))
            batch.cursor = act.last_id
    return {"matched": act.matched_count, "done": act.done_count, "skipped": act.skipped, "state": act.state}


def _actor(act: BulkAct) -> Actor:
    """In whose name it goes on, if they may still do it: nobody acts by a right that was taken from them. Raises:
    GivenUp where it was."""
    login = act.resumed_by or act.requested_by
    actor = Actor.system(ACT) if login is None else Actor.login(login)
    try:
        actor.require(PERMISSIONS[BulkVerb(act.verb)])
    except Denied as error:
        raise _given_up(error) from error
    return actor


def _given_up(error: Denied) -> GivenUp:
    return GivenUp(f"{error} Somebody who may do it can go on with it.")


def _count(act: BulkAct, rows: Sequence[Row], piece: Piece, lease: Lease) -> None:
    act.matched_count += len(rows)
    act.done_count += piece.done
    for code, count in piece.skipped.items():
        act.skipped[code] = act.skipped.get(code, 0) + count
    room = REFUSALS_KEPT - len(act.refusals)
    act.refusals += piece.refusals[: max(0, room)]
    if FAILED in piece.skipped:
        lease.mark_errors()


def _tell_vanished(act: BulkAct) -> None:
    """Rows that matched when it was asked for, and did not when their turn came, are counted as such."""
    if act.is_asked_exact and act.matched_count < act.asked_count:
        vanished = act.asked_count - act.matched_count
        act.matched_count += vanished
        act.skipped[CHANGED] = act.skipped.get(CHANGED, 0) + vanished
