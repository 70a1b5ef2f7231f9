"""Quotas: refusals in words, warnings, maxima, grants that end, and counters put right.

The database counts and refuses (registry/sql/0007 and later). Services that change what is counted write it inside
`quota_refusals`, and end with `quota_noticed`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from registry.errors import OwnRequest, QuotaReached
from registry.models import QuotaGrant, QuotaLimit, QuotaNotice, UserQuota
from registry.models_quotas import MAXIMUM_MAX, UNTIL_BEFORE
from registry.selectors_quotas import (
    Divergence,
    Quota,
    largest_consumers,
    quota_from_row,
    quota_of,
    quotas_divergent,
    usage_counted,
)
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject, canonical_json, require_storable
from schemaevo.kernel.erasing import require_not_erased
from schemaevo.kernel.errors import Invalid, NotFound
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import User
from schemaevo.kernel.owners import owners_by_id

#: The job kinds of quotas: grants fall back, and notices are mailed.
EXPIRE = "expire_quota_grants"
MAIL = "mail_quota_notices"

_LIMITS = {
    "user_schema_quotas_max_schemas": QuotaLimit.SCHEMAS,
    "user_schema_quotas_max_fields": QuotaLimit.FIELDS,
}


@contextmanager
def quota_refusals(user_id: int | None) -> Iterator[None]:
    """What is written inside grows past no maximum of the user; the transaction goes on after a refusal.

    Take locks before: they are released with what is refused. What is global counts against nobody.
    Raises: QuotaReached `quota_exceeded`.
    """
    if user_id is None:
        yield
        return
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        cause = error.__cause__
        name = cause.diag.constraint_name if isinstance(cause, psycopg.Error) else None
        if not isinstance(cause, psycopg.Error) or name not in _LIMITS:
            raise
        use = quota_of(user_id=user_id).use_of(_LIMITS[name])
        raise QuotaReached(
            limit=use.limit.value,
            usage=use.usage,
            wanted=int(cause.diag.message_detail or use.maximum + 1),
            maximum=use.maximum,
            consumers=[(one.entity_type, one.fields) for one in largest_consumers(user_id=user_id)],
            owner=owners_by_id([user_id]).get(user_id, f"#{user_id}"),
        ) from error


@contextmanager
def quota_may_pass(*, cause: str, actor: Actor) -> Iterator[None]:
    """What is written inside may grow past a maximum: for undo and adoption, and nothing else.

    Where it does, the database adds an audit event that says so. Take locks before, as for `quota_refusals`.
    """
    said: JsonObject = {
        "cause": cause,
        "actor_id": actor.user.pk if actor.user else None,
        "actor_name": actor.name,
    }
    with transaction.atomic():
        _set_pass(canonical_json(said))
        yield
        # After an error the rollback takes it back.
        _set_pass("")


def quota_noticed(user_id: int | None) -> str:
    """Whoever is to be told about what this transaction used up will be; gives the warning for its result.

    The database has written the notices; they are mailed by a job, after the commit.
    """
    if user_id is None:
        return ""
    warning = quota_of(user_id=user_id).warning
    if warning and settings.SCHEMAEVO_QUOTA_MAIL_TO and _to_mail().filter(user=user_id).exists():
        job_request(kind=MAIL)
    return warning


@transaction.atomic
def quota_set_maximum(
    *,
    user_id: int,
    actor: Actor,
    note: str,
    max_schemas: int | None = None,
    max_fields: int | None = None,
    until: datetime | None = None,
) -> Quota:
    """The user's maxima are these, without a request; until a time, if one is given. What exists stays in any case.

    Setting what the newest grant says already changes nothing. Raises: Denied; OwnRequest `own_request` for raising
    what the actor ever asked for; Invalid `maximum_needed`, `maximum_out_of_range`, `until_passed`, `until_too_late`,
    `note_needed`; NotFound; Unstorable for a note.
    """
    actor.require("registry.decide_quota")
    require_note(note)
    require_maxima(max_schemas, max_fields, lowest=0)
    require_future(until)
    if not User.objects.filter(pk=user_id).exists():
        raise NotFound("user_not_found", f"There is no user {user_id}.", name=str(user_id))
    require_not_erased(user_id)
    before = quota_for_update(user_id)
    newest = QuotaGrant.objects.filter(user=user_id, ended_at__isnull=True).order_by("-pk").first()
    if newest is not None and (newest.max_schemas, newest.max_fields, newest.until) == (
        max_schemas,
        max_fields,
        until,
    ):
        return before
    return grant_write(
        grant=QuotaGrant(
            user_id=user_id, max_schemas=max_schemas, max_fields=max_fields, until=until, note=note.strip()
        ),
        before=before,
        actor=actor,
    )


def grant_write(*, grant: QuotaGrant, before: Quota, actor: Actor) -> Quota:
    """The grant holds and is in the audit log; gives the quota after it. The caller holds the quota's row, read as
    `before`. Raises: OwnRequest."""
    grant.granted_by = actor.user
    grant.granted_by_name = actor.name
    try:
        with transaction.atomic():
            grant.save(force_insert=True)
    except IntegrityError as error:
        cause = error.__cause__
        if isinstance(cause, psycopg.Error) and cause.diag.constraint_name == "quota_grants_four_eyes":
            raise OwnRequest(grant.user_id) from error
        raise
    after = quota_of(user_id=grant.user_id)
    audit_record(
        actor=actor,
        action="quota.maximum",
        target_type="quota",
        target_id=grant.user_id,
        before=_maxima(before),
        after={
            **_maxima(after),
            "grant": grant.pk,
            "request": grant.request_id,
            "until": grant.until.isoformat() if grant.until else None,
        },
        reason=grant.note,
    )
    return after


@transaction.atomic
def quota_grants_expire(*, actor: Actor, limit: int = 100) -> int:
    """The next grants whose time has passed have ended, and what held before them holds again; gives how many.

    Safe to run side by side: each grant ends once. Raises: Denied.
    """
    actor.require("registry.decide_quota")
    # By user, as quota rows are locked.
    due = QuotaGrant.objects.filter(ended_at__isnull=True, until__lte=Now()).order_by("user_id", "pk")
    ending = list(due.select_for_update(skip_locked=True)[:limit])
    for grant in ending:
        before = quota_for_update(grant.user_id)
        QuotaGrant.objects.filter(pk=grant.pk).update(ended_at=Now())
        audit_record(
            actor=actor,
            action="quota.expire",
            target_type="quota",
            target_id=grant.user_id,
            before=_maxima(before),
            after={
                **_maxima(quota_of(user_id=grant.user_id)),
                "grant": grant.pk,
                "request": grant.request_id,
            },
            reason=grant.note,
        )
    return len(ending)


@transaction.atomic
def quota_recount(*, user_id: int, actor: Actor) -> Divergence | None:
    """The user's counters are the count, with an audit event if they were not; gives what was wrong.

    Nothing is refused: what exists stays. Raises: Denied.
    """
    actor.require("kernel.control_job")
    was_there = UserQuota.objects.filter(user=user_id).exists()
    before = quota_for_update(user_id)
    schemas, fields = usage_counted(user_ids=[user_id])[user_id]
    # A row that was not there is made right.
    said = (before.schemas.usage, before.fields.usage) if was_there else (0, 0)
    found = Divergence(user_id, *said, schemas, fields)
    if (found.schema_count, found.total_fields) == (schemas, fields):
        return None
    UserQuota.objects.filter(user=user_id).update(schema_count=schemas, total_fields=fields)
    audit_record(
        actor=actor,
        action="quota.recount",
        target_type="quota",
        target_id=user_id,
        before={"schemas": found.schema_count, "fields": found.total_fields},
        after={"schemas": schemas, "fields": fields},
    )
    return found


def quotas_repair(*, actor: Actor) -> Iterator[Divergence]:
    """Every quota whose counters were not the count is put right, one transaction each; gives what was wrong."""
    for divergence in quotas_divergent():
        found = quota_recount(user_id=divergence.user_id, actor=actor)
        if found is not None:
            yield found


def quota_for_update(user_id: int) -> Quota:
    """The user has a quota, and its row is locked until the transaction ends.

    Quota rows come after everything else but jobs and audit in the lock order, by user ascending.
    """
    return quotas_for_update([user_id])[user_id]


def quotas_for_update(user_ids: Collection[int]) -> dict[int, Quota]:
    """As `quota_for_update`, of several users, by user ascending."""
    wanted = sorted(set(user_ids))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO user_schema_quotas (user_id) SELECT a.id FROM unnest(%s::bigint[]) AS a (id)"
            " WHERE NOT EXISTS (SELECT 1 FROM user_schema_quotas AS q WHERE q.user_id = a.id)"
            " ORDER BY a.id ON CONFLICT (user_id) DO NOTHING",
            [wanted],
        )
    rows = UserQuota.objects.select_for_update().filter(user__in=wanted).order_by("user_id")
    return {row.user_id: quota_from_row(row) for row in rows}


def notices_to_mail(limit: int) -> list[QuotaNotice]:
    """The next notices that hold still and nobody was told about, with their users."""
    return list(_to_mail().select_related("user").order_by("pk")[:limit])


def notices_mailed(notices: Collection[QuotaNotice]) -> None:
    """Of these nobody is told again."""
    QuotaNotice.objects.filter(pk__in=[notice.pk for notice in notices]).update(mailed_at=Now())


def require_note(note: str) -> None:
    """Raises: Invalid `note_needed` for a note that says nothing; Unstorable."""
    require_storable(note)
    if not note.strip():
        raise Invalid("note_needed", "Say why.")


def require_maxima(max_schemas: int | None, max_fields: int | None, *, lowest: int) -> None:
    """Raises: Invalid `maximum_needed` where neither is given, `maximum_out_of_range`."""
    given = [maximum for maximum in (max_schemas, max_fields) if maximum is not None]
    if not given:
        raise Invalid("maximum_needed", "Give a maximum of schemas, of fields, or both.")
    if not all(lowest <= maximum <= MAXIMUM_MAX for maximum in given):
        raise Invalid(
            "maximum_out_of_range",
            f"A maximum is a number from {lowest} to {MAXIMUM_MAX}.",
            lowest=lowest,
            highest=MAXIMUM_MAX,
        )


def require_future(until: datetime | None) -> None:
    """Raises: Invalid `until_passed` for an end that is over, `until_too_late` for one that is no time to plan for."""
    if until is None:
        return
    if until <= timezone.now():
        raise Invalid("until_passed", "The end of a grant lies in the future.", until=until.isoformat())
    if until >= UNTIL_BEFORE:
        raise Invalid(
            "until_too_late",
            f"A grant ends before the year {UNTIL_BEFORE.year}, or has no end.",
            until=until.isoformat(),
        )


def _to_mail() -> QuerySet[QuotaNotice]:
    return QuotaNotice.objects.filter(cleared_at__isnull=True, mailed_at__isnull=True)


def _maxima(quota: Quota) -> JsonObject:
    return {"max_schemas": quota.schemas.maximum, "max_fields": quota.fields.maximum}


def _set_pass(value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('schemaevo.quota_may_pass', %s, true)", [value])
