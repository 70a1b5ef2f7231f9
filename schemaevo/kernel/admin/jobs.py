"""Pages of jobs: the background work that is owed, runs, is done or went wrong."""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.job_control import MAY_CONTROL, job_cancel, job_pause, job_resume, job_retry
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, JobQueue, JobState
from schemaevo.kernel.pages.display import NOTHING, amount, badge, hidden, json_block, moment
from schemaevo.kernel.pages.filters import ChoiceFilter, ExactFilter
from schemaevo.kernel.pages.job_tables import job_table
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.rights import actor_of, may_see_values
from schemaevo.kernel.pages.verbs import refusals_told

JOB_TONES = {
    JobState.PENDING: "plain",
    JobState.RUNNING: "busy",
    JobState.PAUSED: "warn",
    JobState.DONE: "good",
    JobState.COMPLETED_WITH_ERRORS: "warn",
    JobState.FAILED: "bad",
    JobState.CANCELLED: "plain",
}


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


@admin.register(Job)
class JobAdmin(KeysetAdmin):
    """Background work: what is owed, what runs and how far it is, what went wrong."""

    keyset = Keyset(("-requested_at", "-id"))
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"requested_by": ("username",)}
    list_display = ("work", "shown_state", "progress", "queue", "attempts", "asked", "finished")
    list_filter = (JobStateFilter, JobQueueFilter, JobKindFilter)
    search_fields = ("=id",)
    search_help_text = _("Id of a job")
    fieldsets = (
        (None, {"fields": (("work", "shown_state"), ("progress", "queue"), ("attempts", "asked_by"))}),
        (_("When"), {"fields": (("asked", "not_before_at"), ("started", "finished"), ("rung", "lease"))}),
        (_("What came of it"), {"fields": ("shown_options", "shown_result", "shown_error")}),
    )
    change_form_outer_after_template = "admin/kernel/job/below.html"

    def get_urls(self) -> list[URLPattern]:
        """The verbs, POST only, before the addresses of the rows."""
        return [
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
        return {
            "table": job_table(job),
            "verbs": [
                (reverse(f"admin:kernel_job_{verb}", args=[job.pk]), VERB_LABELS[verb])
                for verb in (verbs_for(job) if may_control else ())
            ],
        }

    def control_view(self, request: HttpRequest, job_id: uuid.UUID, *, verb: str) -> HttpResponse:
        """The job is paused, resumed, cancelled or retried, or a message says why not. POST only."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        with refusals_told(request):
            job = VERBS[verb](job_id=job_id, actor=actor_of(request))
            messages.success(request, _now("The job is now %(state)s.") % {"state": job.get_state_display()})
        return HttpResponseRedirect(reverse("admin:kernel_job_change", args=[job_id]))

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        # An error may quote the value that it failed on.
        if may_see_values(request):
            return fieldsets
        return (*fieldsets[:-1], (fieldsets[-1][0], {"fields": ("shown_options", "hidden_error")}))

    @admin.display(description=_("work"))
    def work(self, job: Job) -> str:
        return str(job)

    @admin.display(description=_("state"))
    def shown_state(self, job: Job) -> SafeString:
        return badge(job.get_state_display(), JOB_TONES[JobState(job.state)])

    @admin.display(description=_("progress"))
    def progress(self, job: Job) -> SafeString:
        return progress_bar(job.done_count, job.total_count)

    @admin.display(description=_("asked for"))
    def asked(self, job: Job) -> SafeString:
        return moment(job.requested_at)

    @admin.display(description=_("asked for by"))
    def asked_by(self, job: Job) -> str:
        return str(job.requested_by) if job.requested_by else str(_("the system"))

    @admin.display(description=_("not before"))
    def not_before_at(self, job: Job) -> SafeString:
        return moment(job.not_before)

    @admin.display(description=_("started"))
    def started(self, job: Job) -> SafeString:
        return moment(job.started_at)

    @admin.display(description=_("finished"))
    def finished(self, job: Job) -> SafeString:
        return moment(job.finished_at)

    @admin.display(description=_("last rung"))
    def rung(self, job: Job) -> SafeString:
        return moment(job.rung_at)

    @admin.display(description=_("leased until"))
    def lease(self, job: Job) -> SafeString:
        return moment(job.lease_expires_at)

    @admin.display(description=_("options"))
    def shown_options(self, job: Job) -> SafeString:
        return json_block(job.options)

    @admin.display(description=_("result"))
    def shown_result(self, job: Job) -> SafeString:
        return NOTHING if job.result is None else json_block(job.result)

    @admin.display(description=_("error"))
    def shown_error(self, job: Job) -> SafeString:
        return format_html('<pre class="se-json" tabindex="0">{}</pre>', job.error) if job.error else NOTHING

    @admin.display(description=_("result and error"))
    def hidden_error(self, job: Job) -> SafeString:
        return hidden()


def progress_bar(done: int, total: int | None) -> SafeString:
    """How far work is: a bar where the end is known, else the count alone."""
    if not total:
        return amount(done) if done else NOTHING
    share = min(100, done * 100 // total)
    return format_html(
        '<span class="se-progress" title="{} / {}"><progress max="100" value="{}" aria-label="{}"></progress>'
        '<span class="se-number">{}&#8239;%</span></span>',
        done,
        total,
        share,
        _("progress"),
        share,
    )
