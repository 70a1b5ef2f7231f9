"""What a trial says is what applying, or undoing, then does, field by field, whatever users have."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fragments.domain.trial import Trial, trial_difference
from fragments.selectors_trials import applied_of
from fragments.services import backfill, trial
from registry.models import Proposal, ProposalAct, TrialState
from registry.services.proposal_apply import proposal_apply, proposal_undo
from tests.content import stored_content
from tests.factories import make_compatibility
from tests.fragments.trials import (
    Counted,
    Population,
    done_between,
    recomputed_by,
    result_of,
    tried,
    work,
)
from tests.proposals.approved import approve, make_proposal, schema_admin
from tests.rounds import rounds


@pytest.mark.rounds
@pytest.mark.django_db
@settings(
    max_examples=rounds(8),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(seed=st.integers(0, 2**32), has_global=st.booleans())
def test_a_trial_says_what_applying_and_undoing_do(
    seed: int, has_global: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in (
        (backfill, "CHUNK_FRAGMENTS"),
        (backfill, "PAGE_FRAGMENTS"),
        (trial, "FRAGMENTS_AT_ONCE"),
        (trial, "USERS_AT_ONCE"),
    ):
        monkeypatch.setattr(module, name, 2)
    with transaction.atomic():
        dice = random.Random(seed)
        make_compatibility()
        population = Population(dice, has_global=has_global)
        edits = population.edits()
        if edits:
            proposal = make_proposal(edits=edits)
            _applied(dice, population, proposal)
            if dice.random() < 0.5:
                population.ingest()
                work(dice)
            _undone(dice, population, proposal)
        transaction.set_rollback(True)


def _applied(dice: random.Random, population: Population, proposal: Proposal) -> None:
    said, before = _tried(proposal, population)
    approve(proposal=proposal)
    proposal_apply(proposal_id=proposal.pk, actor=schema_admin())
    jobs = work(dice)
    after = Counted(population.users)

    done = done_between(before, after, [*said.fields])
    assert {
        name: {
            "absorbed": counts.absorbed,
            "fits": counts.fits,
            "converted": counts.converted,
            "misfits": counts.misfits,
        }
        for name, counts in said.fields.items()
    } == done
    _assert_as_said(said, before, after, jobs, proposal)


def _undone(dice: random.Random, population: Population, proposal: Proposal) -> None:
    proposal.refresh_from_db()
    said, before = _tried(proposal, population)
    proposal_undo(proposal_id=proposal.pk, actor=schema_admin())
    jobs = work(dice)
    after = Counted(population.users)

    waiting_again = dict.fromkeys(said.fields, 0)
    for pk, row in after.fragments.items():
        if row.lifecycle_state == "active" and before.fragments[pk].lifecycle_state != "active":
            waiting_again[row.fragment_key] += 1
    assert {name: counts.taken_back for name, counts in said.fields.items()} == waiting_again
    _assert_as_said(said, before, after, jobs, proposal)


def _tried(proposal: Proposal, population: Population) -> tuple[Trial, Counted]:
    before, content = Counted(population.users), stored_content()
    made = tried(proposal)
    assert (made.state, made.error) == (TrialState.DONE, "")
    assert stored_content() == content
    return result_of(made), before


def _assert_as_said(
    said: Trial, before: Counted, after: Counted, jobs: list[Any], proposal: Proposal
) -> None:
    """What both acts have in common: quotas, extensions, snapshots, samples, and what the jobs counted themselves."""
    counts = said.counts
    assert counts.quota_taken - counts.quota_given_back == after.quota - before.quota
    recomputed = sum(after.hashes[entity] != held for entity, held in before.hashes.items())
    assert counts.snapshots_recomputed == recomputed == recomputed_by(jobs)
    assert counts.snapshots_recomputed + counts.snapshots_unchanged == len(after.hashes)
    touched = {user for user, row in after.revisions.items() if before.revisions.get(user) != row}
    assert counts.extensions_touched == len(touched)
    proposal.refresh_from_db()
    applied = applied_of(proposal=proposal, act=ProposalAct(said.act))
    assert applied.is_over
    assert applied.snapshots_recomputed == recomputed
    assert trial_difference(said, applied) == ()
    for sampled in said.sample:
        shown = before.values[sampled.entity_id], after.values[sampled.entity_id]
        for name, sides in sampled.fields.items():
            for side, values in zip(sides, shown, strict=True):
                assert isinstance(values, dict)
                assert (side.is_there, side.value) == (name in values, values.get(name))
