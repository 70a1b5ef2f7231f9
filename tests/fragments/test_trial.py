"""The trial of a proposal: what it says, that it changes nothing, and what ends it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from fragments.domain.trial import Difference, Rate, Trial, trial_difference
from fragments.selectors_trials import applied_of
from fragments.services import backfill, trial
from fragments.services.backfill_runs import PROMOTE
from registry.domain.trial_values import VALUES, without_values
from registry.errors_proposals import ProposalNotFound, StaleContent, WrongState
from registry.models import Proposal, ProposalAct, ProposalTrial, TrialState
from registry.selectors_trials import trial_job, trial_live, trial_newest, trial_of
from registry.services.proposal_apply import proposal_apply
from registry.services.proposal_trials import trial_fail, trial_finish, trial_request
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject, canonical_json
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.job_control import job_cancel
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from schemaevo.kernel.pause import Paused, store_pause
from tests.factories import (
    SHELL,
    make_definition,
    make_extension,
    make_login,
    make_run,
    make_user,
    make_version,
)
from tests.fragments.trials import result_of, tried
from tests.permissions.scene import everything
from tests.proposals.approved import approve, make_proposal
from tests.proposals.standing import work
from tests.snapshots.deaths import Died

pytestmark = pytest.mark.django_db

SECRET = "sesame-41c9"
#: Tables of the trial itself: its row, its job with the log of that, and the audit of both.
OF_THE_TRIAL = {"schema_proposal_trials", "jobs", "job_log_lines", "audit_events"}
ADD_SIZE: JsonObject = {
    "op": "add_field",
    "field": "size",
    "declaration": {"type": "number", "converters": ["string_to_number"], "constraints": {"max": 90}},
}


@pytest.fixture
def admin() -> User:
    return make_login(role="schema_admin")


@pytest.fixture
def owners() -> dict[str, User]:
    """One owner who has the field already, one who has it otherwise, and two for whom it waits in fragments."""
    make_version(document=make_definition(k="string", colour="string"))
    found = {name: make_user(username=f"owner-{name}") for name in ("same", "other", "waits", "many")}
    for name, kind in (("same", "number"), ("other", "string")):
        make_extension(user=found[name], document={"additional_fields": {"size": {"type": kind}}})
    make_run(records=[{"k": "a", "size": 7}], user=found["same"])
    make_run(records=[{"k": "a", "size": "L"}], user=found["other"])
    sizes: list[Any] = [1, "2", "L", 99, None, [SECRET]]
    make_run(records=[{"k": f"e{n}", "size": size} for n, size in enumerate(sizes)], user=found["waits"])
    make_run(records=[{"k": f"e{n}", "size": n, "colour": SECRET} for n in range(20)], user=found["many"])
    work()
    return found


def as_login(user: User) -> Actor:
    return Actor.login(user)


def run(made: ProposalTrial, **options: Any) -> ProposalTrial:
    job = trial_job(made)
    assert job is not None
    run_job(str(job.pk), **options)
    made.refresh_from_db()
    return made


def edit(proposal: Proposal) -> None:
    """The proposal says something else."""
    edits: Any = [{"op": "remove_field", "field": "colour"}]
    Proposal.objects.filter(pk=proposal.pk).update(edits=edits, last_editor=proposal.author)


def stopping_after(batches: int) -> Callable[[], bool]:
    """A worker that has to end after so many batches; it is asked once before each."""
    left = batches

    def asked() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    return asked


def pages_of(users: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "USERS_AT_ONCE", users)


@pytest.mark.usefixtures("owners")
def test_a_trial_says_field_by_field_what_applying_would_do(admin: User) -> None:
    proposal = make_proposal(edits=[ADD_SIZE], author=admin)

    said = result_of(tried(proposal))

    counts, size = said.counts, said.fields["size"]
    assert (said.act, said.base_version, said.content_hash) == ("apply", "1.0.0", proposal.content_hash)
    assert [*said.fields] == ["size"]
    assert (size.users, size.absorbed, size.conflicts) == (3, 1, 1)
    assert (size.fits, size.converted, size.promoted) == (22, 1, 23)
    assert size.misfits == {"constraint": 1, "type_mismatch": 2}
    assert (counts.users, counts.extensions, counts.extensions_touched) == (4, 2, 1)
    assert (counts.quota_given_back, counts.adopted) == (1, 0)
    assert (counts.snapshots_recomputed, counts.snapshots_unchanged) == (27, 1)
    assert counts.users_changed == 3


@pytest.mark.usefixtures("owners")
def test_a_trial_changes_nothing_but_its_own_row(admin: User) -> None:
    proposal = make_proposal(edits=[ADD_SIZE, {"op": "remove_field", "field": "colour"}], author=admin)
    before = everything()

    assert tried(proposal, as_login(admin)).state == TrialState.DONE

    after = everything()
    assert {table for table in after if after[table] != before[table]} == OF_THE_TRIAL


@pytest.mark.usefixtures("owners")
def test_values_and_owners_stand_under_the_guarded_key_alone(admin: User, owners: dict[str, User]) -> None:
    edits: list[Any] = [ADD_SIZE, {"op": "remove_field", "field": "colour"}]
    made = tried(make_proposal(edits=edits, author=admin))

    assert SECRET in canonical_json(made.result[VALUES])
    hidden = canonical_json(without_values(made.result))
    assert SECRET not in hidden
    assert VALUES not in hidden
    for owner in owners.values():
        assert owner.username not in hidden
    assert result_of(made).without_values.to_json() == {**made.result, VALUES: []}
    assert Trial.from_json(made.result) == Trial.from_json(result_of(made).to_json())
    # What everybody reads of jobs and in the audit log.
    rows = [*Job.objects.values_list("cursor", "result"), *AuditEvent.objects.values_list("before", "after")]
    assert SECRET not in str([row for row in rows if row])


def test_a_sample_shows_few_entities_of_many_users_and_the_same_again(
    admin: User, owners: dict[str, User]
) -> None:
    proposal = make_proposal(edits=[ADD_SIZE], author=admin)
    sample = result_of(tried(proposal)).sample

    assert len(sample) == 10
    # In turn, as long as a user has some: those with fragments before the one who only loses an own declaration.
    assert {one.user_id for one in sample[:2]} == {owners["waits"].pk, owners["many"].pk}
    changed = [one for one in sample if one.user_id == owners["many"].pk]
    for one in changed:
        before, after = one.fields["size"]
        assert not before.is_there
        assert after.value == int(one.entity_key.removeprefix("e"))
    assert result_of(tried(proposal)).sample == sample


def test_long_values_are_told_by_their_length(admin: User, owners: dict[str, User]) -> None:
    make_run(records=[{"k": f"e{n}", "size": "x" * 3_000} for n in range(20)], user=owners["many"])
    text: JsonObject = {"op": "add_field", "field": "size", "declaration": {"type": "string"}}
    made = tried(make_proposal(edits=[text], author=admin))
    lengths = [one.fields["size"][1].length for one in result_of(made).sample]
    assert 3_002 in lengths
    assert "xxx" not in canonical_json(made.result)


def test_own_schemas_would_be_adopted_where_there_is_no_global_one(admin: User) -> None:
    owner = make_user()
    make_version(document=make_definition(k="string", size="number"), user=owner)
    make_run(records=[{"k": "a", "size": 1}], user=owner)
    work()

    said = result_of(tried(make_proposal(edits=[ADD_SIZE], author=admin)))

    assert said.base_version is None
    assert (said.counts.adopted, said.counts.quota_given_back) == (1, 1)
    assert said.fields["size"].absorbed == 1


@pytest.mark.usefixtures("owners")
def test_a_trial_that_dies_between_pages_goes_on_where_it_was(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposal = make_proposal(edits=[ADD_SIZE], author=admin)
    pages_of(1, monkeypatch)
    monkeypatch.setattr(backfill, "PAGE_FRAGMENTS", 3)
    monkeypatch.setattr(trial, "FRAGMENTS_AT_ONCE", 1)
    whole = result_of(tried(proposal))
    real, calls = backfill.fragments_foreseen, 0

    def doomed(**options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (2, 5):
            raise Died
        return real(**options)

    monkeypatch.setattr(trial, "fragments_foreseen", doomed)
    made = trial_request(proposal_id=proposal.pk, actor=as_login(admin))
    for _ in range(2):
        with pytest.raises(Died):
            run(made)
        assert trial_job(made).cursor is not None  # type: ignore[union-attr]
        Job.objects.filter(state=JobState.RUNNING).update(lease_expires_at="2020-01-01T00:00:00Z")

    assert run(made).state == TrialState.DONE
    again = result_of(made)
    assert again.counts == whole.counts
    assert again.fields == whole.fields
    assert again.sample == whole.sample
    job = trial_job(made)
    assert job is not None
    assert (job.done_count, job.total_count) == (4, 4)


@pytest.mark.usefixtures("owners")
def test_a_trial_of_what_was_edited_meanwhile_fails(admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    pages_of(1, monkeypatch)
    proposal = make_proposal(edits=[ADD_SIZE], author=admin)
    made = trial_request(proposal_id=proposal.pk, actor=as_login(admin))
    assert run(made, should_stop=stopping_after(4)).state == TrialState.RUNNING

    edit(proposal)

    assert run(made).state == TrialState.FAILED
    assert (made.error, made.result) == ("stale_content", {})
    assert trial_of(Proposal.objects.get()) is None
    event = AuditEvent.objects.filter(action="proposal.tried").latest("id")
    assert event.after is not None
    assert (event.after["state"], event.after["error"]) == ("failed", "stale_content")


@pytest.mark.usefixtures("owners")
def test_a_trial_of_another_base_fails(admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    pages_of(1, monkeypatch)
    proposal = make_proposal(edits=[ADD_SIZE], author=admin)
    made = trial_request(proposal_id=proposal.pk, actor=as_login(admin))
    run(made, should_stop=stopping_after(4))

    make_version(document=make_definition(k="string", colour="string", weight="number"))

    assert run(made).error == "stale_content"


@pytest.mark.usefixtures("owners")
def test_nothing_is_kept_of_content_that_changed_before_the_end(admin: User) -> None:
    proposal = make_proposal(edits=[ADD_SIZE], author=admin)
    made = trial_request(proposal_id=proposal.pk, actor=as_login(admin))
    edit(proposal)
    with pytest.raises(StaleContent):
        trial_finish(trial_id=made.pk, result={"format": 1})
    made.refresh_from_db()
    assert made.state == TrialState.WAITING


def test_what_could_not_be_applied_cannot_be_tried_to_its_end(admin: User) -> None:
    make_version(document=make_definition(k="string", colour={"type": "string", "required": True}))
    proposal = make_proposal(edits=[{"op": "remove_field", "field": "colour"}], author=admin)
    call_command("set_compatibility", "thing", "FULL", stdout=io.StringIO())

    made = tried(proposal)

    assert (made.state, made.error) == (TrialState.FAILED, "incompatible_change")


@pytest.mark.usefixtures("owners")
def test_asking_again_gives_the_trial_that_waits_and_later_another(admin: User) -> None:
    proposal = make_proposal(edits=[ADD_SIZE], author=admin)
    first = trial_request(proposal_id=proposal.pk, actor=as_login(admin))
    assert trial_request(proposal_id=proposal.pk, actor=as_login(admin)) == first
    assert trial_live(proposal) == first
    assert AuditEvent.objects.filter(action="proposal.try").count() == 1

    assert run(first).state == TrialState.DONE
    assert trial_of(proposal) == first
    second = trial_request(proposal_id=proposal.pk, actor=as_login(admin))

    assert second != first
    assert (trial_of(proposal), trial_newest(proposal)) == (first, second)
    assert run(second).state == TrialState.DONE
    assert trial_of(proposal) == second


def test_a_trial_whose_job_was_cancelled_goes_on_for_who_asks_again(admin: User) -> None:
    make_version(document=make_definition(k="string"))
    proposal = make_proposal(edits=[ADD_SIZE], author=admin)
    made = trial_request(proposal_id=proposal.pk, actor=as_login(admin))
    job = trial_job(made)
    assert job is not None
    job_cancel(job_id=job.pk, actor=SHELL)
    assert run(made).state == TrialState.WAITING

    assert trial_request(proposal_id=proposal.pk, actor=as_login(admin)) == made
    assert run(made).state == TrialState.DONE


def test_an_end_comes_once(admin: User) -> None:
    make_version(document=make_definition(k="string"))
    made = tried(make_proposal(edits=[ADD_SIZE], author=admin))
    trial_fail(trial_id=made.pk, error="too_late")
    trial_finish(trial_id=made.pk, result={})
    made.refresh_from_db()
    assert made.state == TrialState.DONE
    assert result_of(made).fields
    with pytest.raises(IntegrityError, match="stays as it is"), transaction.atomic():
        ProposalTrial.objects.filter(pk=made.pk).update(result={})


def test_who_may_not_propose_and_what_is_over_gets_no_trial(admin: User) -> None:
    make_version(document=make_definition(k="string"))
    proposal = make_proposal(edits=[ADD_SIZE], author=admin)
    with pytest.raises(Denied) as nobody:
        trial_request(proposal_id=proposal.pk, actor=SHELL)
    assert nobody.value.code == "login_needed"
    with pytest.raises(Denied) as operator:
        trial_request(proposal_id=proposal.pk, actor=as_login(make_login(role="operator")))
    assert operator.value.code == "permission_denied"
    with pytest.raises(ProposalNotFound):
        trial_request(proposal_id=0, actor=as_login(admin))
    Proposal.objects.filter(pk=proposal.pk).update(state="withdrawn")
    with pytest.raises(WrongState) as over:
        trial_request(proposal_id=proposal.pk, actor=as_login(admin))
    assert over.value.code == "wrong_state"
    assert not ProposalTrial.objects.exists()


@pytest.mark.usefixtures("owners")
def test_the_estimate_goes_by_the_last_jobs_that_did_enough(admin: User) -> None:
    proposal = make_proposal(edits=[ADD_SIZE], author=admin)
    Job.objects.filter(kind=PROMOTE).delete()
    assumed = result_of(tried(proposal)).estimate
    assert assumed.promotion == Rate(26, 3_000, is_measured=False)
    assert assumed.recomputation.count == 27

    Job.objects.create(
        kind=PROMOTE,
        target="thing",
        queue="recompute",
        state=JobState.DONE,
        done_count=1_200,
        started_at="2024-05-01T12:00:00Z",
        finished_at="2024-05-01T12:10:00Z",
    )
    measured = result_of(tried(proposal)).estimate
    assert measured.promotion == Rate(26, 2, is_measured=True)
    assert measured.seconds == 13 + measured.recomputation.seconds


# --- what comes after -------------------------------------------------------------------------------------------------
def applied(edits: list[Any], admin: User) -> tuple[Proposal, Trial]:
    """A proposal that was tried, approved and applied, and what the trial had said; jobs are still owed."""
    proposal = make_proposal(edits=edits, author=admin)
    said = result_of(tried(proposal))
    approve(proposal=proposal)
    return proposal_apply(proposal_id=proposal.pk, actor=as_login(admin)), said


def test_what_arrives_in_between_is_the_difference(admin: User, owners: dict[str, User]) -> None:
    proposal = make_proposal(edits=[ADD_SIZE], author=admin)
    said = result_of(tried(proposal))
    make_run(records=[{"k": "late", "size": 5}, {"k": "later", "size": "6"}], user=owners["waits"])
    approve(proposal=proposal)
    proposal = proposal_apply(proposal_id=proposal.pk, actor=as_login(admin))
    assert not applied_of(proposal=proposal, act=ProposalAct.APPLY).is_over
    work()
    proposal.refresh_from_db()

    done = applied_of(proposal=proposal, act=ProposalAct.APPLY)

    assert done.is_over
    assert trial_difference(said, done) == (
        Difference("size", "promoted", 23, 25),
        Difference("size", "converted", 1, 2),
        Difference("", "snapshots_recomputed", 27, 29),
    )


@pytest.mark.usefixtures("owners")
def test_of_what_is_applied_undoing_is_tried(admin: User) -> None:
    proposal, said = applied([ADD_SIZE], admin)
    work()

    made = tried(proposal, as_login(admin))

    assert (made.state, made.act) == (TrialState.DONE, ProposalAct.UNDO)
    back, size = result_of(made), result_of(made).fields["size"]
    assert (back.base_version, back.changes["size"]) == ("1.1.0", "removed")
    assert (size.given_back, size.taken_back, size.promoted) == (1, said.fields["size"].promoted, 0)
    assert (back.counts.quota_taken, back.counts.extensions_touched) == (1, 1)
    assert back.counts.snapshots_recomputed == said.counts.snapshots_recomputed
    assert trial_of(proposal) == made
    before = trial_of(proposal, ProposalAct.APPLY)
    assert before is not None
    assert before.act == ProposalAct.APPLY


@pytest.mark.usefixtures("owners")
def test_what_a_later_version_forbids_to_undo_is_not_tried_to_its_end(admin: User) -> None:
    proposal, _ = applied([ADD_SIZE], admin)
    work()
    make_version(document=make_definition(k="string", size="number"))
    assert tried(proposal, as_login(admin)).error == "stale_content"


# --- the command ------------------------------------------------------------------------------------------------------
def command(*arguments: str) -> tuple[str, dict[str, Any]]:
    """What `try_proposal` told people, and its result."""
    out, told = io.StringIO(), io.StringIO()
    call_command("try_proposal", *arguments, "--json", stdout=out, stderr=told)
    return told.getvalue(), json.loads(out.getvalue().splitlines()[-1])


@pytest.mark.usefixtures("owners")
def test_the_command_makes_the_trial_and_tells_its_numbers(admin: User) -> None:
    proposal = make_proposal(edits=[ADD_SIZE], author=admin)

    told, result = command(str(proposal.pk), "--as", admin.username, "--wait")

    assert "would concern 3 of 4 users: 1 extensions, 27 snapshots" in told
    assert "size (added): 1 absorbed, 1 in conflict, 22 fragments fit, 1 are converted, 3 do not fit." in told
    made = ProposalTrial.objects.get()
    assert result["state"] == "done"
    assert result["result"] == without_values(made.result)
    assert (made.act, made.asked_by) == (ProposalAct.APPLY, admin)
    assert SECRET not in told + str(result)


def test_the_command_asks_without_waiting_for_an_answer(admin: User) -> None:
    make_version(document=make_definition(k="string"))
    proposal = make_proposal(edits=[ADD_SIZE], author=admin)
    told, result = command(str(proposal.pk), "--as", admin.username)
    assert (result["state"], result["result"]) == ("waiting", {})
    assert "a job makes it" in told
    store_pause(actor=SHELL)
    with pytest.raises(CommandError) as paused:
        command(str(proposal.pk), "--as", admin.username, "--wait")
    assert isinstance(paused.value.__cause__, Paused)


def test_the_command_fails_with_the_trial(admin: User) -> None:
    make_version(document=make_definition(k="string", colour={"type": "string", "required": True}))
    proposal = make_proposal(edits=[{"op": "remove_field", "field": "colour"}], author=admin)
    call_command("set_compatibility", "thing", "FULL", stdout=io.StringIO())
    with pytest.raises(SystemExit) as failed:
        command(str(proposal.pk), "--as", admin.username, "--wait")
    assert failed.value.code == 1
    with pytest.raises(CommandError) as unknown:
        command("0", "--as", admin.username)
    assert unknown.value.returncode == 2
