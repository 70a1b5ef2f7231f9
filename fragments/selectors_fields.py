"""An undeclared field in full: over all owners who have it, and as one owner has it; and fields by confidence."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from django.db import connection
from django.db.models import Q, QuerySet, TextField
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast
from django.utils import timezone

from fragments.domain.bands import Band
from fragments.domain.confidence import ENOUGH_SAMPLES, confidence
from fragments.domain.ignoring import matching_pattern
from fragments.domain.recommendation import Recommendation
from fragments.models import (
    Enhancement,
    FieldDismissal,
    FieldTotal,
    IgnoredPattern,
    LifecycleState,
    Promotion,
    RawFragment,
    RawFragmentAggregate,
)
from fragments.selectors_aggregates import FieldKey, counts_read
from fragments.selectors_growth import owners_by_day
from fragments.selectors_recommendations import recommendation_of_field, recommendation_over_users
from registry.models_proposals import Proposal
from registry.selectors_proposals import proposals_open_about
from schemaevo.kernel.owners import owners_by_id
from schemaevo.kernel.pages import estimates
from schemaevo.kernel.pages.estimates import Amount, found_counted

#: Owners that the page of a field names, those of most values; proposals, promotions and enhancements it lists.
OWNERS_SHOWN: Final = 20
LISTED: Final = 10
#: Fields of one owner whose confidence one look computes.
FIELDS_READ: Final = 5_000


class OwnerShare(NamedTuple):
    """An owner of a field, and what waits there."""

    name: str
    row: RawFragmentAggregate


@dataclass(frozen=True, slots=True)
class FieldOverOwners:
    """A field as all its owners have it together, as of now; `recommendation` is None where nothing of it waits.

    `patterns` and `dismissal` are those that are for everybody; so many owners have `dismissed` it for themselves.
    """

    recommendation: Recommendation | None
    owners: tuple[OwnerShare, ...]
    owners_by_day: Mapping[date, int]
    proposals: tuple[Proposal, ...]
    patterns: tuple[IgnoredPattern, ...]
    dismissal: FieldDismissal | None
    dismissed: Amount


@dataclass(frozen=True, slots=True)
class Lives:
    """The fragments of a field by their state. How many entities have one, and when the first was seen, is None where
    there are too many fragments to look at."""

    by_state: Mapping[LifecycleState, Amount]
    entities: int | None
    first_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class FieldOfOwner:
    """An owner's field, as of now; `recommendation` is None where nothing of it waits.

    `total` is the same field over all owners, None where it was not counted yet.
    """

    recommendation: Recommendation | None
    lives: Lives
    enhancements: tuple[Enhancement, ...]
    promotions: tuple[Promotion, ...]
    total: FieldTotal | None


def field_over_owners(*, entity_type: str, name: str) -> FieldOverOwners:
    """See `FieldOverOwners`. As many queries however many owners there are; what they read grows with these."""
    rows = RawFragmentAggregate.objects.filter(
        entity_type=entity_type, fragment_key=name, sample_count__gt=0
    ).defer("sample_values", "type_counts", "format_counts")
    most = list(rows.order_by("-sample_count", "user_id")[:OWNERS_SHOWN])
    names = owners_by_id({row.user_id for row in most})
    lines = IgnoredPattern.objects.filter(user__isnull=True, entity_type__in=["", entity_type])
    dismissals = _dismissals_now(entity_type, name)
    return FieldOverOwners(
        recommendation=recommendation_over_users(entity_type=entity_type, name=name),
        owners=tuple(OwnerShare(names.get(row.user_id, f"#{row.user_id}"), row) for row in most),
        owners_by_day=owners_by_day(FieldKey(entity_type, name)),
        proposals=tuple(proposals_open_about(entity_type=entity_type, field=name)[:LISTED]),
        patterns=tuple(
            line
            for line in lines.order_by("entity_type", "pattern")
            if matching_pattern(name, [line.pattern])
        ),
        dismissal=dismissals.filter(user__isnull=True).first(),
        dismissed=found_counted(dismissals.filter(user__isnull=False)),
    )


def field_of_owner(*, user_id: int, entity_type: str, name: str) -> FieldOfOwner:
    """See `FieldOfOwner`. As many queries however much of it there is, up to the amount that is counted exactly."""
    which: dict[str, Any] = {"user_id": user_id, "entity_type": entity_type, "fragment_key": name}
    return FieldOfOwner(
        recommendation=recommendation_of_field(user_id=user_id, entity_type=entity_type, name=name),
        lives=_lives(which),
        enhancements=tuple(Enhancement.objects.filter(**which).order_by("-pk")[:LISTED]),
        promotions=tuple(
            Promotion.objects.filter(**which).select_related("requested_by").order_by("-pk")[:LISTED]
        ),
        total=FieldTotal.objects.filter(entity_type=entity_type, fragment_key=name).first(),
    )


class FieldsFound(NamedTuple):
    """The ids of aggregates; whether there are more fields than were looked at."""

    ids: list[int]
    is_cut: bool

    def of(self, rows: QuerySet[RawFragmentAggregate]) -> QuerySet[RawFragmentAggregate]:
        """Those of the rows."""
        # One parameter: a statement of thousands is slower to write and to read than what it asks for.
        return rows.filter(pk__in=RawSQL("SELECT unnest(%s::bigint[])", [self.ids]))


def fields_of_confidence(
    *, user_id: int, entity_type: str | None, band: Band, among: Collection[int] | None = None
) -> FieldsFound:
    """The owner's fields whose confidence is in the band, of one type or all, and only those `among` some where they
    are given. One query, which reads the first FIELDS_READ fields by type and name: confidence is no column."""
    rows = RawFragmentAggregate.objects.filter(user_id=user_id, sample_count__gt=0)
    if among is not None:
        rows = rows.filter(pk__in=among)
    if entity_type is not None:
        rows = rows.filter(entity_type=entity_type)
    as_text = {name: Cast(f"{name}_counts", TextField()) for name in ("type", "format")}
    columns = ("pk", "fragment_key", *as_text, "sample_count")
    ordered = rows.annotate(**as_text).order_by("entity_type", "fragment_key")
    found = list(ordered.values_list(*columns)[: FIELDS_READ + 1])
    ids = [
        pk
        for pk, name, types, formats, samples in found[:FIELDS_READ]
        if _confidence_by_texts(name, types, formats, min(samples, ENOUGH_SAMPLES)) in band
    ]
    return FieldsFound(ids, len(found) > FIELDS_READ)


#: Page after page of a list, and then the preview of an act on it, ask for the same thousands: what did not change
#: meanwhile is not worked out again. So many are about ten megabytes in each process.
@lru_cache(maxsize=4 * FIELDS_READ)
def _confidence_by_texts(name: str, types: str, formats: str, samples: int) -> int:
    return confidence_of(name, types, formats, samples)


def confidence_of(name: str, types: Any, formats: Any, samples: int) -> int:
    """The confidence in a field by the columns of its row, in ten-thousandths."""
    return confidence(
        name, type_counts=counts_read(types), format_counts=counts_read(formats), sample_count=samples
    ).total


def _dismissals_now(entity_type: str, name: str) -> QuerySet[FieldDismissal]:
    is_now = Q(until__isnull=True) | Q(until__gt=timezone.now())
    return FieldDismissal.objects.filter(is_now, entity_type=entity_type, fragment_key=name)


#: By the index of fragments; no more rows than are counted exactly.
_LIVES = """
    SELECT lifecycle_state, count(*), count(DISTINCT entity_id), min(first_seen_at)
      FROM (SELECT lifecycle_state, entity_id, first_seen_at FROM raw_fragments
             WHERE user_id = %(user_id)s AND entity_type = %(entity_type)s AND fragment_key = %(fragment_key)s
             LIMIT %(most)s) AS looked_at
     GROUP BY GROUPING SETS ((lifecycle_state), ())
"""


def _lives(which: Mapping[str, Any]) -> Lives:
    most = estimates.COUNTED_MAX
    with connection.cursor() as cursor:
        cursor.execute(_LIVES, {**which, "most": most + 1})
        found = {state: told for state, *told in cursor.fetchall()}
    count, entities, first_seen_at = found[None]
    if count <= most:
        by_state = {state: Amount(found[state][0] if state in found else 0) for state in LifecycleState}
        return Lives(by_state, entities, first_seen_at)
    rows = RawFragment.objects.filter(**which)
    return Lives(
        {state: found_counted(rows.filter(lifecycle_state=state)) for state in LifecycleState}, None, None
    )
