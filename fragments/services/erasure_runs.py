"""The job that erases: step by step, each in pieces of one transaction, from wherever it was stopped.

A piece commits what it took away, the counts in the erasure's row, and the cursor. Every step finds its work in the
data, so that a piece which is done again takes away nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from django.db import connection
from django.db.models.functions import Now

from fragments.domain.erasing import Clearing, added, is_distinctive
from fragments.models import DeadLetter, IngestRun, RawFragmentAggregate
from fragments.services.erasure import owner_types, whose
from fragments.services.erasure_contents import (
    Place,
    entities_erase,
    entities_next,
    growth_forget,
    sources_forget,
)
from fragments.services.erasure_inventory import CLEARED, OF_OWNER
from fragments.services.erasure_letters import letters_look
from fragments.services.erasure_person import person_erase, shell_name, traces_erase
from fragments.services.erasure_texts import rows_clear, rows_look
from fragments.services.erasure_views import views_look
from registry.models import ProposalTrial
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json
from schemaevo.kernel.erasing import erasing_mark
from schemaevo.kernel.jobs import Lease
from schemaevo.kernel.locks import LockSpace, hold
from schemaevo.kernel.models import Erasure, SavedView

#: Rows of an owner that one transaction deletes, where they are no entities.
ROWS_AT_ONCE: Final = 1_000


class Piece(NamedTuple):
    """What one transaction took away or cleared, by table; and where its step goes on, None where it is done. `again`
    says that all has to be gone through once more."""

    counts: dict[str, int]
    place: Json = None
    entities: int = 0
    again: bool = False


Step = Callable[[Erasure, Json], Piece]


def erase_run(lease: Lease) -> JsonObject:
    """Whom the erasure is about is erased. The result, which the audit log keeps, has the counts."""
    erasure = Erasure.objects.select_related("user").get(pk=int(lease.target))
    if erasure.is_done:
        return {**erasure.counts}
    steps = STEPS if erasure.entity_id is None else STEPS_OF_ENTITY
    number, place, pieces = _place(lease.cursor)
    if lease.cursor is None:
        lease.set_total(entities_left(erasure))
    while number < len(steps):
        with lease.batch() as batch:
            erasing_mark(erasure.pk)
            piece = steps[number](erasure, place)
            if steps[number] is not _finish:
                erasure.counts = added(erasure.counts, piece.counts.items())
                Erasure.objects.filter(pk=erasure.pk).update(counts=erasure.counts)
            place = piece.place
            number = 0 if piece.again else number + (place is None)
            batch.done(piece.entities)
            # With each piece the cursor moves, also where the step stays where it is: each is a piece of the way.
            pieces += 1
            batch.cursor = [number, place, pieces]
    return {**erasure.counts}


def _place(cursor: Json) -> tuple[int, Json, int]:
    """The step, where in it to go on, and how many pieces are done."""
    match cursor:
        case [int(number), place, int(pieces)]:
            return number, place, pieces
        case _:
            return 0, None, 0


def entities_left(erasure: Erasure) -> int:
    """How many entities are still to go; the rest of what goes is little beside them."""
    if erasure.entity_id is not None:
        return 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM entity_snapshots WHERE user_id = %s", [erasure.user_id])
        return int(cursor.fetchone()[0])


def called_in_texts(erasure: Erasure) -> Clearing:
    """What takes the names out of texts. Those that may as well be other words are left alone there."""
    names = tuple(name for name in map(str, erasure.names) if is_distinctive(name))
    return Clearing(names, instead_of(erasure))


def called_at_all(erasure: Erasure) -> Clearing:
    """The same with all names, for what is known to be of somebody by its name."""
    return Clearing(tuple(map(str, erasure.names)), instead_of(erasure))


def instead_of(erasure: Erasure) -> str:
    """What stands where a name stood."""
    return (
        shell_name(erasure.user_id) if erasure.entity_id is None else f"erased-{str(erasure.entity_id)[:8]}"
    )


def _wait_for_writers(erasure: Erasure, place: Json) -> Piece:
    """Whoever was storing something for the owner has ended, and whoever begins now sees that it is refused."""
    after = place if isinstance(place, str) else ""
    types = [erasure.entity_type] if erasure.entity_id is not None else owner_types(erasure.user_id)
    left = [entity_type for entity_type in types if entity_type > after]
    if not left:
        return Piece({})
    hold(LockSpace.SCHEMA_OWNER, [(left[0], erasure.user_id)])
    return Piece({}, left[0] if len(left) > 1 else None)


def _contents(erasure: Erasure, place: Json) -> Piece:
    """The entities, a piece after the other, until a look from the beginning finds none."""
    after = Place()
    seen: list[Json] = []
    match place:
        case [str(entity_type), str(entity_key), list(sources)]:
            after, seen = Place(entity_type, entity_key), sources
    found = entities_next(erasure, after)
    if not found:
        counts: dict[str, int] = {}
        if after.entity_type and entities_next(erasure, Place()):
            return Piece(counts, ["", "", seen])
        if erasure.entity_id is not None:
            sources_forget(erasure, [str(source) for source in seen], counts)
        return Piece(counts)
    gone = entities_erase(erasure, found[0][0], [identity for _, _, identity in found])
    beyond = Place(*found[-1][:2]) if gone.entities else after
    if erasure.entity_id is not None:
        seen = [*sorted({*map(str, seen), *gone.sources})]
    return Piece(gone.counts, [*beyond, seen], gone.entities)


def _letters(erasure: Erasure, place: Json) -> Piece:
    """Refused records of whom is erased."""
    look = letters_look(erasure, called_at_all(erasure), place if isinstance(place, int) else 0)
    DeadLetter.objects.filter(pk__in=look.ids).delete()
    return Piece({DeadLetter._meta.db_table: len(look.ids)}, look.last)


def _trials(erasure: Erasure, place: Json) -> Piece:
    """Samples of whom is erased in results of trials. What is being tried is cleared by the database when it ends."""
    whom: JsonObject = (
        {"owner": erasure.user_id} if erasure.entity_id is None else {"entity": str(erasure.entity_id)}
    )
    # In a statement of its own: who is writing a result now has committed when the next one looks.
    list(ProposalTrial.objects.filter(state__in=["waiting", "running"]).select_for_update().order_by("pk"))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE schema_proposal_trials SET result = schema_proposal_trial_left_v1(result)"
            " WHERE result @> jsonb_build_object('values', jsonb_build_array(%s::jsonb))",
            [canonical_json(whom)],
        )
        return Piece({ProposalTrial._meta.db_table: int(cursor.rowcount)})


def _runs(erasure: Erasure, place: Json) -> Piece:
    """Runs that were of the owner alone do not say any more what they read."""
    changed = (
        IngestRun.objects.filter(options__user_id=erasure.user_id)
        .exclude(name=instead_of(erasure), error="")
        .update(name=instead_of(erasure), error="")
    )
    return Piece({IngestRun._meta.db_table: changed})


def _texts(erasure: Erasure, place: Json) -> Piece:
    """Rows that stay, table by table, a window of rows after the other."""
    table, after = 0, None
    match place:
        case [int(number), str(key)]:
            table, after = number, key
        case [int(number), None]:
            table = number
    cleared = CLEARED[table]
    look = rows_look(erasure, called_in_texts(erasure), cleared, after)
    new = [key for key in look.keys if key not in erasure.names]
    if new:
        # By these the guards of the database know the rows.
        erasure.names = [*erasure.names, *new]
        Erasure.objects.filter(pk=erasure.pk).update(names=erasure.names)
    rows_clear(cleared, look.changes)
    counts = {cleared.table: len(look.changes)}
    if look.last is not None:
        return Piece(counts, [table, look.last])
    return Piece(counts, [table + 1, None] if table + 1 < len(CLEARED) else None)


def _views(erasure: Erasure, place: Json) -> Piece:
    """Saved views of lists, whosever they are, that name whom is erased."""
    look = views_look(erasure, called_in_texts(erasure), place if isinstance(place, int) else 0)
    deleted, _ = SavedView.objects.filter(pk__in=look.ids).delete()
    return Piece({SavedView._meta.db_table: deleted}, look.last)


def _owned(erasure: Erasure, place: Json) -> Piece:
    """What the owner has beside entities, table by table."""
    table = place if isinstance(place, int) else 0
    owned = OF_OWNER[table]
    rows = owned.model._default_manager.filter(**{owned.column: erasure.user_id})
    if owned.model is RawFragmentAggregate:
        return _aggregates(erasure, table)
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS_AT_ONCE])
    deleted, _ = owned.model._default_manager.filter(pk__in=ids).delete()
    return Piece({owned.table: deleted}, _after(table, len(ids)))


def _aggregates(erasure: Erasure, table: int) -> Piece:
    """What was counted of the owner's fields, and what of owners, where nobody else has such a field."""
    rows = RawFragmentAggregate.objects.filter(user_id=erasure.user_id)
    found = list(rows.order_by("entity_type", "pk")[:ROWS_AT_ONCE])
    RawFragmentAggregate.objects.filter(pk__in=[row.pk for row in found]).delete()
    counts = {RawFragmentAggregate._meta.db_table: len(found)}
    for entity_type in sorted({row.entity_type for row in found}):
        growth_forget(
            entity_type, [row.fragment_key for row in found if row.entity_type == entity_type], counts
        )
    return Piece(counts, _after(table, len(found)))


