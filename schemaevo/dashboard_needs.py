"""What needs the login that looks at the first page: each thing it can act on, with the list behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from fragments.selectors_counting import Counting, counting
from fragments.selectors_runs import runs_waiting
from registry.domain.proposal import State
from registry.selectors_conflicts import conflicts_counted
from registry.selectors_waiting import owners_full, proposals_waiting, requests_waiting
from schemaevo.dashboard_health import Health
from schemaevo.kernel.job_control import MAY_CONTROL
from schemaevo.kernel.job_figures import QueueFigures, Waiting
from schemaevo.kernel.models import AuditEvent, JobState
from schemaevo.kernel.pages.rights import actor_of

MAY_ASK: Final = "registry.request_quota"
MAY_DECIDE_QUOTA: Final = "registry.decide_quota"
MAY_DECIDE: Final = "registry.decide_proposal"
MAY_EXTEND: Final = "registry.extend_schema"
MAY_INGEST: Final = "fragments.ingest"

#: Entity types whose conflicts stand here; the page of conflicts has all.
TYPES_SHOWN: Final = 5
#: The worst first.
_TONES: Final = ("bad", "warn", "busy")


@dataclass(frozen=True, slots=True)
class Need:
    """One line: how much of what waits, since when, the list behind it, and what to do about it.

    `count` is None where there is nothing to count, as of a server that is away; a large one is not exact.
    """

    key: str
    tone: str
    count: int | None
    oldest: datetime | None
    text: str
    advice: str
    url: str

    @property
    def shown_count(self) -> str:
        """The count, as far as it goes."""
        return "" if self.count is None else Waiting(self.count, self.oldest).in_words

    @property
    def version(self) -> str:
        """What makes it another line than it was, for those who watch; that it grows older does not."""
        return f"{self.key}:{self.shown_count}"


def needs_of(request: HttpRequest, health: Health, unreviewed: Sequence[AuditEvent]) -> list[Need]:
    """Everything that the login can act on, the worst first. The number of queries is the same for all it finds."""
    found = [
        *_away(request, health),
        *_wrong(request, health),
        *_governed(request),
        *_unreviewed(request, unreviewed),
    ]
    return sorted(found, key=lambda need: _TONES.index(need.tone))


def _counted(key: str, tone: str, waiting: Waiting, text: str, advice: str, url: str) -> Iterator[Need]:
    if waiting.count:
        yield Need(key, tone, waiting.count, waiting.oldest, text, advice, url)


def _away(request: HttpRequest, health: Health) -> Iterable[Need]:
    """Servers that are away, and work that nobody does; for those who look after jobs."""
    if not request.user.has_perm(MAY_CONTROL):
        return
    jobs = _list("kernel_job", state=JobState.PENDING)
    if not health.servers.is_redis_up:
        yield Need(
            "valkey",
            "bad",
            None,
            None,
            _("Valkey does not answer"),
            _("Start it. No work is lost: whatever is owed stands in the database and is rung for again."),
            jobs,
        )
        return
    if not health.servers.is_scheduled:
        yield Need(
            "scheduler",
            "bad",
            None,
            None,
            _("No scheduler was heard of"),
            _("Start one: manage.py schedule. Until then nothing periodic is asked for."),
            jobs,
        )
    if health.unserved and len(health.unserved) == len(health.queues):
        due = sum(queue.due for queue in health.unserved)
        pending = sum(queue.pending for queue in health.unserved)
        yield Need(
            "workers",
            "bad" if due else "warn",
            pending or None,
            min((queue.oldest_due_at for queue in health.unserved if queue.oldest_due_at), default=None),
            ngettext("job waits, and no worker runs", "jobs wait, and no worker runs", pending)
            if pending
            else _("No worker runs"),
            _("Start one: manage.py work."),
            jobs,
        )
        return
    for queue in health.unserved:
        yield _unserved(queue)


def _unserved(queue: QueueFigures) -> Need:
    named = {"queue": queue.queue.label}
    return Need(
        f"unserved-{queue.queue.value}",
        "bad" if queue.due else "warn",
        queue.pending or None,
        queue.oldest_due_at,
        ngettext(
            "job waits in the queue %(queue)s, which no worker serves",
            "jobs wait in the queue %(queue)s, which no worker serves",
            queue.pending,
        )
        % named
        if queue.pending
        else _("No worker serves the queue %(queue)s") % named,
        _("Start one for it: manage.py work."),
        _list("kernel_job", state=JobState.PENDING, queue=queue.queue),
    )


def _wrong(request: HttpRequest, health: Health) -> Iterable[Need]:
    """What failed, was interrupted, or is not what it should be."""
    may = request.user.has_perm
    wrong = health.wrong
    if may(MAY_CONTROL) and wrong is not None:
        yield from _counted(
            "jobs",
            "bad",
            wrong.waiting,
            ngettext("job went wrong: %(kinds)s", "jobs went wrong: %(kinds)s", wrong.waiting.count)
            % {"kinds": wrong.kinds_named},
            _("Read the error on the page of each, mend its cause, and retry it there."),
            _list("kernel_job", outcome="open"),
        )
    if may(MAY_CONTROL) and health.verified is not None and health.verified.diverging:
        kinds = health.verified.diverging
        yield Need(
            "divergence",
            "bad",
            None,
            None,
            _("What is stored diverges: %(kinds)s")
            % {"kinds": ", ".join(str(figures.label) for figures in kinds)},
            _("Find out what wrote the wrong state, then run manage.py verify --all --repair."),
            _list("kernel_verifyoutcome", outcome="left"),
        )
    if may(MAY_CONTROL) and may("fragments.view_rawfragmentaggregate") and counting() == Counting.FAILED:
        yield Need(
            "aggregates",
            "warn",
            None,
            None,
            _("Undeclared fields are not all counted"),
            _("A rebuild failed or was cancelled. Until one gets through, their figures may be wrong."),
            reverse("admin:fragments_rawfragmentaggregate_rebuild"),
        )
    if may(MAY_INGEST) and may("fragments.view_ingestrun"):
        runs = runs_waiting()
        yield from _counted(
            "runs",
            "warn",
            runs,
            ngettext("ingest run did not get through", "ingest runs did not get through", runs.count),
            _("Run the same file again: what is stored stays, and only what is missing is added."),
            _list("fragments_ingestrun", outcome="open"),
        )


def _governed(request: HttpRequest) -> Iterable[Need]:
    """What waits for a decision, or came back from one."""
    may = request.user.has_perm
    login = actor_of(request).user
    if login is not None and may("registry.view_proposal"):
        proposals = proposals_waiting(login=login)
        yield from _counted(
            "review",
            "busy",
            proposals.review,
            ngettext(
                "proposal waits for your review", "proposals wait for your review", proposals.review.count
            ),
            _("Look at the difference and the trial, then approve, ask for changes, or reject."),
            _list("registry_proposal", desk="review", state=State.IN_REVIEW),
        )
        yield from _counted(
            "apply",
            "busy",
            proposals.apply,
            ngettext(
                "approved proposal is not applied yet",
                "approved proposals are not applied yet",
                proposals.apply.count,
            ),
            _("Nothing is in force before it is applied."),
            _list("registry_proposal", state=State.APPROVED),
        )
        yield from _counted(
            "refused",
            "warn",
            proposals.refused,
            ngettext(
                "proposal could not be applied", "proposals could not be applied", proposals.refused.count
            ),
            _("Its page tells why. Apply it again, or have it changed."),
            _list("registry_proposal", state=State.FAILED),
        )
        yield from _came_back(proposals.mine)
    if may(MAY_DECIDE_QUOTA) and login is not None:
        requests = requests_waiting(login=login)
        yield from _counted(
            "requests",
            "busy",
            requests,
            ngettext(
                "upgrade request waits for a decision",
                "upgrade requests wait for a decision",
                requests.count,
            ),
            _("Approve as asked or less, or reject with a note."),
            _list("registry_quotarequest", state="pending", mine="0"),
        )
    if may(MAY_EXTEND):
        yield from _conflicts()
    if (may(MAY_ASK) or may(MAY_DECIDE_QUOTA)) and may("registry.view_userquota"):
        full = owners_full()
        yield from _counted(
            "full",
            "warn",
            full,
            ngettext("owner has used up a quota", "owners have used up a quota", full.count),
            _("They can declare nothing more. Ask for more, or have unused fields given back."),
            _list("registry_userquota", fullness="full"),
        )


def _unreviewed(request: HttpRequest, events: Sequence[AuditEvent]) -> Iterable[Need]:
    if request.user.has_perm(MAY_DECIDE):
        changes = Waiting.since([event.at for event in events])
        yield from _counted(
            "unreviewed",
            "warn",
            changes,
            ngettext(
                "global change was made without review",
                "global changes were made without review",
                changes.count,
            ),
            _("Read the reasons; where one does not hold, propose the reverse change."),
            "#unreviewed",
        )


def _conflicts() -> Iterable[Need]:
    """Users of whom something does not agree with a global schema, type by type, as they were counted last."""
    counted = conflicts_counted()
    for one in counted.open[:TYPES_SHOWN]:
        yield Need(
            f"conflicts-{one.entity_type}",
            "warn",
            one.owners,
            None,
            ngettext(
                "owner says what the global schema of %(type)s does not admit",
                "owners say what the global schema of %(type)s does not admit",
                one.owners,
            )
            % {"type": one.entity_type},
            _("Their data keeps working. Settle each conflict, or leave it as it is."),
            f"{reverse('admin:registry_extensionrevision_conflicts')}?{urlencode({'type': one.entity_type})}",
        )


def _came_back(mine: dict[State, Waiting]) -> Iterable[Need]:
    """What the login itself wrote, and has to take up again."""
    changes, stale, failed = mine[State.CHANGES_REQUESTED], mine[State.STALE], mine[State.FAILED]
    yield from _counted(
        "mine-changes",
        "busy",
        changes,
        ngettext("proposal of yours is to be changed", "proposals of yours are to be changed", changes.count),
        _("Read what the reviewers ask for, edit it, and submit it again."),
        _mine(State.CHANGES_REQUESTED),
    )
    yield from _counted(
        "mine-stale",
        "warn",
        stale,
        ngettext("proposal of yours is stale", "proposals of yours are stale", stale.count),
        _("Another version came into force. Rebase it, or withdraw it."),
        _mine(State.STALE),
    )
    yield from _counted(
        "mine-failed",
        "warn",
        failed,
        ngettext(
            "proposal of yours could not be applied", "proposals of yours could not be applied", failed.count
        ),
        _("Its page tells why. Edit it and submit it again."),
        _mine(State.FAILED),
    )


def _mine(state: State) -> str:
    return _list("registry_proposal", desk="mine", state=state)


def _list(view: str, **narrowed: str) -> str:
    # Choices are text as well, but write themselves in other ways.
    given = {name: str(getattr(value, "value", value)) for name, value in narrowed.items()}
    return f"{reverse(f'admin:{view}_changelist')}?{urlencode(given)}"
