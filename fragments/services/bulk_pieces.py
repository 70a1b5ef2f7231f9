"""A piece of an act in bulk: some rows, looked at again under their locks, and acted on or skipped with the reason.

Runs inside the transaction that also holds the counts and the place of the act.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any, Final

from django.db import InterfaceError, OperationalError, transaction
from django.db.models.functions import Now

from fragments.domain.bulk import (
    CHANGED,
    FAILED,
    archive_skip,
    promotion_obstacle,
    restore_skip,
)
from fragments.models import (
    BulkAct,
    BulkList,
    BulkVerb,
    LifecycleState,
    RawFragment,
    RawFragmentAggregate,
)
from fragments.selectors_bulk import Row, dismissals_skipped
from fragments.selectors_narrowed import RowFilter
from fragments.selectors_recommendations import recommendations_of_rows
from fragments.services.dismissals import field_dismiss, field_snooze
from fragments.services.lifecycle import Group, group_restore
from fragments.services.promotions import field_promote
from registry.services.locking import hold_for_change
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.erasing import OwnerErased
from schemaevo.kernel.errors import Denied, DomainError, LockTimeout
from schemaevo.kernel.faults import error_told
from schemaevo.kernel.locks import LockSpace, hold

logger = logging.getLogger(__name__)

#: Rows that one transaction acts on: an ingest of the same owner waits for it. A promotion changes a schema, and has
#: one to itself.
ROWS_AT_ONCE: Final = {
    BulkVerb.ARCHIVE: 1_000,
    BulkVerb.RESTORE: 1_000,
    BulkVerb.PROMOTE: 1,
    BulkVerb.DISMISS: 100,
    BulkVerb.SNOOZE: 100,
}
#: Owners and entity types in one transaction: the server's table of locks is finite.
OWNERS_AT_ONCE: Final = 200


@dataclass(slots=True)
class Piece:
    """What became of some rows: how many were acted on, and of the others why not. Refusals are rows in words."""

    done: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    refusals: list[JsonObject] = field(default_factory=list)

    def skip(
        self, row: Row, code: str, *, name: str | None = None, message: str = "", entity: str | None = None
    ) -> None:
        """The row stays as it is, since so. `entity` is that of a fragment, by which an erasure finds it."""
        self.skipped[code] = self.skipped.get(code, 0) + 1
        self.refusals.append(
            {
                "id": row.id,
                "owner": row.user_id,
                "entity_type": row.entity_type,
                "entity": entity,
                "field": name,
                "code": code,
                "message": message,
            }
        )


def rows_of_piece(verb: BulkVerb, rows: Sequence[Row]) -> Sequence[Row]:
    """As many of these rows as one transaction takes."""
    owners: set[tuple[int, str]] = set()
    for number, row in enumerate(rows[: ROWS_AT_ONCE[verb]]):
        owners.add((row.user_id, row.entity_type))
        if len(owners) > OWNERS_AT_ONCE:
            return rows[:number]
    return rows[: ROWS_AT_ONCE[verb]]


def piece_act(act: BulkAct, rows: Sequence[Row], actor: Actor) -> Piece:
    """Those of the rows that still match were acted on as far as their state allows.

    Raises: Denied; LockTimeout.
    """
    return _ACTS[BulkVerb(act.verb)](act, rows, actor)


def _filter_of(act: BulkAct) -> RowFilter:
    return RowFilter.from_json(BulkList(act.listed), act.filter)


# --- fragments -----------------------------------------------------------------------------------------------
def _archive(act: BulkAct, rows: Sequence[Row], actor: Actor) -> Piece:
    piece, ready = _fragments(
        act, rows, lambda found: archive_skip(found.lifecycle_state, is_retracted=found.is_retracted)
    )
    for group in ready:
        piece.done += RawFragment.objects.filter(
            pk__in=group.fragment_ids, lifecycle_state=LifecycleState.ACTIVE, is_retracted=False
        ).update(lifecycle_state=LifecycleState.ARCHIVED, archived_at=Now())
    return piece


def _restore(act: BulkAct, rows: Sequence[Row], actor: Actor) -> Piece:
    piece, ready = _fragments(act, rows, lambda found: restore_skip(found.lifecycle_state))
    for group in ready:
        piece.done += sum(group_restore(group))
    return piece


def _fragments(act: BulkAct, rows: Sequence[Row], skip: Callable[[Any], str]) -> tuple[Piece, list[Group]]:
    """What is skipped, and the fragments that are ready to be moved, by user and type. Nobody else writes to them."""
    hold(LockSpace.FRAGMENTS, {(row.user_id, row.entity_type) for row in rows})
    # In a later statement than the one that took the locks, and by the filter once more: what was seen again, promoted
    # or deleted meanwhile is not what was meant.
    found = (
        _filter_of(act)
        .rows_among([row.id for row in rows])
        .only("pk", "entity_id", "fragment_key", "lifecycle_state", "is_retracted")
        .in_bulk()
    )
    piece = Piece()
    ready: list[Row] = []
    for row in rows:
        there = found.get(row.id)
        code = CHANGED if there is None else skip(there)
        if code:
            whose = {"name": there.fragment_key, "entity": str(there.entity_id)} if there else {}
            piece.skip(row, code, **whose)
        else:
            ready.append(row)

    def owner(row: Row) -> tuple[int, str]:
        return row.user_id, row.entity_type

    return piece, [
        Group(*whose, [row.id for row in group])
        for whose, group in groupby(sorted(ready, key=owner), key=owner)
    ]


# --- undeclared fields ----------------------------------------------------------------------------------------
def _dismiss(act: BulkAct, rows: Sequence[Row], actor: Actor) -> Piece:
    until = datetime.fromisoformat(str(act.options["until"])) if "until" in act.options else None
    fields = _fields(act, rows)
    there = [one for row in rows if (one := fields.get(row.id)) is not None]
    codes = dict(zip((one.pk for one in there), dismissals_skipped(there, until=until), strict=True))
    piece = Piece()
    for row in rows:
        one = fields.get(row.id)
        code = CHANGED if one is None else codes[row.id]
        if one is None or code:
            piece.skip(row, code, name=one.fragment_key if one else None)
            continue
        _attempt(piece, row, one, partial(_refuse, act, one, actor, until))
    return piece


def _refuse(act: BulkAct, one: RawFragmentAggregate, actor: Actor, until: datetime | None) -> object:
    which: dict[str, Any] = {
        "entity_type": one.entity_type,
        "name": one.fragment_key,
        "user_id": one.user_id,
        "actor": actor,
        "reason": act.reason,
        # Also what somebody decides between the look at the piece and here.
        "is_first": True,
    }
    return field_dismiss(**which) if until is None else field_snooze(**which, until=until)


def _promote(act: BulkAct, rows: Sequence[Row], actor: Actor) -> Piece:
    piece = Piece()
    for row in rows:
        try:
            # Nobody stores anything of this owner and type meanwhile: what is decided by stands still.
            hold_for_change(row.entity_type, row.user_id)
        except OwnerErased as error:
            piece.skip(row, error.code, message=error.message)
            continue
        one = _fields(act, [row]).get(row.id)
        if one is None:
            piece.skip(row, CHANGED)
            continue
        (told,) = recommendations_of_rows([one])
        obstacle = promotion_obstacle(told, with_others=act.options.get("with_others") is True)
        if obstacle is not None or told.suggested is None:
            piece.skip(
                row,
                obstacle.code if obstacle else FAILED,
                name=one.fragment_key,
                message=obstacle.message if obstacle else "",
            )
            continue
        promote = partial(
            field_promote,
            user_id=one.user_id,
            entity_type=one.entity_type,
            field=one.fragment_key,
            declaration=told.suggested.definition,
            actor=actor,
            note=act.reason,
        )
        _attempt(piece, row, one, promote)
    return piece


def _fields(act: BulkAct, rows: Sequence[Row]) -> dict[int, RawFragmentAggregate]:
    """Those of the fields that match the filter now."""
    return _filter_of(act).rows_among([row.id for row in rows]).in_bulk()


def _attempt(piece: Piece, row: Row, one: RawFragmentAggregate, act: Callable[[], object]) -> None:
    """One field is acted on, or skipped with what refused it: it never costs the others.

    What is no matter of this field ends the piece: who may not do it at all, and locks or a database out of reach.
    """
    try:
        # A savepoint: what the database refuses of one field is undone alone.
        with transaction.atomic():
            act()
    except (Denied, LockTimeout, OperationalError, InterfaceError):
        raise
    except DomainError as error:
        piece.skip(row, error.code, name=one.fragment_key, message=error.message)
    except Exception as error:
        logger.warning("%s of user %s was left out: %s", row.entity_type, row.user_id, error_told(error))
        piece.skip(row, FAILED, name=one.fragment_key, message=error_told(error))
    else:
        piece.done += 1


_ACTS: Final[dict[BulkVerb, Callable[[BulkAct, Sequence[Row], Actor], Piece]]] = {
    BulkVerb.ARCHIVE: _archive,
    BulkVerb.RESTORE: _restore,
    BulkVerb.PROMOTE: _promote,
    BulkVerb.DISMISS: _dismiss,
    BulkVerb.SNOOZE: _dismiss,
}
