"""Work is done: in batches that hold results and progress, fenced by a token, as often as it was wanted."""

from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from schemaevo.kernel import jobs, leases
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Conflict
from schemaevo.kernel.faults import error_text
from schemaevo.kernel.job_control import job_pause, job_resume
from schemaevo.kernel.jobs import Lease, LeaseLost
from schemaevo.kernel.models import AuditEvent, Job, JobState
from tests.kernel.workload.kinds import note, notes
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db(transaction=True)


def ask(kind, **options):
    return jobs.job_request(kind=kind, options=options)


def run(job):
    jobs.run_job(str(job.pk))
    job.refresh_from_db()
    return job


def steps(lease: Lease, upto: int) -> None:
    """Notes the steps after the cursor up to `upto`, one batch each."""
    reached = int(str(lease.cursor or 0))
    for step in range(reached + 1, upto + 1):
        with lease.batch() as batch:
            note(str(lease.job_id), step)
            batch.cursor = step
            batch.done(1)


def trail(job: Job) -> list[str]:
    """What the audit log says of the job, in order; each event begins in the state in which the last one ended."""
    events = list(AuditEvent.objects.filter(target_type="job", target_id=str(job.pk)).order_by("id"))
    state = "pending"
    for event in events:
        assert event.before["state"] == state
        state = event.after["state"]
    assert state == job.state
    return [event.action for event in events]


def test_every_change_of_state_is_in_the_audit_log(new_kind, settings):
    settings.SCHEMAEVO_RUN_BUDGET_S = 0
    job = ask(new_kind(lambda lease: steps(lease, 2)))
    run(job)
    run(job)
    assert trail(job) == ["job.start", "job.rest", "job.start", "job.finish"]


def test_a_job_that_ran_is_done_with_its_result(new_kind):
    job = run(ask(new_kind(lambda lease: {"sum": lease.options["a"] + 1}), a=2))

    assert (job.state, job.result, job.attempts, job.error) == (JobState.DONE, {"sum": 3}, 0, "")
    assert job.lease_token is None
    assert job.started_at <= job.finished_at
    event = AuditEvent.objects.get(action="job.finish")
    assert (event.target_id, event.actor_name) == (str(job.pk), "system:jobs")
    assert event.after == {"state": "done", "outcome": {"sum": 3}}


def test_batches_keep_results_cursor_and_progress(new_kind):
    def work(lease):
        lease.set_total(3)
        steps(lease, 3)

    job = run(ask(new_kind(work)))

    assert notes(job.pk) == [1, 2, 3]
    assert (job.cursor, job.done_count, job.total_count) == (3, 3, 3)


def test_a_batch_that_fails_leaves_nothing_behind(new_kind):
    def work(lease):
        steps(lease, 2)
        with lease.batch() as batch:
            note(str(lease.job_id), 99)
            batch.cursor = 99
            raise ZeroDivisionError

    job = run(ask(new_kind(work)))

    assert notes(job.pk) == [1, 2]
    assert (job.cursor, job.done_count, job.state) == (2, 2, JobState.PENDING)


def test_a_job_that_fails_at_one_place_rests_longer_each_time_until_it_has_failed(new_kind, settings):
    settings.SCHEMAEVO_JOB_MAX_ATTEMPTS = 3
    begun_at = []

    def work(lease):
        begun_at.append(lease.cursor)
        steps(lease, 2)
        # What moves no cursor is no progress.
        with lease.batch() as batch:
            batch.done(1)
        raise ValueError("no luck")

    job = ask(new_kind(work))
    rests = []
    for _ in range(2):
        before = timezone.now()
        run(job)
        assert job.state == JobState.PENDING
        rests.append(round((job.not_before - before).total_seconds()))
        run(job)  # not due yet: nothing happens
        Job.objects.filter(pk=job.pk).update(not_before=timezone.now())
    run(job)

    assert rests == [leases.retry_delay_s(1), leases.retry_delay_s(2)]
    assert begun_at == [None, 2, 2]
    assert (job.state, job.attempts) == (JobState.FAILED, 3)
    assert job.error == "ValueError: no luck"
    assert AuditEvent.objects.get(action="job.fail").after == {"state": "failed", "outcome": {"attempts": 3}}
    assert trail(job) == [*["job.start", "job.retry_later"] * 2, "job.start", "job.fail"]
    assert "no luck" not in str(list(AuditEvent.objects.values_list("before", "after")))


