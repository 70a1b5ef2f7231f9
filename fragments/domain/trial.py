"""What a trial of a proposal comes to: numbers field by field, a sample of values, and what became of it afterwards.

The result as JSON, kept in the trial's row::

    {"format": 1, "act": "apply", "content_hash": …, "base_version": "1.2.0" or null, "as_of": …,
     "users": …, "users_changed": …, "extensions": …, "extensions_touched": …, "adopted": …,
     "quota_given_back": …, "quota_taken": …, "snapshots_recomputed": …, "snapshots_unchanged": …,
     "fields": {name: {"change": "added", "users": …, "absorbed": …, "conflicts": …, "given_back": …,
                       "fits": …, "converted": …, "misfits": {reason: …}, "taken_back": …}},
     "estimate": {"seconds": …, "promotion": {"count": …, "per_second": …, "is_measured": …}, "recomputation": {…}},
     "values": [{"entity": …, "owner": …, "key": …, "fields": {name: {"before": …, "after": …}}}]}

Only what stands under `values` holds stored values, or names anybody: pages show it to those who may see values. A side
of a sample is ``{"value": …}``, ``{"length": …}`` where the value is too long to be kept, or ``{}`` where the snapshot
does not have the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, TypeVar, cast

from fragments.domain.trial_changes import Change
from registry.domain.trial_values import VALUES
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json

#: Results of another shape are not read.
FORMAT: Final = 1
#: A value whose text is longer is not kept, but for its length.
VALUE_MAX: Final = 2_000

Counts = TypeVar("Counts", "FieldCounts", "TypeCounts")


@dataclass(frozen=True, slots=True)
class FieldCounts:
    """What would become of one field, over all users.

    `users` are those for whom it is declared otherwise than before. `absorbed` are extensions, and own schemas that
    become some, that lose it to the global schema; in `conflicts` they declare another type, which stands; `given_back`
    are extensions that have it again. Of the fragments that wait and are looked at again some fit as they are, some by
    a converter, and of the others the reason is counted; `taken_back` are promoted ones that wait again.
    """

    users: int = 0
    absorbed: int = 0
    conflicts: int = 0
    given_back: int = 0
    fits: int = 0
    converted: int = 0
    misfits: Mapping[str, int] = field(default_factory=dict)
    taken_back: int = 0

    @property
    def promoted(self) -> int:
        """How many fragments would be observations."""
        return self.fits + self.converted

    @property
    def misfit(self) -> int:
        """How many fragments would not fit, for whatever reason."""
        return sum(self.misfits.values())

    @property
    def waiting(self) -> int:
        """How many fragments would be looked at."""
        return self.promoted + self.misfit

    def to_json(self) -> JsonObject:
        """As the result holds it."""
        return _counts_json(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Json]) -> FieldCounts:
        """What `to_json` wrote."""
        return _counts_of(cls, stored)


@dataclass(frozen=True, slots=True)
class TypeCounts:
    """What would become of the entity type as a whole.

    `users` have entities of the type, or something of their own; `users_changed` are those to whose records or
    snapshots other rules would apply. `extensions` are extensions and own schemas that are in force;
    `extensions_touched` would get another revision, `adopted` are own schemas that would become extensions. Quotas are
    counted in fields. Snapshots that are reduced by the rules that would be in force need no recomputation.
    """

    users: int = 0
    users_changed: int = 0
    extensions: int = 0
    extensions_touched: int = 0
    adopted: int = 0
    quota_given_back: int = 0
    quota_taken: int = 0
    snapshots_recomputed: int = 0
    snapshots_unchanged: int = 0

    def to_json(self) -> JsonObject:
        """As the result holds it."""
        return _counts_json(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Json]) -> TypeCounts:
        """What `to_json` wrote; other keys say nothing."""
        return _counts_of(cls, stored)


def added_up(one: Counts, other: Counts) -> Counts:
    """The counts of both."""
    summed: dict[str, Any] = {
        each.name: _sum(getattr(one, each.name), getattr(other, each.name)) for each in fields(one)
    }
    return type(one)(**summed)


def _sum(one: int | Mapping[str, int], other: int | Mapping[str, int]) -> int | dict[str, int]:
    if isinstance(one, int) or isinstance(other, int):
        return cast(int, one) + cast(int, other)
    return {reason: one.get(reason, 0) + other.get(reason, 0) for reason in sorted({*one, *other})}


def _counts_json(counts: FieldCounts | TypeCounts) -> JsonObject:
    return {
        each.name: count if isinstance(count, int) else {**count}
        for each in fields(counts)
        for count in [getattr(counts, each.name)]
    }


def _counts_of(kind: type[Counts], stored: Mapping[str, Json]) -> Counts:
    known: dict[str, Any] = {each.name: stored[each.name] for each in fields(kind) if each.name in stored}
    return kind(**known)


@dataclass(frozen=True, slots=True)
class Rate:
    """How much there is to do, and how much of it is done in a second: measured by jobs that ended, or else assumed."""

    count: int
    per_second: int
    is_measured: bool

    @property
    def seconds(self) -> int:
        """How long it takes, rounded up."""
        return -(-self.count // max(1, self.per_second))

    def to_json(self) -> JsonObject:
        """As the result holds it."""
        return {"count": self.count, "per_second": self.per_second, "is_measured": self.is_measured}

    @classmethod
    def from_json(cls, stored: Mapping[str, Json]) -> Rate:
        """What `to_json` wrote."""
        return cls(cast(int, stored["count"]), cast(int, stored["per_second"]), bool(stored["is_measured"]))


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long the jobs would take, one after the other: fragments first, then snapshots."""

    promotion: Rate
    recomputation: Rate

    @property
    def seconds(self) -> int:
        """Both together."""
        return self.promotion.seconds + self.recomputation.seconds

    def to_json(self) -> JsonObject:
        """As the result holds it."""
        return {
            "seconds": self.seconds,
            "promotion": self.promotion.to_json(),
            "recomputation": self.recomputation.to_json(),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Json]) -> Estimate:
        """What `to_json` wrote."""
        return cls(
            Rate.from_json(cast(JsonObject, stored["promotion"])),
            Rate.from_json(cast(JsonObject, stored["recomputation"])),
        )


