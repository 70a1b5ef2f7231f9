"""What many users do with the fields of an entity type, each user counted once per field, and what is to be said of it.

The database expands declarations and counts users; what comes here are names that several users share. So the memory
of a look does not grow with the users, and hardly with their fields.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from django.conf import settings

from fragments.domain.converter_suggestions import forms_that_misfit
from fragments.domain.counts import FieldCounts
from fragments.domain.field_use import FieldUse
from fragments.domain.near_names import NearNames, UsedName
from fragments.domain.patterns import (
    Against,
    ConverterPattern,
    FieldPattern,
    PatternKind,
    PatternObstacle,
    Surroundings,
    TypeConflict,
    converter_pattern,
    faded_evidence,
    field_pattern,
    type_conflict,
)
from fragments.domain.recommendation import Circumstances
from fragments.selectors_aggregates import FieldKey
from fragments.selectors_converters import outlooks_of
from fragments.selectors_counting import Counting, counting
from fragments.selectors_refusals import refusals_of
from fragments.selectors_usage import (
    counts_undeclared,
    entities_counted,
    fields_used,
    users_of_type,
    users_with_forms,
)
from registry.domain.definition import NO_FIELDS, Converter, Definition
from registry.domain.names import confusable_form
from registry.selectors import effective_schema
from schemaevo.kernel.canonical import Json, JsonObject

#: Names of fields that are used by fewer users are not shown beside others either.
NEAR_USERS: Final = 3
#: Names of a type that are looked at, those of most users first.
NAMES_MAX: Final = 5_000
#: Fields that one query counts.
FIELDS_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a proposal about a field would say, and whether there should be one. `edits` is empty where not."""

    subject: str
    title: str
    reason: str
    edits: list[Json]
    evidence: JsonObject

    @property
    def is_eligible(self) -> bool:
        """Whether nothing speaks against proposing it."""
        return self.evidence["eligible"] is True


@dataclass(frozen=True, slots=True)
class Patterns:
    """What was found of an entity type.

    `candidates` are, by field, those that should be proposed, and those of which there is an open proposal already. The
    `others` are fields that enough users share and that something speaks against. Of `looked_at` fields enough users
    are known. While `counting` is not done, nothing is found.
    """

    entity_type: str
    counting: Counting
    candidates: tuple[Candidate, ...] = ()
    others: tuple[FieldPattern, ...] = ()
    conflicts: tuple[TypeConflict, ...] = ()
    looked_at: int = 0

    @property
    def is_certain(self) -> bool:
        """Whether the fragments are counted, so that what is found can be relied upon."""
        return self.counting is Counting.DONE


@dataclass
class _Look:
    """One look at a type: what it is looked at with, and what the looks at parts of it share."""

    entity_type: str
    #: The evidence of open proposals, by field.
    known: Mapping[str, JsonObject]
    needed: int
    definition: Definition
    is_global: bool
    uses: Mapping[str, FieldUse]
    users_of_type: int
    near: NearNames = field(init=False)

    def __post_init__(self) -> None:
        declared = self.definition.fields
        used = [UsedName(use.name, use.users, use.name in declared) for use in self.uses.values()]
        unused = [UsedName(name, 0, is_declared=True) for name in declared if name not in self.uses]
        self.near = NearNames([one for one in used if one.users >= NEAR_USERS or one.is_declared] + unused)


def patterns_of(*, entity_type: str, known: Mapping[str, JsonObject]) -> Patterns:
    """What users do with fields of the type. `known` is the evidence of the open proposals of an analysis, by field:
    what is to be said of those now is found, too.

    A constant number of queries for each FIELDS_AT_ONCE fields that enough users share.
    """
    state = counting()
    if state is not Counting.DONE:
        return Patterns(entity_type, state)
    definition = effective_schema(entity_type=entity_type, user_id=None).definition
    uses = fields_used(
        entity_type=entity_type,
        has_global=definition is not None,
        users_at_least=min(NEAR_USERS, settings.SCHEMAEVO_PATTERN_USERS),
        names=known.keys(),
        limit=NAMES_MAX,
    )
    look = _Look(
        entity_type,
        known,
        settings.SCHEMAEVO_PATTERN_USERS,
        definition or NO_FIELDS,
        definition is not None,
        {use.name: use for use in uses},
        users_of_type(entity_type=entity_type),
    )
    found, others = _fields(look)
    converters = _converters(look)
    # A proposal of either kind may be there for a field that had the other one then; it is told what holds now.
    candidates = {**_faded(look), **found, **converters}
    return Patterns(
        entity_type,
        state,
        tuple(candidates[name] for name in sorted(candidates)),
        tuple(sorted(others, key=lambda one: (-one.users, one.use.name))),
        tuple(_conflicts(look, converters)),
        sum(use.users >= look.needed for use in look.uses.values()),
    )


def _fields(look: _Look) -> tuple[dict[str, Candidate], list[FieldPattern]]:
    """What is to be said of fields that the global schema lacks."""
    declared = look.definition.fields
    shared = sorted(
        name
        for name, use in look.uses.items()
        if name not in declared and (use.users >= look.needed or name in look.known)
    )
    candidates: dict[str, Candidate] = {}
    others: list[FieldPattern] = []
    for names in _in_parts(shared):
        patterns = _patterns(look, names)
        told = [p for p in patterns if p.is_eligible or _is_of(look, p.use.name, PatternKind.FIELD)]
        converters = _converters_of(look, [pattern for pattern in told if pattern.is_eligible])
        counted = {p.use.name: p.waiting.sample_count for p in told}
        entities = entities_counted(entity_type=look.entity_type, has_global=look.is_global, values=counted)
        for pattern in told:
            name = pattern.use.name
            around = Surroundings(look.users_of_type, entities.get(name), look.near.of(name))
            candidates[name] = _field_candidate(look, pattern, converters.get(name, ()), around)
        others += [p for p in patterns if not p.is_eligible and p.users >= look.needed]
    return candidates, others


