"""The edits that a proposal may consist of: read, found between two definitions, and moved to another base."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from registry.domain.definition import Converter, Definition, Field
from registry.domain.edit_documents import parse_edits
from registry.domain.edits import (
    AddConverter,
    AddField,
    Edit,
    RemoveField,
    SetDescription,
    SetPolicy,
    edited,
)
from registry.domain.problems import InvalidEdits, Problem, pointer
from registry.domain.rebase import rebased
from registry.domain.validation import parse_definition
from schemaevo.kernel.canonical import Json, JsonObject

#: What may be done to the global schema of a type by a proposal. What is not here breaks what users have, and is done
#: by removing a field and adding it anew, so that it is seen for what it is.
PROPOSABLE_OPS: Final[tuple[str, ...]] = (
    AddField.op,
    RemoveField.op,
    AddConverter.op,
    SetPolicy.op,
    SetDescription.op,
)


@dataclass(frozen=True, slots=True)
class RebasedEdits:
    """Edits that do to another base what they did to theirs. `clashes` are the paths into the definition of what both
    sides changed, and otherwise: there it is as the edits want it, or, where it cannot be, as the new base has it."""

    edits: tuple[Edit, ...]
    clashes: tuple[str, ...]


def parse_proposal_edits(document: Json) -> tuple[Edit, ...]:
    """The edits that a document lists. Raises: InvalidEdits with every problem it has, those included that no proposal
    may have (rule `op_not_proposable`)."""
    edits = parse_edits(document)
    problems = [
        Problem(
            pointer(index, "op"),
            "op_not_proposable",
            edit.op,
            f"the edits of a proposal are {', '.join(PROPOSABLE_OPS)}",
        )
        for index, edit in enumerate(edits)
        if edit.op not in PROPOSABLE_OPS
    ]
    if problems:
        raise InvalidEdits(problems)
    return edits


def edits_between(before: Definition, after: Definition) -> tuple[Edit, ...]:
    """Edits that a proposal may have and that, made to `before`, come to `after`.

    A field that differs in what no such edit can change is removed and added anew. Both have to have the same kind
    order, which a proposal does not change.
    """
    if before.kind_order != after.kind_order:
        raise ValueError("a proposal does not change the kind order")
    return tuple(_between(before, after))


def _between(before: Definition, after: Definition) -> Iterator[Edit]:
    shared = [name for name in sorted(after.fields) if name in before.fields]
    replaced = {name for name in shared if not _is_reached(before.fields[name], after.fields[name])}
    # Removed ones first: what is added may be called nearly so.
    for name in sorted(before.fields):
        if name in replaced or name not in after.fields:
            yield RemoveField(name)
    for name in sorted(after.fields):
        if name in replaced or name not in before.fields:
            yield AddField(name, after.declaration(name))
    for name in shared:
        if name not in replaced:
            yield from _of_field(before, after, name)


def _is_reached(old: Field, new: Field) -> bool:
    """Whether the edits of a proposal lead from one declaration of a field to the other."""
    kept = tuple(converter for converter in new.converters if converter in old.converters)
    alike = replace(old, description="", converters=()) == replace(new, description="", converters=())
    return alike and kept == old.converters


def _of_field(before: Definition, after: Definition, name: str) -> Iterator[Edit]:
    old, new = before.fields[name], after.fields[name]
    # From left to right: each position is that in the list as it is by then.
    for position, converter in enumerate(new.converters):
        if converter not in old.converters:
            yield AddConverter(name, converter, position)
    policy = after.policy_of(name).normalised
    if before.policy_of(name).normalised != policy:
        yield SetPolicy(name, policy)
    if old.description != new.description:
        yield SetDescription(name, new.description)


def rebased_edits(base: Definition, edits: Sequence[Edit], theirs: Definition) -> RebasedEdits:
    """The edits that do to `theirs` what `edits` did to `base`; none where it is done there already.

    Raises: InvalidDefinition where what comes out breaks a rule.
    """
    mine = edited(base, edits)
    document, clashes = rebased(base.to_json(), mine.to_json(), theirs.to_json())
    told = set(clashes)
    fields = cast("dict[str, JsonObject]", document["fields"])
    for name, stored in fields.items():
        if name in base.fields and name in mine.fields and name in theirs.fields:
            converters, lost = _converters(
                base.fields[name], mine.fields[name], theirs.fields[name], Field.from_json(name, stored)
            )
            path = pointer("fields", name, "converters")
            told -= {path}
            if lost:
                told.add(path)
            if converters:
                stored["converters"] = [converter.to_json() for converter in converters]
            else:
                stored.pop("converters", None)
    policies = cast(JsonObject, document["merge_policies"])
    for name in [name for name in policies if name not in fields]:
        # They removed the field whose policy was to be another.
        del policies[name]
        told.add(pointer("merge_policies", name))
    result = parse_definition(document)
    return RebasedEdits(edits_between(theirs, result), tuple(sorted(told)))


def _converters(base: Field, mine: Field, theirs: Field, result: Field) -> tuple[tuple[Converter, ...], bool]:
    """The converters of a field that all three have: theirs but for those that were removed here, and those that were
    added here, as far as they suit the type by now; and whether one did not."""
    if theirs.converters == base.converters and result.type is mine.type:
        return mine.converters, False
    kept = [one for one in theirs.converters if one in mine.converters or one not in base.converters]
    added = [one for one in mine.converters if one not in base.converters and one not in kept]
    joined = [*kept, *added]
    suited = tuple(one for one in joined if one.target is result.type)
    return suited, len(suited) < len(joined)
