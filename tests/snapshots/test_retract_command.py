"""The command that retracts a source, what it foretells, and how it refuses."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from schemaevo.kernel.models import AuditEvent, Job, User
from snapshots.models import Observation, Retraction, Source
from tests.content import stored_content
from tests.factories import make_definition, make_run, make_snapshot, make_user, make_version
from tests.retractions import settle, source_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    """The owner of three entities, one of which only the wrong source knows."""
    owner = make_user(username="acme")
    make_version(document=make_definition(k="string", a="number", b="string"))
    right = [{"k": "p", "a": 1}, {"k": "q", "a": 1}]
    wrong = [{"k": "p", "a": 2, "x": "y"}, {"k": "q", "a": 1}, {"k": "r", "a": 3, "x": "z"}]
    for source, records, day in (("right", right, "2024-05-01"), ("wrong", wrong, "2024-05-02")):
        dated: list[dict[str, Any]] = [{**record, "at": day} for record in records]
        make_run(records=dated, user=owner, source=source, observed_at_field="at")
    return owner


def retract(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("retract", "--json", *arguments, stdout=out, stderr=io.StringIO())
    found = json.loads(out.getvalue())
    assert isinstance(found, dict)
    return found


def refusal(*arguments: str) -> tuple[str, int]:
    out = io.StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("retract", "--json", *arguments, stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue())["error"] if out.getvalue() else "", refused.value.returncode


WRONG = ("--source", "wrong", "--user", "acme")


def test_a_dry_run_tells_what_it_would_come_to_and_writes_nothing(owner: User) -> None:
    before = stored_content()
    told = retract(*WRONG, "--dry-run")
    expected = {
        "observations": 3,
        "observations_exact": True,
        "entities": 3,
        "entities_exact": True,
        "fragments": 2,
        "looked_at": 3,
        "changed": 1,
        "emptied": 1,
        "fields": ["thing.a"],
    }
    assert {name: told[name] for name in expected} == expected
    assert told["seconds"] >= 1
    assert (
        stored_content(),
        Retraction.objects.count(),
        Job.objects.filter(kind="settle_retraction").count(),
    ) == (
        before,
        0,
        0,
    )


def test_what_was_foretold_happens_and_undo_takes_it_back(owner: User) -> None:
    content = stored_content()
    done = retract(*WRONG, "--reason", "the wrong file")
    assert (done["name"], done["state"]) == ("wrong", "taking_back")
    assert Job.objects.get(pk=done["job"]).target == done["source"]
    settle()
    assert make_snapshot(user=owner, key="p").values == {"k": "p", "a": 1}
    foretold = retract(*WRONG, "--undo", "--dry-run")
    assert (foretold["changed"], foretold["emptied"], foretold["fields"]) == (1, 1, ["thing.a"])
    retract("--source", done["source"], "--user", "acme", "--undo")
    settle()
    assert stored_content() == content
    assert AuditEvent.objects.filter(action="source.retract", reason="the wrong file").exists()


def test_people_are_told_in_words(owner: User) -> None:
    out = io.StringIO()
    call_command("retract", *WRONG, "--dry-run", stdout=out)
    assert "3 observations of 3 entities would be taken back" in out.getvalue()
    assert (
        "Of 3 entities looked at, 1 would show other values, and of 1 nothing would be left."
        in out.getvalue()
    )
    call_command("retract", *WRONG, "--reason", "so", stdout=out)
    assert "wrong takes no part any more." in out.getvalue()


def test_what_cannot_be_done_is_refused_by_its_code(owner: User) -> None:
    assert refusal(*WRONG) == ("", 2)
    assert refusal("--source", "unknown", "--user", "acme", "--reason", "so") == ("source_not_found", 2)
    assert refusal("--source", "wrong", "--user", "nobody", "--reason", "so") == ("user_not_found", 2)
    assert refusal(*WRONG, "--undo") == ("not_retracted", 1)
    assert refusal(*WRONG, "--undo", "--dry-run") == ("not_retracted", 1)
    assert refusal(*WRONG, "--reason", "x" * 2_001) == ("invalid_reason", 2)
    retract(*WRONG, "--reason", "so")
    assert refusal(*WRONG, "--reason", "so") == ("already_retracted", 1)
    assert refusal(*WRONG, "--dry-run") == ("already_retracted", 1)


def test_of_sources_with_one_name_the_id_tells_which(owner: User) -> None:
    other = Source.objects.get(pk=source_of(owner, "right"))
    Source.objects.filter(pk=other.pk).update(name="wrong", content_hash="1234")
    assert refusal(*WRONG, "--reason", "so") == ("source_ambiguous", 2)
    assert retract("--source", str(other.pk), "--user", "acme", "--reason", "so")["source"] == str(other.pk)


def test_a_source_of_somebody_else_is_not_found(owner: User) -> None:
    make_user(username="other")
    refused = refusal("--source", str(source_of(owner, "wrong")), "--user", "other", "--reason", "so")
    assert refused == ("source_not_found", 2)
    assert Observation.objects.count() == 5
