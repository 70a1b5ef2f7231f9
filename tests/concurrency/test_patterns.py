"""Several analyses at once draft each field once; and no draft is made to a version that is not in force any more."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import pytest
from django.db import transaction

from fragments.services.patterns import candidates_propose
from registry.models import Proposal, SchemaVersion
from registry.services.activation import schema_activate
from schemaevo.kernel.models import AuditEvent
from tests.factories import SHELL, THING, make_compatibility, make_definition, make_version
from tests.fragments.patterns import looked, outcomes, users_with_own
from tests.threads import PATIENCE_S, Aside, side_by_side, waiting_for_locks
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = 6


def test_several_analyses_at_once_draft_each_field_once() -> None:
    users_with_own(10, apples="number", berries="string")
    candidates = looked().candidates
    one = partial(candidates_propose, entity_type=THING, candidates=candidates, actor=SHELL)
    came_of = [outcomes(proposed) for proposed in side_by_side([one] * AT_ONCE)]
    for field in ("apples", "berries"):
        assert sorted(found[field] for found in came_of) == ["drafted"] + ["unchanged"] * (AT_ONCE - 1)
    assert Proposal.objects.count() == AuditEvent.objects.filter(action="proposal.draft").count() == 2


@pytest.fixture
def versions() -> list[SchemaVersion]:
    """Ten users share a field; of two global versions that lack it the first is in force."""
    users_with_own(10, apples="number")
    make_compatibility()
    return [
        make_version(document=make_definition(k="string")),
        make_version(document=make_definition(k="string", other="string"), is_active=False),
    ]


def propose() -> None:
    candidates_propose(entity_type=THING, candidates=looked().candidates, actor=SHELL)


def activate(version: SchemaVersion) -> None:
    schema_activate(version_id=version.pk, actor=SHELL, without_review="a test wants it")


def test_another_version_comes_into_force_only_after_the_drafts_can_be_seen(
    versions: list[SchemaVersion],
) -> None:
    before, after = versions
    with ExitStack() as stack:
        with transaction.atomic():
            propose()
            future = stack.enter_context(Aside(partial(activate, after)))
            wait_for(waiting_for_locks, "the activation to wait")
            assert SchemaVersion.objects.get(user=None, is_active=True) == before
        future.result(PATIENCE_S)
    assert Proposal.objects.get().base_version == before


def test_drafts_are_made_to_the_version_that_came_into_force_meanwhile(versions: list[SchemaVersion]) -> None:
    after = versions[1]
    with ExitStack() as stack:
        with transaction.atomic():
            activate(after)
            future = stack.enter_context(Aside(propose))
            wait_for(waiting_for_locks, "the analysis to wait")
        future.result(PATIENCE_S)
    assert Proposal.objects.get().base_version == after
