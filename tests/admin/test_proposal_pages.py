"""Proposals in the browser: what they change and wait for, what was said and decided, and what came of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from fragments.models import RawFragmentAggregate
from registry.domain.proposal import State
from registry.models import Proposal, ProposalComment, ProposalTrial, SchemaVersion, TrialState
from registry.selectors_proposals import proposal_standing
from registry.selectors_trials import TRY
from registry.services.proposal_apply import proposal_apply
from registry.services.proposals import proposal_comment, proposal_edit, proposal_submit
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.job_control import job_cancel
from schemaevo.kernel.models import Job
from tests.admin.addresses import list_of, page_of, verb_of
from tests.admin.test_pages import text_of
from tests.admin.test_quota_pages import signed_in
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_extension,
    make_login,
    make_run,
    make_user,
    make_version,
)
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
from tests.proposals.standing import work

pytestmark = pytest.mark.django_db

#: Stands in the sample of a trial, and nowhere else.
SECRET = "sesame-5d20"
VERBS = (
    "submit",
    "try",
    "approve",
    "request_changes",
    "reject",
    "apply",
    "undo",
    "rebase",
    "withdraw",
    "comment",
)


@pytest.fixture(autouse=True)
def base() -> SchemaVersion:
    return make_base()


def read(client: Client, url: str, **query: str) -> str:
    answer = client.get(url, query)
    assert answer.status_code == 200, url
    return text_of(answer.content.decode().partition('id="content"')[2])


def verb(proposal: Proposal, name: str) -> str:
    return verb_of(Proposal, name, proposal.pk)


def offered(client: Client, proposal: Proposal) -> set[str]:
    """The verbs, and the form, that the page leads to."""
    html = client.get(page_of(proposal)).content.decode()
    return {name for name in (*VERBS, "edit") if f'"{verb(proposal, name)}"' in html}


def refusal(answer: Any) -> str:
    found = re.search(r'data-refusal="([a-z_]+)"', answer.content.decode())
    return found.group(1) if found else ""


def typed(answer: Any, name: str) -> str:
    """What a hidden field of the page holds."""
    found = re.search(rf'name="{name}" value="([^"]*)"', answer.content.decode())
    assert found is not None, name
    return unescape(found.group(1))


# --- looking ----------------------------------------------------------------------------------------------
def test_the_list_tells_what_stands_where(client_of: Callable[[str], Client]) -> None:
    author = make_admin()
    approved, found = make_approved(author=author), make_found(edits=adding("weight"))
    text = read(client_of("viewer"), list_of(Proposal))
    assert re.search(
        rf"#{found.pk} Found thing draft somebody submits it, and is its author then found by analysis .*"
        rf"#{approved.pk} More fields thing approved somebody applies it {author} ",
        text,
    )
    assert "Draft a proposal" not in text
    assert "Draft a proposal" in read(signed_in(author), list_of(Proposal))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"state": "approved"}, 1),
        ({"state": "rejected"}, 0),
        ({"type": THING}, 2),
        ({"type": "other"}, 0),
        ({"origin": "analysis"}, 1),
        ({"origin": "reverse"}, 0),
    ],
)
def test_proposals_are_filtered(
    client_of: Callable[[str], Client], query: dict[str, str], found: int
) -> None:
    make_approved()
    make_found(edits=adding("weight"))
    html = client_of("viewer").get(list_of(Proposal), query).content.decode()
    assert html.count('class="data-row') == found


def test_its_page_tells_what_it_changes_and_waits_for(client_of: Callable[[str], Client]) -> None:
    author = make_admin()
    proposal = make_submitted(author=author)
    proposal_comment(proposal_id=proposal.pk, actor=Actor.login(author), text="in millimetres")
    text = read(client_of("viewer"), page_of(proposal))
    for said in (
        f"Proposal {proposal.pk} for thing , drafted by hand by {author}",
        "many have it",
        "Changes version 1.0.0",
        "Would be version 1.1.0",
        "Approvals 0 of 1",
        "it waits for: the approval of somebody else (0 of 1)",
        "Adds the field 'size', a string.",
        "It waits for schema admins to decide.",
        "Trial of applying it done",
        "Nobody has decided yet.",
        f"{author} in millimetres",
        f"submitted by {author}",
    ):
        assert said in text, said


def test_a_decision_that_does_not_count_says_why(client_of: Callable[[str], Client]) -> None:
    author, decider = make_admin(), make_admin()
    proposal = approve(make_submitted(author=author), decider)
    assert re.search(rf"{decider} approved counts", read(client_of("viewer"), page_of(proposal)))
    proposal_edit(proposal_id=proposal.pk, actor=Actor.login(author), edits=adding("weight"))  # type: ignore[arg-type]
    text = read(client_of("viewer"), page_of(proposal))
    assert f"{decider} approved does not count: the proposal was edited since" in text
    assert "in review" in (listed := read(client_of("viewer"), list_of(Proposal)))
    assert "0 of 1" in listed
    assert "a trial of what it says now" in text


def test_evidence_is_told_in_numbers_and_unknown_evidence_breaks_nothing(
    client_of: Callable[[str], Client],
) -> None:
    evidence: dict[str, Any] = {
        "users": 1234,
        "share": 0.8292,
        "type": "number",
        "types": {"number": 1230, "string": 4},
        "declared_by": {"extension": 1000, "in_dreams": 234},
        "factors": [{"words": "nearly all are numbers", "contribution": 0.38}],
        "near": [{"field": "sizes", "users": 4}],
        "obstacles": [{"code": "too_few", "message": "only some have it"}],
    }
    client = client_of("viewer")
    found = make_found(evidence=evidence)
    text = read(client, page_of(found))
    for said in (
        "Users who have it 1,234",
        "Share of users 82.9 %",
        "string 4",
        "in their extension 1,000",
        "in_dreams 234",
        "nearly all are numbers 38 %",
        "sizes 4",
        "only some have it.",
    ):
        assert said in text, said
    html = client.get(page_of(found)).content.decode()
    assert f'href="{list_of(RawFragmentAggregate)}?type={THING}&amp;field=size"' in html
    odd: list[Any] = [{"users": "many", "share": [], "types": 7, "near": {"a": 1}, "factors": [1]}, {"?": {}}]
    for evidence in odd:
        Proposal.objects.filter(pk=found.pk).update(evidence=evidence)
        assert "Evidence" in read(client, page_of(found))


def test_a_sample_of_values_is_shown_to_those_who_may_see_values(client_of: Callable[[str], Client]) -> None:
    proposal = make_submitted()
    trial = make_trial(proposal=proposal, state=TrialState.WAITING)
    sides = {
        "size": {"before": {}, "after": {"value": SECRET}},
        "more": {"before": {"length": 3000}, "after": {}},
    }
    ProposalTrial.objects.filter(pk=trial.pk).update(
        state=TrialState.DONE,
        finished_at=Now(),
        result={
            "format": 1,
            "users_changed": 1200,
            "fields": {"size": {"users": 3, "fits": 4, "converted": 1, "misfits": {"constraint": 2}}},
            "estimate": {"seconds": 75},
            "values": [{"entity": "e", "key": f"key-{SECRET}", "owner": 1, "fields": sides}],
        },
    )
    for url in (page_of(proposal), verb(proposal, "live")):
        text = read(client_of("viewer"), url) if url == page_of(proposal) else ""
        assert SECRET not in client_of("viewer").get(url).content.decode()
        assert "A sample of values: lock hidden" in text or not text
        assert SECRET in client_of("operator").get(url).content.decode()
    text = read(client_of("operator"), page_of(proposal))
    assert "Users it concerns 1,200" in text
    assert "The jobs would take about 2 min" in text
    assert "size 3 0 0 4 1 2" in text
    assert "too long to be kept: 3000 characters" in text


def test_the_number_of_queries_is_constant(client_of: Callable[[str], Client]) -> None:
    client, counts = client_of("superuser"), []
    first = make_submitted()
    # What a process asks once only.
    client.get(list_of(Proposal))
    client.get(page_of(first))
    for _round in range(2):
        with CaptureQueriesContext(connection) as of_list:
            client.get(list_of(Proposal))
        with CaptureQueriesContext(connection) as of_page:
            client.get(page_of(first))
        counts.append((len(of_list), len(of_page)))
        for n in range(5):
            make_approved()
            proposal_comment(proposal_id=first.pk, actor=Actor.login(make_admin()), text=str(n))
            make_trial(proposal=first)
        Proposal.objects.filter(pk=first.pk).update(required_approvals=9)
        for _n in range(4):
            approve(first, make_admin())
    assert counts[0] == counts[1]
    assert max(counts[0]) <= 30


def test_a_proposal_that_is_not_there_is_not_found(client_of: Callable[[str], Client]) -> None:
    client = client_of("schema_admin")
    for name in (*VERBS, "edit", "live"):
        url = verb_of(Proposal, name, 999_999)
        assert client.get(url).status_code == 404, name
        if name != "live":
            given = {"content": "x", "note": "x", "text": "x", "title": "x", "edits": "[]"}
            assert client.post(url, given).status_code == 404, name


# --- what is offered --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("state", "to_author", "to_other"),
    [
        (State.DRAFT, {"submit", "try", "edit", "withdraw", "comment"}, {"submit", "try", "edit", "comment"}),
        (
            State.IN_REVIEW,
            {"try", "edit", "withdraw", "comment", "request_changes", "reject"},
            {"try", "edit", "comment", "approve", "request_changes", "reject"},
        ),
        (State.STALE, {"rebase", "withdraw", "comment"}, {"rebase", "comment"}),
        (State.APPLIED, {"try", "undo", "comment"}, {"try", "undo", "comment"}),
        (State.REJECTED, {"comment"}, {"comment"}),
    ],
)
def test_what_can_be_done_is_offered_to_who_may(
    client_of: Callable[[str], Client], state: State, to_author: set[str], to_other: set[str]
) -> None:
    author = make_admin()
    proposal = make_in(state, author=author, decider=make_admin())
    assert offered(signed_in(author), proposal) == to_author
    assert offered(client_of("schema_admin"), proposal) == to_other
    assert offered(client_of("operator"), proposal) == set()


def test_who_wrote_it_is_told_why_they_cannot_approve_it() -> None:
    author = make_admin()
    proposal = make_submitted(author=author)
    client = signed_in(author)
    assert "somebody else has to approve it" in read(client, page_of(proposal))
    look = client.get(verb(proposal, "approve"))
    assert (look.status_code, refusal(look)) == (200, "own_proposal")
    answer = client.post(verb(proposal, "approve"), {"content": proposal.content_hash})
    assert (answer.status_code, refusal(answer)) == (403, "own_proposal")
    assert "somebody else has to" in answer.content.decode()


def test_what_was_not_tried_leads_to_its_trial_instead_of_its_approval() -> None:
    proposal, client = _submitted(make_draft()), signed_in(make_admin())
    look = client.get(verb(proposal, "approve"))
    assert (look.status_code, refusal(look)) == (200, "not_tried")
    assert f'"{verb(proposal, "try")}"' in look.content.decode()
    answer = client.post(verb(proposal, "approve"), {"content": proposal.content_hash})
    assert (answer.status_code, refusal(answer)) == (409, "not_tried")


# --- writing ----------------------------------------------------------------------------------------------
def test_a_proposal_is_drafted_by_hand() -> None:
    author = make_admin()
    client = signed_in(author)
    given = {
        "entity_type": THING,
        "title": "  Sizes ",
        "reason": "two\r\nlines",
        "edits": json.dumps(adding("size")),
    }
    answer = client.post(reverse("admin:registry_proposal_draft"), given)
    proposal = Proposal.objects.get()
    assert answer["Location"] == page_of(proposal)
    assert (proposal.title, proposal.reason, proposal.author) == ("Sizes", "two\nlines", author)
    assert proposal.edits == adding("size")
    assert proposal.origin == "login"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"edits": "[{"}, "JSON"),
        ({"edits": ""}, "This field is required."),
        ({"edits": '[{"op": "fly"}, {"op": "add_field"}]'}, "/0/op"),
        ({"edits": json.dumps(adding("k"))}, "/0/field"),
        (
            {"edits": '[{"op": "set_required", "field": "k", "required": true}]'},
            "the edits of a proposal are",
        ),
        (
            {"edits": '[{"op": "set_description", "field": "k", "description": ""}]'},
            "These edits change nothing",
        ),
        ({"entity_type": "No such"}, "entity type"),
        ({"title": " "}, "This field is required."),
        ({"title": "x" * 201}, "at most 200"),
    ],
)
def test_what_is_wrong_with_a_draft_stands_beside_it(changed: dict[str, str], said: str) -> None:
    given = {"entity_type": THING, "title": "Sizes", "edits": json.dumps(adding("size")), **changed}
    answer = signed_in(make_admin()).post(reverse("admin:registry_proposal_draft"), given)
    assert answer.status_code == 200
    html = unescape(answer.content.decode())
    assert said in html
    assert given["edits"] in html
    assert not Proposal.objects.exists()


def test_an_edit_by_somebody_who_looked_at_other_content_is_refused_and_kept() -> None:
    author, other = make_admin(), make_admin()
    proposal, client = make_draft(author=author), signed_in(other)
    shown = client.get(verb(proposal, "edit"))
    assert '{"op": "add_field", "field": "size", "declaration": {"type":"string"}}' in unescape(
        shown.content.decode()
    )
    proposal_edit(proposal_id=proposal.pk, actor=Actor.login(author), edits=adding("weight"))  # type: ignore[arg-type]
    given = {"title": "Mine", "edits": json.dumps(adding("length")), "content": typed(shown, "content")}
    answer = client.post(verb(proposal, "edit"), given)
    assert (answer.status_code, refusal(answer)) == (409, "stale_content")
    text = text_of(answer.content.decode())
    assert "Adds the field 'weight', a string." in text
    assert "length" in text
    proposal.refresh_from_db()
    assert proposal.edits == adding("weight")
    given["content"] = typed(client.get(verb(proposal, "edit")), "content")
    assert client.post(verb(proposal, "edit"), given).status_code == 302
    proposal.refresh_from_db()
    assert (proposal.edits, proposal.title) == (adding("length"), "Mine")


def test_who_edits_is_told_that_approvals_will_be_void() -> None:
    proposal = make_approved()
    assert "Other edits void its approval" in read(signed_in(make_admin()), verb(proposal, "edit"))


# --- deciding ---------------------------------------------------------------------------------------------
def test_a_decision_is_about_the_content_that_was_shown() -> None:
    author = make_admin()
    proposal, client = make_submitted(author=author), signed_in(make_admin())
    shown = client.get(verb(proposal, "approve"))
    assert "Adds the field" in shown.content.decode()
    assert "Trial of applying it" in shown.content.decode()
    proposal = proposal_edit(proposal_id=proposal.pk, actor=Actor.login(author), edits=adding("weight"))  # type: ignore[arg-type]
    make_trial(proposal=proposal)
    answer = client.post(verb(proposal, "approve"), {"content": typed(shown, "content"), "note": "fine"})
    assert (answer.status_code, refusal(answer)) == (409, "stale_content")
    html = answer.content.decode()
    assert "look at what it says now" in html
    assert "weight" in html
    assert "fine</textarea>" in html
    assert not proposal.decisions.exists()
    again = client.post(verb(proposal, "approve"), {"content": typed(answer, "content"), "note": "fine"})
    assert again.status_code == 302
    assert proposal.decisions.get().note == "fine"


@pytest.mark.parametrize("name", ["request_changes", "reject"])
def test_an_objection_says_why(name: str) -> None:
    proposal, client = make_submitted(), signed_in(make_admin())
    answer = client.post(verb(proposal, name), {"content": proposal.content_hash, "note": " "})
    assert answer.status_code == 200
    assert "This field is required." in answer.content.decode()
    assert not proposal.decisions.exists()


def test_what_somebody_says_stands_on_the_page() -> None:
    proposal, client = make_submitted(), signed_in(make_admin())
    answer = client.post(verb(proposal, "comment"), {"text": "<b>why</b>"}, follow=True)
    assert "&lt;b&gt;why&lt;/b&gt;" in answer.content.decode()
    assert ProposalComment.objects.get().text == "<b>why</b>"


def test_a_rebase_shows_what_came_meanwhile_and_what_both_changed() -> None:
    edits: Any = [{"op": "set_description", "field": "colour", "description": "mine"}, *adding("size")]
    proposal, client = make_draft(edits=edits), signed_in(make_admin())
    theirs = {"type": "string", "description": "theirs"}
    make_version(document=make_definition(k="string", colour=theirs, smell="string"))
    assert "a rebase: another version is in force by now" in read(client, page_of(proposal))
    text = read(client, verb(proposal, "rebase"))
    for said in (
        "Adds the field 'smell', a string.",
        "/fields/colour/description",
        "Its edits now",
        "Its edits then",
    ):
        assert said in text, said
    answer = client.post(verb(proposal, "rebase"), follow=True)
    assert "side stands where it can: /fields/colour/description" in text_of(answer.content.decode())
    proposal.refresh_from_db()
    assert proposal.state == State.DRAFT


def test_a_rebase_that_leaves_nothing_is_told_before() -> None:
    proposal, client = make_draft(), signed_in(make_admin())
    make_version(document=make_definition(k="string", colour="string", size="string"))
    look = client.get(verb(proposal, "rebase"))
    assert refusal(look) == "empty_proposal"
    assert "These edits change nothing" in look.content.decode()
    assert refusal(client.post(verb(proposal, "rebase"))) == "empty_proposal"


# --- applying and undoing ---------------------------------------------------------------------------------
def test_applying_is_followed_to_its_effect_and_undone() -> None:
    extending, storing = make_user(), make_user()
    make_extension(user=extending, document={"additional_fields": {"size": {"type": "string"}}})
    make_run(user=storing, records=[{"k": f"k{n}", "size": "big"} for n in range(3)])
    work()
    proposal, client = make_approved(), signed_in(make_admin())
    assert "Jobs carry it to what is stored" in read(client, verb(proposal, "apply"))
    answer = client.post(verb(proposal, "apply"), {"note": "now"}, follow=True)
    html = answer.content.decode()
    assert "Version 1.1.0 is in force." in html
    assert "data-live-over" not in html
    proposal.refresh_from_db()
    for job in Job.objects.filter(pk__in=proposal.apply_jobs):
        assert page_of(job) in html
    assert "Extensions give up what the global schema declares pending" in text_of(html)
    work()
    live = client.get(verb(proposal, "live")).content.decode()
    assert "data-live-over" in live
    assert "<html" not in live
    assert "size 1 3 0" in text_of(live)
    assert "All of it is done." in live
    undo = read(client, verb(proposal, "undo"))
    assert "Removes the field 'size'" in undo
    answer = client.post(verb(proposal, "undo"), {"note": "a mistake"}, follow=True)
    assert "version 1.0.0 is in force again" in answer.content.decode()
    work()
    text = read(client, page_of(proposal))
    assert "What undoing it did" in text
    assert "size 1 3" in text
    assert "Nothing more comes of it." in text


def test_a_number_that_is_otherwise_than_tried_stands_beside_it(client_of: Callable[[str], Client]) -> None:
    make_run(user=make_user(), records=[{"k": "a", "size": "big"}])
    proposal = make_draft()
    trial = make_trial(proposal=proposal, state=TrialState.WAITING)
    counts = {"absorbed": 0, "fits": 4, "converted": 1}
    ProposalTrial.objects.filter(pk=trial.pk).update(
        state=TrialState.DONE, finished_at=Now(), result={"format": 1, "fields": {"size": counts}}
    )
    proposal = approve(_submitted(proposal), make_admin())
    proposal_apply(proposal_id=proposal.pk, actor=Actor.login(make_admin()))
    work()
    text = read(client_of("viewer"), page_of(proposal))
    assert "size 0 1 trial: 5 0 trial: 1" in text


def _submitted(proposal: Proposal) -> Proposal:
    author = proposal.author
    assert author is not None
    answer = signed_in(author).post(verb(proposal, "submit"), {"note": "please"})
    assert answer.status_code == 302
    return proposal_standing(proposal_id=proposal.pk).proposal


def test_a_job_that_stopped_is_told(client_of: Callable[[str], Client]) -> None:
    make_run(user=make_user(), records=[{"k": "a", "size": "big"}])
    work()
    proposal = proposal_apply(proposal_id=make_approved().pk, actor=Actor.login(make_admin()))
    job = Job.objects.get(pk__in=proposal.apply_jobs, kind="promote_fragments")
    job_cancel(job_id=job.pk, actor=SHELL)
    text = read(client_of("viewer"), page_of(proposal))
    assert "Fragments are looked at again: the job is cancelled." in text


def test_what_a_later_version_keeps_from_being_undone_is_taken_back_by_a_proposal() -> None:
    proposal = proposal_apply(proposal_id=make_approved().pk, actor=Actor.login(make_admin()))
    make_version(document=make_definition(k="string", colour="string", size="string", smell="string"))
    client = signed_in(make_admin())
    html = client.get(page_of(proposal)).content.decode()
    draft = reverse("admin:registry_proposal_draft")
    assert f"{draft}?reverse={proposal.pk}" in html
    assert f'"{verb(proposal, "undo")}"' not in html
    answer = client.post(verb(proposal, "undo"), {"note": ""})
    assert (answer.status_code, refusal(answer)) == (409, "later_version")
    shown = client.get(draft, {"reverse": proposal.pk})
    assert '{"op": "remove_field", "field": "size"}' in unescape(shown.content.decode())
    given = {
        "entity_type": THING,
        "title": "Take it back",
        "edits": '[{"op": "remove_field", "field": "size"}]',
        "reverse": typed(shown, "reverse"),
    }
    assert client.post(draft, given).status_code == 302
    made = Proposal.objects.latest("pk")
    assert (made.origin, made.edits) == ("reverse", [{"op": "remove_field", "field": "size"}])
    given |= {"reverse": str(made.pk), "title": "Take back what is not applied"}
    assert client.post(draft, given).status_code == 302
    assert Proposal.objects.latest("pk").origin == "login"


@pytest.mark.parametrize("asked", ["0", "x", "9" * 40])
def test_a_reverse_of_nothing_begins_with_nothing(asked: str) -> None:
    client = signed_in(make_admin())
    assert client.get(reverse("admin:registry_proposal_draft"), {"reverse": asked}).status_code in (200, 404)


# --- trials -----------------------------------------------------------------------------------------------
def test_a_trial_is_asked_for_and_followed() -> None:
    proposal, client = make_draft(), signed_in(make_admin())
    answer = client.post(verb(proposal, "try"), follow=True)
    html = answer.content.decode()
    assert "A trial is under way" in html
    assert "data-live-over" not in html
    assert f'"{verb(proposal, "try")}"' not in html
    work()
    live = client.get(verb(proposal, "live")).content.decode()
    assert "data-live-over" in live
    assert "Trial of applying it" in live


def test_a_trial_whose_job_was_stopped_says_so_and_can_be_asked_for_again() -> None:
    author = make_admin()
    proposal = make_draft(author=author)
    proposal_submit(proposal_id=proposal.pk, actor=Actor.login(author))
    client, viewer = signed_in(author), signed_in(make_login(role="viewer"))
    client.post(verb(proposal, "try"))
    job = Job.objects.get(kind=TRY)
    job_cancel(job_id=job.pk, actor=SHELL)
    html = client.get(page_of(proposal)).content.decode()
    assert "A trial is under way" not in html
    assert "A trial was stopped cancelled" in text_of(html)
    assert "data-live-over" in html
    assert page_of(job) in html
    assert html.count(f'"{verb(proposal, "try")}"') == 2
    seen = viewer.get(page_of(proposal)).content.decode()
    assert "A trial was stopped" in seen
    assert verb(proposal, "try") not in seen
    listed = read(client, list_of(Proposal))
    assert "a trial of what it says now; the last one was stopped" in listed
    client.post(verb(proposal, "try"))
    assert "A trial is under way" in read(client, page_of(proposal))
    assert "its trial, which is under way" in read(client, list_of(Proposal))
    work()
    text = read(client, page_of(proposal))
    assert "Trial of applying it" in text
    assert "stopped" not in text


def test_a_stopped_trial_of_what_has_ended_is_of_no_interest() -> None:
    proposal = make_draft()
    trial = make_trial(proposal=proposal, state=TrialState.RUNNING)
    Job.objects.filter(kind=TRY, target=str(trial.pk)).delete()
    client = signed_in(make_admin())
    assert "A trial was stopped" in read(client, page_of(proposal))
    Proposal.objects.filter(pk=proposal.pk).update(state="withdrawn")
    assert "A trial was stopped" not in read(client, page_of(proposal))


def test_a_trial_that_failed_says_so(client_of: Callable[[str], Client]) -> None:
    proposal = make_draft()
    make_trial(proposal=proposal, state=TrialState.FAILED)
    text = read(client_of("viewer"), page_of(proposal))
    assert "It could not come to its end" in text
    assert "a trial of what it says now" in text