def test_failures_at_ever_other_places_are_no_failures_in_a_row(new_kind, settings):
    settings.SCHEMAEVO_JOB_MAX_ATTEMPTS = 2

    def work(lease):
        reached = int(str(lease.cursor or 0))
        steps(lease, reached + 1)
        if reached < 4:
            raise ValueError("no luck")

    job = ask(new_kind(work))
    rests = []
    for _ in range(4):
        before = timezone.now()
        run(job)
        assert (job.state, job.attempts) == (JobState.PENDING, 1)
        rests.append(round((job.not_before - before).total_seconds()))
        Job.objects.filter(pk=job.pk).update(not_before=timezone.now())
    run(job)

    assert rests == [leases.retry_delay_s(1)] * 4
    assert (job.state, job.attempts, job.cursor) == (JobState.DONE, 0, 5)


def test_a_job_that_gives_up_is_not_tried_again_by_itself(new_kind):
    def work(lease):
        steps(lease, 1)
        raise jobs.GivenUp("a person has to look")

    job = run(ask(new_kind(work)))

    assert (job.state, job.attempts, job.error) == (JobState.FAILED, 1, "GivenUp: a person has to look")
    assert trail(job) == ["job.start", "job.fail"]


def test_the_rest_between_attempts_is_bounded():
    assert [leases.retry_delay_s(n) for n in (1, 2, 3, 50)] == [5, 20, 80, 3600]


def test_any_error_can_be_stored(new_kind):
    text = error_text(ValueError("\0 \ud800" + "x" * 10_000))

    job = ask(new_kind())
    Job.objects.filter(pk=job.pk).update(error=text)

    assert text.startswith("ValueError: \\0 \\ud800xxx")
    assert Job.objects.get(pk=job.pk).error == text


def test_an_error_with_a_code_shows_it(new_kind):
    def work(lease):
        raise Conflict("already_decided", "Somebody was faster.")

    assert run(ask(new_kind(work))).error == "Conflict [already_decided]: Somebody was faster."


def test_a_kind_that_this_worker_does_not_know_is_a_failed_attempt(new_kind):
    job = ask(new_kind())
    Job.objects.filter(pk=job.pk).update(kind="of.a.newer.release")

    run(job)

    assert (job.state, job.attempts) == (JobState.PENDING, 1)
    assert "of.a.newer.release" in job.error


def test_passed_over_parts_show_in_the_final_state(new_kind):
    assert run(ask(new_kind(lambda lease: lease.mark_errors()))).state == JobState.COMPLETED_WITH_ERRORS


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.DONE, JobState.FAILED, JobState.CANCELLED])
def test_only_a_pending_job_is_run(new_kind, state):
    ran: list[Lease] = []
    job = ask(new_kind(ran.append))
    Job.objects.filter(pk=job.pk).update(state=state)

    run(job)

    assert (ran, job.state) == ([], state)


def test_a_bell_for_a_job_that_is_gone_does_nothing(new_kind):
    job = ask(new_kind())
    Job.objects.all().delete()

    jobs.run_job(str(job.pk))


def test_many_workers_at_one_bell_run_the_job_once(new_kind):
    ran = []
    job = ask(new_kind(lambda lease: ran.append(lease.job_id)))

    side_by_side([lambda: jobs.run_job(str(job.pk))] * 6)

    assert ran == [job.pk]


def test_work_asked_for_while_it_ran_is_run_again_from_the_beginning(new_kind):
    seen = []

    def work(lease):
        seen.append(lease.cursor)
        steps(lease, 2)
        if len(seen) == 1:
            ask(lease.kind)

    job = run(ask(new_kind(work)))

    assert seen == [None, None]
    assert notes(job.pk) == [1, 2, 1, 2]
    assert (job.state, job.wanted, job.done_count) == (JobState.DONE, 2, 2)


def test_work_asked_for_before_it_began_runs_once(new_kind):
    ran: list[Lease] = []
    kind = new_kind(ran.append)
    ask(kind)

    run(ask(kind))

    assert len(ran) == 1


def test_a_pass_that_goes_on_after_a_failure_has_not_seen_what_was_asked_for_meanwhile(new_kind):
    """What the second request is about may lie before the cursor: only a pass from the beginning sees it."""
    begun_at = []

    def work(lease):
        begun_at.append(lease.cursor)
        steps(lease, 1)
        if len(begun_at) == 1:
            ask(lease.kind)
            raise ValueError
        steps(lease, 2)

    job = run(ask(new_kind(work)))
    Job.objects.filter(pk=job.pk).update(not_before=timezone.now())
    run(job)

    assert begun_at == [None, 1, None]
    assert job.state == JobState.DONE


def test_a_finish_and_a_request_at_the_same_time_never_lose_the_request(new_kind):
    passes = []
    kind = new_kind(lambda lease: passes.append(Job.objects.get(pk=lease.job_id).wanted))
    for _ in range(20):
        passes.clear()
        job = ask(kind)
        _, again = side_by_side([partial(jobs.run_job, str(job.pk)), partial(ask, kind)])
        if again.pk == job.pk and passes[-1] < again.wanted:
            pytest.fail("the job ended without having seen the second request")
        run(again)
        assert again.state == JobState.DONE


