"""Several analyses at once draft each field once; and no draft is made to a version that is not in force any more."""

from __future__ import annotations

from functools import partial

import pytest

from fragments.services.patterns import candidates_propose
from registry.models import Proposal, SchemaVersion
from registry.services.activation import schema_activate
from schemaevo.kernel.models import AuditEvent
from tests.factories import SHELL, THING, make_compatibility, make_definition, make_version
from tests.fragments.patterns import looked, outcomes, users_with_own
from tests.rounds import rounds
from tests.threads import side_by_side

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


def test_a_draft_is_made_to_the_version_that_is_in_force_when_it_is_committed() -> None:
    users_with_own(10, apples="number")
    make_compatibility()
    versions = [
        make_version(document=make_definition(k="string")),
        make_version(document=make_definition(k="string", other="string"), is_active=False),
    ]
    candidates = looked().candidates
    assert [one.subject for one in candidates] == ["apples"]
    for number in range(rounds(10)):
        Proposal.objects.filter(state="draft").update(state="withdrawn", evidence={})
        following = versions[(number + 1) % 2]

        def activate(version_id: int = following.pk) -> str:
            schema_activate(version_id=version_id, actor=SHELL, without_review="a test wants it")
            # Whatever was drafted to the version before is there to be seen, and nothing else comes after.
            stale = Proposal.objects.filter(state="draft").exclude(base_version=version_id)
            return str(stale.update(state="stale"))

        side_by_side(
            [activate, lambda: str(candidates_propose(entity_type=THING, candidates=candidates, actor=SHELL))]
        )
        in_force = SchemaVersion.objects.get(user=None, is_active=True)
        assert in_force.pk == following.pk
        drafts = Proposal.objects.filter(state="draft")
        assert all(draft.base_version_id == in_force.pk for draft in drafts)
        assert Proposal.objects.filter(state__in=["draft", "stale"]).count() == 1
        Proposal.objects.filter(state="stale").update(state="withdrawn", evidence={})
