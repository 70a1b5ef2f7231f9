"""Erasure: an owner, or one entity, goes with everything that belongs to it. Asked for here; a job does it.

From the moment it is asked for nothing more is stored for whom it is about. The job (erasure_runs.py) takes a chunk at
a time, each in a transaction that is marked for the guards of the database, and may be killed anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from fragments.errors import EntityNotFound
from fragments.models import IngestRun, Promotion
from fragments.selectors_erasures import ERASE as ERASE
from registry.models import ExtensionRevision, QuotaRequest, Schema, SchemaVersion
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, JsonObject, require_storable
from schemaevo.kernel.erasing import OwnerErased
from schemaevo.kernel.errors import Conflict, Invalid, NotFound
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import Erasure, Job, User
from schemaevo.kernel.saved_views import views_of_login
from snapshots.domain.identity import entity_id
from snapshots.models import EntitySnapshot


@dataclass(frozen=True, slots=True)
class Asked:
    """An erasure, and the job that does it."""

    erasure: Erasure
    job: Job


@transaction.atomic
def owner_erase(*, user_id: int, reason: str, actor: Actor) -> Asked:
    """Everything of the owner goes, by a job; what is left is a shell without a name, whose number is referred to.
    Asked for again while it runs, it is the same erasure, and its job is owed again.

    Raises: Denied; Invalid `reason_missing`; Unstorable for such a reason; NotFound `user_not_found`; OwnerErased if it
    is done; Conflict `superuser` for who is one, and has to be made none first.
    """
    actor.require_superuser()
    reason = _reason(reason)
    user = User.objects.select_for_update().filter(pk=user_id).first()
    if user is None:
        raise NotFound("user_not_found", f"There is no user {user_id}.", user_id=user_id)
    if user.is_superuser:
        raise Conflict("superuser", "This is a superuser: take that right from the login first.")
    known = Erasure.objects.filter(user=user, entity_id=None).first()
    if known is not None and known.is_done:
        raise OwnerErased(user_id)
    return _asked(
        known
        or Erasure(
            user=user,
            reason=reason,
            names=_names(user),
            targets=_targets(user),
        ),
        actor,
    )


@transaction.atomic
def entity_erase(*, user_id: int, entity_type: str, entity_key: str, reason: str, actor: Actor) -> Asked:
    """Everything of one entity of the owner goes, by a job. It may come again, by records that arrive afterwards.

    Raises: as `owner_erase`; EntityNotFound `entity_not_found`.
    """
    actor.require_superuser()
    reason = _reason(reason)
    require_storable([entity_type, entity_key])
    # Whoever erases the owner waits, or has come before.
    user = User.objects.select_for_update().filter(pk=user_id).first()
    if user is None:
        raise NotFound("user_not_found", f"There is no user {user_id}.", user_id=user_id)
    if Erasure.objects.filter(user=user, entity_id=None).exists():
        raise OwnerErased(user_id)
    identity = UUID(entity_id(user_id, entity_type, entity_key))
    known = Erasure.objects.filter(user=user, entity_id=identity, finished_at=None).first()
    if known is None and not EntitySnapshot.objects.filter(pk=identity).exists():
        raise EntityNotFound(entity_type)
    return _asked(
        known
        or Erasure(
            user=user,
            entity_type=entity_type,
            entity_id=identity,
            reason=reason,
            names=[entity_key],
            targets={kind: [str(identity)] for kind in ("snapshot", "entity")},
        ),
        actor,
    )


def _reason(reason: str) -> str:
    require_storable(reason)
    if not reason.strip():
        raise Invalid("reason_missing", "Say why; the row of the erasure keeps it.")
    return reason.strip()


def _asked(erasure: Erasure, actor: Actor) -> Asked:
    if erasure._state.adding:
        erasure.requested_by = actor.user
        erasure.requested_by_name = actor.name
        erasure.save()
        erasure.refresh_from_db()
        # Without the reason, which may quote what is to go.
        audit_record(
            actor=actor,
            action="erasure.begin",
            target_type="erasure",
            target_id=erasure.pk,
            after=whose(erasure),
        )
    job = job_request(kind=ERASE, target=str(erasure.pk), requested_by=actor)
    return Asked(erasure, job)


def whose(erasure: Erasure) -> JsonObject:
    """Whose data it is, by numbers."""
    entity: Json = str(erasure.entity_id) if erasure.entity_id else None
    return {"owner": erasure.user_id, "entity_type": erasure.entity_type or None, "entity": entity}


def _names(user: User) -> list[Json]:
    """What the owner is called anywhere."""
    called = [
        user.username,
        user.email,
        user.first_name,
        user.last_name,
        f"{user.first_name} {user.last_name}",
    ]
    return [*dict.fromkeys(name.strip() for name in called if name.strip())]


def _targets(user: User) -> JsonObject:
    """What the audit log calls what is the owner's, by kind of target."""
    whole: Json = [str(user.pk)]
    types = owner_types(user.pk)
    parts: Json = [f"{entity_type}:{user.pk}" for entity_type in types]

    def numbers(model: type[ExtensionRevision | SchemaVersion | Promotion | QuotaRequest]) -> Json:
        return [str(number) for number in model.objects.filter(user_id=user.pk).values_list("pk", flat=True)]

    jobs = Job.objects.filter(target__endswith=f":{user.pk}").values_list("pk", flat=True)
    return {
        "user": whole,
        "quota": whole,
        "ignore_list": whole,
        "fragments": parts,
        "aggregates": parts,
        "recomputation": parts,
        "extension": numbers(ExtensionRevision),
        "schema_version": numbers(SchemaVersion),
        "promotion": numbers(Promotion),
        "quota_request": numbers(QuotaRequest),
        "job": [str(number) for number in jobs],
        "saved_view": [str(view.pk) for view in views_of_login(login=user)],
    }


def owner_types(user_id: int) -> list[str]:
    """The entity types in which the owner has something, and all others in which records may be coming in."""
    owned = EntitySnapshot.objects.filter(user_id=user_id).values_list("entity_type", flat=True).distinct()
    schemas = Schema.objects.values_list("entity_type", flat=True).distinct()
    extensions = ExtensionRevision.objects.filter(user_id=user_id).values_list("entity_type", flat=True)
    runs = IngestRun.objects.values_list("entity_type", flat=True).distinct()
    return sorted({*owned, *schemas, *extensions.distinct(), *runs})