def _after(table: int, count: int) -> Json:
    if count == ROWS_AT_ONCE:
        return table
    return table + 1 if table + 1 < len(OF_OWNER) else None


def _person(erasure: Erasure, place: Json) -> Piece:
    """What the login left, and the row of the user."""
    counts: dict[str, int] = {}
    traces_erase(erasure, counts)
    return Piece({**counts, "users": person_erase(erasure.user)})


def _is_left(erasure: Erasure) -> bool:
    """Whether anything of the owner, or of the entity, is there: who was at work for them may have written late."""
    if entities_next(erasure, Place()):
        return True
    return erasure.entity_id is None and any(
        owned.model._default_manager.filter(**{owned.column: erasure.user_id}).exists() for owned in OF_OWNER
    )


def _finish(erasure: Erasure, place: Json) -> Piece:
    """It is over, and the row of the erasure does not say any more what anybody was called."""
    if _is_left(erasure):
        return Piece({}, again=True)
    called = called_in_texts(erasure)
    counts = added(erasure.counts, [])
    over = {"names": [], "targets": {}, "finished_at": Now()}
    if erasure.entity_id is None:
        # What was being erased of the owner's entities went with everything else.
        Erasure.objects.filter(user_id=erasure.user_id, finished_at=None).exclude(pk=erasure.pk).update(
            **over
        )
    Erasure.objects.filter(pk=erasure.pk).update(**over, counts=counts, reason=called.text(erasure.reason))
    audit_record(
        actor=Actor.system("erasure"),
        action="erasure.done",
        target_type="erasure",
        target_id=erasure.pk,
        after={**whose(erasure), "rows": counts},
    )
    return Piece({})


#: What people wrote is gone through before the entities go, since it may name one by its key, and once more at the end.
STEPS: Final[Sequence[Step]] = (
    _wait_for_writers,
    _texts,
    _views,
    _contents,
    _letters,
    _trials,
    _runs,
    _owned,
    _texts,
    _views,
    _person,
    _finish,
)
STEPS_OF_ENTITY: Final[Sequence[Step]] = (
    _wait_for_writers,
    _contents,
    _letters,
    _trials,
    _texts,
    _views,
    _finish,
)
