"""Upgrade requests: somebody asks for more for an owner, and somebody else decides."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.db import transaction
from django.db.models.functions import Now

from registry.errors import AlreadyDecided, OwnRequest, RequestNotFound, RequestPending
from registry.models import QuotaGrant, QuotaLimit, QuotaRequest, RequestState
from registry.selectors_quotas import Quota
from registry.services.quotas import (
    grant_write,
    quota_for_update,
    quotas_for_update,
    require_future,
    require_maxima,
    require_note,
)
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject, require_storable
from schemaevo.kernel.erasing import require_not_erased
from schemaevo.kernel.errors import Conflict, Denied, DomainError, Invalid, NotFound
from schemaevo.kernel.models import User

Decision = Literal["approve", "reject"]


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision about several requests came to for one of them: the request, or why it was refused."""

    request_id: int
    request: QuotaRequest | None
    refusal: DomainError | None


@transaction.atomic
def quota_request_create(
    *,
    user_id: int,
    actor: Actor,
    reason: str,
    max_schemas: int | None = None,
    max_fields: int | None = None,
) -> QuotaRequest:
    """Higher maxima are asked for, for that owner; an owner has one request at a time that waits.

    Asking again for the same is the same request. Raises: Denied `permission_denied`, `login_needed`; Invalid
    `note_needed`, `maximum_needed`, `maximum_out_of_range`, `not_more`; RequestPending `request_pending`; NotFound;
    Unstorable for a reason.
    """
    actor.require("registry.request_quota")
    asker = actor.require_login()
    require_note(reason)
    require_maxima(max_schemas, max_fields, lowest=1)
    if not User.objects.filter(pk=user_id).exists():
        raise NotFound("user_not_found", f"There is no user {user_id}.", name=str(user_id))
    require_not_erased(user_id)
    waiting = QuotaRequest.objects.filter(user=user_id, state=RequestState.PENDING)
    # Requests before quotas, as deciding locks them. Who decides just now is waited for here.
    waiting.select_for_update().first()
    quota = quota_for_update(user_id)
    present = waiting.first()
    if present is not None:
        same = (present.asked_by_id, present.asked_max_schemas, present.asked_max_fields)
        if same == (asker.pk, max_schemas, max_fields):
            return present
        raise RequestPending(present.pk)
    _require_more(quota, max_schemas, max_fields)
    request = QuotaRequest.objects.create(
        user_id=user_id,
        asked_max_schemas=max_schemas,
        asked_max_fields=max_fields,
        reason=reason.strip(),
        asked_by=asker,
    )
    audit_record(
        actor=actor,
        action="quota_request.create",
        target_type="quota_request",
        target_id=request.pk,
        after={"owner": user_id, "max_schemas": max_schemas, "max_fields": max_fields},
        reason=request.reason,
    )
    return request


@transaction.atomic
def quota_request_approve(
    *,
    request_id: int,
    actor: Actor,
    max_schemas: int | None = None,
    max_fields: int | None = None,
    until: datetime | None = None,
    note: str = "",
) -> QuotaRequest:
    """The owner has the maxima that were asked for, or less where a number is given, or until a time.

    Where only one number is given, only that limit is granted. The same decision once more changes nothing.
    Raises: Denied `permission_denied`, `login_needed`; OwnRequest `own_request`; RequestNotFound;
    AlreadyDecided `already_decided`; Invalid `until_passed`, `until_too_late`, `maximum_out_of_range`,
    `more_than_asked`; Conflict `not_more` where the owner has as much by now; Unstorable for a note.
    """
    _authorise(actor, note)
    require_future(until)
    if max_schemas is not None or max_fields is not None:
        require_maxima(max_schemas, max_fields, lowest=1)
    return _approve(_locked(request_id), actor, max_schemas, max_fields, until, note)


@transaction.atomic
def quota_request_reject(*, request_id: int, actor: Actor, note: str) -> QuotaRequest:
    """The request is turned down, and its row says why. The same decision once more changes nothing.

    Raises: as `quota_request_approve`; Invalid `note_needed`.
    """
    _authorise(actor, note)
    require_note(note)
    return _reject(_locked(request_id), actor, note)


@transaction.atomic
def quota_request_withdraw(*, request_id: int, actor: Actor, note: str = "") -> QuotaRequest:
    """Nobody needs to decide any more. Only whoever asked can do that; once more changes nothing.

    Raises: Denied `permission_denied`, `login_needed`, `not_own_request`; RequestNotFound; AlreadyDecided
    `already_decided`; Unstorable for a note.
    """
    actor.require("registry.request_quota")
    login = actor.require_login()
    require_storable(note)
    request = _locked(request_id)
    if request.asked_by_id != login.pk:
        raise Denied("not_own_request", "Only who asked can withdraw a request.", request_id=request_id)
    if request.state == RequestState.WITHDRAWN:
        return request
    return _decide(request, RequestState.WITHDRAWN, actor, note)


