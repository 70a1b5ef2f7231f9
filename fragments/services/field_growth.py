"""The owners of undeclared fields are counted: type by type, in one pass over the aggregates, in short batches."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from django.db import connection, transaction
from django.db.models.functions import Now

from fragments.domain.growth import (
    FIELDS_KEPT,
    FieldOwners,
    fields_of_most,
    gain_of,
    history_with,
)
from fragments.models import FieldGrowth
from fragments.selectors_counting import Counting, counting
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.figures import today
from schemaevo.kernel.jobs import Lease

GROWTH: Final = "count_field_owners"
#: Aggregates that one batch looks at.
AGGREGATES_PER_BATCH = 20_000


@dataclass(frozen=True, slots=True)
class _Here:
    """How far a pass has got, kept as the cursor of its job.

    It has looked at all aggregates up to this (type, field, user); so many `owners` of this field were found by then,
    and `most` are the fields of most owners among those of this type before it.
    """

    entity_type: str = ""
    field: str = ""
    user_id: int = 0
    owners: int = 0
    most: tuple[FieldOwners, ...] = ()

    def to_json(self) -> JsonObject:
        return {
            "entity_type": self.entity_type,
            "field": self.field,
            "user": self.user_id,
            "owners": self.owners,
            "most": [[one.name, one.owners] for one in self.most],
        }

    @classmethod
    def from_json(cls, said: Json) -> _Here:
        """What `to_json` gave; the beginning where there is nothing."""
        match said:
            case {
                "entity_type": str(entity_type),
                "field": str(name),
                "user": int(user_id),
                "owners": int(owners),
                "most": list(most),
            }:
                return cls(entity_type, name, user_id, owners, tuple(_field(one) for one in most))
            case _:
                return cls()

    def with_part(self, name: str, owners: int, user_id: int) -> _Here:
        """So many owners more of a field of this type, the last of them this user."""
        if name == self.field:
            return replace(self, owners=self.owners + owners, user_id=user_id)
        return replace(self, field=name, owners=owners, user_id=user_id, most=self.fields())

    def fields(self) -> tuple[FieldOwners, ...]:
        """The fields of most owners up to here."""
        return tuple(fields_of_most([*self.most, FieldOwners(self.field, self.owners)]))


def _field(said: Json) -> FieldOwners:
    match said:
        case [str(name), int(owners)]:
            return FieldOwners(name, owners)
        case _:
            raise ValueError(f"{said!r} is no field of a cursor.")


def growth_run(lease: Lease) -> JsonObject:
    """The fields of most owners of every type are known, with how many they are today and were on the days before."""
    if counting() is not Counting.DONE:
        return {"skipped": "the fragments are being counted"}
    here: _Here | None = _Here.from_json(lease.cursor)
    while here is not None:
        with lease.batch() as batch:
            here, kept = growth_count(here)
            batch.done(kept)
            batch.cursor = None if here is None else here.to_json()
    return {"fields": lease.done_count}


@transaction.atomic
def growth_count(here: _Here) -> tuple[_Here | None, int]:
    """One batch further: the types that it comes to the end of are kept. Gives how many fields of them were.

    None where everything was looked at; then nothing is kept of types that no aggregate has any more.
    """
    parts, looked_at = _parts_after(here)
    kept = 0
    for entity_type, name, owners, last_user in parts:
        if entity_type != here.entity_type:
            kept += _type_ended(here, up_to=entity_type)
            here = _Here(entity_type, name)
        here = here.with_part(name, owners, last_user)
    if looked_at == AGGREGATES_PER_BATCH:
        return here, kept
    return None, kept + _type_ended(here, up_to=None)


def _parts_after(here: _Here) -> tuple[Sequence[tuple[str, str, int, int]], int]:
    """The next aggregates by field: its type and name, how many of the owners have values that wait, and the last of
    them; and how many aggregates these were."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH part AS (
                SELECT entity_type, fragment_key, user_id, sample_count FROM raw_fragment_aggregates
                 WHERE (entity_type, fragment_key, user_id) > (%s, %s, %s)
                 ORDER BY entity_type, fragment_key, user_id LIMIT %s
            )
            SELECT entity_type, fragment_key, count(*) FILTER (WHERE sample_count > 0), max(user_id), count(*)
              FROM part GROUP BY entity_type, fragment_key ORDER BY entity_type, fragment_key
            """,
            [here.entity_type, here.field, here.user_id, AGGREGATES_PER_BATCH],
        )
        rows = cursor.fetchall()
    return [row[:4] for row in rows], sum(row[4] for row in rows)


def _type_ended(here: _Here, *, up_to: str | None) -> int:
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
