"""Sightings of fragments: what new observations carried, merged into raw_fragments."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from django.conf import settings
from django.db import connection

from fragments.domain.inference import infer
from fragments.domain.splitting import Fragment
from fragments.models import LifecycleState
from registry.domain.times import text_of_us
from schemaevo.kernel.bulk import copy_into_temporary, copy_unless_taken
from schemaevo.kernel.canonical import canonical_bytes
from snapshots.services.observations import NewObservation

CONVERTED = "converted_original"


@dataclass(slots=True)
class _Row:
    """One raw fragment as this batch saw it: its newest sighting and how many there were."""

    observation: NewObservation
    fragment: Fragment
    canonical: bytes
    digest: bytes
    frequency: int

    def add(self, observation: NewObservation, fragment: Fragment) -> None:
        """Takes in another sighting of the same value. The newest one names the observation; a sighting as the
        original of a converted value says nothing about why the value is a fragment elsewhere."""
        self.frequency += fragment.frequency
        is_newer = _is_newer(observation, self.observation)
        if is_newer:
            self.observation = observation
        if fragment.reason != CONVERTED and (is_newer or self.fragment.reason == CONVERTED):
            self.fragment = fragment


_COLUMNS = {
    "user_id": "bigint",
    "entity_type": "text",
    "entity_id": "uuid",
    "fragment_key": "text",
    "source_id": "uuid",
    "value": "jsonb",
    "value_hash": "bytea",
    "value_type": "text",
    "value_format": "text",
    "reason": "text",
    "priority": "integer",
    "specificity": "double precision",
    "kind": "text",
    "frequency_count": "bigint",
    "observation_id": "uuid",
    "observed_at": "timestamptz",
}


class Sighted(NamedTuple):
    """How many sightings of fragments there were, and whether each of their values was the first of its kind."""

    sightings: int
    are_new: bool


def sightings_record(
    carried: Iterable[tuple[NewObservation, Fragment]],
    *,
    are_new: bool,
    retracted: Collection[str] = (),
) -> Sighted:
    """Every fragment that an observation carried is counted.

    The observations are new rows of this transaction, which holds the FRAGMENTS lock of their users. A value seen
    again becomes active, whatever its state, unless it was only seen as the original of a converted value. Of the
    `retracted` sources it is counted as well, and takes no part.

    `are_new` is a guess, that none of these values was seen before: if it is right they are stored in half the time,
    and if it is wrong it costs as much again. What it comes to is a good guess for the next ones of the same source.
    """
    rows: dict[tuple[object, ...], _Row] = {}
    sightings = 0
    for observation, fragment in carried:
        sightings += fragment.frequency
        canonical = canonical_bytes(fragment.value)
        digest = sha256(canonical).digest()
        # Priority, specificity and kind are part of the row's identity; within one run they are all the same.
        key = (
            observation.entity_id,
            fragment.key,
            observation.source_id,
            digest,
            observation.priority,
            observation.specificity,
            observation.kind,
        )
        row = rows.get(key)
        if row is None:
            rows[key] = _Row(observation, fragment, canonical, digest, fragment.frequency)
        else:
            row.add(observation, fragment)
    if rows:
        # Those of retracted sources are born so, which only the merging statement knows.
        are_new = are_new and not retracted and _insert(rows.values())
        if not are_new:
            _merge(rows.values(), retracted)
    return Sighted(sightings, are_new)


def _is_newer(one: NewObservation, other: NewObservation) -> bool:
    """Whether one comes first in base order: the newer, and of one instant the smaller id."""
    return (one.observed_us, other.id) > (other.observed_us, one.id)


def _insert(rows: Iterable[_Row]) -> bool:
    """The fragments are rows, or none of them is, and False is given, since one was there.

    In any order: the FRAGMENTS lock keeps everybody else away from the rows of these users.
    """
    rows = list(rows)
    if any(row.fragment.reason == CONVERTED for row in rows):
        # Those are born promoted, which the merging statement knows.
        return False
    active = LifecycleState.ACTIVE.value
    return copy_unless_taken(
        "raw_fragments",
        [*_COLUMNS, "lifecycle_state"],
        ((*_columns_of(row), active) for row in rows),
    )


def _columns_of(row: _Row) -> tuple[object, ...]:
    """The values of _COLUMNS, JSON and the time as text."""
    observation, fragment = row.observation, row.fragment
    return (
        observation.user_id,
        observation.entity_type,
        observation.entity_id,
        fragment.key,
        observation.source_id,
        row.canonical.decode(),
        row.digest,
        *infer(fragment.key, fragment.value),
        fragment.reason,
        observation.priority,
        observation.specificity,
        observation.kind,
        row.frequency,
        observation.id,
        # Its text: psycopg takes five times as long for a datetime.
        text_of_us(observation.observed_us),
    )


def _merge(rows: Iterable[_Row], retracted: Collection[str]) -> None:
    copy_into_temporary("new_fragments", _COLUMNS, map(_columns_of, rows), narrow=True)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO raw_fragments AS f (user_id, entity_type, entity_id, fragment_key, source_id, value,
                   value_hash, value_type, value_format, reason, priority, specificity, kind, frequency_count,
                   observation_id, observed_at, first_seen_at, last_seen_at,
                   lifecycle_state, promoted_at, expires_at, is_retracted)
            SELECT user_id, entity_type, entity_id, fragment_key, source_id, value,
                   value_hash, value_type, value_format, reason, priority, specificity, kind, frequency_count,
                   observation_id, observed_at, now(), now(),
                   CASE reason WHEN 'converted_original' THEN 'promoted' ELSE 'active' END,
                   CASE reason WHEN 'converted_original' THEN now() END,
                   CASE reason WHEN 'converted_original' THEN now() + make_interval(days => %s) END,
                   source_id = ANY(%s::uuid[])
              FROM new_fragments
             ORDER BY user_id, entity_id, fragment_key, source_id, value_hash
            ON CONFLICT (user_id, entity_id, fragment_key, source_id, value_hash, priority, specificity, kind)
            DO UPDATE SET
                frequency_count = f.frequency_count + EXCLUDED.frequency_count,
                last_seen_at = EXCLUDED.last_seen_at,
                value = CASE WHEN (EXCLUDED.observed_at, f.observation_id) > (f.observed_at, EXCLUDED.observation_id)
                        THEN EXCLUDED.value ELSE f.value END,
                observation_id = CASE
                        WHEN (EXCLUDED.observed_at, f.observation_id) > (f.observed_at, EXCLUDED.observation_id)
                        THEN EXCLUDED.observation_id ELSE f.observation_id END,
                observed_at = CASE WHEN EXCLUDED.observed_at > f.observed_at
                        THEN EXCLUDED.observed_at ELSE f.observed_at END,
                reason = CASE
                        WHEN EXCLUDED.reason = 'converted_original' THEN f.reason
                        WHEN f.reason = 'converted_original' THEN EXCLUDED.reason
                        WHEN (EXCLUDED.observed_at, f.observation_id) > (f.observed_at, EXCLUDED.observation_id)
                        THEN EXCLUDED.reason ELSE f.reason END,
                lifecycle_state = CASE WHEN EXCLUDED.reason = 'converted_original'
                        THEN f.lifecycle_state ELSE 'active' END,
                promoted_at = CASE WHEN EXCLUDED.reason = 'converted_original' THEN f.promoted_at END,
                archived_at = CASE WHEN EXCLUDED.reason = 'converted_original' THEN f.archived_at END,
                expires_at = CASE
                        WHEN EXCLUDED.reason = 'converted_original' AND f.expires_at IS NOT NULL
                        THEN EXCLUDED.expires_at END,
                is_retracted = EXCLUDED.is_retracted
            """,
            [settings.SCHEMAEVO_PROMOTED_RETENTION_DAYS, [*retracted]],
        )