@dataclass(frozen=True, slots=True)
class Side:
    """What a snapshot shows of a field: `value`, or with `length` one too long to be kept, or nothing."""

    is_there: bool = False
    value: Json = None
    length: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Json], name: str) -> Side:
        """The field's side in a snapshot's values."""
        if name not in values:
            return cls()
        length = len(canonical_json(values[name]))
        return cls(True, values[name]) if length <= VALUE_MAX else cls(True, None, length)

    def to_json(self) -> JsonObject:
        """As the result holds it."""
        if not self.is_there:
            return {}
        return {"length": self.length} if self.length else {"value": self.value}

    @classmethod
    def from_json(cls, stored: Mapping[str, Json]) -> Side:
        """What `to_json` wrote."""
        return cls(bool(stored), stored.get("value"), cast(int, stored.get("length", 0)))


@dataclass(frozen=True, slots=True)
class Sampled:
    """One entity, and of each field of the change what its snapshot shows before and after."""

    entity_id: str
    user_id: int
    entity_key: str
    fields: Mapping[str, tuple[Side, Side]]

    @property
    def is_changed(self) -> bool:
        """Whether its snapshot would show something else of any of the fields."""
        return any(
            canonical_json(before.to_json()) != canonical_json(after.to_json())
            for before, after in self.fields.values()
        )

    def to_json(self) -> JsonObject:
        """As the result holds it."""
        return {
            "entity": self.entity_id,
            "owner": self.user_id,
            "key": self.entity_key,
            "fields": {
                name: {"before": before.to_json(), "after": after.to_json()}
                for name, (before, after) in self.fields.items()
            },
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Json]) -> Sampled:
        """What `to_json` wrote."""
        sides = cast("Mapping[str, Mapping[str, JsonObject]]", stored["fields"])
        return cls(
            cast(str, stored["entity"]),
            cast(int, stored["owner"]),
            cast(str, stored["key"]),
            {
                name: (Side.from_json(side["before"]), Side.from_json(side["after"]))
                for name, side in sides.items()
            },
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """What applying a proposal, or undoing it, would do, by what was stored from `as_of` on until the trial ended.

    `base_version` is the number of the global version that was in force, none where none was.
    """

    act: str
    content_hash: str
    base_version: str | None
    as_of: str
    counts: TypeCounts
    changes: Mapping[str, Change]
    fields: Mapping[str, FieldCounts]
    estimate: Estimate
    sample: tuple[Sampled, ...] = ()

    @property
    def without_values(self) -> Trial:
        """The trial for those who may not see values."""
        return replace(self, sample=())

    def to_json(self) -> JsonObject:
        """The result as it is kept; the sample stands under VALUES alone."""
        return {
            "format": FORMAT,
            "act": self.act,
            "content_hash": self.content_hash,
            "base_version": self.base_version,
            "as_of": self.as_of,
            **self.counts.to_json(),
            "fields": {
                name: {"change": self.changes[name].value, **counts.to_json()}
                for name, counts in self.fields.items()
            },
            "estimate": self.estimate.to_json(),
            VALUES: [sampled.to_json() for sampled in self.sample],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Json]) -> Trial | None:
        """What `to_json` wrote; None for what another release did, or nothing yet."""
        if stored.get("format") != FORMAT:
            return None
        by_name = cast("Mapping[str, JsonObject]", stored["fields"])
        return cls(
            act=cast(str, stored["act"]),
            content_hash=cast(str, stored["content_hash"]),
            base_version=cast("str | None", stored["base_version"]),
            as_of=cast(str, stored["as_of"]),
            counts=TypeCounts.from_json(stored),
            changes={name: Change(cast(str, one["change"])) for name, one in by_name.items()},
            fields={name: FieldCounts.from_json(one) for name, one in by_name.items()},
            estimate=Estimate.from_json(cast(JsonObject, stored["estimate"])),
            sample=tuple(Sampled.from_json(one) for one in cast("list[JsonObject]", stored.get(VALUES, []))),
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a proposal, or undoing it, really did: of each field the counts by the names that `FieldCounts` has
    for them, `promoted` being all that became observations. Of the snapshots nothing is said where nobody counted them.
    `is_over` tells that the jobs have come to their end."""

    fields: Mapping[str, Mapping[str, int]]
    snapshots_recomputed: int | None = None
    is_over: bool = True


@dataclass(frozen=True, slots=True)
class Difference:
    """One number that came out otherwise than the trial had said; one without a field is of the type as a whole."""

    field: str
    count: str
    tried: int
    done: int


#: The numbers that both a trial and what was done have, in the order in which they are told.
COMPARED: Final[Mapping[str, tuple[str, ...]]] = {
    "apply": ("absorbed", "promoted", "converted"),
    "undo": ("given_back", "taken_back"),
}


def trial_difference(trial: Trial, applied: Applied) -> tuple[Difference, ...]:
    """Where what was done is not what the trial said, field by field: data that arrived, or went, in between."""
    found: list[Difference] = []
    for name in sorted({*trial.fields, *applied.fields}):
        counts, done = trial.fields.get(name, FieldCounts()), applied.fields.get(name, {})
        found += [
            Difference(name, count, tried, did)
            for count in COMPARED[trial.act]
            if (tried := int(getattr(counts, count))) != (did := done.get(count, 0))
        ]
    told, recomputed = trial.counts.snapshots_recomputed, applied.snapshots_recomputed
    if recomputed is not None and recomputed != told:
        found.append(Difference("", "snapshots_recomputed", told, recomputed))
    return tuple(found)
