"""What becomes of the proposals of an analysis when it looks again, and that it never undoes what a login did."""

from __future__ import annotations

from typing import Any

import pytest

from registry.domain.problems import InvalidEdits
from registry.domain.proposal import State
from registry.models import Proposal, ProposalOrigin
from registry.services.proposal_reviews import proposal_reject, proposal_request_changes
from registry.services.proposal_upkeep import proposals_expire
from registry.services.proposals import proposal_edit, proposal_submit, proposal_withdraw
from registry.services.proposals_found import (
    Found,
    entity_types_found,
    proposal_faded,
    proposal_found,
    proposals_found_open,
)
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.models import AuditEvent
from tests.factories import NOON, SHELL, THING, make_definition, make_login, make_version

pytestmark = pytest.mark.django_db

FIELD = "smell"


@pytest.fixture(autouse=True)
def _schema() -> None:
    make_version(document=make_definition(k="string"))


def add(field: str = FIELD, kind: str = "string") -> JsonObject:
    return {"op": "add_field", "field": field, "declaration": {"type": kind}}


def evidence(users: int = 10, *, eligible: bool = True, pattern: str = "field") -> JsonObject:
    return {"pattern": pattern, "users": users, "eligible": eligible}


def found(edit: JsonObject | None = None, said: JsonObject | None = None, **more: Any) -> Found:
    given: dict[str, Any] = {"entity_type": THING, "subject": FIELD, "title": "Add it", "reason": "", **more}
    return proposal_found(edits=[edit or add()], evidence=said or evidence(), actor=SHELL, **given)


def put(proposal: Proposal, state: State) -> None:
    """Logins have brought the proposal into that state; a draft was edited, and a stale one before it was outdated."""
    login, other = (Actor.login(make_login(role="schema_admin")) for _ in range(2))
    one: dict[str, Any] = {"proposal_id": proposal.pk, "actor": login}
    if state in (State.DRAFT, State.STALE):
        proposal_edit(**one, edits=[add(kind="boolean")])
    elif state is State.WITHDRAWN:
        proposal_withdraw(**one)
    else:
        proposal_submit(**one)
    if state is State.STALE:
        make_version(document=make_definition(k="string", another="string"))
    decided: dict[str, Any] = {"proposal_id": proposal.pk, "actor": other, "note": "no"}
    if state is State.CHANGES_REQUESTED:
        proposal_request_changes(**decided, content_hash=proposal.content_hash)
    if state is State.REJECTED:
        proposal_reject(**decided, content_hash=proposal.content_hash)
    if state is State.EXPIRED:
        Proposal.objects.filter(pk=proposal.pk).update(expires_at=NOON)
        assert proposals_expire(actor=SHELL) == 1
    proposal.refresh_from_db()
    assert proposal.state == state


def drafted() -> Proposal:
    assert found().outcome == "drafted"
    return Proposal.objects.get()


def actions() -> list[str]:
    return list(
        AuditEvent.objects.filter(target_type="proposal").order_by("id").values_list("action", flat=True)
    )


def test_what_is_found_becomes_a_draft_without_author_on_the_version_in_force() -> None:
    proposal = drafted()
    assert (proposal.state, proposal.origin, proposal.author, proposal.last_editor) == (
        *(State.DRAFT, ProposalOrigin.ANALYSIS),
        *(None, None),
    )
    assert proposal.base_version is not None
    assert proposal.base_version.is_active
    assert proposal.content_hash
    event = AuditEvent.objects.get(action="proposal.draft")
    assert event.actor_name == SHELL.name
    assert event.after is not None
    assert event.after["content_hash"] == proposal.content_hash
    assert (proposals_found_open(entity_type=THING), entity_types_found()) == ({FIELD: evidence()}, [THING])


def test_the_same_once_more_changes_nothing() -> None:
    drafted()
    before = list(Proposal.objects.values())
    assert found().outcome == "unchanged"
    assert (list(Proposal.objects.values()), actions()) == (before, ["proposal.draft"])


def test_other_figures_are_noted_and_are_no_event() -> None:
    proposal = drafted()
    assert found(said=evidence(12)) == (proposal.pk, "refreshed")
    proposal.refresh_from_db()
    assert proposal.evidence == evidence(12)
    assert actions() == ["proposal.draft"]


def test_a_draft_that_nobody_touched_gets_other_edits() -> None:
    proposal = drafted()
    assert found(add(kind="number"), title="Add it as a number") == (proposal.pk, "refreshed")
    content = proposal.content_hash
    proposal.refresh_from_db()
    assert (proposal.edits, proposal.title) == ([add(kind="number")], "Add it as a number")
    assert proposal.content_hash != content
    assert actions() == ["proposal.draft", "proposal.refresh"]


def test_a_stale_one_that_nobody_touched_is_a_draft_on_the_version_in_force() -> None:
    proposal = drafted()
    version = make_version(document=make_definition(k="string", other="string"))
    proposal.refresh_from_db()
    assert proposal.state == State.STALE
    assert found() == (proposal.pk, "refreshed")
    proposal.refresh_from_db()
    assert (proposal.state, proposal.base_version) == (State.DRAFT, version)
    assert found().outcome == "unchanged"


