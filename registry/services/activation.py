"""Putting versions in force, and taking them out of it."""

from django.db import transaction
from django.db.models import BooleanField, Case, F, Q, Value, When
from django.db.models.functions import Coalesce, Now

from registry.cache import schema_changing
from registry.domain.targets import job_target
from registry.errors import ExtensionInForce, ReviewNeeded, SchemaNotFound, StalePreview
from registry.models import SchemaVersion
from registry.selectors import (
    extension_in_force,
    owned_by,
    schema_standing,
    version_by_number,
    version_in_force,
)
from registry.selectors_extensions import users_with_own
from registry.services.locking import announce_change, hold_for_change, require_entity_type
from registry.services.proposal_upkeep import proposals_outdate
from registry.services.quotas import quota_noticed, quota_refusals
from registry.services.schemas import require_compatible_version
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import require_storable
from schemaevo.kernel.jobs import job_request

#: The job kind that settles extensions and own schemas with the global schema; its target is the entity type, or one
#: user's part in it.
SETTLE = "settle_extensions"


@transaction.atomic
def schema_activate(
    *, version_id: int, actor: Actor, without_review: str = "", shown: str | None = None
) -> SchemaVersion:
    """The version is in force, instead of the one that was, and not retired any more.

    When this returns, no process splits a record by the older version: ingest holds the shared lock of what is
    in force while it writes. Activating what is in force changes nothing. A global schema that was ever in force
    changes only after a review, or with a reason in `without_review`. It takes as long with ten thousand extensions as
    with ten: they are composed when they are read, and settled by a job. `shown` is what was in force, in words
    (`Standing.in_words`), when the actor looked at what this changes; if that has moved, nothing is done.

    Raises: Denied; SchemaNotFound; StalePreview `stale_preview`; ReviewNeeded `review_needed`; ExtensionInForce
    `extension_in_force`; IncompatibleChange `incompatible_change`; QuotaReached `quota_exceeded`; Unstorable for such a
    reason; LockTimeout.
    """
    actor.require("registry.activate_schema")
    require_storable([without_review, shown])
    version = _version(version_id)
    hold_for_change(version.entity_type, version.user_id)
    version = _version(version_id)
    if version.is_active:
        version.quota_warning = quota_noticed(version.user_id)
        return version
    _require_as_shown(version.entity_type, version.user_id, shown)
    siblings = SchemaVersion.objects.filter(schema_id=version.schema_id)
    if version.user_id is None:
        if siblings.filter(first_activated_at__isnull=False).exists():
            _require_reason(version.entity_type, actor, without_review)
    elif (
        extension_in_force(entity_type=version.entity_type, user_id=version.user_id) is not None
        and version_in_force(entity_type=version.entity_type, user_id=None) is not None
    ):
        raise ExtensionInForce(version.entity_type)
    require_compatible_version(version, list(siblings))
    return version_put_in_force(version=version, actor=actor, without_review=without_review)


def version_put_in_force(
    *,
    version: SchemaVersion,
    actor: Actor,
    without_review: str = "",
    proposal_id: int | None = None,
    is_announced: bool = True,
) -> SchemaVersion:
    """The version is in force instead of its sibling that was, with an audit row, and jobs are asked for.

    The caller holds the lock of type and owner, and answers for the review. Jobs of the floors above are not asked for
    unless `is_announced`; somebody has to do it later (`announce_change`).
    """
    siblings = SchemaVersion.objects.filter(schema_id=version.schema_id)
    before = siblings.filter(is_active=True).first()
    is_it = Q(pk=version.pk)
    with quota_refusals(version.user_id):
        # One statement flips both: at no moment are there two in force, or none.
        siblings.filter(is_it | Q(is_active=True)).update(
            is_active=Case(When(is_it, then=Value(True)), default=Value(False), output_field=BooleanField()),
            retired_at=Case(When(is_it, then=None), default=F("retired_at")),
            first_activated_at=Case(
                When(is_it, then=Coalesce("first_activated_at", Now())), default=F("first_activated_at")
            ),
            activated_at=Case(When(is_it, then=Now()), default=F("activated_at")),
        )
    _changed(
        version,
        "schema_version.activate",
        before,
        version,
        actor,
        without_review,
        was_retired=version.retired_at is not None,
        proposal_id=proposal_id,
        is_announced=is_announced,
    )
    warning = quota_noticed(version.user_id)
    if _is_to_be_settled(version):
        job_request(kind=SETTLE, target=job_target(version.entity_type, version.user_id))
    version.refresh_from_db()
    version.quota_warning = warning
    return version


