"""Single fields that nobody wants recommended: dismissed for good, snoozed until a time, or recalled."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from fragments.errors import DismissedBefore
from fragments.models import DismissalOrigin, FieldDismissal
from registry.domain.names import NAME_MAX_BYTES
from registry.services.locking import require_entity_type
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject, require_storable
from schemaevo.kernel.erasing import require_not_erased
from schemaevo.kernel.errors import Invalid, NotFound
from schemaevo.kernel.models import User

#: A field that is snoozed for longer is dismissed. The last years there are cannot be shown in every time zone.
UNTIL_BEFORE: Final = datetime(3000, 1, 1, tzinfo=UTC)


@transaction.atomic
def field_dismiss(
    *,
    entity_type: str,
    name: str,
    user_id: int | None,
    actor: Actor,
    reason: str = "",
    origin: DismissalOrigin = DismissalOrigin.DECISION,
    is_first: bool = False,
) -> FieldDismissal:
    """The user's field is not recommended any more, and not promoted by itself; without a user the field over all users
    of the type is not. Once more changes nothing; what was snoozed is dismissed.

    `origin` tells what made it so, a decision or the undoing of a promotion. `is_first`: only where nobody dismissed it
    for good before. Raises: Denied; Invalid `invalid_entity_type`, `invalid_field`; NotFound `user_not_found`;
    Unstorable for a name or reason; DismissedBefore `dismissed`.
    """
    _authorise(actor, user_id)
    _require_field(entity_type, name, user_id)
    return _refuse(entity_type, name, user_id, actor, reason, origin, until=None, is_first=is_first)


@transaction.atomic
def field_snooze(
    *,
    entity_type: str,
    name: str,
    user_id: int | None,
    until: datetime,
    actor: Actor,
    reason: str = "",
    is_first: bool = False,
) -> FieldDismissal:
    """As `field_dismiss`, but only until a time. The same once more changes nothing; another time takes its place.

    Raises: as `field_dismiss`; Invalid `until_passed`, `until_too_late`.
    """
    _authorise(actor, user_id)
    _require_field(entity_type, name, user_id)
    require_until(until)
    return _refuse(
        entity_type, name, user_id, actor, reason, DismissalOrigin.DECISION, until, is_first=is_first
    )


@transaction.atomic
def field_recall(
    *, entity_type: str, name: str, user_id: int | None, actor: Actor, reason: str = ""
) -> FieldDismissal | None:
    """The field may be recommended again; gives what had kept it from that, None where nothing did.

    Raises: Denied; Invalid `invalid_entity_type`, `invalid_field`; NotFound `user_not_found`; Unstorable.
    """
    _authorise(actor, user_id)
    _require_field(entity_type, name, user_id)
    require_storable(reason)
    row = FieldDismissal.objects.select_for_update().filter(**_which(entity_type, name, user_id)).first()
    if row is None:
        return None
    FieldDismissal.objects.filter(pk=row.pk).delete()
    _audit("recall", row, actor, before=_state(row), after=None, reason=reason)
    return row


def require_until(until: datetime) -> None:
    """Raises: Invalid `until_passed`, `until_too_late`."""
    if until <= timezone.now():
        raise Invalid(
            "until_passed", "A field is snoozed until a time in the future.", until=until.isoformat()
        )
    if until >= UNTIL_BEFORE:
        raise Invalid(
            "until_too_late",
            f"A field is snoozed until before the year {UNTIL_BEFORE.year}, or dismissed.",
            until=until.isoformat(),
        )


def _refuse(
    entity_type: str,
    name: str,
    user_id: int | None,
    actor: Actor,
    reason: str,
    origin: DismissalOrigin,
    until: datetime | None,
    *,
    is_first: bool,
) -> FieldDismissal:
    require_storable(reason)
    said = {
        "until": until,
        "origin": origin,
        "reason": reason.strip(),
        "made_by": actor.user,
        "made_by_name": actor.name,
    }
    # Of two at the same time the second waits for the first, and then finds its row.
    row, is_new = FieldDismissal.objects.select_for_update().get_or_create(
        defaults=said, **_which(entity_type, name, user_id)
    )
    before = None if is_new else _state(row)
    if not is_new:
        if is_first and row.until is None:
            raise DismissedBefore(name)
        if (row.until, row.origin, row.reason) == (until, origin, reason.strip()):
            return row
        FieldDismissal.objects.filter(pk=row.pk).update(**said, made_at=Now())
    row.refresh_from_db()
    _audit("snooze" if until else "dismiss", row, actor, before=before, after=_state(row), reason=row.reason)
    return row


def _which(entity_type: str, name: str, user_id: int | None) -> dict[str, object]:
    owner = {"user__isnull": True} if user_id is None else {"user_id": user_id}
    return {**owner, "entity_type": entity_type, "fragment_key": name}


def _state(row: FieldDismissal) -> JsonObject:
    return {
        "field": row.fragment_key,
        "until": row.until.isoformat() if row.until else None,
        "origin": str(row.origin),
    }


def _audit(
    verb: str,
    row: FieldDismissal,
    actor: Actor,
    *,
    before: JsonObject | None,
    after: JsonObject | None,
    reason: str,
) -> None:
    audit_record(
        actor=actor,
        action=f"field.{verb}",
        target_type="fragments",
        target_id=f"{row.entity_type}:{row.user_id or 'global'}",
        before=before,
        after=after,
        reason=reason.strip(),
    )


def _authorise(actor: Actor, user_id: int | None) -> None:
    """One user's field is a matter of operation; what is recommended over all users is one of governance."""
    actor.require("fragments.ignore_fields" if user_id is None else "fragments.dismiss_field")


def _require_field(entity_type: str, name: str, user_id: int | None) -> None:
    require_entity_type(entity_type)
    require_storable(name)
    if not name or len(name.encode()) > NAME_MAX_BYTES:
        raise Invalid(
            "invalid_field", f"The name of a field has 1 to {NAME_MAX_BYTES:,} bytes.", field=name[:100]
        )
    require_owner(user_id)


def require_owner(user_id: int | None) -> None:
    """Raises: NotFound `user_not_found` where there is no such user, OwnerErased; None is everybody."""
    if user_id is not None and not User.objects.filter(pk=user_id).exists():
        raise NotFound("user_not_found", f"There is no user {user_id}.", name=str(user_id))
    if user_id is not None:
        require_not_erased(user_id)
