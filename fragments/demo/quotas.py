"""Owners whose quota is used to 60, 85 and 100 %, and requests for more: one that waits, and two that were decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db.models import Count

from fragments.demo.cast import Cast, fields_of, undeclared
from fragments.demo.past import Doings
from fragments.demo.recommendations import NOT_FOR_EVERYBODY
from fragments.demo.schemas import CONTESTED, DROPPED, PROPOSED, TEXT, extend
from registry.models import QuotaRequest
from registry.services.quota_requests import (
    quota_request_approve,
    quota_request_create,
    quota_request_reject,
)
from registry.services.quotas import quota_set_maximum
from schemaevo.kernel.models import User

#: What owners do not declare for themselves here, since it becomes everybody's.
LEFT_OUT: Final = (CONTESTED, DROPPED, PROPOSED)
#: Additional fields and the maximum of the owners whose quota is used to 60 and to 85 %.
SIXTY: Final = (3, 5)
EIGHTY_FIVE: Final = (17, 20)
#: The maximum of the owner whose fields are promoted by themselves until it is reached.
FULL: Final = 4


def quotas_fill(cast: Cast, doings: Doings) -> None:
    """Three owners may declare few fields. Two of them have declared some; of the third, a job does."""
    for owner, (count, maximum) in zip(cast.varied, (SIXTY, EIGHTY_FIVE), strict=False):
        declared = dict.fromkeys(_names(owner, count), TEXT)
        extend(owner, declared, cast.schema_admin, "fields of the owner's own tools")
        _limit(owner, maximum, cast)
    if len(cast.varied) > 2:
        _limit(cast.varied[2], FULL, cast)
    doings.work()


def quota_requests_ask(cast: Cast, doings: Doings) -> None:
    """The operator asks for more: for two owners it was decided, for one it waits."""
    owners: Sequence[User] = cast.varied[1:4]
    reasons = (
        "the owner's importer gains five fields a month",
        "fields are promoted by themselves, and four are too few for that",
        "a new tool writes nine more fields",
    )
    asked = (40, 12, 30)
    if len(owners) > 2:
        _limit(owners[2], 10, cast)
    for owner, reason, maximum in zip(owners, reasons, asked, strict=False):
        if not QuotaRequest.objects.filter(user=owner).exists():
            quota_request_create(user_id=owner.pk, actor=cast.operator, reason=reason, max_fields=maximum)
    requests = {owner.pk: QuotaRequest.objects.filter(user=owner).latest("pk") for owner in owners}
    for owner in owners[:1]:
        quota_request_reject(
            request_id=requests[owner.pk].pk,
            actor=cast.reviewer,
            note="half of what is declared has no values; tidy up first",
        )
    for owner in owners[2:]:
        quota_request_approve(
            request_id=requests[owner.pk].pk,
            actor=cast.reviewer,
            max_fields=20,
            note="twenty is enough for this year",
        )


def _limit(owner: User, maximum: int, cast: Cast) -> None:
    quota_set_maximum(
        user_id=owner.pk, actor=cast.schema_admin, max_fields=maximum, note="as agreed in the contract"
    )


def _names(owner: User, count: int) -> list[str]:
    """Fields of the owner; where there are too few, others that many owners have."""
    own = fields_of(owner, without=LEFT_OUT)
    others = (
        undeclared()
        .exclude(fragment_key__in=[*LEFT_OUT, *own, *NOT_FOR_EVERYBODY])
        .values("fragment_key")
        .annotate(owners=Count("user", distinct=True))
        .order_by("-owners", "fragment_key")
    )
    return [*own, *(row["fragment_key"] for row in others[:count])][:count]
