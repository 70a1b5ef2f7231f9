"""Applied and undone, whatever users had of the field and however far the jobs had come: all is as it was."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fragments.models import LifecycleState
from registry.models import ProposalEffect
from registry.services.proposal_apply import proposal_apply, proposal_undo
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, User
from snapshots.models import EntitySnapshot
from snapshots.services.verify import snapshots_verify
from tests.aggregates import assert_aggregates_are_right
from tests.factories import (
    THING,
    make_compatibility,
    make_extension,
    make_run,
    make_user,
    make_version,
)
from tests.lifecycle import put
from tests.proposals.approved import make_approved, schema_admin
from tests.proposals.standing import standing, work
from tests.rounds import rounds
from tests.snapshots.reduction_model import CONVERTED_FROM
from tests.snapshots.store_draws import (
    CONVERTED_TO,
    FEEDS,
    NAMES,
    POLICIES,
    draw_batch,
    draw_field,
)
from tests.snapshots.store_model import OWNER

BASE: Any = {"fields": {"k": {"type": "string"}}, "merge_policies": {}}


def declaration(dice: random.Random) -> dict[str, Any]:
    return {**draw_field(dice), "merge_policy": dice.choice(POLICIES)}


def document(fields: dict[str, Any]) -> dict[str, Any]:
    """A definition of the key and these fields."""
    whole: dict[str, Any] = {"fields": dict(BASE["fields"]), "merge_policies": {}}
    for name, declared in fields.items():
        field = dict(declared)
        whole["merge_policies"][name] = field.pop("merge_policy")
        whole["fields"][name] = field
    return whole


class Population:
    """Three users, each with something of their own or nothing, and their records."""

    def __init__(self, dice: random.Random, *, is_global: bool) -> None:
        self.dice = dice
        make_compatibility()
        self.shared = {name: declaration(dice) for name in NAMES if dice.random() < 0.4} if is_global else {}
        if is_global:
            make_version(document=document(self.shared))
        self.owners = [make_user() for _ in range(3)]
        for owner in self.owners:
            self._own(owner, is_global=is_global)
        for _ in range(2):
            self.ingest()
        work()
        # What was seen rarely, and long ago, is archived.
        put(LifecycleState.ARCHIVED, lifecycle_state="active", value_type=dice.choice(["string", "number"]))

    def _own(self, owner: User, *, is_global: bool) -> None:
        names = [name for name in NAMES if name not in self.shared and self.dice.random() < 0.5]
        fields = {name: declaration(self.dice) for name in names}
        if is_global:
            if fields:
                own: Any = {"additional_fields": fields}
                make_extension(user=owner, document=own)
        elif self.dice.random() < 0.8:
            make_version(document=document(fields), user=owner)

    def ingest(self) -> None:
        feed = self.dice.choice(FEEDS)
        records = [
            {**record, OWNER: self.owners[number].username} for number, record in draw_batch(self.dice)
        ]
        options = {name: value for name, value in feed.options.items() if name != "id_field"}
        make_run(records=records, source=feed.source, entity_type=THING, **options)

    def edits(self, *, is_global: bool) -> list[Any]:
        """Some edits that can be made to what is in force."""
        edits: list[Any] = []
        if not is_global:
            edits.append({"op": "add_field", "field": "k", "declaration": {"type": "string"}})
        for name in self.dice.sample(NAMES, self.dice.randint(1, len(NAMES))):
            if name not in self.shared:
                declared = declaration(self.dice)
                policy = declared.pop("merge_policy")
                edits.append(
                    {"op": "add_field", "field": name, "declaration": declared, "merge_policy": policy}
                )
            else:
                edits.append(self._change(name))
        return edits

    def _change(self, name: str) -> dict[str, Any]:
        declared = self.shared[name]
        ending = [one for one in CONVERTED_FROM if CONVERTED_TO[one] == declared["type"]]
        missing = [one for one in ending if one not in declared["converters"]]
        if missing and self.dice.random() < 0.6:
            return {"op": "add_converter", "field": name, "converter": self.dice.choice(missing)}
        if self.dice.random() < 0.5:
            return {"op": "remove_field", "field": name}
        policy = self.dice.choice(POLICIES)
        return {"op": "set_policy", "field": name, "merge_policy": policy}


def some_jobs(dice: random.Random) -> None:
    """Workers come so far."""
    for _ in range(dice.randint(0, 4)):
        live = list(Job.objects.filter(state__in=LIVE_JOB_STATES).order_by("kind", "target"))
        if live:
            run_job(str(dice.choice(live).pk))


@pytest.mark.rounds
@pytest.mark.django_db
@settings(
    max_examples=rounds(6),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(seed=st.integers(0, 2**32), is_global=st.booleans())
def test_what_was_applied_and_undone_never_was(seed: int, is_global: bool) -> None:
    with transaction.atomic():
        dice = random.Random(seed)
        population = Population(dice, is_global=is_global)
        before = standing()
        proposal = make_approved(edits=population.edits(is_global=is_global))
        proposal_apply(proposal_id=proposal.pk, actor=schema_admin())
        some_jobs(dice)

        proposal_undo(proposal_id=proposal.pk, actor=schema_admin())
        some_jobs(dice)
        work()

        after = standing()
        for part, was in before.items():
            assert after[part] == was, part
        assert not ProposalEffect.objects.filter(settled_at=None).exists()
        assert not ProposalEffect.objects.filter(promoted_at=None).exists()
        assert_aggregates_are_right()
        verified = snapshots_verify([str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)])
        assert (verified.waiting, verified.divergent) == (0, [])
        transaction.set_rollback(True)
