"""Pages of jobs: the background work that is owed, runs, is done or went wrong."""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Script
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.admin.queues import queues_urls
from schemaevo.kernel.job_control import MAY_CONTROL, job_cancel, job_pause, job_resume, job_retry
from schemaevo.kernel.job_figures import jobs_left_wrong
from schemaevo.kernel.job_log import LINES_PER_LEVEL, job_lines
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, JobQueue, JobState, LogLevel
from schemaevo.kernel.pages.display import badge, moment
from schemaevo.kernel.pages.filters import ChoiceFilter, ExactFilter, PickFilter
from schemaevo.kernel.pages.job_progress import Progress, progress_shown
from schemaevo.kernel.pages.job_tables import job_table
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.rights import actor_of, may_see_values
from schemaevo.kernel.pages.verbs import refusals_told
from schemaevo.kernel.pages.views_bar import ReadyView

JOB_TONES = {
    JobState.PENDING: "plain",
    JobState.RUNNING: "busy",
    JobState.PAUSED: "warn",
    JobState.DONE: "good",
    JobState.COMPLETED_WITH_ERRORS: "warn",
    JobState.FAILED: "bad",
    JobState.CANCELLED: "plain",
}


LINE_TONES = {LogLevel.INFO: "plain", LogLevel.WARNING: "warn", LogLevel.ERROR: "bad"}

VERBS: dict[str, Callable[..., Job]] = {
    "retry": job_retry,
    "resume": job_resume,
    "pause": job_pause,
    "cancel": job_cancel,
}
VERB_LABELS = {"retry": _("Retry now"), "resume": _("Resume"), "pause": _("Pause"), "cancel": _("Cancel")}


def verbs_for(job: Job) -> list[str]:
    """What can sensibly be done with the job now. The services decide for themselves."""
    state = JobState(job.state)
    fits = {
        # A pending job with attempts behind it rests before the next one.
        "retry": state in {JobState.FAILED, JobState.CANCELLED}
        or (state == JobState.PENDING and job.attempts),
        "resume": state == JobState.PAUSED,
        "pause": state in {JobState.PENDING, JobState.RUNNING},
        "cancel": state in LIVE_JOB_STATES,
    }
    return [verb for verb in VERBS if fits[verb]]


class JobStateFilter(ChoiceFilter):
    title = _("state")
    parameter_name = "state"
    column = "state"
    choices_from = JobState


class JobQueueFilter(ChoiceFilter):
    title = _("queue")
    parameter_name = "queue"
    column = "queue"
    choices_from = JobQueue


class JobKindFilter(ExactFilter):
    title = _("kind")
    parameter_name = "kind"
    column = "kind"


class LeftWrongFilter(PickFilter):
    """What somebody has to look at, as the first page counts it."""

    title = _("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("went wrong, and not made good since"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if not self.value():
            return queryset
        is_known = self.value() == "open"
        return queryset.filter(pk__in=jobs_left_wrong().values("pk")) if is_known else queryset.none()


@admin.register(Job)
class JobAdmin(KeysetAdmin):
    """Background work: what is owed, what runs and how far it is, what went wrong."""

    keyset = Keyset(("-requested_at", "-id"))
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"requested_by": ("username",)}
    nothing_yet = _(
        "No background work was asked for yet. The scheduler asks for the periodic work within a "
        "minute of its start."
    )
    begins_at = (_("Queues"), "admin:kernel_job_queues")
    list_display = ("work", "shown_state", "progress", "queue", "attempts", "asked", "finished")
    list_filter = (JobStateFilter, LeftWrongFilter, JobQueueFilter, JobKindFilter)
    ready_views: ClassVar[tuple[ReadyView, ...]] = (
        ReadyView(_("Went wrong, not made good"), {"outcome": "open"}),
        ReadyView(_("Failed"), {"state": "failed"}),
        ReadyView(_("Running"), {"state": "running"}),
    )
    search_fields = ("=id",)
    search_help_text = _("Id of a job")
    list_before_template = "admin/kernel/job/list_followed.html"
    change_form_outer_before_template = "admin/kernel/job/page.html"

    class Media:
        js = (Script("schemaevo/live.js", defer=True),)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None: the template shows everything, and follows it."""
        return ()

    def get_urls(self) -> list[URLPattern]:
        """The queues, what a page follows, and the verbs, POST only, before the addresses of the rows."""
        return [
            *queues_urls(self),
            path("<uuid:job_id>/live/", self.admin_site.admin_view(self.live_view), name="kernel_job_live"),
            *(
                path(
                    f"<uuid:job_id>/{verb}/",
                    self.admin_site.admin_view(partial(self.control_view, verb=verb)),
                    name=f"kernel_job_{verb}",
                )
                for verb in VERBS
            ),
            *super().get_urls(),
        ]

    def page_context(self, request: HttpRequest, job: Job) -> dict[str, Any]:
        may_control = request.user.has_perm(MAY_CONTROL)
        lines = job_lines(job_id=job.pk)
        return {
            "job": job,
            "tone": JOB_TONES[JobState(job.state)],
            "is_over": job.state not in LIVE_JOB_STATES,
            "progress": Progress.of(job, timezone.now()),
            "lines": [(line, LINE_TONES[LogLevel(line.level)]) for line in lines],
            "lines_per_level": LINES_PER_LEVEL,
            "table": job_table(job),
            # An error, or a result, may quote the value that it was about.
            "may_see_values": may_see_values(request),
            "verbs": [
                (reverse(f"admin:kernel_job_{verb}", args=[job.pk]), VERB_LABELS[verb])
                for verb in (verbs_for(job) if may_control else ())
            ],
        }

    def live_view(self, request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
        """What the page of the job shows now, without the page around it, for a page that follows it."""
        job = self.get_object(request, str(job_id))
        if job is None:
            raise Http404
        if not self.has_view_permission(request, job):
            raise PermissionDenied
        return render(request, "admin/kernel/job/pieces.html", self.page_context(request, job))

    def control_view(self, request: HttpRequest, job_id: uuid.UUID, *, verb: str) -> HttpResponse:
        """The job is paused, resumed, cancelled or retried, or a message says why not. POST only."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        with refusals_told(request):
            job = VERBS[verb](job_id=job_id, actor=actor_of(request))
            messages.success(request, _now("The job is now %(state)s.") % {"state": job.get_state_display()})
        return HttpResponseRedirect(reverse("admin:kernel_job_change", args=[job_id]))

    @admin.display(description=_("work"))
    def work(self, job: Job) -> str:
        return str(job)

    @admin.display(description=_("state"))
    def shown_state(self, job: Job) -> SafeString:
        return badge(job.get_state_display(), JOB_TONES[JobState(job.state)])

    @admin.display(description=_("progress"))
    def progress(self, job: Job) -> SafeString:
        return progress_shown(Progress.of(job, timezone.now()))

    @admin.display(description=_("asked for"))
    def asked(self, job: Job) -> SafeString:
        return moment(job.requested_at)

    @admin.display(description=_("finished"))
    def finished(self, job: Job) -> SafeString:
        return moment(job.finished_at)
