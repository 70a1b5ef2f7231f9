"""Proposals are outdated with their base, in the transaction that changes it, and expire."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from registry.domain.proposal import State
from registry.models_proposals import Proposal
from registry.services import proposal_upkeep
from registry.services.activation import schema_activate, schema_deactivate, schema_retire
from registry.services.proposal_upkeep import proposals_expire, proposals_outdate
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.jobs import periodic_kinds, request_periodic, run_job
from schemaevo.kernel.models import Job, JobState
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_extension,
    make_login,
    make_user,
    make_version,
)
from tests.proposals.making import make_admin, make_base, make_draft, make_submitted, overdue
from tests.registry.trail import audited

pytestmark = pytest.mark.django_db


def state(proposal: Proposal) -> str:
    return Proposal.objects.get(pk=proposal.pk).state


def activate_another() -> None:
    make_base(k="string", other="string")


def deactivate() -> None:
    schema_deactivate(entity_type=THING, user_id=None, actor=SHELL, without_review="a test")


def retire() -> None:
    schema_retire(entity_type=THING, user_id=None, actor=SHELL, without_review="a test")


@pytest.mark.parametrize("change", [activate_another, deactivate, retire])
def test_whatever_changes_the_global_schema_outdates_the_proposals_of_its_type(
    change: Callable[[], None],
) -> None:
    make_base()
    make_version(document=make_definition(k="string"), entity_type="elsewhere")
    drafted, submitted, elsewhere = make_draft(), make_submitted(), make_draft(entity_type="elsewhere")
    with audited() as events:
        change()
    assert (state(drafted), state(submitted), state(elsewhere)) == (State.STALE, State.STALE, State.DRAFT)
    outdated = [event for event in events if event.action == "proposal.outdate"]
    assert [event.target_id for event in outdated] == [str(drafted.pk), str(submitted.pk)]
    assert [event.before for event in outdated] == [{"state": "draft"}, {"state": "in_review"}]
    assert {event.actor_name for event in outdated} == {SHELL.name}


def test_the_first_global_schema_outdates_what_would_have_made_it() -> None:
    proposal = make_draft()
    make_base()
    assert state(proposal) == State.STALE


def test_what_users_change_outdates_nothing() -> None:
    make_base()
    proposal = make_draft()
    make_extension(user=make_user(), document={"additional_fields": {"mine": {"type": "string"}}})
    make_version(document=make_definition(a="string"), entity_type="own", user=make_user())
    # What is registered and not in force changes nothing either, nor does what is in force already.
    make_version(document=make_definition(k="string", x="string"), is_active=False)
    make_base()
    assert state(proposal) == State.DRAFT


def test_an_activation_that_comes_to_nothing_outdates_nothing() -> None:
    base = make_base()
    proposal = make_draft()
    with audited() as events:
        schema_activate(version_id=base.pk, actor=SHELL)
    assert (state(proposal), events) == (State.DRAFT, [])


def test_the_proposal_by_which_it_is_changed_is_left_alone() -> None:
    make_base()
    applying, other = make_submitted(), make_submitted()
    Proposal.objects.filter(pk__in=[applying.pk, other.pk]).update(
        base_version=None, last_editor=make_admin()
    )
    assert proposals_outdate(entity_type=THING, actor=SHELL, applying=applying.pk) == 1
    assert (state(applying), state(other)) == (State.IN_REVIEW, State.STALE)


def test_what_waits_for_too_long_expires_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal_upkeep, "CHUNK", 2)
    make_base()
    late, early = [make_submitted() for _ in range(3)], make_submitted()
    draft = make_draft()
    for proposal in (*late, draft):
        overdue(proposal)
    with audited() as events:
        assert [proposals_expire(actor=SHELL) for _ in range(3)] == [2, 1, 0]
    assert {state(proposal) for proposal in late} == {State.EXPIRED}
    # A draft waits for nobody.
    assert (state(early), state(draft)) == (State.IN_REVIEW, State.DRAFT)
    assert [event.action for event in events] == ["proposal.expire"] * 3


def test_the_job_expires_them_on_its_schedule() -> None:
    make_base()
    proposal = make_submitted()
    overdue(proposal)
    assert "expire_proposals" in {kind.name for kind in periodic_kinds()}
    request_periodic("expire_proposals")
    job = Job.objects.get(kind="expire_proposals")
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (state(proposal), job.state, job.result) == (State.EXPIRED, JobState.DONE, {"expired": 1})


def test_not_everybody_ends_what_waits() -> None:
    with pytest.raises(Denied):
        proposals_expire(actor=Actor.login(make_login(role="operator")))


def test_what_has_time_left_does_not_expire() -> None:
    make_base()
    proposal = make_submitted()
    Proposal.objects.filter(pk=proposal.pk).update(expires_at=timezone.now() + timedelta(minutes=1))
    assert proposals_expire(actor=SHELL) == 0
