"""What quotas should hold, without a database: which grants make the maxima, and which crossings make a notice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from registry.models_quotas import DEFAULT_MAX_FIELDS, DEFAULT_MAX_SCHEMAS

#: Schemas and fields: how much is used, or at most may be.
Pair = tuple[int, int]
#: A limit, and how many per cent of it.
Crossing = tuple[str, int]

LIMITS = ("schemas", "fields")
THRESHOLDS = (80, 100)


@dataclass(frozen=True)
class Grant:
    """Maxima that somebody allowed; a limit that is not named is None."""

    schemas: int | None
    fields: int | None
    has_end: bool = False
    is_over: bool = False
    is_ended: bool = False


@dataclass
class QuotaModel:
    """One user's grants in the order in which they were made, and their notices."""

    grants: list[Grant] = field(default_factory=list)
    crossed: set[Crossing] = field(default_factory=set)
    #: How often each crossing was noted, ever.
    noted: Counter[Crossing] = field(default_factory=Counter)

    @property
    def maxima(self) -> Pair:
        """The newest grant that has not ended is the maximum of each limit that it names."""
        schemas, fields = DEFAULT_MAX_SCHEMAS, DEFAULT_MAX_FIELDS
        for grant in self.grants:
            if not grant.is_ended:
                schemas = schemas if grant.schemas is None else grant.schemas
                fields = fields if grant.fields is None else grant.fields
        return schemas, fields

    def grant(self, grant: Grant) -> None:
        self.grants.append(grant)

    def set_by_hand(self, schemas: int | None, fields: int | None) -> None:
        """Saying again what the newest grant says is no other one."""
        held = [grant for grant in self.grants if not grant.is_ended]
        if not held or held[-1] != Grant(schemas, fields):
            self.grant(Grant(schemas, fields))

    def expire(self) -> None:
        self.grants = [replace(grant, is_ended=grant.is_ended or grant.is_over) for grant in self.grants]

    def see(self, usage: Pair) -> None:
        """So much is used now: what was not crossed before and is now makes a notice, once."""
        now = {
            (limit, threshold)
            for limit, used, maximum in zip(LIMITS, usage, self.maxima, strict=True)
            for threshold in THRESHOLDS
            if used > 0 and used * 100 >= maximum * threshold
        }
        self.noted.update(now - self.crossed)
        self.crossed = now
