"""show_snapshot TYPE KEY --user U [--why]"""

from typing import Any

from django.core.management.base import CommandParser

from schemaevo.kernel.canonical import Json, JsonObject, canonical_json
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.owners import user_by_name
from snapshots.selectors import (
    FieldExplained,
    SnapshotExplained,
    Statement,
    snapshot_by_key,
    snapshot_explained,
)

RUNNERS_UP_SHOWN = 3


class Command(ServiceCommand):
    help = "Prints the merged state of one entity; with --why, who won each field, and against whom."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("key", metavar="KEY")
        parser.add_argument("--user", required=True, metavar="U", help="owner (id, e-mail or username)")
        parser.add_argument("--why", action="store_true", help="explain every field")

    def run(self, **options: Any) -> JsonObject:
        user = user_by_name(options["user"])
        snapshot = snapshot_by_key(
            entity_type=options["entity_type"],
            entity_key=options["key"],
            user_id=user.pk,
            owner=user.username,
        )
        explained = snapshot_explained(snapshot_id=str(snapshot.pk))
        last = snapshot.last_observation_at
        result: JsonObject = {
            "entity": str(snapshot.pk),
            "entity_type": snapshot.entity_type,
            "key": snapshot.entity_key,
            "user": user.username,
            "deleted": snapshot.deleted,
            "waiting": explained.is_waiting,
            "schema_version": explained.schema.number,
            "observation_count": snapshot.observation_count,
            "last_observation_at": last.isoformat() if last else None,
            "values": snapshot.values,
            "missing": list(explained.missing),
        }
        if options["why"]:
            result["why"] = {field.name: _why(field) for field in explained.fields}
        self._tell(explained, why=options["why"])
        return result

    def _tell(self, explained: SnapshotExplained, *, why: bool) -> None:
        snapshot = explained.snapshot
        self.say(
            f"{snapshot.entity_type} {snapshot.entity_key}: {snapshot.observation_count} observations, "
            f"schema {explained.schema.number or 'undeclared'}"
        )
        if snapshot.deleted and explained.deletion:
            mark = explained.deletion[0]
            self.say(f"deleted by {mark.observation_id} ({mark.source}, {mark.observed_at.isoformat()})")
        if explained.is_waiting:
            self.say("waiting: computed by rules that are no longer in force; a job recomputes it")
        values = snapshot.values if isinstance(snapshot.values, dict) else {}
        reasons = {field.name: field for field in explained.fields}
        names = list(values) if not why else [*values, *(n for n in reasons if n not in values)]
        for name in names:
            shown = canonical_json(values[name]) if name in values else "(absent)"
            self.say(f"  {name} = {shown}")
            if why and name in reasons:
                self._tell_why(reasons[name])
        for name in explained.missing:
            self.say(f"  {name} is required and missing")
        if why and not explained.is_complete:
            self.say("The history is too long to be explained here.")

    def _tell_why(self, field: FieldExplained) -> None:
        self.say(f"      by {field.policy}")
        for statement in field.winners:
            self.say(f"      won:  {_line(statement)}")
        for statement in field.runners_up[:RUNNERS_UP_SHOWN]:
            self.say(f"      lost: {_line(statement)} ({statement.lost_by})")
        more = len(field.runners_up) - RUNNERS_UP_SHOWN
        if more > 0:
            self.say(f"      and {more} more")


def _line(statement: Statement) -> str:
    trust = f"priority {statement.priority}" + (f", {statement.kind}" if statement.kind else "")
    return (
        f"{canonical_json(statement.value)} from {statement.source}, {statement.observed_at.isoformat()}, {trust}"
        f" [{statement.observation_id}]"
    )


def _why(field: FieldExplained) -> Json:
    return {
        "policy": field.policy,
        "winners": [_statement(statement) for statement in field.winners],
        "runners_up": [_statement(statement) for statement in field.runners_up],
    }


def _statement(statement: Statement) -> Json:
    return {
        "observation": statement.observation_id,
        "source": statement.source,
        "observed_at": statement.observed_at.isoformat(),
        "priority": statement.priority,
        "kind": statement.kind or None,
        "value": statement.value,
        "lost_by": statement.lost_by or None,
    }