@transaction.atomic
def schema_deactivate(
    *,
    entity_type: str,
    user_id: int | None,
    actor: Actor,
    without_review: str = "",
    shown: str | None = None,
) -> SchemaVersion | None:
    """No version of that type and owner is in force. Gives the one that was, if there was one. `shown` is as for
    `schema_activate`.

    Raises: Denied; StalePreview `stale_preview`; ReviewNeeded `review_needed` for a global schema; QuotaReached
    `quota_exceeded` where a larger version counts instead from now on; Unstorable for such a reason; LockTimeout.
    """
    actor.require("registry.activate_schema")
    require_storable([without_review, shown])
    hold_for_change(entity_type, user_id)
    version = version_in_force(entity_type=entity_type, user_id=user_id)
    if version is None:
        return None
    _require_as_shown(entity_type, user_id, shown)
    if user_id is None:
        _require_reason(entity_type, actor, without_review)
    return version_take_out_of_force(version=version, actor=actor, without_review=without_review)


def version_take_out_of_force(
    *,
    version: SchemaVersion,
    actor: Actor,
    without_review: str = "",
    proposal_id: int | None = None,
    is_announced: bool = True,
) -> SchemaVersion:
    """No version of its schema is in force. As `version_put_in_force`."""
    with quota_refusals(version.user_id):
        SchemaVersion.objects.filter(pk=version.pk).update(is_active=False)
    _changed(
        version,
        "schema_version.deactivate",
        version,
        None,
        actor,
        without_review,
        proposal_id=proposal_id,
        is_announced=is_announced,
    )
    version.refresh_from_db()
    return version


@transaction.atomic
def schema_retire(
    *,
    entity_type: str,
    user_id: int | None,
    actor: Actor,
    number: str | None = None,
    note: str = "",
    without_review: str = "",
    shown: str | None = None,
) -> list[SchemaVersion]:
    """The version of that number, or every version of the schema, is retired: out of force, and out of use until it is
    activated again. Gives those that were not retired before. `shown` is as for `schema_activate`.

    Raises: Denied; Invalid `invalid_entity_type`; SchemaNotFound; StalePreview `stale_preview`; ReviewNeeded
    `review_needed` for a global version that is in force; QuotaReached `quota_exceeded` where a larger version counts
    instead from now on; Unstorable for a note or reason; LockTimeout.
    """
    actor.require("registry.activate_schema")
    require_storable([note, without_review, shown])
    require_entity_type(entity_type)
    hold_for_change(entity_type, user_id)
    if number is None:
        found = list(SchemaVersion.objects.filter(owned_by(user_id), entity_type=entity_type))
        if not found:
            raise SchemaNotFound(entity_type, "", "global" if user_id is None else f"user {user_id}")
    else:
        found = [version_by_number(entity_type=entity_type, user_id=user_id, number=number)]
    retiring = [version for version in found if version.retired_at is None]
    if not retiring:
        return []
    _require_as_shown(entity_type, user_id, shown)
    if user_id is None and any(version.is_active for version in retiring):
        _require_reason(entity_type, actor, without_review)
    was_in_force = any(version.is_active for version in retiring)
    versions_retire(
        versions=retiring, actor=actor, note=_both(without_review, note), without_review=without_review
    )
    if was_in_force:
        _announce(entity_type, user_id, actor)
    return retiring


