"""Auto-enhancement: what is eligible is promoted without being asked for, where somebody wanted it so.

Each field stands alone: what goes wrong with one is noted with its reason and tried again later, a few times, and
never holds up the next.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from fragments.domain.recommendation import Recommendation
from fragments.models import (
    Enhancement,
    EnhancementMode,
    EnhancementSetting,
    EnhancementState,
    PromotionCause,
)
from fragments.selectors_recommendations import eligible_fields
from fragments.services.promotions import field_promote
from registry.errors import QuotaReached
from registry.services.locking import require_entity_type
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.erasing import require_not_erased
from schemaevo.kernel.errors import NotFound
from schemaevo.kernel.faults import error_told
from schemaevo.kernel.models import User

logger = logging.getLogger(__name__)

MAY_SET: Final = "fragments.set_enhancement"
#: Fields that one turn promotes: it holds up the ingest of their owner until it has committed.
FIELDS_PER_TURN = 10
#: After so many failures in a row a field is given up, until it was seen twice as often.
ATTEMPTS_MAX = 5
FIRST_RETRY = timedelta(minutes=10)
RETRY_FACTOR = 4
#: A used-up quota is nobody's failure: it is asked again once a day, for as long as it takes.
QUOTA_RETRY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did for one user and type. `has_more` tells that it left eligible fields for the next."""

    promoted: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    has_more: bool = False


@transaction.atomic
def enhancement_set(
    *, user_id: int, entity_type: str, mode: EnhancementMode, actor: Actor
) -> EnhancementSetting | None:
    """The user's schema of the type grows by itself as far as `mode` says; None stands for the default, *suggest*.

    Raises: Denied; Invalid `invalid_entity_type`; NotFound `user_not_found`; OwnerErased.
    """
    actor.require(MAY_SET)
    require_entity_type(entity_type)
    if not User.objects.filter(pk=user_id).exists():
        raise NotFound("user_not_found", f"There is no user {user_id}.", user=str(user_id))
    require_not_erased(user_id)
    rows = EnhancementSetting.objects.select_for_update().filter(user_id=user_id, entity_type=entity_type)
    before = rows.first()
    was = before.mode if before else EnhancementMode.SUGGEST
    if was == mode:
        return before
    setting: EnhancementSetting | None = None
    if mode == EnhancementMode.SUGGEST:
        rows.delete()
    else:
        setting, _ = EnhancementSetting.objects.update_or_create(
            user_id=user_id,
            entity_type=entity_type,
            defaults={"mode": mode, "set_by": actor.user, "set_at": timezone.now()},
        )
    audit_record(
        actor=actor,
        action="enhancement.set",
        target_type="fragments",
        target_id=f"{entity_type}:{user_id}",
        before={"mode": was},
        after={"mode": mode.value},
    )
    return setting


def settings_auto(*, after: int = 0) -> Iterator[EnhancementSetting]:
    """Where fields are promoted by themselves, in the order of their numbers; each read when it is its turn."""
    while True:
        rows = EnhancementSetting.objects.filter(mode=EnhancementMode.AUTO, pk__gt=after)
        setting = rows.order_by("pk").first()
        if setting is None:
            return
        yield setting
        after = setting.pk


@transaction.atomic
def enhancement_turn(*, user_id: int, entity_type: str, actor: Actor) -> Turn:
    """The best eligible fields of the user and type are promoted, as far as the quota goes; what cannot be is noted.

    Does nothing where the mode is not *auto* by now. Raises: Denied.
    """
    actor.require(MAY_SET)
    setting = EnhancementSetting.objects.filter(
        user_id=user_id, entity_type=entity_type, mode=EnhancementMode.AUTO
    )
    if not setting.exists():
        return Turn()
    promoted: list[str] = []
    failed: list[str] = []
    for recommendation in _due(user_id, entity_type):
        if len(promoted) + len(failed) == FIELDS_PER_TURN:
            return Turn(tuple(promoted), tuple(failed), has_more=True)
        error = _attempt(recommendation, user_id, actor)
        if error is None:
            promoted.append(recommendation.name)
            continue
        failed.append(recommendation.name)
        _note_failure(recommendation, user_id, error)
        if isinstance(error, QuotaReached):
            break
    return Turn(tuple(promoted), tuple(failed))


def _due(user_id: int, entity_type: str) -> list[Recommendation]:
    """What is eligible and not put off, the best first: where the quota is short it goes to them."""
    eligible = list(eligible_fields(user_id=user_id, entity_type=entity_type))
    put_off = {
        row.fragment_key: row
        for row in Enhancement.objects.filter(user_id=user_id, entity_type=entity_type).exclude(
            state=EnhancementState.PROMOTED
        )
    }
    now = timezone.now()

    def is_due(one: Recommendation) -> bool:
        row = put_off.get(one.name)
        if row is None:
            return True
        if row.next_at is not None:
            return row.next_at <= now
        return one.counts.frequency_total >= 2 * row.frequency_total

    return sorted(
        filter(is_due, eligible),
        key=lambda one: (-one.confidence.total, -one.counts.frequency_total, one.name),
    )


def _attempt(one: Recommendation, user_id: int, actor: Actor) -> Exception | None:
    """Promotes one field; gives what went wrong."""
    assert one.suggested is not None  # noqa: S101  without a type nothing is eligible
    try:
        # A savepoint: what the database refuses of one field does not cost the others.
        with transaction.atomic():
            promotion = field_promote(
                user_id=user_id,
                entity_type=one.entity_type,
                field=one.name,
                declaration=one.suggested.definition,
                actor=actor,
                cause=PromotionCause.ENHANCEMENT,
                note=f"confidence {one.confidence.total / 100:.2f} %",
            ).promotion
            _note(one, user_id, state=EnhancementState.PROMOTED, promotion=promotion, error="", next_at=None)
    except Exception as error:
        logger.warning("%s of user %s could not be promoted: %s", one.entity_type, user_id, error_told(error))
        return error
    return None


def _note_failure(one: Recommendation, user_id: int, error: Exception) -> None:
    row = _open(one, user_id)
    attempts = (row.attempts if row is not None and row.next_at is not None else 0) + 1
    if isinstance(error, QuotaReached):
        state, wait = EnhancementState.WAITING, QUOTA_RETRY
        attempts -= 1
    elif attempts < ATTEMPTS_MAX:
        state, wait = EnhancementState.WAITING, FIRST_RETRY * RETRY_FACTOR ** (attempts - 1)
    else:
        state, wait = EnhancementState.GIVEN_UP, None
    _note(
        one,
        user_id,
        state=state,
        attempts=attempts,
        error=error_told(error)[:200],
        next_at=None if wait is None else timezone.now() + wait,
    )


def _open(one: Recommendation, user_id: int) -> Enhancement | None:
    rows = Enhancement.objects.filter(
        user_id=user_id, entity_type=one.entity_type, fragment_key=one.name
    ).exclude(state=EnhancementState.PROMOTED)
    return rows.first()


def _note(one: Recommendation, user_id: int, **said: object) -> None:
    """The field's open row, or a new one, says so."""
    row = _open(one, user_id) or Enhancement(
        user_id=user_id, entity_type=one.entity_type, fragment_key=one.name
    )
    row.confidence = one.confidence.total
    row.frequency_total = one.counts.frequency_total
    row.reasons = [{"factor": reason.factor.name.value, "words": reason.words} for reason in one.reasons]
    row.tried_at = timezone.now()
    for name, value in said.items():
        setattr(row, name, value)
    row.save()
