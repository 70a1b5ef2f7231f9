"""What a user's quota would be after a change, told before it: the database counts and refuses when it is made."""

from __future__ import annotations

from dataclasses import dataclass, replace

from registry.selectors_quotas import LimitUse, Quota, quota_of
from schemaevo.kernel.canonical import JsonObject


@dataclass(frozen=True, slots=True)
class LimitOutlook:
    """One limit, used as it is and as it would be."""

    now: LimitUse
    after: LimitUse

    @property
    def is_passed(self) -> bool:
        """Whether the change would be refused: only growth is, and only where it ends above the maximum."""
        return self.after.usage > max(self.now.usage, self.now.maximum)

    def to_json(self) -> JsonObject:
        """The limit for machines."""
        return {
            "limit": self.now.limit.value,
            "usage": self.now.usage,
            "after": self.after.usage,
            "maximum": self.now.maximum,
            "passed": self.is_passed,
        }


@dataclass(frozen=True, slots=True)
class QuotaOutlook:
    """A user's quota as it is and as it would be. More or less can be used of it."""

    now: Quota
    after: Quota

    @property
    def limits(self) -> tuple[LimitOutlook, ...]:
        """Both limits."""
        return (
            LimitOutlook(self.now.schemas, self.after.schemas),
            LimitOutlook(self.now.fields, self.after.fields),
        )

    @property
    def is_passed(self) -> bool:
        """Whether the change would be refused."""
        return any(limit.is_passed for limit in self.limits)


def quota_outlook(*, user_id: int, more_schemas: int, more_fields: int) -> QuotaOutlook:
    """The user's quota, and what it would be with so many schemas and fields more; a negative number is less."""
    now = quota_of(user_id=user_id)
    after = Quota(
        user_id,
        replace(now.schemas, usage=now.schemas.usage + more_schemas),
        replace(now.fields, usage=now.fields.usage + more_fields),
    )
    return QuotaOutlook(now, after)