def _patterns(look: _Look, names: Sequence[str]) -> list[FieldPattern]:
    counts = counts_undeclared(entity_type=look.entity_type, has_global=look.is_global, names=names)
    refusals = refusals_of(user_id=None, keys=[FieldKey(look.entity_type, name) for name in names])
    twins = look.definition.names_by_confusable_form
    return [
        field_pattern(
            entity_type=look.entity_type,
            use=look.uses[name],
            waiting=counts.get(name, FieldCounts(user_count=0)),
            circumstances=Circumstances(
                twin=twins.get(confusable_form(name), ""),
                ignored_by=refusals.ignored_by(FieldKey(look.entity_type, name)),
                refused=refusals.dismissed.get(FieldKey(look.entity_type, name)),
            ),
            users_needed=look.needed,
        )
        for name in names
    ]


def _converters_of(look: _Look, patterns: Collection[FieldPattern]) -> dict[str, tuple[Converter, ...]]:
    """The converters that bring waiting values of other types to the type that the fields would have, and those that
    most have who declare them."""
    fields = {pattern.use.name: pattern.field for pattern in patterns if pattern.field is not None}
    counts = {pattern.use.name: pattern.waiting for pattern in patterns if pattern.use.name in fields}
    found = {name: one.converters for name, one in fields.items()}
    outlooks = outlooks_of(entity_type=look.entity_type, user_id=None, fields=fields, counts=counts)
    return {**found, **{one.field.name: one.field_with_converters.converters for one in outlooks}}


def _field_candidate(
    look: _Look, pattern: FieldPattern, converters: Sequence[Converter], around: Surroundings
) -> Candidate:
    return Candidate(
        pattern.use.name,
        pattern.title,
        f"At least {look.needed} users have this field, most of them with the same type.",
        pattern.edits(converters) if pattern.is_eligible else [],
        pattern.evidence(around),
    )


def _converters(look: _Look) -> dict[str, Candidate]:
    """What is to be said of fields that the global schema has and of which values of another type wait."""
    fields = look.definition.fields
    if not fields:
        return {}
    # An extension that has the field with another type stands, and what waits there says nothing of the global one.
    counts = counts_undeclared(entity_type=look.entity_type, has_global=True, names=sorted(fields))
    forms = {
        name: sorted(misfits)
        for name, counted in counts.items()
        if (misfits := forms_that_misfit(fields[name], counted))
    }
    users = users_with_forms(entity_type=look.entity_type, has_global=True, forms=forms)
    wanted = {
        name: counts[name]
        for name in forms
        if users.get(name, 0) >= look.needed or _is_of(look, name, PatternKind.CONVERTER)
    }
    around = Surroundings(look.users_of_type)
    candidates = {}
    for outlook in outlooks_of(entity_type=look.entity_type, user_id=None, fields=fields, counts=wanted):
        name = outlook.field.name
        pattern = converter_pattern(outlook=outlook, users=users.get(name, 0), users_needed=look.needed)
        if pattern is not None and (pattern.is_eligible or _is_of(look, name, PatternKind.CONVERTER)):
            candidates[name] = _converter_candidate(look, pattern, around)
    return candidates


def _converter_candidate(look: _Look, pattern: ConverterPattern, around: Surroundings) -> Candidate:
    return Candidate(
        pattern.outlook.field.name,
        pattern.title,
        f"Values of another type wait at {look.needed} users or more, and the converter reads most of them.",
        pattern.edits if pattern.is_eligible else [],
        pattern.evidence(around),
    )


def _faded(look: _Look) -> dict[str, Candidate]:
    """What is to be said of open proposals about which nothing more is known."""
    gone = {
        PatternKind.FIELD: Against(
            PatternObstacle.TOO_FEW_USERS.value, f"no users; {look.needed:,} are needed"
        ),
        PatternKind.CONVERTER: Against(PatternObstacle.NOTHING_WAITS.value, "no value of another type waits"),
    }
    declared = Against(PatternObstacle.DECLARED.value, "the global schema declares it by now")
    candidates = {}
    for name, before in look.known.items():
        kind = PatternKind(str(before.get("pattern", PatternKind.FIELD)))
        why = declared if kind is PatternKind.FIELD and name in look.definition.fields else gone[kind]
        candidates[name] = Candidate(name, "", "", [], faded_evidence(before, [why]))
    return candidates


def _conflicts(look: _Look, converters: Collection[str]) -> Iterator[TypeConflict]:
    for name, declared in sorted(look.definition.fields.items()):
        if name in look.uses and name not in converters:
            conflict = type_conflict(use=look.uses[name], declared=declared.type, users_needed=look.needed)
            if conflict is not None:
                yield conflict


def _is_of(look: _Look, name: str, kind: PatternKind) -> bool:
    """Whether there is an open proposal of that kind about the field."""
    return look.known.get(name, {}).get("pattern") == kind.value


def _in_parts(names: Sequence[str]) -> Iterator[list[str]]:
    left = iter(names)
    while part := list(islice(left, FIELDS_AT_ONCE)):
        yield part
