"""What is recommended was answered: ignored, dismissed, promoted, promoted and undone, and left to happen by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.utils import timezone

from fragments.demo.cast import Cast
from fragments.demo.past import Doings
from fragments.demo.records import PACKAGE
from fragments.jobs import ENHANCE
from fragments.models import EnhancementMode, FieldDismissal, Promotion, PromotionState
from fragments.services.dismissals import field_dismiss, field_snooze
from fragments.services.enhancement import enhancement_set
from fragments.services.ignore_lists import pattern_ignore
from fragments.services.promotions import field_promote, promotion_undo
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import User

IGNORED: Final = "cnf_*"
DISMISSED: Final = "Python-Version"
SNOOZED: Final = "Protected"
PROMOTED: Final = "Lua-Versions"
TAKEN_BACK: Final = "Python-Egg-Name"
NOT_FOR_EVERYBODY: Final = (DISMISSED, SNOOZED, PROMOTED, TAKEN_BACK)


def refusals_say(cast: Cast, doings: Doings) -> None:
    """A pattern is ignored, a field dismissed for good, and another one for two months."""
    by = cast.schema_admin
    pattern_ignore(
        pattern=IGNORED, user_id=None, actor=by, reason="hints for command-not-found, which has its own file"
    )
    field_dismiss(
        entity_type=PACKAGE, name=DISMISSED, user_id=None, actor=by, reason="of Python 2, which is gone"
    )
    snoozed = FieldDismissal.objects.filter(entity_type=PACKAGE, fragment_key=SNOOZED, user=None)
    if not snoozed.exists():
        until = timezone.now() + timedelta(days=60)
        field_snooze(
            entity_type=PACKAGE,
            name=SNOOZED,
            user_id=None,
            until=until,
            actor=by,
            reason="three owners have it so far; look again after the next release",
        )


def promotions_make(cast: Cast, doings: Doings) -> None:
    """One field of an owner is promoted, and its fragments have become observations."""
    for owner in cast.having(PROMOTED, 1):
        _promote(owner, PROMOTED, cast, "the owner's pages list it")
    doings.work()


def promotions_undo(cast: Cast, doings: Doings) -> None:
    """Another one was promoted and taken back, and is dismissed for that owner."""
    for owner in cast.having(TAKEN_BACK, 1):
        promotion = _promote(owner, TAKEN_BACK, cast, "tried out")
        doings.work()
        promotion.refresh_from_db()
        if promotion.state in (PromotionState.UNDOING, PromotionState.UNDONE):
            continue
        promotion_undo(
            promotion_id=promotion.pk, actor=cast.schema_admin, note="it says nothing that Package does not"
        )
    doings.work()


def enhancement_runs(cast: Cast, doings: Doings) -> None:
    """Of one owner eligible fields are promoted by themselves, as far as the quota goes; of another one they are not
    even recommended."""
    for owner, mode in zip(cast.varied[2:], (EnhancementMode.AUTO, EnhancementMode.OFF), strict=False):
        enhancement_set(user_id=owner.pk, entity_type=PACKAGE, mode=mode, actor=cast.schema_admin)
    job_request(kind=ENHANCE)
    doings.work()


def _promote(owner: User, field: str, cast: Cast, note: str) -> Promotion:
    """The owner's field is promoted, unless it was before."""
    known = Promotion.objects.filter(user=owner, entity_type=PACKAGE, fragment_key=field).first()
    if known is not None:
        return known
    return field_promote(
        user_id=owner.pk,
        entity_type=PACKAGE,
        field=field,
        declaration={"type": "string"},
        actor=cast.schema_admin,
        note=note,
    ).promotion