def versions_retire(
    *, versions: list[SchemaVersion], actor: Actor, note: str, without_review: str = ""
) -> None:
    """The versions, all of one schema whose lock is held, are out of force and retired, with an audit row each.

    The caller announces what comes of it.
    """
    ids = [version.pk for version in versions]
    with quota_refusals(versions[0].user_id if versions else None):
        SchemaVersion.objects.filter(pk__in=ids).update(is_active=False, retired_at=Now())
    for version in versions:
        was_active = version.is_active
        version.refresh_from_db()
        audit_record(
            actor=actor,
            action="schema_version.retire",
            target_type="schema_version",
            target_id=version.pk,
            before={"in_force": was_active, "retired": False},
            after={
                "in_force": False,
                "retired": True,
                "entity_type": version.entity_type,
                "owner": version.user_id,
                "number": version.number,
                "without_review": bool(without_review.strip()),
            },
            reason=note,
        )


def _both(*reasons: str) -> str:
    """Reasons that say something, as one text."""
    return "; ".join(filter(None, map(str.strip, reasons)))


def _require_as_shown(entity_type: str, user_id: int | None, shown: str | None) -> None:
    """Nobody decides by a preview that is outdated: under the lock it is compared, and nothing can move after."""
    if shown is None:
        return
    present = schema_standing(entity_type=entity_type, user_id=user_id).in_words
    if present != shown:
        raise StalePreview(entity_type, shown, present)


def _require_reason(entity_type: str, actor: Actor, without_review: str) -> None:
    """Only the shell may do without a review, and has to say why."""
    if not (actor.is_trusted and without_review.strip()):
        raise ReviewNeeded(entity_type)


def _is_to_be_settled(version: SchemaVersion) -> bool:
    """Whether the version that came into force is to be settled with what users, or the global schema, have."""
    entity_type = version.entity_type
    if version.user_id is not None:
        return version_in_force(entity_type=entity_type, user_id=None) is not None
    return bool(users_with_own(entity_type=entity_type, after=0, limit=1))


def _version(version_id: int) -> SchemaVersion:
    version = SchemaVersion.objects.filter(pk=version_id).first()
    if version is None:
        raise SchemaNotFound("", str(version_id), "by id")
    return version


def _changed(
    version: SchemaVersion,
    action: str,
    before: SchemaVersion | None,
    after: SchemaVersion | None,
    actor: Actor,
    without_review: str,
    *,
    was_retired: bool = False,
    proposal_id: int | None = None,
    is_announced: bool = True,
) -> None:
    """Audit row and news: what every change of the version in force has in common. `proposal_id` is the proposal
    by which it is made, if it is one."""
    audit_record(
        actor=actor,
        action=action,
        target_type="schema_version",
        target_id=version.pk,
        before={"in_force": before.number if before else None, **({"retired": True} if was_retired else {})},
        after={
            "in_force": after.number if after else None,
            "entity_type": version.entity_type,
            "owner": version.user_id,
            "without_review": bool(without_review.strip()),
            **({"retired": False} if was_retired else {}),
            **({"proposal": proposal_id} if proposal_id is not None else {}),
        },
        reason=without_review.strip(),
    )
    _announce(version.entity_type, version.user_id, actor, proposal_id, is_announced=is_announced)


def _announce(
    entity_type: str,
    user_id: int | None,
    actor: Actor,
    proposal_id: int | None = None,
    *,
    is_announced: bool = True,
) -> None:
    if is_announced:
        announce_change(SchemaVersion, entity_type, user_id)
    else:
        schema_changing(entity_type=entity_type, user_id=user_id)
    if user_id is None:
        proposals_outdate(entity_type=entity_type, actor=actor, applying=proposal_id)
