"""Ingest runs: how one begins, what keeps it alive, and what ends it when its process cannot."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from fragments.models import IngestRun, IngestState
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.locks import LockSpace, hold
from schemaevo.kernel.models import User

logger = logging.getLogger(__name__)

#: What each batch writes into its run. One that was given up, and was only slow, so runs again.
ALIVE: Final[Mapping[str, Any]] = {
    "state": IngestState.RUNNING,
    "alive_at": Now(),
    "finished_at": None,
    "error": "",
}


@transaction.atomic
def run_begin(
    *,
    name: str,
    content_hash: str,
    entity_type: str,
    options: JsonObject,
    observed_at: datetime | None,
    modified_at: datetime | None,
    started_by: User | None,
) -> IngestRun:
    """There is a run, which says by what time its records without one are stored: `observed_at` if that was asked
    for, else that of the first run over this content, else `modified_at`.

    Of runs over one content that begin together one is the first, and the others take its time: they look for it
    under a lock. It stays the first if it fails, even before it stored anything.

    Raises: LockTimeout.
    """
    if content_hash:
        hold(LockSpace.INGEST_RUN, [(content_hash, entity_type)])
    # A later statement than the one that took the lock: it sees the run of whoever held it before.
    default_observed_at = observed_at or default_time_of(
        content_hash=content_hash, entity_type=entity_type, modified_at=modified_at
    )
    return IngestRun.objects.create(
        name=name,
        content_hash=content_hash,
        entity_type=entity_type,
        options=options,
        default_observed_at=default_observed_at,
        started_by=started_by,
    )


def default_time_of(*, content_hash: str, entity_type: str, modified_at: datetime | None) -> datetime | None:
    """The time of a file's records without one: of its first run if the content is known, else `modified_at`.

    So a file that was copied, and is younger now, gives the same observations again.
    """
    if not content_hash:
        return modified_at
    known = (
        IngestRun.objects.filter(
            content_hash=content_hash, entity_type=entity_type, default_observed_at__isnull=False
        )
        .order_by("id")
        .values_list("default_observed_at", flat=True)
        .first()
    )
    return known or modified_at


@transaction.atomic
def runs_interrupt_silent() -> int:
    """Runs that were not heard of for SCHEMAEVO_INGEST_SILENCE_S are interrupted; gives their number.

    Whether the process was killed or waits for its input cannot be known from here. What it stored is stored; if it
    lives, its next batch makes the run a running one again, and its end is the one that counts.
    """
    silence_s = settings.SCHEMAEVO_INGEST_SILENCE_S
    silent = (
        IngestRun.objects.filter(state=IngestState.RUNNING, alive_at__lt=Now() - timedelta(seconds=silence_s))
        .order_by("pk")
        # Whose row is locked is storing a batch, and alive.
        .select_for_update(skip_locked=True)
        .values_list("pk", flat=True)
    )
    count = IngestRun.objects.filter(pk__in=list(silent)).update(
        state=IngestState.INTERRUPTED,
        finished_at=F("alive_at"),
        error=(
            f"Nothing was heard of it for {silence_s} s: its process was killed, or waits for its input. What it "
            "stored is stored; run it again, and only what is missing is added."
        ),
    )
    if count:
        logger.warning("Interrupted %s ingest runs of which nothing was heard for %s s.", count, silence_s)
    return count
