"""Reads of quotas for pages: what was asked and allowed so far, what holds now, and where the fields are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from registry.models import (
    ExtensionRevision,
    QuotaGrant,
    QuotaLimit,
    QuotaNotice,
    QuotaRequest,
    RequestState,
    Schema,
)
from registry.selectors_quotas import largest_consumers
from schemaevo.kernel.models import User

#: More waiting requests than these are not counted.
COUNTED_WAITING = 100


@dataclass(frozen=True, slots=True)
class Past:
    """An upgrade request with the grant that came of it, or a grant that nobody asked for."""

    at: datetime
    request: QuotaRequest | None
    grant: QuotaGrant | None


@dataclass(frozen=True, slots=True)
class FoundConsumer:
    """An entity type in which a user has something that counts, and the rows that say what: ids, or None."""

    entity_type: str
    fields: int
    schema_id: int | None
    revision_id: int | None


def requests_waiting_count() -> int:
    """How many upgrade requests wait for a decision; of more than COUNTED_WAITING, one more than that."""
    return QuotaRequest.objects.filter(state=RequestState.PENDING)[: COUNTED_WAITING + 1].count()


def request_waiting(*, user_id: int) -> QuotaRequest | None:
    """The owner's upgrade request that waits for a decision, if there is one."""
    return QuotaRequest.objects.filter(user=user_id, state=RequestState.PENDING).first()


def has_asked_for(*, user_id: int, login: User | None) -> bool:
    """Whether the login ever asked for more for the owner, and so can never raise that owner's maxima."""
    return login is not None and QuotaRequest.objects.filter(user=user_id, asked_by=login).exists()


def requests_named(*, request_ids: Collection[int]) -> list[QuotaRequest]:
    """The upgrade requests of these numbers that there are, with owner, asker and decider, by number."""
    found = QuotaRequest.objects.filter(pk__in=request_ids)
    return list(found.select_related("user", "asked_by", "decided_by").order_by("pk"))


def quota_history(*, user_id: int, without_request: int | None = None, limit: int = 20) -> list[Past]:
    """What was asked for and granted for the owner, the newest `limit`; one request can be left out."""
    requests = QuotaRequest.objects.filter(user=user_id).select_related("asked_by", "decided_by", "grant")
    if without_request is not None:
        requests = requests.exclude(pk=without_request)
    unasked = QuotaGrant.objects.filter(user=user_id, request__isnull=True)
    found = [
        *(Past(row.asked_at, row, getattr(row, "grant", None)) for row in requests.order_by("-pk")[:limit]),
        *(Past(row.granted_at, None, row) for row in unasked.order_by("-pk")[:limit]),
    ]
    return sorted(found, key=lambda past: past.at, reverse=True)[:limit]


def maxima_granted(*, user_id: int) -> dict[QuotaLimit, QuotaGrant | None]:
    """For each limit the grant that it follows from now; None where the default holds."""
    live = QuotaGrant.objects.filter(user=user_id, ended_at__isnull=True).order_by("-pk")
    return {
        QuotaLimit.SCHEMAS: live.filter(max_schemas__isnull=False).first(),
        QuotaLimit.FIELDS: live.filter(max_fields__isnull=False).first(),
    }


def consumers_found(*, user_id: int, limit: int) -> list[FoundConsumer]:
    """The entity types in which the user has most fields, the largest first, each with its schema and extension."""
    consumers = largest_consumers(user_id=user_id, limit=limit)
    types = [consumer.entity_type for consumer in consumers]
    schemas = dict(
        Schema.objects.filter(user=user_id, entity_type__in=types).values_list("entity_type", "pk")
    )
    revisions = dict(
        ExtensionRevision.objects.filter(user=user_id, entity_type__in=types, is_active=True).values_list(
            "entity_type", "pk"
        )
    )
    return [
        FoundConsumer(
            consumer.entity_type,
            consumer.fields,
            schemas.get(consumer.entity_type),
            revisions.get(consumer.entity_type),
        )
        for consumer in consumers
    ]


def notices_of(*, user_id: int, limit: int) -> list[QuotaNotice]:
    """The newest notices about the owner."""
    return list(QuotaNotice.objects.filter(user=user_id).order_by("-pk")[:limit])