@pytest.mark.parametrize("state", [State.DRAFT, State.IN_REVIEW, State.CHANGES_REQUESTED, State.STALE])
def test_what_a_login_has_touched_gets_the_evidence_and_keeps_its_content(state: State) -> None:
    proposal = drafted()
    put(proposal, state)
    content = proposal.content_hash, proposal.state, proposal.title
    assert found(add(kind="number"), evidence(40), title="Another") == (proposal.pk, "refreshed")
    proposal.refresh_from_db()
    assert (proposal.content_hash, proposal.state, proposal.title) == content
    assert proposal.evidence == evidence(40)


def test_a_title_that_a_login_gave_stays_until_other_edits_are_found() -> None:
    proposal = drafted()
    login = Actor.login(make_login(role="schema_admin"))
    proposal_edit(proposal_id=proposal.pk, actor=login, title="What it smells of")
    assert found().outcome == "unchanged"
    make_version(document=make_definition(k="string", another="string"))
    assert found().outcome == "refreshed"
    proposal.refresh_from_db()
    assert proposal.title == "What it smells of"
    assert found(add(kind="number")).outcome == "refreshed"
    proposal.refresh_from_db()
    assert proposal.title == "Add it"


def test_there_is_one_open_proposal_of_a_field_whatever_was_found_of_it() -> None:
    proposal = drafted()
    make_version(document=make_definition(k="string", smell="number"))
    converter: JsonObject = {"op": "add_converter", "field": FIELD, "converter": "string_to_number"}
    assert found(converter, evidence(pattern="converter")) == (proposal.pk, "refreshed")
    spelled_out = {"from": "string", "to": "number", "function": "string_to_number"}
    assert Proposal.objects.get().edits == [{**converter, "converter": spelled_out}]
    assert found(converter, evidence(pattern="converter")) == (proposal.pk, "unchanged")


@pytest.mark.parametrize("state", [State.REJECTED, State.WITHDRAWN])
def test_what_was_dismissed_stays_so_until_twice_as_many_users_have_it(state: State) -> None:
    put(drafted(), state)
    for users in (10, 19):
        assert found(said=evidence(users)) == (None, "dismissed")
    assert Proposal.objects.count() == 1
    assert found(said=evidence(20)).outcome == "drafted"
    assert Proposal.objects.count() == 2


def test_the_newest_that_was_closed_decides() -> None:
    put(drafted(), State.WITHDRAWN)
    assert found(said=evidence(20)).outcome == "drafted"
    put(Proposal.objects.order_by("pk").last() or drafted(), State.REJECTED)
    assert found(said=evidence(39)).outcome == "dismissed"
    assert found(said=evidence(40)).outcome == "drafted"


def test_what_merely_expired_is_drafted_anew() -> None:
    put(drafted(), State.EXPIRED)
    assert found().outcome == "drafted"


def test_what_was_dismissed_of_one_kind_says_nothing_of_another() -> None:
    put(drafted(), State.WITHDRAWN)
    converter: JsonObject = {"op": "add_converter", "field": "k", "converter": "number_to_string"}
    assert found(converter, evidence(pattern="converter")).outcome == "drafted"


def test_a_proposal_of_a_login_about_the_same_field_is_another_one() -> None:
    login = make_login()
    Proposal.objects.create(entity_type=THING, subject=FIELD, title="Mine", edits=[add()], author=login)
    assert found().outcome == "drafted"


def test_what_cannot_be_added_to_the_version_in_force_is_refused() -> None:
    with pytest.raises(InvalidEdits):
        found(add("k"), subject="k")
    assert not Proposal.objects.exists()


def test_what_fell_below_the_rules_stays_as_it_is_and_says_so() -> None:
    proposal = drafted()
    faded = evidence(9, eligible=False)
    given: dict[str, Any] = {"entity_type": THING, "subject": FIELD, "evidence": faded, "actor": SHELL}
    assert proposal_faded(**given) == (proposal.pk, "refreshed")
    assert proposal_faded(**given) == (proposal.pk, "unchanged")
    assert proposal_faded(**{**given, "subject": "other"}) == (None, "unchanged")
    proposal.refresh_from_db()
    assert (proposal.evidence, proposal.state, proposal.edits) == (faded, State.DRAFT, [add()])
    assert found().outcome == "refreshed"
    assert actions() == ["proposal.draft", "proposal.weigh", "proposal.weigh"]


def test_who_may_not_propose_drafts_nothing() -> None:
    with pytest.raises(Denied):
        proposal_found(
            entity_type=THING,
            subject=FIELD,
            title="Add it",
            reason="",
            edits=[add()],
            evidence=evidence(),
            actor=Actor.login(make_login(role="operator")),
        )
    assert not Proposal.objects.exists()
