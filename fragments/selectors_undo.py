"""Whether a promotion can be undone, and what that would come to: decided in one place, for the act and its preview."""

from __future__ import annotations

from dataclasses import dataclass

from fragments.errors import NotToBeUndone
from fragments.models import FragmentReason, LifecycleState, Promotion, PromotionState, RawFragment
from registry.selectors import Standing, schema_standing
from registry.selectors_extending import Ground, extension_preview
from registry.selectors_outlook import QuotaOutlook, quota_outlook
from schemaevo.kernel.pages.estimates import Amount, found_counted
from snapshots.selectors_impact import snapshots_impact


@dataclass(frozen=True, slots=True)
class UndoPreview:
    """What undoing a promotion would come to as of now; nothing is locked, so by then it may be otherwise.

    `waiting_again` are fragments that it promoted and that still exist; `snapshots` are those that are recomputed. Of a
    promotion that cannot be undone only the refusal is known.
    """

    refusal: NotToBeUndone | None
    waiting_again: Amount | None = None
    snapshots: Amount | None = None
    quota: QuotaOutlook | None = None


def undo_refusal(*, promotion: Promotion, standing: Standing) -> NotToBeUndone | None:
    """Why the promotion cannot be undone: `already_undone`, `not_the_newest`, or `declared_otherwise` where the field
    is not in the user's part of the schema any more; None where it can be.

    `standing` is what is in force for its user and type. Under the lock of both nothing of it changes meanwhile.
    """
    if promotion.state in (PromotionState.UNDOING, PromotionState.UNDONE):
        return NotToBeUndone("already_undone", f"Promotion {promotion.pk} is undone already.", promotion.pk)
    newer = Promotion.objects.filter(
        user_id=promotion.user_id,
        entity_type=promotion.entity_type,
        fragment_key=promotion.fragment_key,
        pk__gt=promotion.pk,
    ).order_by("-pk")
    newest = newer.first()
    if newest is not None:
        return NotToBeUndone(
            "not_the_newest",
            f"{promotion.fragment_key} was promoted anew since; undo promotion {newest.pk} instead.",
            promotion.pk,
        )
    if promotion.fragment_key not in _declared_by_user(standing):
        return NotToBeUndone(
            "declared_otherwise",
            f"{promotion.fragment_key} is not in this user's part of the schema any more: it was removed, or the "
            "global schema declares it.",
            promotion.pk,
        )
    return None


def undo_hindrance(*, promotion: Promotion) -> NotToBeUndone | None:
    """Why the promotion cannot be undone as of now; None where it can be."""
    return undo_refusal(promotion=promotion, standing=_standing(promotion))


def undo_preview(*, promotion: Promotion) -> UndoPreview:
    """What undoing the promotion would come to. Writes nothing, locks nothing."""
    standing = _standing(promotion)
    refusal = undo_refusal(promotion=promotion, standing=standing)
    if refusal is not None:
        return UndoPreview(refusal)
    return UndoPreview(
        None,
        _waiting_again(promotion),
        snapshots_impact(promotion.entity_type, promotion.user_id).snapshots,
        _quota(promotion, standing),
    )


def _standing(promotion: Promotion) -> Standing:
    return schema_standing(entity_type=promotion.entity_type, user_id=promotion.user_id)


def _declared_by_user(standing: Standing) -> frozenset[str]:
    """The names that the user adds to the global schema; without one, those of the user's own schema."""
    if standing.shared is None:
        return frozenset(standing.own.parsed.fields if standing.own else ())
    return frozenset(standing.extension.parsed.additional_fields if standing.extension else ())


def _waiting_again(promotion: Promotion) -> Amount:
    """As fragments.services.backfill takes them back; what cleanup has deleted does not come back."""
    rows = RawFragment.objects.filter(
        user_id=promotion.user_id,
        entity_type=promotion.entity_type,
        fragment_key=promotion.fragment_key,
        lifecycle_state__in=[LifecycleState.PROMOTED, LifecycleState.PENDING_DELETION],
        promoted_at__isnull=False,
    )
    return found_counted(rows.exclude(reason=FragmentReason.CONVERTED_ORIGINAL))


def _quota(promotion: Promotion, standing: Standing) -> QuotaOutlook | None:
    if standing.shared is None or standing.extension is None:
        return quota_outlook(user_id=promotion.user_id, more_schemas=0, more_fields=-1)
    said = standing.extension.parsed.without([promotion.fragment_key])
    return extension_preview(
        ground=Ground(standing.shared, standing.extension),
        user_id=promotion.user_id,
        document=said.to_json(),
    ).quota
