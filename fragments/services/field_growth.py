"""Undeclared fields are counted over their owners: type by type, in one pass over the aggregates, in short batches.

The pass keeps two things: of every field what it comes to (`field_totals`), and of the fields of most owners how these
became more (`field_growth`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, NamedTuple

from django.db import connection, transaction
from django.db.models.functions import Now

from fragments.domain.counts import FieldCounts, counts_added
from fragments.domain.growth import (
    FIELDS_KEPT,
    FieldOwners,
    fields_of_most,
    gain_of,
    history_with,
)
from fragments.models import FieldGrowth
from fragments.selectors_aggregates import FieldKey, counts_read
from fragments.selectors_counting import Counting, counting
from fragments.services.field_totals import FieldCounted, totals_keep
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.figures import today
from schemaevo.kernel.jobs import Lease

GROWTH: Final = "count_field_owners"
#: Aggregates that one batch looks at.
AGGREGATES_PER_BATCH = 20_000
#: What is counted of a field before anything of it was looked at.
_NOTHING: Final = FieldCounts(user_count=0)


@dataclass(frozen=True, slots=True)
class Here:
    """How far a pass has got, kept as the cursor of its job.

    It has looked at all aggregates up to this (type, field, user); those of this field came to `counts` by then, and
    `most` are the fields of most owners among those of this type before it.
    """

    entity_type: str = ""
    field: str = ""
    user_id: int = 0
    counts: FieldCounts = _NOTHING
    most: tuple[FieldOwners, ...] = ()

    @property
    def key(self) -> FieldKey:
        """The field of which more may come."""
        return FieldKey(self.entity_type, self.field)

    def to_json(self) -> JsonObject:
        return {
            "entity_type": self.entity_type,
            "field": self.field,
            "user": self.user_id,
            "counts": _counts_written(self.counts),
            "most": [[one.name, one.owners] for one in self.most],
        }

    @classmethod
    def from_json(cls, said: Json) -> Here:
        """What `to_json` gave; the beginning where there is nothing, or what another release wrote."""
        match said:
            case {
                "entity_type": str(entity_type),
                "field": str(name),
                "user": int(user_id),
                "counts": dict(counts),
                "most": list(most),
            }:
                owners = tuple(_field(one) for one in most)
                return cls(entity_type, name, user_id, _counts_of(counts), owners)
            case _:
                return cls()

    def with_part(self, name: str, counts: FieldCounts, user_id: int) -> Here:
        """So much more of a field of this type, of users the last of whom is this one."""
        if name == self.field:
            return replace(self, counts=counts_added([self.counts, counts]), user_id=user_id)
        return replace(self, field=name, counts=counts, user_id=user_id, most=self.fields())

    def fields(self) -> tuple[FieldOwners, ...]:
        """The fields of most owners up to here."""
        return tuple(fields_of_most([*self.most, FieldOwners(self.field, self.counts.user_count)]))


class _Part(NamedTuple):
    """Some aggregates of one field, one after the other: what they come to, whose the last is, how many."""

    key: FieldKey
    counts: FieldCounts
    last_user: int
    looked_at: int


def _field(said: Json) -> FieldOwners:
    match said:
        case [str(name), int(owners)]:
            return FieldOwners(name, owners)
        case _:
            raise ValueError(f"{said!r} is no field of a cursor.")


def _counts_written(counts: FieldCounts) -> JsonObject:
    return {
        "values": counts.sample_count,
        "seen": counts.frequency_total,
        "types": dict(counts.type_counts),
        "formats": dict(counts.format_counts),
        "sources": counts.unique_sources,
        "owners": counts.user_count,
        "last": None if counts.last_seen_at is None else counts.last_seen_at.isoformat(),
    }


def _counts_of(said: JsonObject) -> FieldCounts:
    match said:
        case {
            "values": int(values),
            "seen": int(seen),
            "types": types,
            "formats": formats,
            "sources": int(sources),
            "owners": int(owners),
            "last": last,
        }:
            moment = datetime.fromisoformat(last) if isinstance(last, str) else None
            return FieldCounts(
                values, seen, counts_read(types), counts_read(formats), sources, owners, moment
            )
        case _:
            raise ValueError(f"{said!r} are no counts of a cursor.")


def growth_run(lease: Lease) -> JsonObject:
    """What every undeclared field comes to is known, and of the fields of most owners of every type how many they are
    today and were on the days before."""
    if counting() is not Counting.DONE:
        return {"skipped": "the fragments are being counted"}
    here: Here | None = Here.from_json(lease.cursor)
    while here is not None:
        with lease.batch() as batch:
            here, kept = growth_count(here)
            batch.done(kept)
            batch.cursor = None if here is None else here.to_json()
    return {"fields": lease.done_count}


@transaction.atomic
def growth_count(here: Here) -> tuple[Here | None, int]:
    """One batch further: the fields, and the types, that it comes to the end of are kept. Gives how many fields of most
    owners were.

    None where everything was looked at; then nothing is kept of fields and types that no aggregate has any more.
    """
    began = here.key
    parts = _parts_after(here)
    ended: list[FieldCounted] = []
    kept = 0
    for part in parts:
        if part.key != here.key:
            ended.append(FieldCounted(here.key, here.counts))
        if part.key.entity_type != here.entity_type:
            kept += _type_ended(here, up_to=part.key.entity_type)
            here = Here(part.key.entity_type, part.key.name)
        here = here.with_part(part.key.name, part.counts, part.last_user)
    if sum(part.looked_at for part in parts) == AGGREGATES_PER_BATCH:
        totals_keep(fields=ended, since=began, before=here.key)
        return here, kept
    totals_keep(fields=[*ended, FieldCounted(here.key, here.counts)], since=began, before=None)
    return None, kept + _type_ended(here, up_to=None)


def _parts_after(here: Here) -> list[_Part]:
    """The next aggregates, by field. Counted are those of owners who have values that wait."""
    with connection.cursor() as cursor:
        cursor.execute(_PARTS, [here.entity_type, here.field, here.user_id, AGGREGATES_PER_BATCH])
        rows = cursor.fetchall()
    by_kind: dict[str, dict[FieldKey, dict[str, int]]] = {"type": {}, "format": {}}
    for entity_type, name, kind, of, count, *_ in rows:
        if kind in by_kind:
            by_kind[kind].setdefault(FieldKey(entity_type, name), {})[of] = count
    types, formats = by_kind["type"], by_kind["format"]
    parts = []
    for entity_type, name, kind, _of, owners, values, seen, sources, last, last_user, looked_at in rows:
        if kind == "field":
            key = FieldKey(entity_type, name)
            told = types.get(key, {}), formats.get(key, {})
            counts = FieldCounts(values, seen, *told, sources, owners, last)
            parts.append(_Part(key, counts, last_user, looked_at))
    return parts


#: One list of everything, and no join: of lists that a statement makes for itself the planner knows no sizes, and goes
#: around one of them for each row of another (a batch of 20,000 fields took a minute).
_PARTS: Final = """
    WITH part AS MATERIALIZED (
        SELECT entity_type, fragment_key, user_id, sample_count, frequency_total, unique_sources, type_counts,
               format_counts, last_seen_at
          FROM raw_fragment_aggregates
         WHERE (entity_type, fragment_key, user_id) > (%s, %s, %s)
         ORDER BY entity_type, fragment_key, user_id LIMIT %s
    ), these AS (
        SELECT * FROM part WHERE sample_count > 0
    )
    SELECT entity_type, fragment_key, 'field' AS kind, '' AS of, count(*) FILTER (WHERE sample_count > 0) AS count,
           coalesce(sum(sample_count) FILTER (WHERE sample_count > 0), 0)::bigint,
           coalesce(sum(frequency_total) FILTER (WHERE sample_count > 0), 0)::bigint,
           coalesce(sum(unique_sources) FILTER (WHERE sample_count > 0), 0)::bigint,
           max(last_seen_at) FILTER (WHERE sample_count > 0), max(user_id), count(*)
      FROM part GROUP BY 1, 2
    UNION ALL
    SELECT entity_type, fragment_key, 'type', t.name, sum(t.n::bigint)::bigint, NULL, NULL, NULL, NULL, NULL, NULL
      FROM these CROSS JOIN LATERAL jsonb_each_text(type_counts) AS t(name, n)
     GROUP BY 1, 2, 4 HAVING sum(t.n::bigint) <> 0
    UNION ALL
    SELECT entity_type, fragment_key, 'format', t.name, sum(t.n::bigint)::bigint, NULL, NULL, NULL, NULL, NULL, NULL
      FROM these CROSS JOIN LATERAL jsonb_each_text(format_counts) AS t(name, n)
     GROUP BY 1, 2, 4 HAVING sum(t.n::bigint) <> 0
     ORDER BY 1, 2
