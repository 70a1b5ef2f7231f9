"""What many users do with a field, and whether it should be everyone's: from counts alone, with every reason.

Who has a field, and what a declaration counts for, is in field_use.py.

Source of the thresholds: DESIGN sections 6, "Confidence", and 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from fragments.domain.confidence import ENOUGH_SAMPLES, Confidence, FactorName
from fragments.domain.converter_suggestions import ConverterOutlook, Part
from fragments.domain.counts import FieldCounts
from fragments.domain.field_use import FieldUse, Shape, counts_with_declarations
from fragments.domain.near_names import UsedName
from fragments.domain.recommendation import Circumstances, Recommendation, percent, recommend
from registry.domain.definition import DEFAULT_POLICY, Converter, Declaration, Field, FieldType
from registry.domain.edits import AddConverter, AddField
from schemaevo.kernel.canonical import Json, JsonObject, exact_number

#: So many of the users of a field have to have the same type for it.
TYPE_SHARE: Final = Fraction(4, 5)
#: So many of the values that wait has one converter to read, so that it is proposed.
CONVERTED_SHARE: Final = Fraction(4, 5)
#: Evidence calls so the type of users who have nothing but nulls.
NO_TYPE: Final = "null"


class PatternKind(StrEnum):
    """What a pattern would change; evidence says it under `pattern`."""

    FIELD = "field"
    CONVERTER = "converter"


class PatternObstacle(StrEnum):
    """Why something that users do is not proposed, beside the obstacles of a recommendation over all users."""

    TOO_FEW_USERS = "too_few_users"
    TYPES_DIFFER = "types_differ"
    VALUES_DIFFER = "values_differ"
    NOTHING_CONVERTS = "nothing_converts"
    NOTHING_WAITS = "nothing_waits"
    DECLARED = "already_declared"


@dataclass(frozen=True, slots=True)
class Against:
    """One reason why it is not proposed, for machines and for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What evidence tells beside the field itself.

    `users_of_type` are all who have something of the entity type. `entities` are those that have waiting values of the
    field, None where they are too many to be counted.
    """

    users_of_type: int
    entities: int | None = 0
    near: tuple[UsedName, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldPattern:
    """A field that users share, how it would be declared for all, and whether it should be.

    `waiting` are the values of those who do not declare it. `field` is None where nobody has a type.
    """

    use: FieldUse
    waiting: FieldCounts
    judged: Recommendation
    field: Field | None
    obstacles: tuple[Against, ...]

    @property
    def is_eligible(self) -> bool:
        """Whether nothing speaks against proposing it."""
        return not self.obstacles

    @property
    def users(self) -> int:
        """How many users share it."""
        return self.use.users

    @property
    def title(self) -> str:
        """What a proposal of it is called."""
        return f"Add {self.use.name} as {self.use.dominant_type}"

    def edits(self, converters: Sequence[Converter]) -> list[Json]:
        """The edits that declare it for all, with the policy that most have who declare it, and these converters."""
        if self.field is None:
            return []
        policy = next(iter(self.use.policies), DEFAULT_POLICY)
        field = Field(self.field.name, self.field.type, converters=tuple(converters))
        return [AddField(field.name, Declaration(field, policy)).to_json()]

    def evidence(self, around: Surroundings) -> JsonObject:
        """What speaks for it and against it. Users are counted, never named, and no value of theirs is told."""
        use, sure = self.use, self.judged.confidence
        return {
            "pattern": PatternKind.FIELD.value,
            **_standing(self.obstacles, use.users, around.users_of_type),
            "type": use.dominant_type,
            "type_share": _of_one(use.type_share),
            "types": {kind or NO_TYPE: users for kind, users in use.types.items()},
            "conflicts": [
                {"type": kind, "users": users, "declared": declared}
                for kind, users, declared in use.conflicts
            ],
            "declared_by": {shape.value: use.of_shape(shape) for shape in Shape},
            "policies": [
                {"merge_policy": policy.to_json(), "users": users} for policy, users in use.policies.items()
            ],
            "sources": self.waiting.unique_sources,
            "values": self.waiting.sample_count,
            "seen": self.waiting.frequency_total,
            "entities": around.entities,
            "confidence": _of_ten_thousand(sure.total),
            "factors": [
                {
                    "factor": factor.name.value,
                    "value": _of_one(factor.value),
                    "weight": _of_ten_thousand(factor.weight),
                    "contribution": _of_ten_thousand(int(factor.contribution)),
                    "words": self._in_words(factor.name, factor.value, sure),
                }
                for factor in sure.factors
            ],
            "near": _near(around.near),
        }

    def _in_words(self, name: FactorName, value: Fraction, sure: Confidence) -> str:
        """A factor in words: as a recommendation says it, but that declarations are named as such."""
        if not any(self.use.declaring) or name is FactorName.NAME:
            return next(reason.words for reason in self.judged.reasons if reason.factor.name is name)
        share, count = percent(value), sum(group.users for group in self.use.declaring)
        declarations = f"{count:,} declaration{'' if count == 1 else 's'}"
        match name:
            case FactorName.TYPE:
                return f"{share} of what is declared and waits is of type {sure.dominant_type}"
            case FactorName.FORMAT if sure.dominant_format:
                return f"{share} of the waiting values of that type have one form, {sure.dominant_format}"
            case FactorName.FORMAT:
                return "no waiting value of that type has another form"
            case _:
                return (
                    f"{declarations}, each as good as {ENOUGH_SAMPLES} values; "
                    f"{self.waiting.sample_count:,} waiting values"
                )


def field_pattern(
    *, entity_type: str, use: FieldUse, waiting: FieldCounts, circumstances: Circumstances, users_needed: int
) -> FieldPattern:
    """What is to be said of a field that users share and the global schema does not have."""
    counts = counts_with_declarations(use, waiting)
    judged = recommend(
        entity_type=entity_type, user_id=None, name=use.name, counts=counts, circumstances=circumstances
    )
    kind = use.dominant_type
    field = Field(use.name, FieldType(kind), converters=use.converters) if kind else None
    obstacles = (
        *_too_few(use.users, users_needed),
        *_types_differ(use, judged.confidence),
        *(Against(found.code.value, found.message) for found in judged.obstacles),
    )
    return FieldPattern(use, waiting, judged, field, obstacles)


@dataclass(frozen=True, slots=True)
class ConverterPattern:
    """A field of the global schema of which values of another type wait at so many users, and the converter that reads
    most of them."""

    outlook: ConverterOutlook
    users: int
    function: str
    part: Part
    obstacles: tuple[Against, ...]

    @property
    def is_eligible(self) -> bool:
        """Whether nothing speaks against proposing it."""
        return not self.obstacles

    @property
    def title(self) -> str:
        """What a proposal of it is called."""
        return f"Read {self.outlook.field.name} by {self.function}"

    @property
    def edits(self) -> list[Json]:
        """The edits that give the field that converter, where it has to stand among those that it has."""
        ordered = [c.function for c in self.outlook.field_with_converters.converters]
        own = [c.function for c in self.outlook.field.converters]
        behind = [function for function in ordered[ordered.index(self.function) + 1 :] if function in own]
        position = min((own.index(function) for function in behind), default=None)
        converter = Converter.from_json(self.function)
        return [AddConverter(self.outlook.field.name, converter, position).to_json()]

    def evidence(self, around: Surroundings) -> JsonObject:
        """What speaks for it and against it: counts alone."""
        outlook = self.outlook
        return {
            "pattern": PatternKind.CONVERTER.value,
            **_standing(self.obstacles, self.users, around.users_of_type),
            "type": outlook.field.type.value,
            "converter": self.function,
            "values": outlook.waiting,
            "converted": self.part.count,
            "converted_share": _of_one(self.part.share),
            "unreadable": outlook.rest.count,
            "is_exact": outlook.is_exact,
            "looked_at": outlook.looked_at,
        }


def converter_pattern(*, outlook: ConverterOutlook, users: int, users_needed: int) -> ConverterPattern | None:
    """What is to be said of the values of another type that wait of a declared field; None where no converter that the
    field lacks reads any of them."""
    if not outlook.suggested:
        return None
    function, part = max(outlook.suggested.items(), key=lambda item: (item[1].share, item[0]))
    obstacles = list(_too_few(users, users_needed))
    if part.share < CONVERTED_SHARE:
        obstacles.append(
            Against(
                PatternObstacle.NOTHING_CONVERTS.value,
                f"{function} would convert {percent(part.share)}; {percent(CONVERTED_SHARE)} are needed",
            )
        )
    return ConverterPattern(outlook, users, function, part, tuple(obstacles))


@dataclass(frozen=True, slots=True)
class TypeConflict:
    """A field that the global schema has with one type, and that most of those who have it otherwise have with
    another: for people to look at."""

    use: FieldUse
    declared: FieldType

    def to_json(self) -> JsonObject:
        """As results hold it."""
        return {
            "field": self.use.name,
            "declared": self.declared.value,
            "type": self.use.dominant_type,
            "users": self.use.users,
            "types": {kind or NO_TYPE: users for kind, users in self.use.types.items()},
        }


def type_conflict(*, use: FieldUse, declared: FieldType, users_needed: int) -> TypeConflict | None:
    """The conflict, where enough users have the field and enough of them with one other type."""
    if use.users < users_needed or use.type_share < TYPE_SHARE or use.dominant_type == declared.value:
        return None
    return TypeConflict(use, declared)


def faded_evidence(before: JsonObject, found: Iterable[Against]) -> JsonObject:
    """The evidence of a proposal of which nothing is left to be told but why it would not be proposed any more."""
    return {**before, "eligible": False, "obstacles": _told(found)}


def _too_few(users: int, needed: int) -> Iterator[Against]:
    if users < needed:
        found = f"{users:,} user{'' if users == 1 else 's'}"
        yield Against(PatternObstacle.TOO_FEW_USERS.value, f"{found}; {needed:,} are needed")


def _types_differ(use: FieldUse, sure: Confidence) -> Iterator[Against]:
    if use.dominant_type and use.type_share < TYPE_SHARE:
        yield Against(
            PatternObstacle.TYPES_DIFFER.value,
            f"{percent(use.type_share)} of the users have it as {use.dominant_type}; {percent(TYPE_SHARE)} are needed",
        )
    # A few users with many values may outweigh many with few.
    if sure.dominant_type and use.dominant_type not in ("", sure.dominant_type):
        yield Against(
            PatternObstacle.VALUES_DIFFER.value,
            f"most users have it as {use.dominant_type}, and most values are of type {sure.dominant_type}",
        )


def _standing(obstacles: Sequence[Against], users: int, users_of_type: int) -> JsonObject:
    return {
        "eligible": not obstacles,
        "obstacles": _told(obstacles),
        "users": users,
        "users_of_type": users_of_type,
        "share": _of_one(Fraction(users, users_of_type)) if users_of_type else 0,
    }


def _told(obstacles: Iterable[Against]) -> list[Json]:
    return [{"code": found.code, "message": found.message} for found in obstacles]


def _near(names: Iterable[UsedName]) -> list[Json]:
    return [{"field": near.name, "users": near.users, "declared": near.is_declared} for near in names]


def _of_one(share: Fraction) -> Json:
    """A share from 0 to 1, rounded down to ten-thousandths."""
    return _of_ten_thousand(int(share * 10_000))


def _of_ten_thousand(count: int) -> Json:
    return exact_number(f"{count}e-4")
