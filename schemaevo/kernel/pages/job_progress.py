"""How far jobs are, how fast they go and how long they still take, in lists and on their pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from schemaevo.kernel.models import Job
from schemaevo.kernel.pages.display import NOTHING, amount, duration
from schemaevo.kernel.progress import job_pace


@dataclass(frozen=True, slots=True)
class Progress:
    """What is done of how much; `percent` where the end is known, `rate` and `left` in words where they are."""

    done: int
    total: int | None
    percent: int | None
    rate: str
    left: str

    @classmethod
    def of(cls, job: Job, now: datetime) -> Progress:
        """The progress of a job as its row tells it."""
        found = job_pace(job, now)
        return cls(
            done=job.done_count,
            total=job.total_count,
            percent=min(100, job.done_count * 100 // job.total_count) if job.total_count else None,
            rate="" if found is None else rate_in_words(found.per_s),
            left="" if found is None or found.left_s is None else duration(found.left_s),
        )


def rate_in_words(per_s: float) -> str:
    """A rate in the unit in which it is a number to read."""
    for unit, per_unit in ((_("%(n)s / s"), per_s), (_("%(n)s / min"), per_s * 60)):
        if per_unit >= 1:
            return unit % {"n": _readable(per_unit)}
    return _("%(n)s / h") % {"n": _readable(per_s * 3600)}


def _readable(number: float) -> str:
    return number_format(number, decimal_pos=0 if number >= 10 else 1, force_grouping=True)


def progress_shown(progress: Progress) -> SafeString:
    """How far work is, in a list: a bar where the end is known, else the count alone; and what time is left."""
    if progress.percent is None:
        return amount(progress.done) if progress.done else NOTHING
    left = _("%(duration)s left") % {"duration": progress.left} if progress.left else ""
    bar = format_html(
        '<span class="se-progress" title="{} / {}"><progress max="100" value="{}" aria-label="{}"></progress>'
        '<span class="se-number">{}&#8239;%</span></span>',
        progress.done,
        progress.total,
        progress.percent,
        _("progress"),
        progress.percent,
    )
    return format_html('<span>{}<span class="se-type">{}</span></span>', bar, left) if left else bar
