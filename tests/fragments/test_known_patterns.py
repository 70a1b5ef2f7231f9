"""Real records: what Debian's maintainers share is proposed, and what three of them have a thousand times is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from pytest_django import DjangoDbBlocker

from fragments.selectors_patterns import Patterns
from fragments.selectors_usage import ENTITIES_COUNTED
from registry.domain.edit_documents import parse_edits
from registry.domain.edits import edited
from registry.selectors import version_in_force
from tests.fragments.patterns import looked

pytestmark = pytest.mark.django_db

DATA = Path(__file__).parent.parent / "data"
EXPECTED = json.loads((DATA / "debian" / "manifest.json").read_text(encoding="utf-8"))["expected"]
PACKAGE = "package"


@pytest.fixture(scope="module")
def debian(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Patterns]:
    """What is found in the whole excerpt, looked for once."""
    with django_db_blocker.unblock(), transaction.atomic():
        call_command("load_demo", records_only=True, verbosity=0)
        yield looked(PACKAGE)
        transaction.set_rollback(True)


def test_the_known_answers_are_proposed_with_their_users(debian: Patterns) -> None:
    users = {one.subject: one.evidence["users"] for one in debian.candidates}
    assert (users["Ruby-Versions"], users["Build-Ids"]) == (30, 56)
    assert "Ghc-Package" not in users
    assert all(one.is_eligible for one in debian.candidates)


def test_nothing_is_proposed_that_fewer_than_ten_share_and_of_all_others_it_is_told_why(
    debian: Patterns,
) -> None:
    shared = {
        name: told["users"]
        for told_of in ("unknown_field", "constraint")
        for name, told in EXPECTED["fragments"][told_of].items()
        if told["users"] >= 10
    }
    version = version_in_force(entity_type=PACKAGE, user_id=None)
    assert version is not None
    undeclared = {name: users for name, users in shared.items() if name not in version.parsed.fields}
    proposed = {one.subject: one.evidence["users"] for one in debian.candidates}
    refused = {one.use.name: one.users for one in debian.others}
    assert {**proposed, **refused} == undeclared
    assert all(one.obstacles for one in debian.others)


def test_what_is_proposed_can_be_made_to_the_schema_in_force(debian: Patterns) -> None:
    version = version_in_force(entity_type=PACKAGE, user_id=None)
    assert version is not None
    for one in debian.candidates:
        edits = parse_edits(one.edits)
        assert one.subject in edited(version.parsed, edits).fields


def test_evidence_of_real_records_adds_up(debian: Patterns) -> None:
    told: dict[str, Any] = {one.subject: one.evidence for one in debian.candidates}
    counted = EXPECTED["fragments"]["unknown_field"]
    for name, evidence in told.items():
        assert evidence["values"] == counted[name]["fragments"]
        assert evidence["declared_by"] == {"own_schema": 0, "extension": 0, "fragments": evidence["users"]}
        is_counted = evidence["values"] <= ENTITIES_COUNTED
        assert (evidence["entities"] is not None) == is_counted
        assert not is_counted or evidence["users"] <= evidence["entities"] <= evidence["values"]
        assert evidence["confidence"] >= evidence["factors"][0]["weight"] + evidence["factors"][1]["weight"]