"""


def _type_ended(here: Here, *, up_to: str | None) -> int:
    """The fields of the type are kept, and nothing of types between it and the next, of which there are none."""
    between = FieldGrowth.objects.filter(entity_type__gt=here.entity_type)
    if up_to is not None:
        between = between.filter(entity_type__lt=up_to)
    between.delete()
    return growth_keep(entity_type=here.entity_type, fields=here.fields(), day=today())


@transaction.atomic
def growth_keep(*, entity_type: str, fields: Sequence[FieldOwners], day: date) -> int:
    """These are the fields of most owners of the type on that day; what is known of others is forgotten."""
    known = {row.fragment_key: _history(row) for row in FieldGrowth.objects.filter(entity_type=entity_type)}
    none_on = _all_counted_on(known.values(), day)
    rows = []
    for one in fields:
        history = history_with(known.get(one.name), today=day, owners=one.owners, none_on=none_on)
        gains = {days: gain_of(history, today=day, days=days) for days in (7, 30, 90)}
        rows.append(
            FieldGrowth(
                entity_type=entity_type,
                fragment_key=one.name,
                owner_count=one.owners,
                owners_by_day={on.isoformat(): count for on, count in sorted(history.items())},
                counted_at=Now(),
                **{f"gained_{days}": gain.count if gain else None for days, gain in gains.items()},
            )
        )
    told = ["owner_count", "owners_by_day", "gained_7", "gained_30", "gained_90", "counted_at"]
    FieldGrowth.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["entity_type", "fragment_key"], update_fields=told
    )
    stale = FieldGrowth.objects.filter(entity_type=entity_type)
    stale.exclude(fragment_key__in=[one.name for one in fields]).delete()
    return len(rows)


def _history(row: FieldGrowth) -> dict[date, int]:
    return {date.fromisoformat(day): count for day, count in row.owners_by_day.items()}


def _all_counted_on(histories: Collection[Mapping[date, int]], day: date) -> date | None:
    """The last day before on which every field of the type was counted; None where some had to be left out."""
    if len(histories) >= FIELDS_KEPT:
        return None
    return max((on for history in histories for on in history if on < day), default=None)
