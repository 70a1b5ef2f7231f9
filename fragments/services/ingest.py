"""Ingest: the front door. Records come in, are split by the effective schema, and stored exactly once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from fragments.domain.exported import split_exported
from fragments.domain.splitting import Fragment, split
from fragments.models import DeadLetter, IngestRun, IngestState
from fragments.services.batches import Batches
from fragments.services.erased_records import without_erased
from fragments.services.exported_records import (
    exported_observation_of,
    exported_sources_ensure,
    owners_ensured,
)
from fragments.services.records import IngestOptions, Line, Record, Rejection
from fragments.services.runs import ALIVE, run_begin
from fragments.services.sightings import sightings_record
from registry.cache import load_current_schemas
from registry.domain.definition import Definition
from registry.services.locking import hold_for_writing, require_entity_type
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.bulk import collector_paused
from schemaevo.kernel.canonical import JsonObject, is_storable_text
from schemaevo.kernel.erasing import require_not_erased
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.locks import LockSpace, hold
from schemaevo.kernel.owners import owners_by_username, owners_create
from schemaevo.kernel.pause import Paused, refuse_while_paused
from snapshots.domain.identity import entity_id, named_observation_id, observation_content_id
from snapshots.services.merging import exact_specificity
from snapshots.services.observations import NewObservation, observations_record
from snapshots.services.sources import sources_ensure

logger = logging.getLogger(__name__)

#: What the columns for the name of a source and of a run hold.
NAME_MAX = 500


@dataclass(frozen=True, slots=True)
class Input:
    """What is read: lines, and what identifies them.

    `content_hash` is the SHA-256 (hex) of a file's bytes, '' for a stream. `source_name` names the source; given
    explicitly it stands alone, else the source is this file, name and content. `default_observed_at` is the time of
    records without one; where it is not given, a file's is that of its first run, or else `modified_at`.
    """

    lines: Iterable[Line]
    name: str
    content_hash: str = ""
    source_name: str | None = None
    default_observed_at: datetime | None = None
    modified_at: datetime | None = None

    @property
    def named_source(self) -> tuple[str, str]:
        """Name and content hash of the source that its records are of."""
        return (self.name, self.content_hash) if self.source_name is None else (self.source_name, "")

    @property
    def problem(self) -> str | None:
        """Why no source can be made of it, in words, or None."""
        given = self.source_name
        if given is not None and not (0 < len(given) <= NAME_MAX and given.isprintable()):
            return f"a source's name has 1 to {NAME_MAX} printable characters"
        if not (0 < len(self.name) <= NAME_MAX and is_storable_text(self.name)):
            return f"the name of a file or stream has 1 to {NAME_MAX} characters"
        return None


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of records: each is an observation, a duplicate, or rejected. `retracted` are those of the
    observations that take no part, since their source is retracted."""

    records: int = 0
    observations: int = 0
    duplicates: int = 0
    fragments: int = 0
    rejected: int = 0
    retracted: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.records + other.records,
            self.observations + other.observations,
            self.duplicates + other.duplicates,
            self.fragments + other.fragments,
            self.rejected + other.rejected,
            self.retracted + other.retracted,
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """Told after each batch is committed: the totals so far, the last line, and what was just refused."""

    counts: Counts
    last_line: int
    rejections: tuple[Rejection, ...]