@transaction.atomic
def quota_requests_decide(
    *,
    request_ids: Collection[int],
    decision: Decision,
    actor: Actor,
    note: str,
    until: datetime | None = None,
) -> list[Decided]:
    """All these requests are decided the same way, as they were asked, with one note; but for those where that is
    refused, which stay as they are. Gives what came of each, by ascending number. Only an approval has an end.

    Raises: Denied; Invalid `note_needed`, `until_passed`, `until_too_late`, `until_of_rejection`; Unstorable for a
    note.
    """
    _authorise(actor, note)
    require_note(note)
    require_future(until)
    if until is not None and decision == "reject":
        raise Invalid("until_of_rejection", "Only an approval has an end.")
    found = QuotaRequest.objects.select_for_update().filter(pk__in=request_ids).order_by("pk")
    requests = {request.pk: request for request in found}
    quotas_for_update([request.user_id for request in requests.values()])
    outcomes = []
    for request_id in sorted(set(request_ids)):
        try:
            with transaction.atomic():
                request = requests.get(request_id)
                if request is None:
                    raise RequestNotFound(request_id)
                if decision == "approve":
                    request = _approve(request, actor, None, None, until, note)
                else:
                    request = _reject(request, actor, note)
            outcomes.append(Decided(request_id, request, None))
        except DomainError as refusal:
            outcomes.append(Decided(request_id, None, refusal))
    return outcomes


def _approve(
    request: QuotaRequest,
    actor: Actor,
    max_schemas: int | None,
    max_fields: int | None,
    until: datetime | None,
    note: str,
) -> QuotaRequest:
    if max_schemas is None and max_fields is None:
        max_schemas, max_fields = request.asked_max_schemas, request.asked_max_fields
    granted = (max_schemas, max_fields, until)
    if _is_to_be_decided(request, actor, RequestState.APPROVED, granted):
        for limit, given, asked in (
            (QuotaLimit.SCHEMAS, max_schemas, request.asked_max_schemas),
            (QuotaLimit.FIELDS, max_fields, request.asked_max_fields),
        ):
            if given is not None and (asked is None or given > asked):
                raise Invalid(
                    "more_than_asked", "Not more can be granted than was asked for.", limit=limit.value
                )
        quota = quota_for_update(request.user_id)
        _require_more(quota, max_schemas, max_fields, is_conflict=True)
        request.granted_max_schemas, request.granted_max_fields, request.granted_until = granted
        _decide(request, RequestState.APPROVED, actor, note)
        grant_write(
            grant=QuotaGrant(
                user_id=request.user_id,
                request=request,
                max_schemas=max_schemas,
                max_fields=max_fields,
                until=until,
                note=note.strip(),
            ),
            before=quota,
            actor=actor,
        )
    return request


def _reject(request: QuotaRequest, actor: Actor, note: str) -> QuotaRequest:
    if _is_to_be_decided(request, actor, RequestState.REJECTED, (None, None, None)):
        _decide(request, RequestState.REJECTED, actor, note)
    return request


def _is_to_be_decided(
    request: QuotaRequest,
    actor: Actor,
    state: RequestState,
    granted: tuple[int | None, int | None, datetime | None],
) -> bool:
    """Whether there is something to do; not where this login decided just this before.

    Raises: OwnRequest; AlreadyDecided.
    """
    login = actor.require_login()
    if request.asked_by_id == login.pk:
        raise OwnRequest(request.user_id)
    if request.state == RequestState.PENDING:
        return True
    was = (request.granted_max_schemas, request.granted_max_fields, request.granted_until)
    if (request.state, request.decided_by_id, was) == (state, login.pk, granted):
        return False
    raise AlreadyDecided(request.pk, request.state)


def _decide(request: QuotaRequest, state: RequestState, actor: Actor, note: str) -> QuotaRequest:
    """The pending request, whose row is locked, is in that state, with an audit row."""
    if request.state != RequestState.PENDING:
        raise AlreadyDecided(request.pk, request.state)
    before: JsonObject = {"state": request.state}
    QuotaRequest.objects.filter(pk=request.pk).update(
        state=state,
        decided_by=None if state == RequestState.WITHDRAWN else actor.user,
        decided_at=Now(),
        decision_note=note.strip(),
        granted_max_schemas=request.granted_max_schemas,
        granted_max_fields=request.granted_max_fields,
        granted_until=request.granted_until,
    )
    request.refresh_from_db()
    audit_record(
        actor=actor,
        action=f"quota_request.{_VERBS[state]}",
        target_type="quota_request",
        target_id=request.pk,
        before=before,
        after={
            "state": state.value,
            "owner": request.user_id,
            "max_schemas": request.granted_max_schemas,
            "max_fields": request.granted_max_fields,
            "until": request.granted_until.isoformat() if request.granted_until else None,
        },
        reason=note.strip(),
    )
    return request


_VERBS = {
    RequestState.APPROVED: "approve",
    RequestState.REJECTED: "reject",
    RequestState.WITHDRAWN: "withdraw",
}


def _locked(request_id: int) -> QuotaRequest:
    request = QuotaRequest.objects.select_for_update().filter(pk=request_id).first()
    if request is None:
        raise RequestNotFound(request_id)
    return request


def _authorise(actor: Actor, note: str) -> None:
    actor.require("registry.decide_quota")
    actor.require_login()
    require_storable(note)


def _require_more(
    quota: Quota, max_schemas: int | None, max_fields: int | None, *, is_conflict: bool = False
) -> None:
    """Raises: `not_more` if a maximum is not above the present one."""
    for given, use in ((max_schemas, quota.schemas), (max_fields, quota.fields)):
        if given is not None and given <= use.maximum:
            refusal = Conflict if is_conflict else Invalid
            raise refusal(
                "not_more",
                f"The owner may have {use.maximum} {use.limit.value} already.",
                limit=use.limit.value,
                maximum=use.maximum,
            )