def test_a_worker_that_lost_its_lease_writes_nothing_more(new_kind):
    first: list[Lease] = []

    def work(lease):
        if first:
            steps(lease, 2)
            return
        first.append(lease)
        steps(lease, 1)
        # It sleeps; its lease ends; another worker comes by and does the job.
        Job.objects.filter(pk=lease.job_id).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        jobs.run_job(str(lease.job_id))
        for write in (
            lambda: steps(lease, 99),
            lambda: lease.set_total(5),
            lease.renew,
            lease.give_back,
            lease.begin_again,
            lambda: lease.fail(ValueError()),
        ):
            with pytest.raises(LeaseLost):
                write()

    job = run(ask(new_kind(work)))

    assert notes(job.pk) == [1, 2]
    assert (job.state, job.cursor, job.total_count, job.attempts) == (JobState.DONE, 2, None, 0)


def test_two_workers_that_both_believe_to_have_the_job_cannot_both_write(new_kind):
    job = ask(new_kind())
    slow = leases.claim(job.pk)
    Job.objects.filter(pk=job.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert leases.expire(job.pk) == [job.pk]
    quick = leases.claim(job.pk)
    assert slow is not None
    assert quick is not None

    steps(quick, 1)
    with pytest.raises(LeaseLost):
        steps(slow, 3)
    assert slow.finish({"by": "slow"}) is False
    assert quick.finish({"by": "quick"}) is True

    job.refresh_from_db()
    assert (job.result, job.cursor, notes(job.pk)) == ({"by": "quick"}, 1, [1])


def test_a_lease_that_ran_out_unnoticed_still_counts(new_kind):
    def work(lease):
        with lease.batch() as batch:
            note(str(lease.job_id), 1)
            batch.done(1)
            Job.objects.filter(pk=lease.job_id).update(lease_expires_at=timezone.now() - timedelta(seconds=1))

    job = run(ask(new_kind(work)))

    assert (job.state, notes(job.pk)) == (JobState.DONE, [1])


def test_a_batch_renews_the_lease(new_kind):
    left = []

    def work(lease):
        for renew in (lease.renew, lambda: steps(lease, 1)):
            Job.objects.filter(pk=lease.job_id).update(lease_expires_at=timezone.now())
            renew()
            until = Job.objects.values_list("lease_expires_at", flat=True).get(pk=lease.job_id)
            assert until is not None
            left.append(until - timezone.now())

    run(ask(new_kind(work)))

    assert all(timedelta(seconds=50) < rest <= timedelta(seconds=60) for rest in left)


def test_a_job_paused_in_the_middle_of_a_batch_rolls_it_back_and_goes_on_when_resumed(new_kind):
    paused: list[Job] = []

    def work(lease):
        steps(lease, 1)
        if not paused:
            with lease.batch() as batch:
                note(str(lease.job_id), 2)
                batch.cursor = 2
                paused.extend(
                    side_by_side([lambda: job_pause(job_id=lease.job_id, actor=Actor.system("test"))])
                )
        steps(lease, 3)

    job = run(ask(new_kind(work)))
    assert (job.state, job.cursor, notes(job.pk)) == (JobState.PAUSED, 1, [1])

    job_resume(job_id=job.pk, actor=Actor.system("test"))
    run(job)
    assert (job.state, job.done_count, notes(job.pk)) == (JobState.DONE, 3, [1, 2, 3])


def test_a_run_that_used_up_its_time_goes_on_in_a_new_one(new_kind, settings, bells):
    settings.SCHEMAEVO_RUN_BUDGET_S = 0
    job = ask(new_kind(lambda lease: steps(lease, 3)))

    for done in (1, 2):
        run(job)
        assert (job.state, job.done_count, job.attempts) == (JobState.PENDING, done, 0)
    run(job)

    assert (job.state, notes(job.pk)) == (JobState.DONE, [1, 2, 3])
    assert bells() == [str(job.pk)] * 3


def test_a_run_goes_back_at_its_next_batch_when_its_worker_has_to_end(new_kind, bells):
    is_ending = []

    def work(lease):
        steps(lease, 2)
        is_ending.append(True)
        steps(lease, 3)

    job = ask(new_kind(work))
    jobs.run_job(str(job.pk), should_stop=lambda: bool(is_ending))
    job.refresh_from_db()

    assert (job.state, job.cursor, notes(job.pk)) == (JobState.PENDING, 2, [1, 2])
    assert bells() == [str(job.pk)] * 2
    run(job)
    assert (job.state, notes(job.pk)) == (JobState.DONE, [1, 2, 3])


def test_only_a_leased_job_makes_a_lease(new_kind):
    with pytest.raises(ValueError, match="not leased"):
        Lease(ask(new_kind()))
