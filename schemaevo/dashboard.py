"""What the first page shows: what needs the login, what runs, how the store is and how much is in it. Each part by
permission."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from fragments.admin.runs import RUN_TONES
from fragments.models import DeadLetter, IngestRun, IngestState, LifecycleState, RawFragment
from fragments.selectors_entity import LIFECYCLE_TONES
from registry.models import SchemaVersion
from registry.selectors_quotas import Quota, quotas_near
from schemaevo.dashboard_health import Health, entities_counted, health_of
from schemaevo.dashboard_needs import needs_of
from schemaevo.dashboard_running import running_now
from schemaevo.dashboard_unreviewed import changes_without_review
from schemaevo.kernel.models import AuditEvent, User
from schemaevo.kernel.owners import owners_by_id
from schemaevo.kernel.pages.cache_backend import PageCache
from schemaevo.kernel.pages.cached import cached_reads
from schemaevo.kernel.pages.estimates import Amount, rows_by_choice, rows_counted
from schemaevo.kernel.pause import MAY_SWITCH
from schemaevo.trends import Part, trends_context
from snapshots.models import Observation

RUNS_SHOWN = 6
EVENTS_SHOWN = 6
SCHEMAS_SHOWN = 6
OWNERS_SHOWN = 6


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


def dashboard_context(request: HttpRequest) -> dict[str, Any]:
    """Everything on the first page that this login may see."""
    may = request.user.has_perm
    context: dict[str, Any] = {
        **live_context(request),
        "cards": list(_cards(request)),
        **trends_context(request),
    }
    health: Health = context["health"]
    context["verified"] = health.verified
    if may("registry.view_userquota"):
        context["near"] = owners_near()
    if may("fragments.view_ingestrun"):
        runs = IngestRun.objects.defer("options", "error").order_by("-id")[:RUNS_SHOWN]
        context["runs"] = [(run, RUN_TONES[IngestState(run.state)]) for run in runs]
    if may("registry.view_schemaversion"):
        shown = _in_force().order_by(F("user_id").asc(nulls_first=True), "entity_type")[:SCHEMAS_SHOWN]
        with cached_reads():
            context["in_force"] = [(version, len(version.definition["fields"])) for version in shown]
        context.update(_page_cache())
    if may("kernel.view_auditevent"):
        # What people did: the end of every periodic job is in the log as well, and would drown it here.
        context["events"] = AuditEvent.objects.exclude(actor_name__startswith="system:").order_by("-id")[
            :EVENTS_SHOWN
        ]
    return context


def live_context(request: HttpRequest) -> dict[str, Any]:
    """What changes by itself while somebody looks: what needs the login, what runs, and how the store is."""
    health = health_of(request)
    unreviewed = changes_without_review() if request.user.has_perm("kernel.view_auditevent") else []
    return {
        "needs": needs_of(request, health, unreviewed),
        "unreviewed": unreviewed,
        "running": running_now(request, health),
        "health": health,
        "may_pause": request.user.has_perm(MAY_SWITCH) and health.pause is None,
        "is_schema_cached": settings.SCHEMAEVO_SCHEMA_CACHE_ENABLED,
        **(_page_cache() if health.schema_cache is not None else {}),
    }


def live_view(request: HttpRequest) -> HttpResponse:
    """The pieces of the first page that change, without the page around them, for a page that follows them."""
    return render(request, "admin/dashboard/live.html", live_context(request))


def _page_cache() -> dict[str, Any]:
    """What the page cache did so far; read last, since this page asks it as well."""
    return {"page_cache": PageCache.figures(), "is_page_cached": settings.SCHEMAEVO_PAGE_CACHE_ENABLED}


def owners_near() -> list[tuple[Quota, str]]:
    """The owners who are nearest to the end of a quota, the fullest first, each with its name."""
    quotas = quotas_near(limit=OWNERS_SHOWN)
    names = owners_by_id([quota.user_id for quota in quotas])
    return [(quota, names.get(quota.user_id, f"#{quota.user_id}")) for quota in quotas]


def _cards(request: HttpRequest) -> Iterable[Card]:
    may = request.user.has_perm
    if may("snapshots.view_entitysnapshot"):
        yield Card(
            _("Entities"),
            "deployed_code",
            entities_counted(request),
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


def _list(view: str) -> str:
    return reverse(f"admin:{view}_changelist")
