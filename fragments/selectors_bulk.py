"""Acts in bulk: which rows come next, how many match, and what a verb would come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import OperationalError
from django.db.models import Count, Max, QuerySet
from psycopg.errors import QueryCanceled

from fragments.domain.bulk import (
    Promotions,
    Room,
    archive_skip,
    dismissal_skip,
    promotions_foreseen,
    restore_skip,
)
from fragments.models import BulkAct, BulkList, BulkVerb, RawFragment, RawFragmentAggregate
from fragments.selectors_aggregates import FieldKey
from fragments.selectors_narrowed import RowFilter
from fragments.selectors_recommendations import recommendations_of_rows
from fragments.selectors_refusals import refusals_of_owners
from registry.selectors_adoption import owners_unadopted
from registry.selectors_quotas import Quota, quotas_of, types_counted
from schemaevo.kernel.models import LIVE_JOB_STATES, Job
from schemaevo.kernel.owners import owners_by_id
from schemaevo.kernel.pages.estimates import COUNTED_MAX, Amount, found_counted
from schemaevo.kernel.pages.keyset import page_limit

#: The job kind that acts; its target is the number of the act.
ACT: Final = "act_in_bulk"
#: So many rows a preview looks at, and so many undeclared fields, of which each takes more looking.
FORESEEN_MAX: Final = COUNTED_MAX
FIELDS_FORESEEN_MAX: Final = 500
#: Owners whose quota a preview shows.
OWNERS_SHOWN: Final = 10
#: Where a look by the filter takes too long, so many rows of the table are looked through at a time.
WINDOW_ROWS = 100_000

_MODELS: Final[Mapping[BulkList, type[RawFragment | RawFragmentAggregate]]] = {
    BulkList.FRAGMENTS: RawFragment,
    BulkList.FIELDS: RawFragmentAggregate,
}


class Row(NamedTuple):
    """A row that is to be looked at, and whose it is."""

    id: int
    user_id: int
    entity_type: str


class Look(NamedTuple):
    """Rows in the order of their numbers, and the number up to which there are no others; None where there are no more
    at all. `is_slow`: the next look should go by windows at once."""

    rows: Sequence[Row]
    beyond: int | None
    is_slow: bool = False


@dataclass(frozen=True, slots=True)
class OwnerOutlook:
    """What a promotion in bulk would leave of one owner's quota."""

    user_id: int
    owner: str
    now: Quota
    schemas: int
    fields: int


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a verb would come to as of now; nothing is locked, so by then it may be otherwise. `looked_at` rows were
    looked at, which are all that match where `is_whole`."""

    looked_at: int
    is_whole: bool
    done: int
    skipped: Mapping[str, int]
    promotions: Promotions | None = None
    owners: Sequence[OwnerOutlook] = ()
    owner_count: int = 0
    more_schemas: int = 0
    more_fields: int = 0

    @property
    def skipped_count(self) -> int:
        """How many would be left as they are."""
        return self.looked_at - self.done

    @property
    def reasons(self) -> Sequence[tuple[str, int]]:
        """Why, by code, the most frequent reason first."""
        return sorted(self.skipped.items(), key=lambda item: (-item[1], item[0]))


def rows_bound(listed: BulkList) -> int:
    """The highest number of a row that is there."""
    return int(_MODELS[listed]._default_manager.aggregate(highest=Max("pk"))["highest"] or 0)


def rows_matched(rows: QuerySet[Any]) -> Amount | None:
    """How many these rows are, which a filter means: exactly up to some number, else about; None where that cannot be
    told in short."""
    with _in_short() as told:
        told.append(found_counted(rows))
    return told[0] if told else None


def rows_next(filtered: RowFilter, *, after: int, bound: int, limit: int, is_slow: bool = False) -> Look:
    """The next rows that match, above the number `after` and up to `bound`. Locks nothing.

    Where few of many rows match and no index tells which, one look could take longer than a lease: it is given up, and
    the table is looked through window by window; then there may be none in a look that is not the last.
    """
    if not is_slow:
        with _in_short() as told:
            told.append(_rows_between(filtered, after, bound, limit))
        if told:
            rows = told[0]
            return Look(rows, rows[-1].id if len(rows) == limit else None)
    end = _window_end(filtered.listed, after, bound)
    rows = _rows_between(filtered, after, end, limit)
    if len(rows) == limit:
        return Look(rows, rows[-1].id, is_slow=True)
    return Look(rows, None if end >= bound else end, is_slow=True)


def _window_end(listed: BulkList, after: int, bound: int) -> int:
    """The number at which a window above `after` ends. By rows, and not by numbers: whatever is seen again takes a
    number, too, so that between two rows there may be any number of them."""
    numbers = _MODELS[listed]._default_manager.filter(pk__gt=after, pk__lte=bound).order_by("pk")
    return next(iter(numbers.values_list("pk", flat=True)[WINDOW_ROWS - 1 : WINDOW_ROWS]), bound)


def _rows_between(filtered: RowFilter, after: int, end: int, limit: int) -> list[Row]:
    found = filtered.rows().filter(pk__gt=after, pk__lte=end).order_by("pk")
    return [Row(*row) for row in found.values_list("pk", "user_id", "entity_type")[:limit]]


def act_job(act: BulkAct) -> Job | None:
    """The job that does it, or did, while its row is kept."""
    return Job.objects.filter(kind=ACT, target=str(act.pk)).order_by("-requested_at").first()


def acts_worked_on(numbers: Collection[int]) -> set[int]:
    """Those of the acts that have a job which is not over. One query."""
    live = Job.objects.filter(kind=ACT, target__in=map(str, numbers), state__in=LIVE_JOB_STATES)
    return set(map(int, live.values_list("target", flat=True)))


def act_foreseen(
    rows: QuerySet[Any], verb: BulkVerb, *, until: datetime | None = None, with_others: bool = False
) -> Foreseen | None:
    """What the verb would come to for these rows, which a filter means; None where that cannot be told in short.

    Always as many queries, however many rows match.
    """
    with _in_short() as told:
        if verb in (BulkVerb.ARCHIVE, BulkVerb.RESTORE):
            told.append(_moves_foreseen(rows, verb))
        elif verb == BulkVerb.PROMOTE:
            told.append(_promotions_foreseen(rows, with_others=with_others))
        else:
            told.append(_dismissals_foreseen(rows, until))
    return told[0] if told else None


def _moves_foreseen(matched: QuerySet[Any], verb: BulkVerb) -> Foreseen:
    some = matched.values("pk")[:FORESEEN_MAX]
    counted = (
        RawFragment.objects.filter(pk__in=some)
        .order_by()
        .values_list("lifecycle_state", "is_retracted")
        .annotate(rows=Count("pk"))
    )
    told: Counter[str] = Counter()
    for state, is_retracted, rows in counted:
        is_archive = verb == BulkVerb.ARCHIVE
        told[archive_skip(state, is_retracted=is_retracted) if is_archive else restore_skip(state)] += rows
    total = sum(told.values())
    done = told.pop("", 0)
    return Foreseen(total, total < FORESEEN_MAX, done, told)


def _fields_first(matched: QuerySet[Any]) -> tuple[list[RawFragmentAggregate], bool]:
    """The fields that an act would look at first, and whether these are all."""
    found = list(matched.order_by("pk")[: FIELDS_FORESEEN_MAX + 1])
    return found[:FIELDS_FORESEEN_MAX], len(found) <= FIELDS_FORESEEN_MAX


def _dismissals_foreseen(matched: QuerySet[Any], until: datetime | None) -> Foreseen:
    rows, is_whole = _fields_first(matched)
    told = Counter(dismissals_skipped(rows, until=until))
    done = told.pop("", 0)
    return Foreseen(len(rows), is_whole, done, told)


def dismissals_skipped(rows: Sequence[RawFragmentAggregate], *, until: datetime | None) -> list[str]:
    """Of each of these fields why it is not dismissed, or snoozed until that time; '' where it is. Two queries."""
    keys = [(row.user_id, FieldKey(row.entity_type, row.fragment_key)) for row in rows]
    refusals = refusals_of_owners(fields=keys)
    return [dismissal_skip(refusals[owner].dismissed.get(key), until=until) for owner, key in keys]


def _promotions_foreseen(matched: QuerySet[Any], *, with_others: bool) -> Foreseen:
    rows, is_whole = _fields_first(matched)
    owners = {row.user_id for row in rows}
    quotas = quotas_of(user_ids=owners)
    rooms = rooms_of(quotas)
    told = promotions_foreseen(
        recommendations_of_rows(rows),
        rooms=rooms,
        unadopted=owners_unadopted(owners={(row.entity_type, row.user_id) for row in rows}),
        with_others=with_others,
    )
    grown = {
        owner: (rooms[owner].schemas - quota.schemas.usage, rooms[owner].fields - quota.fields.usage)
        for owner, quota in quotas.items()
    }
    most = sorted(
        (owner for owner in owners if any(grown[owner])), key=lambda owner: (-grown[owner][1], owner)
    )
    names = owners_by_id(most[:OWNERS_SHOWN])
    return Foreseen(
        len(rows),
        is_whole,
        told.done,
        told.skipped,
        told,
        [
            OwnerOutlook(
                owner,
                names.get(owner, f"#{owner}"),
                quotas[owner],
                rooms[owner].schemas,
                rooms[owner].fields,
            )
            for owner in most[:OWNERS_SHOWN]
        ],
        len(most),
        sum(schemas for schemas, _fields in grown.values()),
        sum(fields for _schemas, fields in grown.values()),
    )


def rooms_of(quotas: Mapping[int, Quota]) -> dict[int, Room]:
    """How much each owner may still declare. One query."""
    types = types_counted(user_ids=list(quotas))
    return {
        owner: Room(
            quota.schemas.usage,
            quota.schemas.maximum,
            quota.fields.usage,
            quota.fields.maximum,
            types[owner],
        )
        for owner, quota in quotas.items()
    }


@contextmanager
def _in_short() -> Iterator[list[Any]]:
    """What is read inside and put into the list; it stays empty where the database gave up."""
    told: list[Any] = []
    try:
        with page_limit():
            yield told
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        told.clear()
