"""analyze_patterns [--entity-type T] [--dry-run]"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from fragments.domain.patterns import FieldPattern
from fragments.selectors_patterns import Patterns
from fragments.services.patterns import Proposed, candidates_propose, entity_types_analysed, patterns_look
from registry.management.documents import add_dry_run, entity_type_named, writing
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.pause import refuse_while_paused

#: Fields that are not proposed, of which so many of a type are told why.
OTHERS_TOLD = 50


class Command(ServiceCommand):
    help = (
        "Looks now for what many users do with the fields of an entity type, and drafts proposals for its global "
        "schema, as a job does every SCHEMAEVO_PATTERN_INTERVAL_S seconds."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--entity-type", metavar="T", help="of this type only; else of every type")
        add_dry_run(parser)

    def run(self, **options: Any) -> JsonObject:
        is_dry_run: bool = options["dry_run"]
        if not is_dry_run:
            refuse_while_paused()
        if options["entity_type"] is None:
            types = entity_types_analysed()
        else:
            types = [entity_type_named(options["entity_type"])]
        results: list[Json] = [self._type(entity_type, is_dry_run) for entity_type in types]
        if not types:
            self.say("Nobody has a field yet.")
        return {"dry_run": is_dry_run, "types": results}

    def _type(self, entity_type: str, is_dry_run: bool) -> JsonObject:
        patterns = patterns_look(entity_type=entity_type)
        proposed: list[Proposed] = []
        if patterns.is_certain:
            with writing(is_dry_run=is_dry_run):
                proposed = candidates_propose(
                    entity_type=entity_type, candidates=patterns.candidates, actor=Actor.shell()
                )
        for line in _lines(patterns, proposed, is_dry_run):
            self.say(line)
        others = patterns.others[:OTHERS_TOLD]
        return {
            "entity_type": entity_type,
            "counting": patterns.counting.value,
            "fields": patterns.looked_at,
            # What a dry run drafts is gone again, its number too.
            "proposals": [
                {**one.to_json(), **({"proposal": None} if is_dry_run and one.outcome == "drafted" else {})}
                for one in proposed
            ],
            "conflicts": [conflict.to_json() for conflict in patterns.conflicts],
            "not_proposed": [_other(other) for other in others],
            "more": len(patterns.others) - len(others),
        }


def _lines(patterns: Patterns, proposed: list[Proposed], is_dry_run: bool) -> Iterator[str]:
    if not patterns.is_certain:
        yield f"{patterns.entity_type}: the fragments are still being counted; nothing was looked for."
        return
    fields = f"{patterns.looked_at} field{'' if patterns.looked_at == 1 else 's'}"
    yield f"{patterns.entity_type}: {fields} that enough users share."
    for one in proposed:
        number = "" if one.proposal_id is None or is_dry_run else f" (#{one.proposal_id})"
        outcome = f"would be {one.outcome}" if is_dry_run else one.outcome
        why = f": {one.refusal.message}" if one.refusal else ""
        yield f"  + {one.candidate.subject}: {one.candidate.evidence['users']} users, {outcome}{number}{why}"
    for conflict in patterns.conflicts:
        use = conflict.use
        yield (
            f"  ! {use.name}: declared as {conflict.declared}, and {use.users} users have it otherwise, "
            f"most of them as {use.dominant_type}"
        )
    for other in patterns.others[:OTHERS_TOLD]:
        yield f"  - {other.use.name}: {other.users} users"
        for obstacle in other.obstacles:
            yield f"      {obstacle.message} [{obstacle.code}]"
    if len(patterns.others) > OTHERS_TOLD:
        yield f"  and {len(patterns.others) - OTHERS_TOLD} more"


def _other(one: FieldPattern) -> JsonObject:
    return {
        "field": one.use.name,
        "users": one.users,
        "obstacles": [{"code": found.code, "message": found.message} for found in one.obstacles],
    }
