"""A field of an entity type, and all users who have it, each counted once and with one type.

Each user has one type for a field: the one they declare, else the one that most of their waiting values have. A
declaration says more than the values that wait beside it: what waits at a user who declares the field does not fit it,
or is on its way. So of those users only the declaration counts, and it counts as much as there are values enough to go
by, ten of its type and of one form, from one source. Where all users have declared a field and nothing of it waits,
confidence is thus told from how many of them declare it with one type, and from the name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from fragments.domain.confidence import ENOUGH_SAMPLES
from fragments.domain.conversions import in_order
from fragments.domain.counts import FieldCounts
from registry.domain.definition import DEFAULT_POLICY, Converter, Policy
from schemaevo.kernel.canonical import canonical_json


class Shape(StrEnum):
    """In what a user has a field."""

    OWN_SCHEMA = "own_schema"
    EXTENSION = "extension"
    FRAGMENTS = "fragments"


@dataclass(frozen=True, slots=True)
class UserGroup:
    """So many users who have a field in one shape, with one type, policy and converters. `type` is '' where all of
    their values are null; who declares no policy has the default one."""

    shape: Shape
    type: str
    users: int
    policy: Policy = DEFAULT_POLICY
    converters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldUse:
    """A field, and all users who have it, each counted once."""

    name: str
    groups: tuple[UserGroup, ...]

    @property
    def users(self) -> int:
        """How many they are."""
        return sum(group.users for group in self.groups)

    @property
    def types(self) -> Mapping[str, int]:
        """How many users have each type, those of most first; '' of those who have none."""
        counted: Counter[str] = Counter()
        for group in self.groups:
            counted[group.type] += group.users
        return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))

    @property
    def dominant_type(self) -> str:
        """The type of most users, of several the first by name; '' where nobody has one."""
        return next((kind for kind in self.types if kind), "")

    @property
    def type_share(self) -> Fraction:
        """How many of all users have that type."""
        return (
            Fraction(self.types.get(self.dominant_type, 0), self.users) if self.dominant_type else Fraction()
        )

    @property
    def declaring(self) -> Iterator[UserGroup]:
        """Those who declare it."""
        return (group for group in self.groups if group.shape is not Shape.FRAGMENTS)

    @property
    def policies(self) -> Mapping[Policy, int]:
        """How many of those who declare it with the type of most have which policy, those of most first. Of equally
        many what somebody chose stands before the default."""
        counted: Counter[Policy] = Counter()
        for group in self.declaring:
            if group.type == self.dominant_type:
                counted[group.policy.normalised] += group.users
        return dict(
            sorted(
                counted.items(),
                key=lambda item: (-item[1], item[0] == DEFAULT_POLICY, canonical_json(item[0].to_json())),
            )
        )

    @property
    def converters(self) -> tuple[Converter, ...]:
        """The converters that half or more of those have who declare it with the type of most."""
        declaring = [group for group in self.declaring if group.type == self.dominant_type]
        half = Fraction(sum(group.users for group in declaring), 2)
        counted: Counter[str] = Counter()
        for group in declaring:
            for function in group.converters:
                counted[function] += group.users
        return in_order({function for function, users in counted.items() if users >= half})

    @property
    def conflicts(self) -> Iterator[tuple[str, int, int]]:
        """Each other type, how many users have it, and how many of them declare it."""
        declared: Counter[str] = Counter()
        for group in self.declaring:
            declared[group.type] += group.users
        for kind, users in self.types.items():
            if kind and kind != self.dominant_type:
                yield kind, users, declared[kind]

    def of_shape(self, shape: Shape) -> int:
        """How many users have it in that shape."""
        return sum(group.users for group in self.groups if group.shape is shape)


def counts_with_declarations(use: FieldUse, waiting: FieldCounts) -> FieldCounts:
    """What confidence goes by: the waiting values of those who do not declare the field, and what the declarations of
    the others count for."""
    types = Counter(dict(waiting.type_counts))
    formats = dict(waiting.format_counts)
    declared: Counter[str] = Counter()
    for group in use.declaring:
        declared[group.type] += group.users
    for kind, users in declared.items():
        types[kind] += users * ENOUGH_SAMPLES
        # A declaration has no form of its own; where values have, they tell how far it is one.
        if not any(form.startswith(f"{kind}:") and count > 0 for form, count in formats.items()):
            formats[f"{kind}:"] = users * ENOUGH_SAMPLES
    users = declared.total()
    return FieldCounts(
        waiting.sample_count + users * ENOUGH_SAMPLES,
        waiting.frequency_total + users * ENOUGH_SAMPLES,
        types,
        formats,
        waiting.unique_sources + users,
        use.users,
    )
