"""Ignore lists: names, by pattern, that are never recommended, of one user or of all."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from fragments.domain.ignoring import normalised_pattern, pattern_problem
from fragments.models import IgnoredPattern
from fragments.services.dismissals import require_owner
from registry.services.locking import require_entity_type
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject, require_storable
from schemaevo.kernel.errors import Conflict, Invalid

#: Lines of one list: more are no list that somebody keeps by hand, and every recommendation is compared with all.
LIST_MAX: Final = 500


@transaction.atomic
def pattern_ignore(
    *, pattern: str, user_id: int | None, actor: Actor, entity_type: str = "", reason: str = ""
) -> IgnoredPattern:
    """Fields whose normalised name matches the pattern are not recommended: to that user, or without one to anybody
    and over all; of that entity type, or of all types. What is on the list already stays as it is.

    Raises: Denied; Invalid `invalid_pattern`, `invalid_entity_type`; NotFound `user_not_found`; Conflict `list_full`;
    Unstorable for a pattern or reason.
    """
    normalised = _checked(pattern, user_id, actor, entity_type, reason)
    known = IgnoredPattern.objects.filter(**_which(normalised, user_id, entity_type)).first()
    if known is not None:
        return known
    # A bound for lists that grow by a mistake: two at the same time may pass it by one.
    if IgnoredPattern.objects.filter(**_owner(user_id)).count() >= LIST_MAX:
        raise Conflict("list_full", f"An ignore list has at most {LIST_MAX} lines; make patterns wider.")
    row, is_new = IgnoredPattern.objects.get_or_create(
        **_which(normalised, user_id, entity_type),
        defaults={
            "user_id": user_id,
            "reason": reason.strip(),
            "made_by": actor.user,
            "made_by_name": actor.name,
        },
    )
    if not is_new:
        return row
    row.refresh_from_db()
    _audit("ignore", row, actor, before=None, after=_state(row), reason=row.reason)
    return row


@transaction.atomic
def pattern_recall(
    *, pattern: str, user_id: int | None, actor: Actor, entity_type: str = "", reason: str = ""
) -> IgnoredPattern | None:
    """The pattern is not on that list any more; gives the line that was, None where there was none.

    Raises: as `pattern_ignore`.
    """
    normalised = _checked(pattern, user_id, actor, entity_type, reason)
    lines = IgnoredPattern.objects.select_for_update()
    row = lines.filter(**_which(normalised, user_id, entity_type)).first()
    if row is None:
        return None
    IgnoredPattern.objects.filter(pk=row.pk).delete()
    _audit("recall", row, actor, before=_state(row), after=None, reason=reason)
    return row


def _checked(pattern: str, user_id: int | None, actor: Actor, entity_type: str, reason: str) -> str:
    """The pattern as it stands on lists."""
    actor.require("fragments.ignore_fields")
    require_storable([pattern, reason])
    problem = pattern_problem(pattern)
    if problem is not None:
        raise Invalid("invalid_pattern", f"{pattern[:100]!r}: {problem}.", pattern=pattern[:100])
    if entity_type:
        require_entity_type(entity_type)
    require_owner(user_id)
    return normalised_pattern(pattern)


def _owner(user_id: int | None) -> dict[str, object]:
    return {"user__isnull": True} if user_id is None else {"user_id": user_id}


def _which(normalised: str, user_id: int | None, entity_type: str) -> dict[str, object]:
    return {**_owner(user_id), "entity_type": entity_type, "pattern": normalised}


def _state(row: IgnoredPattern) -> JsonObject:
    return {"pattern": row.pattern, "entity_type": row.entity_type or None}


def _audit(
    verb: str,
    row: IgnoredPattern,
    actor: Actor,
    *,
    before: JsonObject | None,
    after: JsonObject | None,
    reason: str,
) -> None:
    audit_record(
        actor=actor,
        action=f"pattern.{verb}",
        target_type="ignore_list",
        target_id=row.user_id or "global",
        before=before,
        after=after,
        reason=reason.strip(),
    )
