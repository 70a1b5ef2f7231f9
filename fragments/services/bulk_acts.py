"""Acts in bulk: one verb for everything that matches a filter. Asked for here; a job does it (bulk_runs.py)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from django.db import transaction
from django.utils import timezone

from fragments.errors import BulkActNotFound, BulkActOver, EverythingUnconfirmed, NothingMatches
from fragments.models import VERBS_OF, BulkAct, BulkState, BulkVerb
from fragments.selectors_bulk import ACT, rows_bound, rows_matched
from fragments.selectors_narrowed import SEARCH, RowFilter
from fragments.services.dismissals import require_until
from fragments.services.promotions import MAY_PROMOTE
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject, require_storable
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.jobs import job_request

#: Who may do it to one row may do it to all that match.
PERMISSIONS: Final[Mapping[BulkVerb, str]] = {
    BulkVerb.ARCHIVE: "fragments.archive_fragment",
    BulkVerb.RESTORE: "fragments.restore_fragment",
    BulkVerb.PROMOTE: MAY_PROMOTE,
    BulkVerb.DISMISS: "fragments.dismiss_field",
    BulkVerb.SNOOZE: "fragments.dismiss_field",
}


def bulk_act_begin(
    *,
    filtered: RowFilter,
    verb: BulkVerb,
    reason: str,
    actor: Actor,
    until: datetime | None = None,
    with_others: bool = False,
    is_everything_meant: bool = False,
) -> BulkAct:
    """A job is owed that does this to every row that matches the filter and is there now.

    `until` is that of a snooze. `with_others` promotes also fields that are not recommended, where they can be
    declared. Without any filter all rows have to be meant explicitly. Each row is looked at again before its turn.

    Raises: Denied; Invalid `reason_missing`, `verb_of_other_list`, `until_missing`, `until_passed`, `until_too_late`;
    Unstorable for such a reason or filter; EverythingUnconfirmed `everything_unconfirmed`; NothingMatches
    `nothing_matches`.
    """
    actor.require(PERMISSIONS[verb])
    document = filtered.to_json()
    require_storable([reason, document])
    if not reason.strip():
        raise Invalid("reason_missing", "Say why; the act keeps it.")
    if verb not in VERBS_OF[filtered.listed]:
        raise Invalid(
            "verb_of_other_list", f"Rows of this list cannot be acted on so: {verb.value}.", verb=verb.value
        )
    options = _options(verb, until, with_others=with_others)
    if filtered.is_everything and not is_everything_meant:
        raise EverythingUnconfirmed
    # Outside of the transaction that writes: it may take a while, and holds nothing up.
    matched = rows_matched(filtered.rows())
    if matched is not None and matched.is_exact and not matched.value:
        raise NothingMatches
    with transaction.atomic():
        act = BulkAct.objects.create(
            verb=verb,
            listed=filtered.listed,
            filter=document,
            options=options,
            reason=reason.strip(),
            bound_id=rows_bound(filtered.listed),
            asked_count=0 if matched is None else matched.value,
            is_asked_exact=matched is not None and matched.is_exact,
            requested_by=actor.user,
            requested_by_name=actor.name,
        )
        act.refresh_from_db()
        _audit(act, "begin", actor, before=None, after=_told(act), reason=act.reason)
        job_request(kind=ACT, target=str(act.pk), requested_by=actor)
    return act


@transaction.atomic
def bulk_act_cancel(*, act_id: int, actor: Actor, reason: str = "") -> BulkAct:
    """The act rests after the piece that is being done; what is done stays. It can be gone on with. One that is
    cancelled stays as it is.

    Raises: BulkActNotFound; Denied; BulkActOver `bulk_act_over`; Unstorable for such a reason.
    """
    act = _held(act_id, actor)
    require_storable(reason)
    if act.state == BulkState.CANCELLED:
        return act
    _move(act, "cancel", BulkState.CANCELLED, actor, reason)
    return act


@transaction.atomic
def bulk_act_resume(*, act_id: int, actor: Actor, reason: str = "") -> BulkAct:
    """The act goes on from where it rests, in the name of who says so; also where its job failed, or was cancelled
    elsewhere.

    Raises: BulkActNotFound; Denied; BulkActOver `bulk_act_over`; Unstorable for such a reason.
    """
    act = _held(act_id, actor)
    require_storable(reason)
    act.resumed_by = actor.user
    act.save(update_fields=["resumed_by"])
    _move(act, "resume", BulkState.RUNNING, actor, reason)
    job_request(kind=ACT, target=str(act.pk), requested_by=actor)
    return act


def act_for_update(act_id: int) -> BulkAct:
    """The act, which nobody else changes until the transaction ends. Raises: BulkActNotFound."""
    act = BulkAct.objects.select_for_update(of=("self",)).filter(pk=act_id).first()
    if act is None:
        raise BulkActNotFound(act_id)
    return act


def act_finish(act: BulkAct, actor: Actor) -> None:
    """Every row was looked at. Runs inside the transaction of the last piece, which holds the act."""
    act.state = BulkState.DONE
    act.finished_at = timezone.now()
    after: JsonObject = {
        "state": act.state,
        "matched": act.matched_count,
        "done": act.done_count,
        "skipped": act.skipped,
    }
    _audit(act, "end", actor, before={"state": BulkState.RUNNING.value}, after=after)


def _options(verb: BulkVerb, until: datetime | None, *, with_others: bool) -> JsonObject:
    if verb == BulkVerb.PROMOTE:
        return {"with_others": with_others}
    if verb != BulkVerb.SNOOZE:
        return {}
    if until is None:
        raise Invalid("until_missing", "Say until when the fields are snoozed.")
    require_until(until)
    return {"until": until.astimezone(UTC).isoformat()}


def _held(act_id: int, actor: Actor) -> BulkAct:
    """The act, if the actor may do what it does and it is not over. Locked."""
    # Which permission is needed stands in the row.
    act = act_for_update(act_id)
    actor.require(PERMISSIONS[BulkVerb(act.verb)])
    if act.is_done:
        raise BulkActOver(act_id)
    return act


def _move(act: BulkAct, verb: str, state: BulkState, actor: Actor, reason: str) -> None:
    before: JsonObject = {"state": act.state}
    act.state = state
    act.save(update_fields=["state"])
    after: JsonObject = {"state": state.value, "matched": act.matched_count, "done": act.done_count}
    _audit(act, verb, actor, before=before, after=after, reason=reason.strip())


def _told(act: BulkAct) -> JsonObject:
    """What was asked for. A search may be anything that somebody typed."""
    told: JsonObject = {name: "…" if name == SEARCH else value for name, value in act.filter.items()}
    return {
        "verb": act.verb,
        "list": act.listed,
        "filter": told,
        "owner": act.filter.get("owner"),
        "options": act.options,
        "matched": act.asked_count,
        "state": act.state,
    }


def _audit(
    act: BulkAct, verb: str, actor: Actor, *, before: JsonObject | None, after: JsonObject, reason: str = ""
) -> None:
    audit_record(
        actor=actor,
        action=f"bulk_act.{verb}",
        target_type="bulk_act",
        target_id=act.pk,
        before=before,
        after=after,
        reason=reason,
    )
