"""Applying an approved proposal and undoing it: what users have, see and may store follows, and comes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fragments.models import RawFragment
from registry.domain.compatibility import IncompatibleChange, Mode
from registry.errors_proposals import LaterVersion, NotApproved, StaleProposal, WrongState
from registry.models import Proposal, ProposalEffect, ProposalState, UserQuota
from registry.selectors import extension_in_force, version_in_force
from registry.services.proposal_apply import proposal_apply, proposal_undo
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.models import AuditEvent, Job
from snapshots.models import EntitySnapshot
from snapshots.services.verify import snapshots_verify
from tests.aggregates import assert_aggregates_are_right
from tests.factories import (
    NOON,
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_login,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)
from tests.proposals.approved import make_approved, make_proposal, schema_admin
from tests.proposals.standing import standing, work

pytestmark = pytest.mark.django_db

ADD_SIZE: Any = [{"op": "add_field", "field": "size", "declaration": {"type": "number"}}]
STRING: Any = {"type": "string"}
NUMBER: Any = {"type": "number"}


def effects(act: str) -> dict[str, dict[str, int]]:
    """The counts of each field that are not zero."""
    counted = ("absorbed", "given_back", "promoted", "converted", "taken_back")
    return {
        row["field"]: {name: row[name] for name in counted if row[name]}
        for row in ProposalEffect.objects.filter(act=act).values("field", *counted)
    }


def assert_all_is_well() -> None:
    rows = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
    verified = snapshots_verify(rows)
    assert (verified.waiting, verified.divergent) == (0, [])
    assert_aggregates_are_right()


def test_a_field_that_users_have_in_every_way_becomes_global_and_goes_back() -> None:
    make_version(document=make_definition(k="string"))
    declared, fragments, otherwise = (make_user() for _ in range(3))
    make_extension(user=declared, document={"additional_fields": {"size": NUMBER, "own": STRING}})
    make_extension(user=otherwise, document={"additional_fields": {"size": STRING}})
    for owner in (declared, fragments, otherwise):
        make_run(user=owner, records=[{"k": "a", "size": 1, "own": "x"}, {"k": "b", "size": "big"}])
    before = standing()
    proposal = make_approved(edits=ADD_SIZE)

    applied = proposal_apply(proposal_id=proposal.pk, actor=schema_admin())
    assert applied.state == ProposalState.APPLIED
    assert applied.applied_version == version_in_force(entity_type=THING, user_id=None)
    kinds = Job.objects.filter(pk__in=applied.apply_jobs).values_list("kind", flat=True)
    assert sorted(kinds) == ["promote_fragments", "recompute_snapshots", "settle_extensions"]
    work()

    held = extension_in_force(entity_type=THING, user_id=declared.pk)
    assert held is not None
    assert set(held.additional_fields) == {"own"}
    assert UserQuota.objects.get(user=declared).total_fields == 1
    shown = {owner.pk: make_snapshot(user=owner, key="a").values for owner in (declared, fragments)}
    assert shown == {
        declared.pk: {"k": "a", "size": 1, "own": "x"},
        fragments.pk: {"k": "a", "size": 1},
    }
    # The user's own declaration stands, and what does not fit it waits.
    assert make_snapshot(user=otherwise, key="b").values == {"k": "b", "size": "big"}
    assert effects("apply") == {"size": {"absorbed": 1, "promoted": 1}}
    assert not ProposalEffect.objects.filter(settled_at=None).exists()
    assert not ProposalEffect.objects.filter(promoted_at=None).exists()
    assert_all_is_well()

    undone = proposal_undo(proposal_id=proposal.pk, actor=schema_admin(), note="too early")
    assert undone.state == ProposalState.UNDONE
    work()

    assert standing() == before
    assert effects("undo") == {"size": {"given_back": 1, "taken_back": 1}}
    assert not ProposalEffect.objects.filter(promoted_at=None).exists()
    undone.refresh_from_db()
    kinds = Job.objects.filter(pk__in=undone.undo_jobs).values_list("kind", flat=True)
    assert {"promote_fragments", "recompute_snapshots", "restore_extensions"} <= set(kinds)
    assert_all_is_well()
    audited = (
        AuditEvent.objects.filter(target_type="proposal").order_by("pk").values_list("action", flat=True)
    )
    assert list(audited) == ["proposal.submit", "proposal.approve", "proposal.apply", "proposal.undo"]


def test_own_schemas_are_adopted_and_come_back_with_what_was_added_since() -> None:
    """Nothing was global before."""
    plain, growing, without = (make_user() for _ in range(3))
    document = make_definition(k="string", size="number", kinds=["human"], own="string")
    for owner in (plain, growing):
        make_version(document=document, user=owner)
    for owner in (plain, growing, without):
        make_run(user=owner, records=[{"k": "a", "size": 1, "own": "x", "more": 2}])
    before = standing()
    edits = [{"op": "add_field", "field": "k", "declaration": STRING}, *ADD_SIZE]
    proposal = make_approved(edits=edits)

    proposal_apply(proposal_id=proposal.pk, actor=schema_admin())
    work()
    assert UserQuota.objects.get(user=plain).total_fields == 1
    assert make_snapshot(user=without, key="a").values == {"k": "a", "size": 1}
    assert effects("apply") == {"k": {"absorbed": 2}, "size": {"absorbed": 2}}
    make_extension(user=growing, document={"additional_fields": {"own": STRING, "more": NUMBER}})
    work()

    proposal_undo(proposal_id=proposal.pk, actor=schema_admin())
    work()
    after = standing()

    own = version_in_force(entity_type=THING, user_id=growing.pk)
    assert own is not None
    assert set(own.definition["fields"]) == {"k", "size", "own", "more"}
    assert own.definition["observation_source_priority"] == ["human"]
    assert make_snapshot(user=growing, key="a").values == {"k": "a", "size": 1, "own": "x", "more": 2}
    for part in ("effective", "extensions"):
        assert after[part].get(plain.pk) == before[part].get(plain.pk)
    others = [row for row in before["snapshots"] if row["user_id"] != growing.pk]
    assert [row for row in after["snapshots"] if row["user_id"] != growing.pk] == others
    assert_all_is_well()


def test_a_converter_is_taken_back_with_what_it_let_in() -> None:
    make_version(document=make_definition(k="string", at="date"))
    owner = make_user()
    stamps = [{"k": f"k{n}", "at": 1_700_000_000 + n} for n in range(3)]
    make_run(user=owner, records=[*stamps, {"k": "k0", "at": "2024-05-06"}, {"k": "k1", "at": True}])
    before = standing()
    converter = {"function": "timestamp_s_to_iso", "from": "number", "to": "date"}
    proposal = make_approved(edits=[{"op": "add_converter", "field": "at", "converter": converter}])

    proposal_apply(proposal_id=proposal.pk, actor=schema_admin())
    work()
    assert make_snapshot(user=owner, key="k2").values["at"] == "2023-11-14T22:13:22.000Z"
    assert effects("apply") == {"at": {"promoted": 3, "converted": 3}}

    proposal_undo(proposal_id=proposal.pk, actor=schema_admin())
    work()
    assert standing() == before
    assert effects("undo") == {"at": {"taken_back": 3}}
    assert_all_is_well()


@pytest.mark.parametrize(
    "edits",
    [
        [{"op": "remove_field", "field": "size"}],
        [{"op": "set_policy", "field": "size", "merge_policy": {"strategy": "highest_priority"}}],
        [{"op": "set_description", "field": "size", "description": "in metres"}],
        [{"op": "remove_field", "field": "size"}, {"op": "add_field", "field": "own", "declaration": STRING}],
    ],
)
def test_other_changes_go_back_too(edits: Any) -> None:
    make_compatibility()
    make_version(document=make_definition(k="string", size="number"))
    owner = make_user()
    make_run(user=owner, records=[{"k": "a", "size": 1, "own": "x"}, {"k": "a", "size": 2}], priority=7)
    make_run(user=owner, records=[{"k": "a", "size": 3, "own": "y"}])
    before = standing()
    proposal = make_approved(edits=edits)

    proposal_apply(proposal_id=proposal.pk, actor=schema_admin())
    work()
    assert standing() != before
    proposal_undo(proposal_id=proposal.pk, actor=schema_admin())
    work()

    assert standing() == before
    assert_all_is_well()


def test_what_arrived_since_stays() -> None:
    make_version(document=make_definition(k="string"))
    owner, other = make_user(), make_user()
    make_extension(user=owner, document={"additional_fields": {"size": NUMBER}})
    proposal = make_approved(edits=ADD_SIZE)
    proposal_apply(proposal_id=proposal.pk, actor=schema_admin())
    work()
    for one in (owner, other):
        make_run(user=one, records=[{"k": "a", "size": 5}])

    proposal_undo(proposal_id=proposal.pk, actor=schema_admin())
    # Before the owner has the field back, it is declared nowhere.
    make_run(user=owner, observed_at=NOON + timedelta(days=1), records=[{"k": "a", "size": 6}])
    work()

    assert make_snapshot(user=owner, key="a").values == {"k": "a", "size": 6}
    assert make_snapshot(user=other, key="a").values == {"k": "a"}
    assert not RawFragment.objects.filter(user=owner, lifecycle_state="active").exists()
    assert_all_is_well()


def test_a_later_version_is_not_undone_with_it() -> None:
    make_version(document=make_definition(k="string"))
    proposal = make_approved(edits=ADD_SIZE)
    proposal_apply(proposal_id=proposal.pk, actor=schema_admin())
    make_version(document=make_definition(k="string", size="number", more="string"))

    with pytest.raises(LaterVersion) as refusal:
        proposal_undo(proposal_id=proposal.pk, actor=schema_admin())
    assert refusal.value.code == "later_version"


def test_what_was_applied_or_undone_is_not_so_twice() -> None:
    make_version(document=make_definition(k="string"))
    proposal = make_approved(edits=ADD_SIZE)
    proposal_apply(proposal_id=proposal.pk, actor=schema_admin())
    with pytest.raises(WrongState) as refusal:
        proposal_apply(proposal_id=proposal.pk, actor=schema_admin())
    assert refusal.value.code == "already_decided"
    proposal_undo(proposal_id=proposal.pk, actor=schema_admin())
    for act in (proposal_undo, proposal_apply):
        with pytest.raises(WrongState) as refusal:
            act(proposal_id=proposal.pk, actor=schema_admin())
        assert refusal.value.code == "already_decided"


def test_only_what_was_approved_is_applied() -> None:
    make_version(document=make_definition(k="string"))
    draft = make_proposal(edits=ADD_SIZE)
    with pytest.raises(WrongState) as refusal:
        proposal_apply(proposal_id=draft.pk, actor=schema_admin())
    assert refusal.value.code == "wrong_state"

    approved = make_approved(edits=ADD_SIZE)
    make_version(document=make_definition(k="string", more="string"))
    with pytest.raises((StaleProposal, WrongState)):
        proposal_apply(proposal_id=approved.pk, actor=schema_admin())
    assert "size" not in version_in_force(entity_type=THING, user_id=None).parsed.fields  # type: ignore[union-attr]


def test_an_approval_of_something_else_does_not_count() -> None:
    """As psql could leave it: the row says approved, and no decision says so."""
    make_version(document=make_definition(k="string"))
    proposal = make_approved(edits=ADD_SIZE)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE schema_proposal_decisions DISABLE TRIGGER USER")
        cursor.execute("UPDATE schema_proposal_decisions SET content_hash = 'other'")
        cursor.execute("ALTER TABLE schema_proposal_decisions ENABLE TRIGGER USER")
    with pytest.raises(NotApproved):
        proposal_apply(proposal_id=proposal.pk, actor=schema_admin())


def test_a_refused_change_fails_and_says_why() -> None:
    make_version(document=make_definition(k="string"))
    required = [{"op": "add_field", "field": "size", "declaration": {"type": "number", "required": True}}]
    make_compatibility()
    proposal = make_approved(edits=required)
    make_compatibility(mode=Mode.BACKWARD)

    with pytest.raises(IncompatibleChange):
        proposal_apply(proposal_id=proposal.pk, actor=schema_admin())
    proposal.refresh_from_db()
    assert (proposal.state, "size" in proposal.error) == (ProposalState.FAILED, True)
    make_compatibility()
    applied = proposal_apply(proposal_id=proposal.pk, actor=schema_admin())
    assert (applied.state, applied.error) == (ProposalState.APPLIED, "")


@pytest.mark.parametrize("act", [proposal_apply, proposal_undo])
def test_it_takes_a_login_with_the_right(act: Any) -> None:
    make_version(document=make_definition(k="string"))
    proposal = make_approved(edits=ADD_SIZE)
    for actor, code in (
        (Actor.login(make_login(role="operator")), "permission_denied"),
        (Actor.shell(), "login_needed"),
    ):
        with pytest.raises(Denied) as refusal:
            act(proposal_id=proposal.pk, actor=actor)
        assert refusal.value.code == code
    assert Proposal.objects.get(pk=proposal.pk).state == ProposalState.APPROVED


def test_the_transaction_does_not_grow_with_users() -> None:
    """What grows is done by jobs: applying and undoing take as many statements for many users as for one."""
    make_version(document=make_definition(k="string"))
    taken: list[tuple[int, int]] = []
    # The version of the first one is there afterwards.
    for count in (0, 1, 40):
        for _ in range(count):
            owner = make_user()
            make_extension(user=owner, document={"additional_fields": {"size": NUMBER}})
            make_run(user=owner, records=[{"k": "a", "size": 1, "more": 1}])
        work()
        proposal = make_approved(edits=ADD_SIZE)
        admin = schema_admin()
        with CaptureQueriesContext(connection) as applying:
            proposal_apply(proposal_id=proposal.pk, actor=admin)
        with CaptureQueriesContext(connection) as undoing:
            proposal_undo(proposal_id=proposal.pk, actor=admin)
        taken.append((len(applying), len(undoing)))
        work()
    assert taken[1] == taken[2]
