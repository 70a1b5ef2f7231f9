"""verify: the counters of quotas against what they count (I4)."""

from __future__ import annotations

from collections.abc import Iterator

from registry.selectors_quotas import quotas_divergent
from registry.services.quotas import quotas_repair
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.verification import Finding, VerifyCheck, verify_check

QUOTAS = "quotas"


def quotas_verify() -> Iterator[Finding]:
    """Every quota whose counters are not the count. Nothing is changed."""
    return (Finding(one.in_words, one.to_json()) for one in quotas_divergent())


def quotas_verify_repair(actor: Actor) -> Iterator[Finding]:
    """Every such quota is the count again, with an audit event each. Raises: Denied."""
    return (Finding(one.in_words, one.to_json()) for one in quotas_repair(actor=actor))


def register() -> None:
    """The check of this floor is part of `verify`."""
    verify_check(VerifyCheck(QUOTAS, quotas_verify, quotas_verify_repair))
