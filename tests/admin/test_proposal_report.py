"""The evidence report: one document, the same for everybody, whose hash anybody can compute; and no values in it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry.domain.proposal import State
from registry.models import Proposal, ProposalTrial, TrialState
from registry.selectors_report import ProposalReport, proposal_report
from registry.services.proposal_apply import proposal_apply
from registry.services.proposal_reviews import proposal_request_changes
from registry.services.proposals import proposal_comment, proposal_edit, proposal_submit
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import decode, exact_number
from tests.admin.addresses import page_of
from tests.admin.test_pages import text_of
from tests.factories import make_extension, make_run, make_user
from tests.proposals.making import (
    adding,
    approve,
    make_admin,
    make_approved,
    make_base,
    make_found,
    make_in,
    make_submitted,
    make_trial,
)
from tests.proposals.standing import work

pytestmark = pytest.mark.django_db

#: Stands in values and in names of owners, and in no report.
SECRET = "sesame-93ac"
#: What JSON can write in more than one way.
ODD = 'ü "quoted" \\ \t\u2028 </script> ,"report":'


@pytest.fixture(autouse=True)
def base() -> None:
    make_base()


def report(proposal: Proposal) -> ProposalReport:
    return proposal_report(proposal_id=proposal.pk)


def page(client: Client, proposal: Proposal) -> str:
    answer = client.get(reverse("admin:registry_proposal_report", args=[proposal.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def file(client: Client, proposal: Proposal) -> bytes:
    answer = client.get(reverse("admin:registry_proposal_report_json", args=[proposal.pk]))
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    return bytes(answer.content)


def computed(path: Path) -> str:
    """What the line in docs/proposals.md prints about a file."""
    text = (settings.BASE_DIR / "docs" / "proposals.md").read_text()
    found = re.search(r"^python3 -c '(.+)' report\.json$", text, re.MULTILINE)
    assert found is not None
    done = subprocess.run(
        [sys.executable, "-c", found.group(1), str(path)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


# --- its hash ----------------------------------------------------------------------------------------------
def test_the_same_state_gives_the_same_hash_and_every_step_another_one() -> None:
    author, decider = make_admin(), make_admin()
    proposal = make_submitted(author=author)
    hashes = [report(proposal).content_hash]

    def another(step: object) -> None:
        hashes.append(report(proposal).content_hash)
        assert report(proposal).content_hash == hashes[-1]

    another(proposal_comment(proposal_id=proposal.pk, actor=Actor.login(author), text="so"))
    another(approve(proposal, decider))
    another(proposal_edit(proposal_id=proposal.pk, actor=Actor.login(author), title="Other"))
    another(make_trial(proposal=proposal))
    another(proposal_apply(proposal_id=proposal.pk, actor=Actor.login(decider)))
    work()
    another("the jobs counted what was done")
    assert len(set(hashes)) == len(hashes)


def test_what_happens_elsewhere_does_not_change_it() -> None:
    proposal = make_approved()
    before = report(proposal)
    make_submitted()
    make_run(user=make_user(), records=[{"k": "a", "size": 1}])
    after = report(proposal)
    assert before.content_hash == after.content_hash
    assert before.made_at < after.made_at


@pytest.mark.parametrize("number", ["0.1", "1e-9", "1e23", "12345678901234567890.5", "-0.0000001"])
def test_anybody_can_compute_the_hash_of_the_file(
    client_of: Callable[[str], Client], tmp_path: Path, number: str
) -> None:
    client = client_of("viewer")
    edits = [
        {
            "op": "add_field",
            "field": "size",
            "declaration": {"type": "number", "constraints": {"min": exact_number(number)}},
        }
    ]
    proposal = make_submitted(edits=edits)
    proposal_comment(proposal_id=proposal.pk, actor=Actor.login(make_admin()), text=ODD)
    path = tmp_path / "report.json"
    path.write_bytes(file(client, proposal))
    stated = json.loads(path.read_bytes())["content_hash"]
    assert stated == report(proposal).content_hash == computed(path)
    assert f'data-fact="report-hash">{stated}<' in page(client, proposal)
    # One character more, and it is another one.
    path.write_bytes(path.read_bytes().replace(b"many have it", b"many have it."))
    assert computed(path) != stated


def test_the_command_writes_the_same_file(client_of: Callable[[str], Client], tmp_path: Path) -> None:
    proposal = make_approved()
    path = tmp_path / "report.json"
    call_command("show_proposal", str(proposal.pk), "--report", str(path))
    written, served = (decode(text) for text in (path.read_bytes(), file(client_of("viewer"), proposal)))
    assert isinstance(written, dict)
    assert isinstance(served, dict)
    assert (written["report"], written["content_hash"]) == (served["report"], served["content_hash"])
    with pytest.raises(CommandError, match="exists"):
        call_command("show_proposal", str(proposal.pk), "--report", str(path))


# --- what stands in it --------------------------------------------------------------------------------------
def test_it_tells_all_of_a_proposal_from_request_to_outcome(client_of: Callable[[str], Client]) -> None:
    author, first, second = make_admin(), make_admin(), make_admin()
    make_extension(user=make_user(), document={"additional_fields": {"size": {"type": "string"}}})
    make_run(user=make_user(), records=[{"k": f"k{n}", "size": str(n)} for n in range(3)])
    proposal = make_submitted(author=author)
    proposal_request_changes(
        proposal_id=proposal.pk,
        actor=Actor.login(first),
        content_hash=proposal.content_hash,
        note="say how big",
    )
    proposal_comment(proposal_id=proposal.pk, actor=Actor.login(author), text="in millimetres")
    proposal_submit(proposal_id=proposal.pk, actor=Actor.login(author))
    approve(proposal, second)
    proposal_apply(proposal_id=proposal.pk, actor=Actor.login(second), note="now")
    work()

    proposal.refresh_from_db()
    document: Any = report(proposal).document
    asked = document["proposal"]
    assert (asked["author"], asked["state"], asked["base_version"]) == (str(author), "applied", "1.0.0")
    assert (asked["content_hash"], asked["approvals_counted"]) == (proposal.content_hash, 1)
    assert document["edits"] == adding("size")
    assert document["difference"] == ["adds the field 'size', a string"]
    decisions = [(one["by"], one["verdict"], one["round"], one["counts"]) for one in document["decisions"]]
    assert decisions == [(str(first), "request_changes", 2, False), (str(second), "approve", 3, True)]
    assert {one["content_hash"] for one in document["decisions"]} == {proposal.content_hash}
    assert [one["note"] for one in document["decisions"]] == ["say how big", ""]
    assert [(one["by"], one["text"]) for one in document["comments"]] == [(str(author), "in millimetres")]
    assert document["outcome"]["applied_version"] == "1.1.0"
    (effect,) = document["outcome"]["effects"]
    assert (effect["absorbed"], effect["promoted"], effect["is_counted"]) == (1, 3, True)
    assert [line["action"] for line in document["audit"]] == [
        "proposal.draft",
        "proposal.submit",
        "proposal.request_changes",
        "proposal.comment",
        "proposal.submit",
        "proposal.approve",
        "proposal.apply",
    ]
    text = text_of(page(client_of("viewer"), proposal))
    for said in (
        "More fields",
        "many have it",
        "Adds the field 'size', a string.",
        "in millimetres",
        "say how big",
        f"{second} approved counts 3 {proposal.content_hash[:12]}",
        "Applied as version 1.1.0",
        "What applying it did",
        "size 1 3 0",
    ):
        assert said in text, said


def test_every_decision_and_comment_stands_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.selectors_proposals.LISTED", 2)
    proposal, author = make_submitted(), make_admin()
    Proposal.objects.filter(pk=proposal.pk).update(required_approvals=9)
    for n in range(4):
        approve(proposal, make_admin())
        proposal_comment(proposal_id=proposal.pk, actor=Actor.login(author), text=str(n))
    document: Any = report(proposal).document
    assert (len(document["decisions"]), len(document["comments"])) == (4, 4)


def test_no_value_and_no_owner_stands_in_it(client_of: Callable[[str], Client]) -> None:
    proposal = make_found(
        evidence={
            "users": 12,
            "share": Decimal("0.8"),
            "types": {"number": 12},
            "samples": [SECRET],
            "near": [{"field": "sizes", "users": 3, "values": [SECRET]}],
            "factors": [{"words": "many", "contribution": Decimal("0.3"), "owner": SECRET}],
        }
    )
    trial = make_trial(proposal=proposal, state=TrialState.WAITING)
    ProposalTrial.objects.filter(pk=trial.pk).update(
        state=TrialState.DONE,
        finished_at=Now(),
        result={
            "format": 1,
            "users_changed": 12,
            "fields": {"size": {"users": 12, "fits": 40, "converted": 2, "misfits": {"constraint": 1}}},
            "values": [{"entity": SECRET, "owner": SECRET, "key": SECRET, "fields": {"size": SECRET}}],
        },
    )
    html = page(client_of("superuser"), proposal)
    assert SECRET not in html + file(client_of("superuser"), proposal).decode()
    text = text_of(html)
    for said in (
        "Users who have it 12",
        "Share of users 80 %",
        "number 12",
        "many 30 %",
        "size 12 0 0 40 2 1",
    ):
        assert said in text, said


@pytest.mark.parametrize("state", list(State))
def test_there_is_one_in_every_state(client_of: Callable[[str], Client], state: State) -> None:
    proposal = make_in(state, author=make_admin(), decider=make_admin())
    assert "Evidence report" in page(client_of("viewer"), proposal)
    document: Any = report(proposal).document
    assert document["proposal"]["state"] == state


def test_its_page_leads_to_it_and_it_only_reads(client_of: Callable[[str], Client]) -> None:
    client, proposal = client_of("schema_admin"), make_submitted()
    url = reverse("admin:registry_proposal_report", args=[proposal.pk])
    assert f'href="{url}"' in client.get(page_of(proposal)).content.decode()
    for name in ("report", "report_json"):
        address = reverse(f"admin:registry_proposal_{name}", args=[proposal.pk])
        assert client.post(address).status_code == 405
        gone = reverse(f"admin:registry_proposal_{name}", args=[999_999])
        assert client.get(gone).status_code == 404


def test_the_number_of_queries_of_a_report_is_constant(client_of: Callable[[str], Client]) -> None:
    client, proposal, counts = client_of("viewer"), make_submitted(), []
    Proposal.objects.filter(pk=proposal.pk).update(required_approvals=9)
    page(client, proposal)
    for _round in range(2):
        with CaptureQueriesContext(connection) as queries:
            page(client, proposal)
        counts.append(len(queries))
        for n in range(3):
            approve(proposal, make_admin())
            proposal_comment(proposal_id=proposal.pk, actor=Actor.login(make_admin()), text=str(n))
            make_trial(proposal=proposal)
    assert counts[0] == counts[1]
    assert counts[0] <= 20
