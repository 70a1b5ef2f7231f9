"""The past of an entity step by step: what each observation changed when it is taken in after all that are older."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from registry.domain.definition import Definition
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json
from snapshots.domain.merge import merge, project
from snapshots.domain.observed import DELETED_KEY, Observed, speaks_of
from snapshots.domain.reducer import Provenance
from snapshots.domain.state import MergeState, RankingKey, empty_state


@dataclass(frozen=True, slots=True)
class Change:
    """A field that another value is shown of. Where there was none before, or is none after, the value is None and
    `was_shown` or `is_shown` is False: null is never shown."""

    name: str
    was_shown: bool
    before: Json
    is_shown: bool
    after: Json


@dataclass(frozen=True, slots=True)
class Step:
    """What one observation did, by the rules in force.

    `changes` are the fields of which another value is shown because of it, and `confirmed` those of which the same
    value stands, now by its word. `unheard` are fields that it says something about without winning, and `unread`
    those that nothing is read of: not declared, or promoted once and not what the field takes in now. While the entity
    is deleted nothing is shown of it, and `changes` tell what would be.
    """

    observed: Observed
    changes: tuple[Change, ...]
    confirmed: tuple[str, ...]
    unheard: tuple[str, ...]
    unread: tuple[str, ...]
    was_deleted: bool
    is_deleted: bool


def place_in_past(observed: Observed) -> tuple[int, str, bool, str]:
    """Sorts newest first, in base order; what was promoted from an observation stands right before it."""
    return -observed.observed_us, observed.ranking_id, observed.ranks_as is None, observed.id


def steps_of(
    older: Iterable[Observed], page: Iterable[Observed], definition: Definition | None
) -> list[Step]:
    """What each observation of `page` did, newest first, after all those of `older`, which are older than these.

    The older ones are merged in one go: a page of a long past costs little more than a reduction of it.
    """
    state = empty_state()
    merge(state, older, definition)
    oldest_first = sorted(page, key=place_in_past, reverse=True)
    return [_step(state, observed, definition) for observed in oldest_first][::-1]


def _step(state: MergeState, observed: Observed, definition: Definition | None) -> Step:
    """What the observation does to the state, which covers it afterwards."""
    said = sorted(name for name in observed.fields if name != DELETED_KEY)
    read = [name for name in said if _is_read(observed, name, definition)]
    was_deleted = _is_deleted(state)
    values, provenance, keys = _shown(state, read, definition)
    merge(state, [observed], definition)
    new_values, new_provenance, new_keys = _shown(state, read, definition)
    changes = [
        Change(name, name in values, values.get(name), name in new_values, new_values.get(name))
        for name in read
        if canonical_json(values.get(name)) != canonical_json(new_values.get(name))
    ]
    changed = {change.name for change in changes}
    is_heard = {
        name: provenance.get(name) != new_provenance.get(name) or keys.get(name) != new_keys.get(name)
        for name in read
        if name not in changed
    }
    return Step(
        observed=observed,
        changes=tuple(changes),
        confirmed=tuple(name for name, heard in is_heard.items() if heard),
        unheard=tuple(name for name, heard in is_heard.items() if not heard),
        unread=tuple(name for name in said if name not in read),
        was_deleted=was_deleted,
        is_deleted=_is_deleted(state),
    )


def _is_read(observed: Observed, name: str, definition: Definition | None) -> bool:
    if definition is None:
        return True
    field = definition.fields.get(name)
    return field is not None and speaks_of(observed, name, field)


def _is_deleted(state: MergeState) -> bool:
    return state.deletion is not None and state.deletion.deleted


def _shown(
    state: MergeState, names: Sequence[str], definition: Definition | None
) -> tuple[JsonObject, Provenance, dict[str, RankingKey]]:
    """What is shown of these fields, by whose word, and which key won; a deleted entity's as if it were not."""
    held = {name: state.fields[name] for name in names if name in state.fields}
    reduced = project(MergeState(count=0, top=None, deletion=None, fields=held), definition)
    keys = {name: one.key for name, one in held.items() if not one.is_joined}
    return reduced.values, reduced.provenance, keys
