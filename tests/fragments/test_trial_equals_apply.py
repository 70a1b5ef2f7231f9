"""What a trial says is what applying then does, field by field, whatever users have and whatever is changed."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fragments.services import backfill, trial
from registry.domain.definition import NO_FIELDS
from registry.domain.edit_documents import parse_edits
from registry.domain.edits import edited
from registry.errors_proposals import EmptyProposal
from registry.models import TrialState
from registry.selectors import effective_schema
from snapshots.services.observations import RECOMPUTE
from tests.content import stored_content
from tests.factories import THING, make_compatibility, make_version
from tests.fragments.trials import (
    Counted,
    Population,
    done_between,
    make_proposal,
    result_of,
    tried,
    work,
)
from tests.rounds import rounds


@pytest.mark.django_db
@settings(
    max_examples=rounds(25),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(seed=st.integers(0, 2**32), has_global=st.booleans())
def test_a_trial_says_what_applying_does(
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
            _tried_and_applied(dice, population, edits)
        transaction.set_rollback(True)


def _tried_and_applied(dice: random.Random, population: Population, edits: list[Any]) -> None:
    try:
        proposal = make_proposal(edits=edits)
    except EmptyProposal:
        return
    before, content = Counted(population.users), stored_content()

    made = tried(proposal)

    assert (made.state, made.error) == (TrialState.DONE, "")
    assert stored_content() == content
    said = result_of(made)
    shared = effective_schema(entity_type=THING, user_id=None).definition or NO_FIELDS
    make_version(document=edited(shared, parse_edits(proposal.edits)).to_json())
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
    counts = said.counts
    assert counts.quota_given_back == before.quota - after.quota
    recomputed = sum(after.hashes[entity] != held for entity, held in before.hashes.items())
    assert counts.snapshots_recomputed == recomputed
    assert counts.snapshots_recomputed == sum(
        job.result["recomputed"] for job in jobs if job.kind == RECOMPUTE and job.result
    )
    assert counts.snapshots_recomputed + counts.snapshots_unchanged == len(after.hashes)
    touched = {user for user, row in after.revisions.items() if before.revisions.get(user) != row}
    assert counts.extensions_touched == len(touched)
    for sampled in said.sample:
        shown = before.values[sampled.entity_id], after.values[sampled.entity_id]
        for name, (held, new) in sampled.fields.items():
            for side, values in zip((held, new), shown, strict=True):
                assert isinstance(values, dict)
                assert (side.is_there, side.value) == (name in values, values.get(name))
