"""Whether the store is well: how fast records come, what is refused, what waits and who works. Each part by permission,
and what is not well in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from fragments.selectors_runs import IngestFigures, ingest_figures
from registry.cache import CacheFigures, cache_figures
from schemaevo.kernel.job_figures import LeftWrong, QueueFigures, left_wrong, queues_figured
from schemaevo.kernel.models import Pause
from schemaevo.kernel.pages.asked import asked_once, pause_seen
from schemaevo.kernel.pages.estimates import Amount, rows_counted
from schemaevo.kernel.pages.job_progress import rate_in_words
from schemaevo.kernel.verification_figures import KindFigures, kinds_verified, share_verified
from schemaevo.servers import QueueSeen, ServersSeen, servers_seen
from snapshots.models import EntitySnapshot
from snapshots.services.verify import SNAPSHOTS

#: A share of rejected records from which on somebody should look.
REJECTED_PERCENT: Final = 5.0
#: A job that is due is begun within so many sweeps, else the workers do not keep up.
SWEEPS_OF_PATIENCE: Final = 8


@dataclass(frozen=True, slots=True)
class Verified:
    """How far the store is verified: each kind's figures, and about how many per cent of the snapshots in a week."""

    kinds: list[KindFigures]
    snapshots: Amount
    percent: int
    last_at: datetime | None
    every_min: int

    @property
    def diverging(self) -> list[KindFigures]:
        """The kinds of which something is left as it is."""
        return [figures for figures in self.kinds if not figures.is_settled]


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """A queue by the ledger, which is the truth, and as Valkey knows it; None where that is away. `is_slow` says that
    what is due is not begun soon."""

    figures: QueueFigures
    seen: QueueSeen | None
    is_slow: bool

    @property
    def is_unserved(self) -> bool:
        """Whether it is known that nobody works here."""
        return self.seen is not None and not self.seen.workers


@dataclass(frozen=True, slots=True)
class Health:
    """All that is known of how the store is; a part is None, or empty, where the login may not see it."""

    servers: ServersSeen
    pause: Pause | None
    queues: list[QueueHealth]
    wrong: LeftWrong | None
    ingest: IngestFigures | None
    verified: Verified | None
    schema_cache: CacheFigures | None

    @property
    def unserved(self) -> list[QueueFigures]:
        """Queues in which no worker works; none where that is not known."""
        return [queue.figures for queue in self.queues if queue.is_unserved]

    @property
    def jobs_at_work(self) -> int | None:
        """How many jobs a worker has in its hands; None where the login sees no jobs."""
        return sum(q.figures.running - q.figures.lost for q in self.queues) if self.queues else None

    @property
    def lately(self) -> str:
        """The rate of the last minutes in words."""
        return self._rate(self.ingest.lately_per_s if self.ingest else 0)

    @property
    def hour(self) -> str:
        """The rate of the last hour in words."""
        return self._rate(self.ingest.hour_per_s if self.ingest else 0)

    @property
    def rejected(self) -> str:
        """The share of the week's records that was rejected; never rounded to nothing."""
        percent = self.ingest.rejected_percent if self.ingest else 0.0
        if 0 < percent < 0.01:
            return "< 0.01\u202f%"
        return f"{number_format(percent, decimal_pos=2 if 0 < percent < 10 else 0)}\u202f%"

    @property
    def is_much_rejected(self) -> bool:
        """Whether somebody should look at what is rejected."""
        return self.ingest is not None and self.ingest.rejected_percent >= REJECTED_PERCENT

    @property
    def troubles(self) -> list[str]:
        """What is not well, each a sentence that says what to do; nothing while all is."""
        return list(self._troubles())

    def _troubles(self) -> Iterator[str]:
        if not self.servers.is_redis_up:
            yield _(
                "Valkey does not answer: start it. Pages work without it, and no work is lost; jobs wait until then."
            )
        else:
            if not self.servers.is_scheduled:
                yield _("No scheduler was heard of: start one with manage.py schedule.")
            if self.unserved:
                names = ", ".join(str(queue.queue.label) for queue in self.unserved)
                yield _("No worker serves %(queues)s: start one with manage.py work.") % {"queues": names}
        if self.pause is not None:
            yield _(
                "Everything is paused: jobs wait, and no ingest takes another batch, until somebody resumes."
            )
        slow = [
            str(queue.figures.queue.label) for queue in self.queues if queue.is_slow and not queue.is_unserved
        ]
        if slow and self.pause is None and self.servers.is_redis_up:
            yield _("Jobs of %(queues)s wait long before they begin: more workers would help.") % {
                "queues": ", ".join(slow)
            }
        if self.wrong is not None and self.wrong.waiting.count:
            yield _(
                "Jobs went wrong and were not made good since: their pages say why, and can be retried there."
            )
        if self.is_much_rejected:
            yield _("Many records are rejected: look at the dead letters, which say why, line by line.")
        if self.verified is not None and self.verified.diverging:
            yield _("What is stored diverges from what it follows from: see Verification below.")

    @staticmethod
    def _rate(per_s: float) -> str:
        return rate_in_words(per_s) if per_s * 3600 >= 0.05 else ""


def health_of(request: HttpRequest) -> Health:
    """See `Health`. The number of queries is the same for all it finds."""
    may = request.user.has_perm
    servers, now = servers_seen(), timezone.now()
    pause = pause_seen(request)
    patience = timedelta(seconds=settings.SCHEMAEVO_SWEEP_INTERVAL_S * SWEEPS_OF_PATIENCE)
    return Health(
        servers=servers,
        pause=pause,
        queues=[
            QueueHealth(
                figures,
                None if servers.queues is None else servers.queues[figures.queue],
                is_slow=figures.oldest_due_at is not None and now - figures.oldest_due_at > patience,
            )
            for figures in (queues_figured() if may("kernel.view_job") else ())
        ],
        wrong=left_wrong() if may("kernel.view_job") else None,
        ingest=ingest_figures() if may("fragments.view_ingestrun") else None,
        verified=_verified(entities_counted(request)) if may("kernel.view_verifyoutcome") else None,
        # What this process remembers; the others have figures of their own, and ingest tells its at the end.
        schema_cache=cache_figures() if may("registry.view_schemaversion") else None,
    )


def entities_counted(request: HttpRequest) -> Amount:
    """How many entities there are, for all parts of the page."""
    return asked_once(request, EntitySnapshot, lambda: rows_counted(EntitySnapshot))


def _verified(snapshots: Amount) -> Verified:
    """How far the store is verified."""
    kinds = kinds_verified()
    times = [figures.finished_at for figures in kinds if figures.finished_at is not None]
    share = share_verified(kind=SNAPSHOTS, count=snapshots.value)
    return Verified(
        kinds=kinds,
        snapshots=snapshots,
        # Rounded down: 100 only where that is all of them, but for the last digits of a logarithm.
        percent=int(share * 100 + 1e-6),
        last_at=max(times, default=None),
        every_min=max(1, settings.SCHEMAEVO_VERIFY_INTERVAL_S // 60),
    )
