"""Sources by name, which of them take no part, and which retractions have not reached everything yet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef

from schemaevo.kernel.canonical import is_storable_text
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, User
from schemaevo.kernel.pages.estimates import Amount, found_counted
from snapshots.errors import SourceAmbiguous, SourceNotFound
from snapshots.models import UNSETTLED, Observation, Retraction, Source
from snapshots.providers import SourceImpact, impacts_of_source

#: So many ids are told of sources that share a name, and so many retractions of one.
SOURCES_TOLD = 20
RETRACTIONS_TOLD = 20
#: The newest observations of a source, of which the entity types are told.
TYPES_LOOKED_AT = 1_000
#: The job kind that brings what is stored in line with a retraction or its undo; its target is the source's id.
SETTLE_RETRACTION = "settle_retraction"


def source_named(*, user: User, name: str) -> Source:
    """The user's source of that id or name. Raises: SourceNotFound; SourceAmbiguous where several have the name."""
    sources = Source.objects.filter(user=user)
    try:
        found = list(sources.filter(pk=UUID(name)))
    except ValueError:
        found = []
    if not found and is_storable_text(name):
        found = list(sources.filter(name=name).order_by("created_at", "pk")[:SOURCES_TOLD])
    if not found:
        raise SourceNotFound(name, user.username)
    if len(found) > 1:
        raise SourceAmbiguous(name, [str(source.pk) for source in found])
    return found[0]


def sources_retracted(source_ids: Collection[str]) -> frozenset[str]:
    """Those of the sources that take no part. One query, into an index."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT source_id::text FROM retractions WHERE source_id = ANY(%s::uuid[]) AND undone_at IS NULL",
            [[*source_ids]],
        )
        return frozenset(source_id for (source_id,) in cursor.fetchall())


def of_retracted_source() -> Exists:
    """The condition that a row's `source_id` is that of a source that takes no part."""
    return Exists(Retraction.objects.filter(source_id=OuterRef("source_id"), undone_at=None))


def newest_retraction(source_id: UUID) -> Retraction | None:
    """The newest retraction of a source, undone or not."""
    return Retraction.objects.filter(source_id=source_id).order_by("-pk").first()


def observations_counted(source_id: UUID) -> Amount:
    """How many observations a source has made: counted while they are few, else estimated."""
    return found_counted(Observation.objects.filter(source_id=source_id))


@dataclass(frozen=True, slots=True)
class SourceTold:
    """What a source brought, and its retractions, newest first, as its page shows them. `first` and `newest` are its
    observations by when they were received; `types` are those of its newest ones. `jobs` are at it, and `stopped` is
    the one that ended before it had reached everything, where none is at it any more."""

    observations: Amount
    first: Observation | None
    newest: Observation | None
    types: tuple[str, ...]
    impact: SourceImpact
    retractions: tuple[Retraction, ...]
    jobs: tuple[Job, ...]
    stopped: Job | None

    @property
    def live(self) -> Retraction | None:
        """The retraction by which it takes no part now."""
        newest = self.retractions[0] if self.retractions else None
        return newest if newest is not None and newest.undone_at is None else None

    @property
    def is_unsettled(self) -> bool:
        """Whether a retraction, or its undo, has not reached everything."""
        return bool(self.retractions) and self.retractions[0].state in UNSETTLED


def source_told(*, source: Source) -> SourceTold:
    """Everything that the page of a source shows. Nine queries at most."""
    made = Observation.objects.filter(source=source).only("recorded_at", "ingest_run_id", "entity_type")
    newest = list(made.order_by("-recorded_at", "-pk")[:TYPES_LOOKED_AT])
    retractions = Retraction.objects.filter(source=source).select_related("retracted_by", "undone_by")
    told = tuple(retractions.order_by("-pk")[:RETRACTIONS_TOLD])
    jobs = Job.objects.filter(kind=SETTLE_RETRACTION, target=str(source.pk)).order_by("-requested_at")
    live = tuple(jobs.filter(state__in=LIVE_JOB_STATES)) if told else ()
    is_stopped = bool(told) and told[0].state in UNSETTLED and not live
    return SourceTold(
        observations=observations_counted(source.pk),
        first=made.order_by("recorded_at", "pk").first(),
        newest=newest[0] if newest else None,
        types=tuple(sorted({row.entity_type for row in newest})),
        impact=impacts_of_source(source_id=source.pk, user_id=source.user_id),
        retractions=told,
        jobs=live,
        stopped=jobs.first() if is_stopped else None,
    )


def entities_unsettled(entity_ids: Collection[str], user_ids: Collection[int]) -> set[str]:
    """Those of the entities that a retraction, or its undo, may not have reached yet. Two queries at most."""
    sources = list(
        Retraction.objects.filter(user__in=user_ids, state__in=UNSETTLED).values_list("source_id", flat=True)
    )
    if not sources:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT e.id::text FROM unnest(%s::uuid[]) AS e(id)
             WHERE EXISTS (SELECT FROM observations AS o WHERE o.entity_id = e.id AND o.source_id = ANY(%s))
            """,
            [[*entity_ids], sources],
        )
        return {identity for (identity,) in cursor.fetchall()}
