"""A job's row has marks of late, from which its pages tell how fast it goes: the work counts, and no rest does."""

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from schemaevo.kernel import jobs, leases
from schemaevo.kernel.jobs import count_towards
from schemaevo.kernel.models import Job, JobState
from schemaevo.kernel.progress import MARK_EVERY_S, job_pace

pytestmark = pytest.mark.django_db


@pytest.fixture
def lease(new_kind):
    """A job that a worker has begun, with 1,000 pieces to do."""
    found = leases.claim(jobs.job_request(kind=new_kind()).pk)
    assert found is not None
    found.set_total(1000)
    return found


def row(lease):
    return Job.objects.get(pk=lease.job_id)


def let_pass(lease, seconds):
    """The marks are so much older."""
    past = timedelta(seconds=seconds)
    Job.objects.filter(pk=lease.job_id).update(
        first_mark_at=F("first_mark_at") - past, last_mark_at=F("last_mark_at") - past
    )


def do(lease, count, cursor=None):
    with lease.batch() as batch:
        batch.done(count)
        batch.cursor = cursor


def marks(job):
    return job.first_mark_count, job.last_mark_count


def pace_after(job, seconds, *, at: datetime | None = None):
    return job_pace(job, (at or job.first_mark_at) + timedelta(seconds=seconds))


def test_a_job_that_starts_has_no_rate_until_it_counts(lease):
    assert marks(row(lease)) == (0, 0)
    assert pace_after(row(lease), 10) is None
    do(lease, 50)
    found = pace_after(row(lease), 10)
    assert (found.per_s, found.left_s) == (5, 190)


def test_the_rate_is_that_of_the_recent_past(lease):
    do(lease, 600)
    let_pass(lease, MARK_EVERY_S)
    do(lease, 10)
    assert marks(row(lease)) == (0, 610)
    do(lease, 1)
    assert marks(row(lease)) == (0, 610), "no mark is due yet"
    let_pass(lease, MARK_EVERY_S)
    do(lease, 9)
    assert marks(row(lease)) == (610, 620)
    assert pace_after(row(lease), 20).per_s == 0.5


def test_marks_cost_no_statement(lease):
    with CaptureQueriesContext(connection) as queries:
        do(lease, 1)
    said = [query["sql"] for query in queries if query["sql"].startswith(("UPDATE", "INSERT", "DELETE"))]
    assert len(said) == 1


def test_what_others_count_is_part_of_the_rate(lease):
    count_towards(lease.job_id, 30)
    do(lease, 20)
    assert pace_after(row(lease), 10).per_s == 5
    let_pass(lease, MARK_EVERY_S)
    count_towards(lease.job_id, 5)
    let_pass(lease, MARK_EVERY_S)
    count_towards(lease.job_id, 5)
    assert marks(row(lease)) == (55, 60)


def test_who_counts_before_the_job_has_started_sets_the_first_mark(new_kind):
    job = jobs.job_request(kind=new_kind())
    count_towards(job.pk, 7)
    job.refresh_from_db()
    assert marks(job) == (7, 7)


def test_a_rest_is_no_part_of_the_rate(lease):
    do(lease, 100, cursor=1)
    let_pass(lease, 3600)
    lease.give_back()
    assert pace_after(row(lease), 10) is None
    before = timezone.now()
    again = leases.claim(lease.job_id)
    assert marks(row(again)) == (100, 100)
    assert row(again).first_mark_at > before - timedelta(seconds=5)


def test_counting_again_from_nothing_begins_anew(lease):
    do(lease, 100, cursor=1)
    lease.begin_again()
    assert (row(lease).done_count, *marks(row(lease))) == (0, 0, 0)


def test_a_pass_that_goes_on_counting_begins_its_rate_anew(lease):
    do(lease, 100, cursor=1)
    lease.begin_pass(2, left=50)
    assert (row(lease).total_count, *marks(row(lease))) == (150, 100, 100)


@pytest.mark.parametrize("state", [state for state in JobState if state != JobState.RUNNING])
def test_what_does_not_run_goes_at_no_pace(lease, state):
    do(lease, 100)
    Job.objects.filter(pk=lease.job_id).update(state=state)
    assert pace_after(row(lease), 10) is None


def test_a_job_whose_worker_is_gone_goes_at_no_pace(lease):
    do(lease, 100)
    job = row(lease)
    assert pace_after(job, 10) is not None
    assert pace_after(job, 1, at=job.lease_expires_at) is None
