"""verify: the counters of quotas against what they count (I4)."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from registry.models import UserQuota
from registry.selectors_quotas import quotas_compared
from registry.services.quotas import quota_recount
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.verification import Extent, Finding, Look, Repair, VerifyCheck, verify_check

QUOTAS = "quotas"


def quotas_look(extent: Extent, place: Json) -> Look:
    """The next users' counters are compared with what they count. The place is the last user."""
    compared = quotas_compared(after_user=place if isinstance(place, int) else 0)
    findings = [Finding(one.in_words, one.to_json()) for one in compared.divergent]
    return Look(compared.user_count, findings, compared.last_user)


def quotas_count(extent: Extent) -> int:
    """How many there are; users who declared nothing have none."""
    return UserQuota.objects.count()


def quotas_verify_repair(actor: Actor, finding: Finding) -> Repair:
    """The user's counters are the count again, with an audit event if they were not. Raises: Denied."""
    user_id = finding.said["user_id"]
    if not isinstance(user_id, int):
        raise ValueError(f"{finding.said} is no divergence of a quota")
    found = quota_recount(user_id=user_id, actor=actor)
    return Repair.NOT_NEEDED if found is None else Repair.DONE


def register() -> None:
    """The check of this floor is part of `verify`."""
    verify_check(VerifyCheck(QUOTAS, _("quotas"), quotas_look, quotas_count, quotas_verify_repair))
