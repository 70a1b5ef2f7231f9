"""The past of a schema: its versions, each with what it changed, and who put it in force or took it out, and when."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from django.db.models import Q, QuerySet

from registry.domain.changes import Bump, FieldAdded, FieldRemoved
from registry.domain.definition import Definition
from registry.domain.diff import Difference, diff
from registry.models import Schema, SchemaVersion
from registry.selectors import version_number
from registry.selectors_contents import Parts, definitions_of
from schemaevo.kernel.models import AuditEvent

#: Versions on one page of a schema.
VERSIONS_SHOWN = 50
#: Events read for one page; a schema that is switched to and fro has more than anybody reads.
EVENTS_MAX = 400
#: Versions that a choice offers, the newest ones.
CHOICE_MAX = 200


class Happening(StrEnum):
    """What can happen to a version after it was registered."""

    ACTIVATED = "activated"
    REPLACED = "replaced"
    DEACTIVATED = "deactivated"
    RETIRED = "retired"


_HAPPENINGS: Final = {
    "schema_version.activate": Happening.ACTIVATED,
    "schema_version.deactivate": Happening.DEACTIVATED,
    "schema_version.retire": Happening.RETIRED,
}


@dataclass(frozen=True, slots=True)
class VersionEvent:
    """Who did what to a version, when and why; the audit event of that id has the whole.

    `other` is the number of the version that this one took the place of, or that took its place.
    """

    audit_id: int
    happening: Happening
    at: datetime
    who: str
    reason: str
    other: str = ""
    is_without_review: bool = False


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One version, what it changes against the one before it, and its events, the newest first.

    `difference` is None for the first version of a schema.
    """

    version: SchemaVersion
    field_count: int
    difference: Difference | None
    before: str
    events: tuple[VersionEvent, ...]

    @property
    def size(self) -> Bump | None:
        """The size of the change; None for the first version."""
        return self.difference.size if self.difference else None

    @property
    def added_count(self) -> int:
        return sum(isinstance(change, FieldAdded) for change in self.difference or ())

    @property
    def removed_count(self) -> int:
        return sum(isinstance(change, FieldRemoved) for change in self.difference or ())

    @property
    def changed_count(self) -> int:
        """Fields that both versions declare, otherwise."""
        changed = {c.field for c in self.difference or () if not isinstance(c, (FieldAdded, FieldRemoved))}
        return len(changed - {None})

    @property
    def is_kind_order_changed(self) -> bool:
        return any(change.field is None for change in self.difference or ())


@dataclass(frozen=True, slots=True)
class Timeline:
    """One page of the versions of a schema, the newest first. `older` is where the next page begins: the number of
    the last version of this one, or nothing at the end."""

    entries: tuple[TimelineEntry, ...]
    older: str
    is_from_newest: bool
    are_events_cut: bool


def schema_timeline(*, schema: Schema, below: str = "") -> Timeline:
    """The versions of a schema below that number, or from the newest. Four queries, whatever there is to show."""
    found: QuerySet[SchemaVersion] = SchemaVersion.objects.filter(schema=schema.pk)
    number = version_number(below)
    if number is not None:
        found = found.filter(_is_below(number))
    newest_first = found.order_by("-major", "-minor", "-patch").select_related("created_by")
    rows = list(newest_first.defer("definition")[: VERSIONS_SHOWN + 1])
    shown = rows[:VERSIONS_SHOWN]
    definitions = _definitions(rows)
    events, are_cut = _events(shown)
    entries = [
        _entry(version, rows[place + 1] if place + 1 < len(rows) else None, definitions, events[version.pk])
        for place, version in enumerate(shown)
    ]
    older = shown[-1].number if len(rows) > VERSIONS_SHOWN else ""
    return Timeline(tuple(entries), older, number is None, are_cut)


def versions_to_choose(*, schema: Schema) -> list[SchemaVersion]:
    """The newest versions of a schema, without their definitions."""
    found = SchemaVersion.objects.filter(schema=schema.pk).defer("definition")
    return list(found.order_by("-major", "-minor", "-patch")[:CHOICE_MAX])


def _is_below(number: tuple[int, int, int]) -> Q:
    major, minor, patch = number
    return Q(major__lt=major) | Q(major=major, minor__lt=minor) | Q(major=major, minor=minor, patch__lt=patch)


def _definitions(versions: Iterable[SchemaVersion]) -> Mapping[int, Definition]:
    parts = {version.pk: Parts((version.pk, version.definition_hash)) for version in versions}
    found = definitions_of(parts.values())
    return {pk: found[part] for pk, part in parts.items()}


def _entry(
    version: SchemaVersion,
    before: SchemaVersion | None,
    definitions: Mapping[int, Definition],
    events: Sequence[VersionEvent],
) -> TimelineEntry:
    definition = definitions[version.pk]
    return TimelineEntry(
        version=version,
        field_count=len(definition.fields),
        difference=diff(definitions[before.pk], definition) if before else None,
        before=before.number if before else "",
        events=tuple(events),
    )


def _events(versions: Collection[SchemaVersion]) -> tuple[Mapping[int, list[VersionEvent]], bool]:
    """What happened to each version, the newest first, and whether older events are left out."""
    rows = AuditEvent.objects.filter(
        target_type="schema_version",
        target_id__in=[str(version.pk) for version in versions],
        action__in=list(_HAPPENINGS),
    ).order_by("-id")[: EVENTS_MAX + 1]
    found: dict[int, list[VersionEvent]] = {version.pk: [] for version in versions}
    by_number = {version.number: version for version in versions}
    by_id = {str(version.pk): version for version in versions}
    events = list(rows)
    for row in events[:EVENTS_MAX]:
        version = by_id[row.target_id]
        before = _said(row.before).get("in_force")
        event = _event(row, str(before or ""))
        found[version.pk].append(event)
        replaced = by_number.get(str(before)) if event.happening is Happening.ACTIVATED else None
        if replaced is not None:
            found[replaced.pk].append(
                VersionEvent(row.pk, Happening.REPLACED, row.at, event.who, "", version.number)
            )
    return found, len(events) > EVENTS_MAX


def _event(row: AuditEvent, before: str) -> VersionEvent:
    happening = _HAPPENINGS[row.action]
    return VersionEvent(
        audit_id=row.pk,
        happening=happening,
        at=row.at,
        who=row.actor_name,
        reason=row.reason,
        other=before if happening is Happening.ACTIVATED else "",
        is_without_review=_said(row.after).get("without_review") is True,
    )


def _said(state: Any) -> Mapping[str, Any]:
    return state if isinstance(state, dict) else {}
