"""show_snapshot TYPE KEY --user U [--why] [--as-of T]"""

from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.domain.times import parse_time
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json
from schemaevo.kernel.commands import EXIT_USAGE, ServiceCommand
from schemaevo.kernel.entity_panels import EntityPanel, entity_panels
from schemaevo.kernel.owners import user_by_name
from snapshots.selectors import snapshot_by_key
from snapshots.selectors_explained import (
    AT_SHELL,
    FieldExplained,
    Instead,
    SnapshotExplained,
    Statement,
    snapshot_explained,
)

RUNNERS_UP_SHOWN = 3


class Command(ServiceCommand):
    help = (
        "Prints the merged state of one entity, now or as of a time; with --why, who won each field, and against "
        "whom, and what waits as a fragment."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("key", metavar="KEY")
        parser.add_argument("--user", required=True, metavar="U", help="owner (id, e-mail or username)")
        parser.add_argument("--why", action="store_true", help="explain every field")
        parser.add_argument(
            "--as-of",
            metavar="T",
            help="what the observations up to that ISO 8601 date or time come to, by the schema in force now; "
            "a time without an offset is UTC, a date its first moment",
        )

    def run(self, **options: Any) -> JsonObject:
        as_of = _time(options["as_of"])
        user = user_by_name(options["user"])
        snapshot = snapshot_by_key(
            entity_type=options["entity_type"],
            entity_key=options["key"],
            user_id=user.pk,
            owner=user.username,
        )
        explained = snapshot_explained(snapshot_id=snapshot.pk, as_of=as_of, bounds=AT_SHELL)
        if not explained.is_readable:
            code = explained.failure.code if explained.failure else "history_too_long"
            raise CommandError(f"The history cannot be reduced: a recomputation failed with {code}.")
        content = explained.content
        last = content.last_observation_at
        result: JsonObject = {
            "entity": str(snapshot.pk),
            "entity_type": snapshot.entity_type,
            "key": snapshot.entity_key,
            "user": user.username,
            "deleted": content.deleted,
            "waiting": explained.is_waiting,
            "schema_version": explained.schema.number,
            "observation_count": content.observation_count,
            "last_observation_at": last.isoformat() if last else None,
            "values": content.values,
            "missing": list(explained.missing),
        }
        panels: list[EntityPanel] = []
        if as_of is not None:
            result["as_of"] = as_of.isoformat()
            result["deleted_now"] = explained.is_deleted_elsewhere
            result["differs_now"] = {
                field.name: {"now": field.instead.value} for field in explained.fields if field.instead
            }
        if options["why"]:
            result["why"] = {field.name: _why(field) for field in explained.fields if field.is_spoken_of}
            panels = entity_panels(user_id=user.pk, entity_id=snapshot.pk)
            result |= {panel.name: panel.data for panel in panels}
        self._tell(explained, why=options["why"])
        for line in (line for panel in panels for line in panel.lines):
            self.say(f"  {line}")
        return result

    def _tell(self, explained: SnapshotExplained, *, why: bool) -> None:
        snapshot, content, as_of = explained.snapshot, explained.content, explained.as_of
        self.say(
            f"{snapshot.entity_type} {snapshot.entity_key}: {content.observation_count} observations, "
            f"schema {explained.schema.number or 'undeclared'}"
        )
        if as_of is not None:
            self.say(f"as of {as_of.isoformat()}, by the schema in force now")
        if content.deleted and explained.decided_by:
            mark = explained.decided_by
            self.say(f"deleted by {mark.observation_id} ({mark.source}, {_when(mark)})")
        elif content.deleted:
            self.say("deleted")
        if explained.is_waiting:
            self.say("waiting: computed by rules that are no longer in force; a job recomputes it")
        for field in explained.fields:
            if field.has_value or field.instead or (why and field.is_spoken_of):
                shown = canonical_json(field.value) if field.has_value else "(absent)"
                self.say(f"  {field.name} = {shown}{_instead(field.instead, explained)}")
            if why and field.is_spoken_of:
                self._tell_why(field)
        for name in explained.missing:
            self.say(f"  {name} is required and missing")
        if explained.failure:
            self.say(f"The history cannot be reduced: a recomputation failed with {explained.failure.code}.")
        elif why and not explained.is_explained:
            self.say("The history is too long to tell who lost.")

    def _tell_why(self, field: FieldExplained) -> None:
        self.say(f"      by {field.policy_name}")
        for statement in field.winners:
            self.say(f"      won:  {_line(statement)}")
        for statement in field.runners_up[:RUNNERS_UP_SHOWN]:
            self.say(f"      lost: {_line(statement)} ({statement.lost_by})")
        more = len(field.runners_up) - RUNNERS_UP_SHOWN
        if more > 0:
            self.say(f"      and {more} more")


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text.strip())
    except ValueError as error:
        raise CommandError(
            f"--as-of {text!r} is no time: {error}. Write 2026-01-05T10:00Z, or 2026-01-05 for its first moment.",
            returncode=EXIT_USAGE,
        ) from error


def _instead(instead: Instead | None, explained: SnapshotExplained) -> str:
    """What the field shows elsewhere: now, beside a time; once recomputed, beside what waits."""
    if instead is None:
        return ""
    shown = "absent" if instead.value is None else canonical_json(instead.value)
    return f"   (now {shown})" if explained.as_of is not None else f"   (once recomputed: {shown})"


def _line(statement: Statement) -> str:
    trust = "" if statement.priority is None else f", priority {statement.priority}"
    trust += f", {statement.kind}" if statement.kind else ""
    promoted = ", promoted from a fragment" if statement.promotion_id else ""
    converted = (
        f" shown as {canonical_json(statement.shown)} by {statement.converter}" if statement.converter else ""
    )
    said = f"{canonical_json(statement.value)}{converted} from " if statement.is_read else "from "
    return f"{said}{statement.source}, {_when(statement)}{trust}{promoted} [{statement.observation_id}]"


def _when(statement: Statement) -> str:
    return statement.observed_at.isoformat() if statement.observed_at else "at a time that is gone"


def _why(field: FieldExplained) -> Json:
    return {
        "policy": field.policy_name,
        "winners": [_statement(statement) for statement in field.winners],
        "runners_up": [_statement(statement) for statement in field.runners_up],
    }


def _statement(statement: Statement) -> Json:
    told: JsonObject = {
        "observation": statement.observation_id,
        "promoted_by": statement.promotion_id or None,
        "source": statement.source,
        "observed_at": statement.observed_at.isoformat() if statement.observed_at else None,
        "priority": statement.priority,
        "kind": statement.kind or None,
    }
    if not statement.is_read:
        return told
    return {
        **told,
        "value": statement.value,
        "shown": statement.shown,
        "converter": statement.converter or None,
        "lost_by": statement.lost_by or None,
    }
