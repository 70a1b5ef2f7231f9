"""The page of queues: whether what is owed is being rung for and served, and what to do where it is not."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from schemaevo.kernel.jobs import SWEEPS_PER_BELL
from schemaevo.kernel.models import JobState
from schemaevo.kernel.pages.asked import pause_seen
from schemaevo.kernel.pages.verbs import verb_page
from schemaevo.kernel.queues import QueuesTold, QueueTold, queues_told

if TYPE_CHECKING:
    from schemaevo.kernel.pages.base import StoreAdmin


def queues_urls(model_admin: StoreAdmin) -> list[URLPattern]:
    """The page of queues, beside those of jobs."""
    view = model_admin.admin_site.admin_view(partial(queues_view, model_admin))
    return [path("queues/", view, name="kernel_job_queues")]


def queues_view(model_admin: StoreAdmin, request: HttpRequest) -> HttpResponse:
    """What each queue owes and holds, who serves it, and where the two do not agree."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    told = queues_told()
    return verb_page(
        model_admin,
        request,
        "admin/kernel/job/queues.html",
        title=_("Queues"),
        told=told,
        queues=[_shown(queue) for queue in told.queues],
        notices=_notices(told, is_paused=pause_seen(request) is not None),
        sweep_s=settings.SCHEMAEVO_SWEEP_INTERVAL_S,
    )


def _shown(queue: QueueTold) -> dict[str, Any]:
    return {
        "told": queue,
        "pending_url": _jobs(queue, JobState.PENDING),
        "running_url": _jobs(queue, JobState.RUNNING),
        "failed_url": _jobs(queue, JobState.FAILED),
    }


def _jobs(queue: QueueTold, state: JobState) -> str:
    return f"{reverse('admin:kernel_job_changelist')}?{urlencode({'queue': queue.queue.value, 'state': state.value})}"


def _notices(told: QueuesTold, *, is_paused: bool) -> list[tuple[str, str]]:
    """What is not as it should be, each with its tone and with what to do about it; the worst first."""
    notices = []
    if not told.is_reachable:
        notices.append(
            (
                "bad",
                _(
                    "Valkey does not answer, so no worker hears of new jobs. Nothing is lost: what is owed stands in"
                    " the ledger below, and the scheduler rings for it once Valkey is back. Start it, or look at"
                    " manage.py doctor."
                ),
            )
        )
    elif not any(scheduler.is_alive for scheduler in told.schedulers):
        notices.append(
            (
                "bad",
                _(
                    "No scheduler was heard of of late: nothing periodic is asked for, and a bell that was lost is not"
                    " rung again. Start manage.py schedule; manage.py sweep_jobs rings once."
                ),
            )
        )
    for queue in told.queues:
        notices += [] if is_paused else _of_queue(queue, is_reachable=told.is_reachable)
    return notices


def _of_queue(queue: QueueTold, *, is_reachable: bool) -> list[tuple[str, str]]:
    notices, named = [], {"queue": queue.queue.label}
    if is_reachable and not queue.workers and queue.owed.due:
        said = ngettext(
            "Nobody serves the queue %(queue)s, and %(n)s job waits in it. Start manage.py work.",
            "Nobody serves the queue %(queue)s, and %(n)s jobs wait in it. Start manage.py work.",
            queue.owed.due,
        )
        notices.append(("bad", said % {**named, "n": queue.owed.due}))
    sweep = timedelta(seconds=settings.SCHEMAEVO_SWEEP_INTERVAL_S)
    is_overdue = queue.owed.oldest_due_at is not None and timezone.now() - queue.owed.oldest_due_at > sweep
    if queue.bells is not None and is_overdue and not queue.bells.waiting and queue.workers:
        said = _(
            "Jobs wait in the queue %(queue)s, but no bell for them is in Valkey, which was perhaps restarted. The"
            " scheduler rings again within %(seconds)s s; manage.py sweep_jobs does so at once."
        )
        seconds = settings.SCHEMAEVO_SWEEP_INTERVAL_S * (SWEEPS_PER_BELL + 1)
        notices.append(("warn", said % {**named, "seconds": seconds}))
    if queue.owed.lost:
        said = ngettext(
            "%(n)s run of the queue %(queue)s was not heard of since its lease ended. The next sweep gives the job back"
            " to the queue; it goes on from its last batch.",
            "%(n)s runs of the queue %(queue)s were not heard of since their leases ended. The next sweep gives the"
            " jobs back to the queue; they go on from their last batches.",
            queue.owed.lost,
        )
        notices.append(("warn", said % {**named, "n": queue.owed.lost}))
    return notices
