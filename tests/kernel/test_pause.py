"""One switch stops all ingest and all jobs between two batches, and nothing is lost."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from fragments.models import IngestRun, IngestState
from fragments.services.ingest import Input, ingest
from fragments.services.records import IngestOptions, jsonl_lines
from schemaevo.kernel import jobs
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Denied, Invalid
from schemaevo.kernel.jobs import Lease
from schemaevo.kernel.models import AuditEvent, Job, JobState, Pause
from schemaevo.kernel.pause import Paused, pause_now, store_pause, store_resume
from snapshots.models import Observation
from tests.factories import NOON, SHELL, THING, make_login, make_run, make_user
from tests.kernel.workload.kinds import note, notes
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db(transaction=True)


def said(command, *arguments):
    out = StringIO()
    call_command(command, *arguments, "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue().splitlines()[-1])


def actions() -> list[str]:
    return list(
        AuditEvent.objects.filter(target_type="store").order_by("id").values_list("action", flat=True)
    )


# --- the switch ------------------------------------------------------------------------------------------
def test_a_pause_tells_who_when_and_why_and_is_in_the_audit_log():
    pause = store_pause(actor=SHELL, reason="  the disk is being changed ")

    assert (pause.paused_by, pause.reason) == ("system:tests", "the disk is being changed")
    assert pause_now() == pause
    event = AuditEvent.objects.get(action="store.pause")
    assert (event.before, event.reason) == (None, "the disk is being changed")
    assert event.after["paused_at"] == pause.paused_at.isoformat()


def test_pausing_and_resuming_again_change_nothing():
    first = store_pause(actor=SHELL, reason="first")
    second = store_pause(actor=Actor.system("somebody else"), reason="second")

    assert (second.paused_at, second.reason, second.paused_by) == (first.paused_at, "first", "system:tests")
    assert (store_resume(actor=SHELL), store_resume(actor=SHELL)) == (True, False)
    assert pause_now() is None
    assert actions() == ["store.pause", "store.resume"]


def test_many_who_pause_at_once_make_one_pause():
    side_by_side([lambda: store_pause(actor=SHELL, reason="now")] * 4)

    assert (Pause.objects.count(), actions()) == (1, ["store.pause"])


def test_there_is_one_switch():
    with pytest.raises(IntegrityError), transaction.atomic():
        Pause.objects.create(id=2, paused_by="somebody")


@pytest.mark.parametrize("reason", ["x" * 501, "a\0b", "two\nlines", "half of \ud800 a pair"])
def test_a_reason_that_cannot_be_shown_is_refused(reason):
    with pytest.raises(Invalid) as refusal:
        store_pause(actor=SHELL, reason=reason)

    assert refusal.value.code == "reason_invalid"
    assert pause_now() is None


def test_a_login_needs_the_permission():
    actor = Actor.login(make_login())

    for switch in (store_pause, store_resume):
        with pytest.raises(Denied):
            switch(actor=actor)


def test_the_commands_switch_it():
    assert said("pause", "--reason", "backup")["reason"] == "backup"
    assert Pause.objects.get().paused_by.startswith("shell:")
    assert said("resume") == {"paused": False, "was_paused": True}
    assert said("resume") == {"paused": False, "was_paused": False}


# --- jobs ------------------------------------------------------------------------------------------------
def test_no_job_is_claimed_and_none_is_rung_for_until_somebody_resumes(new_kind, bells):
    ran: list[Lease] = []
    job = jobs.job_request(kind=new_kind(ran.append))
    store_pause(actor=SHELL)
    jobs.run_job(str(job.pk))  # the worker that answers the bell that rang before
    Job.objects.update(rung_at=None)

    assert jobs.sweep() == jobs.SweepResult(rung=0, expired=0)
    assert (ran, Job.objects.get().state) == ([], JobState.PENDING)

    waiting = len(bells())
    store_resume(actor=SHELL)
    assert bells()[waiting:] == [str(job.pk)]
    jobs.run_job(str(job.pk))
    assert (len(ran), Job.objects.get().state) == (1, JobState.DONE)


def test_a_running_job_gives_back_at_its_next_batch_and_goes_on_from_there(new_kind):
    def work(lease):
        for step in range(int(lease.cursor or 0) + 1, 4):
            with lease.batch() as batch:
                note(str(lease.job_id), step)
                batch.cursor = step
            if step == 2 and pause_now() is None and not actions():
                store_pause(actor=SHELL)

    job = jobs.job_request(kind=new_kind(work))
    jobs.run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.cursor, job.attempts, job.error) == (JobState.PENDING, 2, 0, "")

    store_resume(actor=SHELL)
    jobs.run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, notes(job.pk)) == (JobState.DONE, [1, 2, 3])


def test_a_resumption_that_is_rolled_back_rings_for_nothing(new_kind, bells):
    jobs.job_request(kind=new_kind())
    store_pause(actor=SHELL)
    before = bells()

    with transaction.atomic():
        store_resume(actor=SHELL)
        transaction.set_rollback(True)

    assert pause_now() is not None
    assert bells() == before


# --- ingest ----------------------------------------------------------------------------------------------
def test_ingest_is_refused_before_there_is_a_run():
    store_pause(actor=SHELL, reason="the disk is being changed")

    with pytest.raises(Paused) as refusal:
        make_run(records=[{"k": "1"}], user=make_user())

    assert (refusal.value.code, refusal.value.family) == ("paused", "conflict")
    assert "the disk is being changed" in refusal.value.message
    assert refusal.value.context["paused_by"] == "system:tests"
    assert IngestRun.objects.count() == 0


def test_a_running_ingest_ends_after_its_batch_and_is_completed_by_running_it_again():
    owner = make_user()
    lines = [b'{"k": "%d"}\n' % number for number in range(6)]

    def run(on_progress=lambda progress: None):
        return ingest(
            source=Input(jsonl_lines(iter(lines)), "stream", source_name="feed", default_observed_at=NOON),
            options=IngestOptions(entity_type=THING, key_field="k", user_id=owner.pk, batch_size=2),
            actor=SHELL,
            on_progress=on_progress,
        )

    with pytest.raises(Paused):
        run(on_progress=lambda progress: store_pause(actor=SHELL))
    stopped = IngestRun.objects.get()
    assert (stopped.state, stopped.error, stopped.record_count) == (IngestState.FAILED, "paused", 2)
    assert stopped.finished_at is not None

    store_resume(actor=SHELL)
    again = run()
    assert (again.observation_count, again.duplicate_count) == (4, 2)
    assert Observation.objects.count() == 6


def test_the_ingest_command_says_that_everything_is_paused(tmp_path):
    owner = make_user()
    path = tmp_path / "records.jsonl"
    path.write_text('{"k": "1"}\n')
    store_pause(actor=SHELL, reason="backup")

    with pytest.raises(CommandError, match=r"paused since .* by system:tests: backup") as refusal:
        call_command("ingest", str(path), entity_type=THING, user=str(owner.pk), key_field="k")

    assert refusal.value.returncode == 1
