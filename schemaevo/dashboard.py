"""What the first page shows: how much there is, what runs, what went wrong. Each part by permission."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from fragments.admin.fragments import LIFECYCLE_TONES
from fragments.admin.runs import RUN_TONES
from fragments.models import DeadLetter, IngestRun, IngestState, LifecycleState, RawFragment
from registry.cache import cache_figures
from registry.models import SchemaVersion
from schemaevo.kernel.admin.jobs import JOB_TONES
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from schemaevo.kernel.pages.cache_backend import PageCache
from schemaevo.kernel.pages.cached import cached_reads
from schemaevo.kernel.pages.estimates import Amount, rows_by_choice, rows_counted
from schemaevo.kernel.pause import MAY_SWITCH, pause_now
from schemaevo.kernel.verification_figures import KindFigures, kinds_verified, share_verified
from schemaevo.servers import server_states
from snapshots.models import EntitySnapshot, Observation
from snapshots.services.verify import SNAPSHOTS

RUNS_SHOWN = 6
JOBS_SHOWN = 6
EVENTS_SHOWN = 6
SCHEMAS_SHOWN = 6
UNREVIEWED_DAYS = 30


@dataclass(frozen=True, slots=True)
class Part:
    """A share of a card's number, such as the fragments of one state."""

    label: str
    amount: Amount
    tone: str
    url: str


@dataclass(frozen=True, slots=True)
class Card:
    """A number, what it counts, and the list behind it."""

    label: str
    icon: str
    amount: Amount
    url: str
    note: str = ""
    parts: list[Part] = field(default_factory=list)
    is_bad: bool = False


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


def dashboard_context(request: HttpRequest) -> dict[str, Any]:
    """Everything on the first page that this login may see."""
    may = request.user.has_perm
    context: dict[str, Any] = {
        "cards": list(_cards(request)),
        "servers": server_states(),
        "may_pause": may(MAY_SWITCH) and pause_now() is None,
    }
    if may("fragments.view_ingestrun"):
        runs = IngestRun.objects.order_by("-id")[:RUNS_SHOWN]
        context["runs"] = [(run, RUN_TONES[IngestState(run.state)]) for run in runs]
    if may("kernel.view_job"):
        context["jobs"] = [(job, JOB_TONES[JobState(job.state)], _percent(job)) for job in _jobs_of_note()]
    if may("kernel.view_verifyoutcome"):
        context["verified"] = _verified()
    if may("registry.view_schemaversion"):
        # What this process remembers; the others have figures of their own, and ingest tells its at the end.
        context["schema_cache"] = cache_figures()
        context["is_schema_cached"] = settings.SCHEMAEVO_SCHEMA_CACHE_ENABLED
        shown = _in_force().order_by(F("user_id").asc(nulls_first=True), "entity_type")[:SCHEMAS_SHOWN]
        with cached_reads():
            context["in_force"] = [(version, len(version.definition["fields"])) for version in shown]
        context["page_cache"] = PageCache.figures()
        context["is_page_cached"] = settings.SCHEMAEVO_PAGE_CACHE_ENABLED
    if may("kernel.view_auditevent"):
        # What people did: the end of every periodic job is in the log as well, and would drown it here.
        context["events"] = AuditEvent.objects.exclude(actor_name__startswith="system:").order_by("-id")[
            :EVENTS_SHOWN
        ]
        context["unreviewed"] = _changed_without_review()
    return context


def _cards(request: HttpRequest) -> Iterable[Card]:
    may = request.user.has_perm
    if may("snapshots.view_entitysnapshot"):
        yield Card(
            _("Entities"),
            "deployed_code",
            rows_counted(EntitySnapshot),
            _list("snapshots_entitysnapshot"),
            _("with merged state"),
        )
    if may("snapshots.view_observation"):
        yield Card(
            _("Observations"),
            "visibility",
            rows_counted(Observation),
            _list("snapshots_observation"),
            _("immutable statements"),
        )
    if may("fragments.view_rawfragment"):
        total = rows_counted(RawFragment)
        states = rows_by_choice(RawFragment, "lifecycle_state", total)
        parts = [
            Part(
                str(state.label),
                states[state.value],
                LIFECYCLE_TONES[state],
                f"{_list('fragments_rawfragment')}?state={state.value}",
            )
            for state in LifecycleState
            if state.value in states
        ]
        yield Card(
            _("Fragments"), "extension", total, _list("fragments_rawfragment"), _("fit no schema yet"), parts
        )
    if may("registry.view_schemaversion"):
        with cached_reads():
            counts = _in_force().aggregate(all=Count("pk"), own=Count("pk", filter=Q(user__isnull=False)))
        yield Card(
            _("Schemas"),
            "schema",
            Amount(counts["all"]),
            f"{_list('registry_schemaversion')}?in_force=1",
            _("%(shared)s global, %(own)s own")
            % {"shared": counts["all"] - counts["own"], "own": counts["own"]},
        )
    if request.user.is_superuser:
        logins = User.objects.filter(is_staff=True).count()
        yield Card(
            _("Users"),
            "group",
            rows_counted(User),
            _list("kernel_user"),
            ngettext("%(n)s of them a login", "%(n)s of them logins", logins) % {"n": logins},
        )
    if may("fragments.view_deadletter"):
        refused = rows_counted(DeadLetter)
        yield Card(
            _("Rejected"),
            "report",
            refused,
            _list("fragments_deadletter"),
            _("kept with reasons") if refused.value else _("nothing was refused"),
            is_bad=refused.value > 0,
        )


def _in_force() -> QuerySet[SchemaVersion]:
    # Owners apart: they are never cached, and joined with them nothing would be.
    return SchemaVersion.objects.filter(is_active=True).prefetch_related("user")


def _jobs_of_note() -> list[Job]:
    """What runs, waits or went wrong this week, in this order; then, as far as there is room, what was done."""
    live = [JobState.RUNNING, JobState.PENDING, JobState.PAUSED]
    wrong = [JobState.FAILED, JobState.COMPLETED_WITH_ERRORS]
    jobs = Job.objects.order_by("-requested_at")
    found = [
        *jobs.filter(state__in=live)[:JOBS_SHOWN],
        *jobs.filter(state__in=wrong, requested_at__gte=timezone.now() - timedelta(days=7))[:JOBS_SHOWN],
    ]
    order = [*live, *wrong]
    found.sort(key=lambda job: order.index(JobState(job.state)))
    return [*found, *jobs.filter(state=JobState.DONE)[:JOBS_SHOWN]][:JOBS_SHOWN]


def _percent(job: Job) -> int | None:
    return min(100, job.done_count * 100 // job.total_count) if job.total_count else None


def _verified() -> Verified:
    """How far the store is verified."""
    kinds = kinds_verified()
    snapshots = rows_counted(EntitySnapshot)
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


def _changed_without_review() -> list[AuditEvent]:
    """Global schema changes of the last days that nobody reviewed, with the reasons that were given."""
    since = timezone.now() - timedelta(days=UNREVIEWED_DAYS)
    events = AuditEvent.objects.filter(target_type="schema_version", at__gte=since)
    bypassed = events.filter(after__without_review=True, after__owner=None)
    # A schema that is retired as a whole leaves a row for each version; of those not in force nothing was changed.
    bypassed = bypassed.exclude(action="schema_version.retire", before__in_force=False)
    return list(bypassed.order_by("-id")[:EVENTS_SHOWN])


def _list(view: str) -> str:
    return reverse(f"admin:{view}_changelist")