def ingest(
    *,
    source: Input,
    options: IngestOptions,
    actor: Actor,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> IngestRun:
    """Every record of `source` is stored once, or is a dead letter of the run with its reason.

    Works in batches, each one transaction with its counts, so that memory does not grow with the input and what
    is done stays done: running the same input again stores only what is missing. Gives the finished run.

    Raises: Denied; Invalid `invalid_entity_type`, `invalid_option`; Conflict `paused` and OwnerErased `owner_erased`,
    before there is a run or between two batches; LockTimeout, OSError and database errors. The run is then marked as
    failed and holds what was stored until then.
    """
    actor.require("fragments.ingest")
    refuse_while_paused()
    require_ingestible(source, options)
    if options.user_id is not None:
        require_not_erased(options.user_id)
    run = run_begin(
        name=source.name,
        content_hash=source.content_hash,
        entity_type=options.entity_type,
        options=options.to_json(),
        observed_at=source.default_observed_at,
        modified_at=source.modified_at,
        started_by=actor.user,
    )
    source = replace(source, default_observed_at=run.default_observed_at)
    try:
        _ingest_batches(run, source, options, on_progress)
    except BaseException as error:
        # An interrupt ends a run as well; what is committed stays.
        if not connection.in_atomic_block:
            # It may be the connection that failed; the next statement then opens another.
            connection.close_if_unusable_or_obsolete()
        IngestRun.objects.filter(pk=run.pk).update(
            state=IngestState.FAILED, finished_at=Now(), error=_ended_by(error)
        )
        raise
    IngestRun.objects.filter(pk=run.pk).update(state=IngestState.DONE, finished_at=Now(), error="")
    run.refresh_from_db()
    return run


def require_ingestible(source: Input, options: IngestOptions) -> None:
    """Refuses what no run can be made of. Raises: Invalid `invalid_entity_type`, `invalid_option`."""
    require_entity_type(options.entity_type)
    problem = options.problem or source.problem
    if problem:
        raise Invalid("invalid_option", f"This cannot be ingested: {problem}.")


def _ended_by(error: BaseException) -> str:
    """What the run says of its end. Of a message only the first line: the others of the database's quote values."""
    if isinstance(error, Paused):
        return error.code
    text = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


@dataclass(slots=True)
class _Course:
    """What the batches of a run have shown so far; with one that is rolled back the run ends.

    `source_ids` are those of the users whose source is known to be a row, the others are guesses. `read_ahead` makes
    use of the time in which the database works.
    """

    read_ahead: Callable[[], None]
    source_ids: dict[int, str] = field(default_factory=dict)
    are_observations_new: bool = True
    are_fragments_new: bool = True


def _ingest_batches(
    run: IngestRun, source: Input, options: IngestOptions, on_progress: Callable[[Progress], None]
) -> None:
    total = Counts()
    batches = Batches(
        iter(source.lines), options, source.default_observed_at, is_stream=not source.content_hash
    )
    course = _Course(read_ahead=batches.read_ahead)
    for batch in batches:
        refuse_while_paused()
        parsed = batch.parsed
        rejections = [*parsed.rejections]
        began = time.monotonic()
        for index, records in enumerate(_by_users(parsed.records)):
            # What could not be parsed is written with the first transaction of the batch.
            counts, refused = _ingest_batch(
                run, source, options, records, parsed.rejections if index == 0 else [], course
            )
            total += counts
            rejections += refused
        on_progress(Progress(total, batch.last_line, tuple(rejections)))
        batches.took(time.monotonic() - began)


def _by_users(records: list[Record]) -> Iterator[list[Record]]:
    """The records in runs with a bounded number of users each: the server's lock table is finite."""
    run: list[Record] = []
    users: set[str | None] = set()
    for record in records:
        if record.user_name not in users and len(users) == settings.SCHEMAEVO_INGEST_BATCH_USERS:
            yield run
            run, users = [], set()
        users.add(record.user_name)
        run.append(record)
    yield run


@collector_paused()
@transaction.atomic
def _ingest_batch(
    run: IngestRun,
    source: Input,
    options: IngestOptions,
    records: list[Record],
    rejections: list[Rejection],
    course: _Course,
) -> tuple[Counts, list[Rejection]]:
    """One transaction: the records with all that follows from them, the dead letters, and the run's counts.

    Gives what it counted and the rejections that only the database could tell.
    """
    owned, refused = _owned(records, options)
    user_ids = {user_id for _, user_id in owned}
    entity_type = options.entity_type
    if owned:
        hold_for_writing(entity_type, user_ids)
    # A later statement than the one that took the locks: it sees every change that was committed before.
    schemas = load_current_schemas(entity_type=entity_type, user_ids=user_ids)
    owned, erased = without_erased(owned, options)
    refused += erased
    sources = _sources(source, options, owned, course)

    observations: list[NewObservation] = []
    fragments: list[list[Fragment]] = []
    for (record, user_id), source_id in zip(owned, sources, strict=True):
        fields, left = split_of(record, schemas[user_id].definition, options)
        observations.append(observation_of(record, user_id, fields, source_id, run.pk, options))
        fragments.append(left)
    with_fragments = {o.user_id for o, left in zip(observations, fragments, strict=True) if left}
    hold(LockSpace.FRAGMENTS, [(user_id, entity_type) for user_id in with_fragments])

    recorded = observations_record(
        observations=observations,
        schemas=schemas,
        are_new=course.are_observations_new,
        while_waiting=course.read_ahead,
    )
    course.are_observations_new = len(recorded.inserted) == len(owned)
    conflicts = [
        id_conflict(record)
        for (record, _), observation in zip(owned, observations, strict=True)
        if recorded.conflicting and (observation.id, observation.content_id) in recorded.conflicting
    ]
    refused += conflicts
    # Of several with one id it is the first that was stored.
    first_at: dict[str, int] = {}
    for index, observation in enumerate(observations):
        first_at.setdefault(observation.id, index)
    sighted = sightings_record(
        (
            (observations[index], fragment)
            for identity, index in first_at.items()
            if identity in recorded.inserted
            for fragment in fragments[index]
        ),
        are_new=course.are_fragments_new,
        retracted=recorded.retracted,
    )
    course.are_fragments_new = sighted.are_new
    counts = Counts(
        records=len(records) + len(rejections),
        observations=len(recorded.inserted),
        duplicates=len(owned) - len(conflicts) - len(recorded.inserted),
        fragments=sighted.sightings,
        rejected=len(rejections) + len(refused),
        retracted=len(recorded.inserted & {o.id for o in observations if o.source_id in recorded.retracted})
        if recorded.retracted
        else 0,
    )
    _write_dead_letters(run, [*rejections, *refused])
    IngestRun.objects.filter(pk=run.pk).update(
        record_count=F("record_count") + counts.records,
        observation_count=F("observation_count") + counts.observations,
        duplicate_count=F("duplicate_count") + counts.duplicates,
        fragment_count=F("fragment_count") + counts.fragments,
        rejected_count=F("rejected_count") + counts.rejected,
        retracted_count=F("retracted_count") + counts.retracted,
        **ALIVE,
    )
    return counts, refused


def _owned(records: list[Record], options: IngestOptions) -> tuple[list[tuple[Record, int]], list[Rejection]]:
    """Every record with its owner's id; records of users that do not exist, and may not be made, are refused."""
    if options.user_id is not None:
        return [(record, options.user_id) for record in records], []
    if options.is_export:
        owners = owners_ensured(records, create_users=options.create_users)
        return owners.owned, owners.refused
    names = {record.user_name for record in records if record.user_name is not None}
    known: Mapping[str, int] = owners_by_username(names)
    missing = names - known.keys()
    if missing and options.create_users:
        known = {**known, **owners_create(missing)}
    owned: list[tuple[Record, int]] = []
    refused: list[Rejection] = []
    for record in records:
        user_id = known.get(record.user_name or "")
        if user_id is not None:
            owned.append((record, user_id))
        else:
            refused.append(unknown_user(record))
    return owned, refused


def unknown_user(record: Record) -> Rejection:
    """The refusal of a record whose owner does not exist."""
    message = f"There is no user {record.user_name!r}; --create-users makes the owners that are missing."
    return Rejection(record.line, "unknown_user", message)


def id_conflict(record: Record) -> Rejection:
    """The refusal of a record whose id another observation has."""
    message = f"The id {record.given_id} is taken by an observation with other content."
    return Rejection(record.line, "id_conflict", message)


def _sources(
    source: Input, options: IngestOptions, owned: list[tuple[Record, int]], course: _Course
) -> list[str]:
    """The id of the source of every record."""
    if options.is_export:
        return exported_sources_ensure(owned)
    ids = course.source_ids
    missing = {user_id for _, user_id in owned} - ids.keys()
    if missing:
        name, content_hash = source.named_source
        ids |= sources_ensure(user_ids=missing, name=name, content_hash=content_hash)
    return [ids[user_id] for _, user_id in owned]


def split_of(
    record: Record, definition: Definition | None, options: IngestOptions
) -> tuple[JsonObject, list[Fragment]]:
    """The fields of the observation that a record makes, and its fragments, by this definition."""
    if record.exported is not None:
        return split_exported(record.exported, definition)
    return split(record.fields, definition, options.control_fields)


def observation_of(
    record: Record, user_id: int, fields: JsonObject, source: str, run_id: int | None, options: IngestOptions
) -> NewObservation:
    """The observation that a record of this owner makes, with these of its fields and from the source of that id."""
    if record.exported is not None:
        return exported_observation_of(record.exported, user_id, options.entity_type, fields, source, run_id)
    entity = entity_id(user_id, options.entity_type, record.entity_key)
    specificity = exact_specificity(options.specificity)
    content = observation_content_id(
        entity=entity,
        source=source,
        observed_us=record.observed_us,
        priority=options.priority,
        specificity=specificity,
        kind=options.kind,
        record=record.canonical,
    )
    named = None if record.given_id is None else named_observation_id(user_id, record.given_id)
    return NewObservation(
        id=named or content,
        content_id=content,
        user_id=user_id,
        entity_type=options.entity_type,
        entity_id=entity,
        entity_key=record.entity_key,
        source_id=source,
        observed_us=record.observed_us,
        priority=options.priority,
        specificity=specificity,
        kind=options.kind,
        fields=fields,
        ingest_run_id=run_id,
    )


def _write_dead_letters(run: IngestRun, rejections: Iterable[Rejection]) -> None:
    DeadLetter.objects.bulk_create(
        [
            DeadLetter(
                run=run,
                line_number=rejection.line.line_number,
                code=rejection.code,
                message=rejection.message,
                raw=rejection.line.raw,
            )
            for rejection in rejections
        ]
    )


def with_batch_size(options: IngestOptions, size: int | None) -> IngestOptions:
    """The options with a batch size within the bounds of the settings."""
    limit = settings.SCHEMAEVO_INGEST_BATCH_SIZE
    return replace(options, batch_size=max(1, min(size or limit, limit)))
