"""What recomputations passed over, on the pages of their jobs."""

from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.models import Job
from schemaevo.kernel.pages.display import NOTHING, code, moment, row_link, short
from schemaevo.kernel.pages.job_tables import JobTable, job_table_provider
from snapshots.selectors_failures import failures_of_job
from snapshots.services.observations import RECOMPUTE
from snapshots.services.recomputation import REFRESH


def failures_table(job: Job) -> JobTable | None:
    """The entities that a recomputation passed over, on the page of its job."""
    found = failures_of_job(job_id=job.pk)
    if not found.listed:
        return None
    return JobTable(
        name="failures",
        title=_("Could not be recomputed"),
        count=found.count,
        note=_("They were passed over and wait on. The next recomputation tries them again."),
        headings=(_("Entity"), _("Entity type"), _("Owner"), _("Error"), _("Where"), _("When")),
        rows=[
            (
                row_link("snapshots_entitysnapshot", told.failure.entity_id, short(told.entity_key)),
                told.failure.entity_type,
                short(told.owner),
                code(told.failure.code),
                code(told.failure.place) if told.failure.place else NOTHING,
                moment(told.failure.failed_at),
            )
            for told in found.listed
        ],
    )


for _kind in (RECOMPUTE, REFRESH):
    job_table_provider(_kind, failures_table)
