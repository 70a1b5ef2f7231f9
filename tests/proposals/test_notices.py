"""Logins are told by mail what happens to the proposals that concern them: once, after the commit, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.utils import timezone

from registry.domain.proposal import State
from registry.models import Proposal, ProposalNews, ProposalNotice
from registry.services.proposal_apply import proposal_apply, proposal_undo
from registry.services.proposal_notices import MAIL, notices_owe
from registry.services.proposal_reviews import proposal_reject, proposal_request_changes
from registry.services.proposal_upkeep import proposals_expire
from registry.services.proposals import proposal_comment, proposal_edit, proposal_submit
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.jobs import job_request, periodic_kinds, run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from schemaevo.kernel.retention import ledgers_overdue, ledgers_registered
from tests.factories import SHELL, make_login
from tests.proposals.making import (
    adding,
    approve,
    make_base,
    make_draft,
    make_found,
    make_submitted,
    make_trial,
    overdue,
)

pytestmark = pytest.mark.django_db

#: Stands in a comment and in a note, which are no part of a mail.
SECRET = "sesame-7f31"


@pytest.fixture(autouse=True)
def base() -> None:
    make_base()


@pytest.fixture
def ann() -> User:
    """Writes proposals."""
    return make_login(role="schema_admin", email="ann@example.org")


@pytest.fixture
def bob() -> User:
    """Decides about them."""
    return make_login(role="schema_admin", email="bob@example.org")


def owed() -> list[tuple[str, str]]:
    """What logins are to be told and were not."""
    found = ProposalNotice.objects.filter(mailed_at__isnull=True).order_by("pk")
    return [(notice.login.email.partition("@")[0], notice.kind) for notice in found]


def post() -> Job:
    """The job that mails, run as a worker does."""
    job = job_request(kind=MAIL)
    run_job(str(job.pk))
    job.refresh_from_db()
    return job


def post_all() -> None:
    """What is owed up to here is told."""
    post()
    mail.outbox.clear()


def submitted(author: User) -> Proposal:
    """A proposal in review, of which everybody was told."""
    proposal = make_submitted(author=author)
    post_all()
    return proposal


# --- whom it concerns --------------------------------------------------------------------------------------
def test_a_review_concerns_those_who_may_decide_and_did_not_write_it(ann: User, bob: User) -> None:
    root = make_login(is_superuser=True, email="root@example.org")
    make_login(role="schema_admin")  # has no address
    make_login(role="viewer", email="viewer@example.org")
    make_login(role="schema_admin", email="gone@example.org", is_active=False)
    User.objects.create(username="owner", email="owner@example.org", is_superuser=True)  # does not sign in
    proposal = make_draft(author=ann)
    assert owed() == []
    proposal_submit(proposal_id=proposal.pk, actor=Actor.login(ann))
    assert owed() == [("bob", "in_review"), ("root", "in_review")]
    # Once more it is the same, and owed once.
    proposal_submit(proposal_id=proposal.pk, actor=Actor.login(ann))
    assert len(owed()) == 2
    assert root.pk in ProposalNotice.objects.values_list("login", flat=True)


def test_whoever_edited_it_last_is_not_asked_to_review_it(ann: User, bob: User) -> None:
    proposal = make_draft(author=ann)
    proposal_edit(proposal_id=proposal.pk, actor=Actor.login(bob), edits=adding("weight"))  # type: ignore[arg-type]
    proposal_submit(proposal_id=proposal.pk, actor=Actor.login(ann))
    assert owed() == []


def test_an_edit_of_what_was_approved_asks_for_another_review(ann: User, bob: User) -> None:
    proposal = approve(submitted(ann), bob)
    post_all()
    proposal_edit(proposal_id=proposal.pk, actor=Actor.login(ann), edits=adding("weight"))  # type: ignore[arg-type]
    assert owed() == [("bob", "in_review")]


def test_what_leaves_it_in_review_asks_nobody_again(ann: User, bob: User) -> None:
    proposal = submitted(ann)
    Proposal.objects.filter(pk=proposal.pk).update(required_approvals=2)
    approve(proposal, bob)
    proposal_edit(proposal_id=proposal.pk, actor=Actor.login(ann), edits=adding("weight"))  # type: ignore[arg-type]
    assert owed() == []


def _changes(proposal: Proposal, by: Actor) -> None:
    proposal_request_changes(
        proposal_id=proposal.pk, actor=by, content_hash=proposal.content_hash, note=SECRET
    )


def _reject(proposal: Proposal, by: Actor) -> None:
    proposal_reject(proposal_id=proposal.pk, actor=by, content_hash=proposal.content_hash, note=SECRET)


def _approve(proposal: Proposal, by: Actor) -> None:
    assert by.user is not None
    approve(proposal, by.user)


def _expire(proposal: Proposal, by: Actor) -> None:
    overdue(proposal)
    proposals_expire(actor=SHELL)


def _outdate(proposal: Proposal, by: Actor) -> None:
    make_base(k="string", other="string")


def _comment(proposal: Proposal, by: Actor) -> None:
    proposal_comment(proposal_id=proposal.pk, actor=by, text=SECRET)


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (_changes, "changes_requested"),
        (_approve, "approved"),
        (_reject, "rejected"),
        (_expire, "expired"),
        (_outdate, "stale"),
        (_comment, "commented"),
    ],
)
def test_what_becomes_of_it_concerns_whoever_wrote_it(
    ann: User, bob: User, act: Callable[[Proposal, Actor], None], kind: str
) -> None:
    proposal = submitted(ann)
    act(proposal, Actor.login(bob))
    assert owed() == [("ann", kind)]
    post()
    (message,) = mail.outbox
    assert message.to == ["ann@example.org"]
    assert SECRET not in message.subject + str(message.body)


def test_applying_and_undoing_it_is_told(ann: User, bob: User) -> None:
    proposal = approve(submitted(ann), bob)
    post_all()
    proposal_apply(proposal_id=proposal.pk, actor=Actor.login(bob))
    proposal_undo(proposal_id=proposal.pk, actor=Actor.login(bob))
    assert owed() == [("ann", "applied"), ("ann", "undone")]
    # Whoever does it oneself knows.
    other = approve(submitted(ann), bob)
    post_all()
    proposal_apply(proposal_id=other.pk, actor=Actor.login(ann))
    assert owed() == []


def test_a_comment_concerns_all_who_had_a_say(ann: User, bob: User) -> None:
    cid, dora = (make_login(role="schema_admin", email=f"{name}@example.org") for name in ("cid", "dora"))
    proposal = submitted(ann)
    approve(proposal, bob)
    post_all()
    for login, told in ((cid, ["ann", "bob"]), (ann, ["bob", "cid"]), (dora, ["ann", "bob", "cid"])):
        proposal_comment(proposal_id=proposal.pk, actor=Actor.login(login), text=f"from {login}")
        assert sorted(owed()) == [(name, "commented") for name in told]
        post_all()


def test_of_what_an_analysis_found_nobody_is_told_until_it_has_an_author(ann: User, bob: User) -> None:
    found = make_found()
    make_base(k="string", other="string")
    found.refresh_from_db()
    assert (found.state, owed()) == (State.STALE, [])


def test_whoever_may_not_see_proposals_any_more_is_not_told(ann: User, bob: User) -> None:
    proposal = submitted(ann)
    ann.groups.clear()
    _changes(proposal, Actor.login(bob))
    assert owed() == []


def test_turned_off_nobody_is_told(ann: User, bob: User, settings: Any) -> None:
    settings.SCHEMAEVO_PROPOSAL_MAIL = False
    make_submitted(author=ann)
    assert owed() == []
    assert not Job.objects.filter(kind=MAIL).exists()


# --- how it goes out ---------------------------------------------------------------------------------------
def test_what_is_told_is_written_with_what_happened_or_not_at_all(ann: User, bob: User) -> None:
    proposal = make_draft(author=ann)
    make_trial(proposal=proposal)
    with transaction.atomic():
        proposal_submit(proposal_id=proposal.pk, actor=Actor.login(ann))
        assert owed() == [("bob", "in_review")]
        transaction.set_rollback(True)
    assert owed() == []
    assert not Job.objects.filter(kind=MAIL).exists()
    proposal_submit(proposal_id=proposal.pk, actor=Actor.login(ann))
    assert Job.objects.get(kind=MAIL).state == JobState.PENDING


def test_one_mail_tells_a_login_of_all_that_happened(ann: User, bob: User, settings: Any) -> None:
    settings.SCHEMAEVO_BASE_URL = "https://schemas.example.org"
    first, second = make_submitted(author=ann), make_submitted(author=ann)
    assert post().result == {"mailed": 2}
    (message,) = mail.outbox
    assert message.to == ["bob@example.org"]
    assert message.subject == (
        f"[schemaevo] Proposal {first.pk} waits for your review: More fields (and 1 more)"
    )
    for proposal in (first, second):
        assert f"Proposal {proposal.pk} for thing: More fields" in message.body
        assert f"https://schemas.example.org/admin/registry/proposal/{proposal.pk}/change/" in message.body
    assert f"It waits for your review ({ann}, " in message.body
    assert post().result == {"mailed": 0}
    assert len(mail.outbox) == 1


def test_what_is_too_much_for_one_mail_goes_into_the_next(
    ann: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.jobs.NOTICES_PER_MAIL", 2)
    proposals = [make_submitted(author=ann) for _n in range(3)]
    assert post().result == {"mailed": 3}
    told = [str(message.body) for message in mail.outbox]
    assert [sum(f"Proposal {one.pk} " in body for one in proposals) for body in told] == [2, 1]


def test_without_an_address_of_the_pages_a_mail_says_where_to_look(ann: User, bob: User) -> None:
    proposal = make_submitted(author=ann)
    post()
    (message,) = mail.outbox
    assert f"show_proposal {proposal.pk}" in message.body
    assert "://" not in message.body


def test_a_mail_that_nobody_takes_now_is_sent_later_and_the_job_says_why(
    ann: User, bob: User, settings: Any
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # nobody listens
    make_submitted(author=ann)
    job = post()
    assert (job.state, job.attempts) == (JobState.PENDING, 1)
    assert "ConnectionRefusedError" in job.error
    assert owed() == [("bob", "in_review")]
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    Job.objects.filter(pk=job.pk).update(not_before=timezone.now())
    run_job(str(job.pk))
    assert [message.to for message in mail.outbox] == [["bob@example.org"]]
    assert owed() == []


def test_an_address_that_is_refused_keeps_nobody_else_from_their_mail(ann: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = "tests.proposals.post.ChoosyPost"
    for name in ("nobody", "bob"):
        make_login(role="schema_admin", email=f"{name}@example.org")
    make_submitted(author=ann)
    job = post()
    assert (job.state, job.attempts) == (JobState.PENDING, 1)
    assert "SMTPRecipientsRefused" in job.error
    assert [message.to for message in mail.outbox] == [["bob@example.org"]]
    assert owed() == [("nobody", "in_review")]


def test_a_worker_that_dies_after_a_mail_loses_none(ann: User, bob: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = "tests.proposals.post.LastPost"
    make_submitted(author=ann)
    job = post()
    assert (job.state, owed()) == (JobState.PENDING, [("bob", "in_review")])
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    run_job(str(job.pk))
    # It was told twice, and is not told again.
    assert [message.to for message in mail.outbox] == [["bob@example.org"]] * 2
    assert owed() == []


def test_whoever_left_meanwhile_gets_no_mail(ann: User, bob: User) -> None:
    make_submitted(author=ann)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert post().result == {"mailed": 0}
    assert mail.outbox == []


def test_the_same_event_is_told_once(ann: User, bob: User) -> None:
    proposal = make_submitted(author=ann)
    event = AuditEvent.objects.filter(action="proposal.submit").latest("pk")
    notices_owe(news=ProposalNews.IN_REVIEW, happened=[(proposal, event)])
    assert owed() == [("bob", "in_review")]


def test_it_is_looked_for_by_itself() -> None:
    assert MAIL in {kind.name for kind in periodic_kinds()}


# --- and goes ----------------------------------------------------------------------------------------------
def test_old_notices_go_once_they_were_mailed_or_can_be_mailed_to_nobody(ann: User, bob: User) -> None:
    (ledger,) = (ledger for ledger in ledgers_registered() if ledger.name == "proposal_notices")
    submitted(ann)
    gone = make_login(role="schema_admin", email="gone@example.org")
    make_submitted(author=ann)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    assert ledgers_overdue()["proposal_notices"] == 0
    ProposalNotice.objects.update(made_at=timezone.now() - timedelta(days=400))
    assert ledgers_overdue()["proposal_notices"] == 2
    assert ledger.cutoff is not None
    assert ledger.delete(ledger.cutoff, 10) == 2
    assert owed() == [("bob", "in_review")]
