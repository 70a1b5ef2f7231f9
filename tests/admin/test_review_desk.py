"""The desk: what waits for whom, what is next, since when, and how many stand beside the entry of the navigation."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry.domain.proposal import State
from registry.models import Proposal, TrialState
from registry.selectors_desk import COUNTED, Desk, desk_count
from registry.services.proposals import proposal_edit, proposal_submit
from schemaevo.kernel.actors import Actor
from tests.admin.addresses import list_of
from tests.admin.test_pages import text_of
from tests.admin.test_quota_pages import signed_in
from tests.factories import make_login
from tests.proposals.making import (
    adding,
    approve,
    make_admin,
    make_approved,
    make_base,
    make_draft,
    make_found,
    make_in,
    make_submitted,
    make_trial,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def base() -> None:
    make_base()


def listed(client: Client, desk: str) -> list[int]:
    """The numbers of the proposals on that part of the desk, as they stand in the list."""
    html = client.get(list_of(Proposal), {"desk": desk} if desk else {}).content.decode()
    return [int(n) for n in re.findall(r'se-proposal-name"><span class="se-muted">#(\d+)', html)]


def row(client: Client, proposal: Proposal) -> str:
    """What the list says of the proposal."""
    html = client.get(list_of(Proposal)).content.decode()
    rows = re.findall(r"<tbody.*?</tbody>|<tr.*?</tr>", html, re.DOTALL)
    return next(text_of(one) for one in rows if f"#{proposal.pk} " in text_of(one) and "<td" in one)


def badge(client: Client) -> str:
    """The number beside the entry in the navigation."""
    html = client.get("/admin/").content.decode()
    entry = re.search(r'<a href="[^"]*/registry/proposal/[^"]*".*?</a>', html, re.DOTALL)
    assert entry is not None
    number = re.search(r"Proposals ([\d+]+)", text_of(entry.group(0)))
    return number.group(1) if number else ""


# --- what is on it -----------------------------------------------------------------------------------------
def test_mine_to_decide_is_what_i_could_approve_or_apply() -> None:
    me, author = make_admin(), make_admin()
    waits, own = make_submitted(author=author), make_submitted(author=me)
    untried = proposal_submit(proposal_id=make_draft(author=author).pk, actor=Actor.login(author))
    edited = make_submitted(author=author)
    proposal_edit(proposal_id=edited.pk, actor=Actor.login(me), edits=adding("x"))  # type: ignore[arg-type]
    two = make_submitted(author=author)
    Proposal.objects.filter(pk=two.pk).update(required_approvals=2)
    approved = make_approved(author=author)
    for state in (State.DRAFT, State.CHANGES_REQUESTED, State.REJECTED, State.WITHDRAWN, State.EXPIRED):
        make_in(state, author=author, decider=make_admin())
    client = signed_in(me)
    assert listed(client, "review") == [approved.pk, two.pk, untried.pk, waits.pk]
    approve(two, me)
    assert listed(client, "review") == [approved.pk, untried.pk, waits.pk]
    # An edit begins a round in which I have not approved yet.
    proposal_edit(proposal_id=two.pk, actor=Actor.login(author), edits=adding("y"))  # type: ignore[arg-type]
    assert listed(client, "review") == [approved.pk, two.pk, untried.pk, waits.pk]
    assert own.pk in listed(signed_in(author), "review")


def test_mine_is_what_i_wrote_or_edited_as_long_as_something_may_come_of_it() -> None:
    me, other = make_admin(), make_admin()
    drafted, submitted = make_draft(author=me), make_submitted(author=me)
    edited = make_draft(author=other)
    proposal_edit(proposal_id=edited.pk, actor=Actor.login(me), edits=adding("x"))  # type: ignore[arg-type]
    make_in(State.REJECTED, author=me, decider=other)
    make_draft(author=other)
    assert listed(signed_in(me), "mine") == [edited.pk, submitted.pk, drafted.pk]


def test_who_may_decide_nothing_has_no_tab_for_it(client_of: Callable[[str], Client]) -> None:
    make_submitted()
    for role, tabs in (("viewer", ["mine"]), ("schema_admin", ["review", "mine"])):
        html = client_of(role).get(list_of(Proposal)).content.decode()
        assert re.findall(r'data-desk="(\w+)"', html) == tabs, role
    assert listed(client_of("viewer"), "review") == []
    assert listed(client_of("schema_admin"), "nonsense") == []


def test_each_tab_tells_how_many_there_are(client_of: Callable[[str], Client]) -> None:
    client = client_of("schema_admin")
    text = text_of(client.get(list_of(Proposal)).content.decode())
    assert "For me to decide Mine All" in text
    make_submitted()
    make_submitted()
    text = text_of(client.get(list_of(Proposal)).content.decode())
    assert "For me to decide 2 Mine All" in text


# --- the number in the navigation ---------------------------------------------------------------------------
def test_the_navigation_tells_how_many_wait_for_whoever_looks() -> None:
    author, decider = make_admin(), make_admin()
    make_submitted(author=author)
    make_submitted(author=author)
    viewer = signed_in(make_login(role="viewer"))
    assert [badge(signed_in(author)), badge(signed_in(decider)), badge(viewer)] == ["", "2", ""]
    approve(Proposal.objects.all()[0], decider)
    # What is approved can be applied, by the author as well.
    assert [badge(signed_in(author)), badge(signed_in(decider))] == ["1", "2"]


def test_its_entry_leads_to_what_waits_for_those_who_may_decide(client_of: Callable[[str], Client]) -> None:
    html = {role: client_of(role).get("/admin/").content.decode() for role in ("viewer", "schema_admin")}
    assert f'href="{list_of(Proposal)}?desk=review"' in html["schema_admin"]
    assert f'href="{list_of(Proposal)}"' in html["viewer"]
    assert "desk=review" not in html["viewer"]


def test_more_than_can_be_said_are_not_counted() -> None:
    me, author = make_admin(), make_admin()
    first = make_draft(author=author)
    copied = [
        Proposal(
            entity_type=first.entity_type, title="More", base_version=first.base_version, edits=first.edits
        )
        for _n in range(COUNTED + 5)
    ]
    Proposal.objects.bulk_create(copied)
    Proposal.objects.exclude(pk=first.pk).update(
        state=State.IN_REVIEW, author=author, submitted_at=timezone.now()
    )
    assert desk_count(desk=Desk.REVIEW, login=me) == COUNTED + 1
    assert badge(signed_in(me)) == "99+"


# --- what is next ------------------------------------------------------------------------------------------
def test_the_list_says_what_is_next_to_whoever_looks() -> None:
    author, decider = make_admin(), make_admin()
    mine, theirs = signed_in(author), signed_in(decider)
    proposal = make_draft(author=author)

    def said(to_author: str, to_decider: str) -> None:
        proposal.refresh_from_db()
        assert to_author in row(mine, proposal)
        assert to_decider in row(theirs, proposal)

    said("you submit it", "somebody submits it")
    proposal_submit(proposal_id=proposal.pk, actor=Actor.login(author))
    Proposal.objects.filter(pk=proposal.pk).update(required_approvals=2)
    untried = "a trial of what it says now 0 of 2 approvals"
    said(untried, untried)
    make_trial(proposal=proposal, state=TrialState.FAILED)
    said("the last one failed", "the last one failed")
    make_trial(proposal=proposal, state=TrialState.RUNNING)
    said("its trial, which is under way", "its trial, which is under way")
    make_trial(proposal=proposal)
    said("somebody else approves it: you wrote it", "somebody approves it 0 of 2 approvals")
    approve(proposal, decider)
    said("you wrote it 1 of 2 approvals", "others approve it, as you did 1 of 2 approvals")
    approve(proposal, make_admin())
    said("somebody applies it", "somebody applies it")


@pytest.mark.parametrize(
    ("state", "to_author", "to_other"),
    [
        (State.CHANGES_REQUESTED, "you change it, and submit it again", "it is changed, and submitted again"),
        (State.STALE, "you rebase it", "a rebase: another version is in force by now"),
        (State.FAILED, "applying it was refused", "applying it was refused"),
        (State.REJECTED, "rejected –", "rejected –"),
    ],
)
def test_what_is_next_in_the_other_states(state: State, to_author: str, to_other: str) -> None:
    author = make_admin()
    proposal = make_in(state, author=author, decider=make_admin())
    assert to_author in row(signed_in(author), proposal)
    assert to_other in row(signed_in(make_admin()), proposal)


def test_what_an_analysis_found_waits_for_somebody_to_submit_it(client_of: Callable[[str], Client]) -> None:
    text = row(client_of("viewer"), make_found())
    assert "somebody submits it, and is its author then found by analysis" in text


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(days=20, hours=1), "expires in 21 days"),
        (timedelta(days=2, hours=1), "expires in 2 days"),
        (timedelta(hours=30), "expires in 1 day"),
        (timedelta(hours=3), "expires today"),
        (-timedelta(hours=1), "expires now"),
    ],
)
def test_the_list_says_when_a_proposal_expires_and_warns_when_that_is_soon(
    client_of: Callable[[str], Client], left: timedelta, said: str
) -> None:
    proposal = make_submitted()
    Proposal.objects.filter(pk=proposal.pk).update(expires_at=timezone.now() + left)
    assert said in row(client_of("viewer"), proposal)
    html = client_of("viewer").get(list_of(Proposal)).content.decode()
    assert (f'se-warn">{said}' in html) == (left < timedelta(days=3))


# --- nothing there, and many there ---------------------------------------------------------------------------
def test_an_empty_desk_says_what_to_do_next(client_of: Callable[[str], Client]) -> None:
    client = client_of("schema_admin")

    def said(**query: str) -> str:
        return text_of(client.get(list_of(Proposal), query).content.decode())

    assert "There are no proposals yet." in said()
    assert "Nothing waits for you." in said(desk="review")
    assert "Nothing that you wrote or edited is open." in said(desk="mine")
    assert "No proposal is like that." in said(state="applied")


def test_the_number_of_queries_of_the_desk_is_constant() -> None:
    me = make_admin()
    client, counts = signed_in(me), []
    make_submitted()
    make_draft(author=me)
    for query in ({"desk": "review"}, {"desk": "mine"}):
        client.get(list_of(Proposal), query)
    for _round in range(2):
        for query in ({"desk": "review"}, {"desk": "mine"}):
            with CaptureQueriesContext(connection) as queries:
                client.get(list_of(Proposal), query)
            counts.append(len(queries))
        for _n in range(4):
            make_approved()
            make_submitted(author=me)
            make_trial(proposal=make_submitted(), state=TrialState.RUNNING)
    assert counts[:2] == counts[2:]
    assert max(counts) <= 30
