"""What the tests of patterns start from: users who have fields in one shape or another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fragments.selectors_patterns import Candidate, Patterns
from fragments.services.patterns import Proposed, candidates_propose, patterns_look
from registry.services.proposals_found import ANALYSIS
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User
from tests.factories import THING, make_definition, make_extension, make_run, make_user, make_version

#: Values that each user has of a field: enough to be sure of it.
VALUES = 6


def users_with_values(
    count: int, *, entity_type: str = THING, each: int = VALUES, **values: Any
) -> list[User]:
    """So many users to whom the fields are undeclared, each with so many entities that have them. A value is given, or
    made by a function of the number of the entity."""
    owners = [make_user() for _ in range(count)]
    for owner in owners:
        records = [
            {"k": f"k{n}", **{name: value(n) if callable(value) else value for name, value in values.items()}}
            for n in range(each)
        ]
        make_run(records=records, user=owner, entity_type=entity_type)
    return owners


def users_with_own(count: int, *, entity_type: str = THING, **fields: Any) -> list[User]:
    """So many users whose own schema declares the fields."""
    owners = [make_user() for _ in range(count)]
    for owner in owners:
        make_version(document=make_definition(**fields), entity_type=entity_type, user=owner)
    return owners


def users_with_extension(count: int, *, entity_type: str = THING, **fields: Any) -> list[User]:
    """So many users whose extension of the global schema adds the fields."""
    owners = [make_user() for _ in range(count)]
    for owner in owners:
        document = {"additional_fields": make_definition(**fields)["fields"]}
        make_extension(user=owner, document=document, entity_type=entity_type)
    return owners


def analysed(entity_type: str = THING) -> list[Proposed]:
    """What an analysis of the type proposes now, and what came of it."""
    candidates = looked(entity_type).candidates
    return candidates_propose(entity_type=entity_type, candidates=candidates, actor=Actor.system(ANALYSIS))


def looked(entity_type: str = THING) -> Patterns:
    """What an analysis finds now, without proposing it."""
    patterns = patterns_look(entity_type=entity_type)
    assert patterns.is_certain
    return patterns


def outcomes(proposed: Iterable[Proposed]) -> dict[str, str]:
    """What came of the candidate about each field."""
    return {one.candidate.subject: one.outcome for one in proposed}


def candidate(field: str, entity_type: str = THING) -> Candidate:
    """What is found of a field."""
    [found] = [one for one in looked(entity_type).candidates if one.subject == field]
    return found


def against(field: str, entity_type: str = THING) -> set[str]:
    """The codes of what speaks against proposing a field that enough users share."""
    [other] = [one for one in looked(entity_type).others if one.use.name == field]
    return {obstacle.code for obstacle in other.obstacles}
