"""correct TYPE KEY FIELD VALUE --user U --reason R: from the shell, with a look before."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import canonical_json
from schemaevo.kernel.models import AuditEvent, User
from snapshots.models import Correction, Observation
from tests.content import stored_content
from tests.factories import THING, make_definition, make_run, make_snapshot, make_user, make_version

pytestmark = pytest.mark.django_db

POLICIES = {"trust": {"strategy": "highest_priority"}}


@pytest.fixture
def ada() -> User:
    make_version(document=make_definition(policies=POLICIES, k="string", colour="string", trust="number"))
    ada = make_user(username="ada")
    make_run(records=[{"k": "k", "colour": "red", "trust": 1}], user=ada)
    return ada


def run(field: str, value: str, *more: str, reason: str = "why not", user: str = "ada") -> str:
    out = io.StringIO()
    arguments = [THING, "k", field, value, "--user", user, "--reason", reason, *more]
    call_command("correct", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def answer(*arguments: str, **named: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json", **named))
    return found


def test_a_bare_text_corrects_a_field_of_texts_and_json_any_other(ada: User) -> None:
    said = run("colour", "dark blue")
    assert 'thing k: colour = "dark blue", before "red"' in said
    assert "Its place is taken by any observation of colour that is observed later than" in said
    assert "To take it back, retract its source" in said
    told = answer("trust", "2.50")
    assert canonical_json(make_snapshot(user=ada).values) == '{"colour":"dark blue","k":"k","trust":2.5}'
    row = Observation.objects.get(pk=told["observation"])
    assert (told["before"], told["after"], told["priority"], told["policy"]) == (
        1,
        2.5,
        1000,
        "highest_priority",
    )
    assert (str(row.source_id), row.observed_at.isoformat()) == (told["source"], told["observed_at"])
    assert told["beaten_by"].startswith("only observations of trust with a priority of 1000 or more")
    [*made] = Correction.objects.order_by("made_at")
    assert [one.made_by_name for one in made] == [Actor.shell().name] * 2


def test_null_clears_a_field_and_a_number_for_a_text_stands_in_quotes(ada: User) -> None:
    assert "colour = (absent)" in run("colour", "null")
    assert 'colour = "12", before (absent)' in run("colour", '"12"')


def test_a_dry_run_tells_the_same_and_writes_nothing(ada: User) -> None:
    before, events = stored_content(), AuditEvent.objects.count()
    assert run("colour", "blue", "--dry-run").startswith("Nothing was written. It would be: thing k: colour")
    foreseen = answer("colour", "blue", "--dry-run")
    assert (stored_content(), AuditEvent.objects.count(), Correction.objects.count()) == (before, events, 0)
    done = answer("colour", "blue")
    assert {"observation", "source"} == done.keys() - foreseen.keys()
    same = {name for name in foreseen if name not in ("dry_run", "observed_at", "beaten_by")}
    assert {name: done[name] for name in same} == {name: foreseen[name] for name in same}


@pytest.mark.parametrize(
    ("field", "value", "named", "code", "exit_code"),
    [
        ("trust", "red", {}, "unstorable_json", 2),
        ("colour", '"red', {}, "unstorable_json", 2),
        ("colour", "12", {}, "value_misfit", 2),
        ("smell", "x", {}, "undeclared_field", 2),
        ("colour", "blue", {"reason": " "}, "reason_needed", 2),
        ("colour", "blue", {"user": "nobody"}, "user_not_found", 2),
        ("colour", "red", {}, "nothing_to_correct", 1),
    ],
)
@pytest.mark.parametrize("how", ["", "--dry-run"])
def test_a_refusal_has_its_code_and_tells_whose_fault_it_is(
    ada: User, field: str, value: str, named: dict[str, str], code: str, exit_code: int, how: str
) -> None:
    before = stored_content()
    out = io.StringIO()
    arguments = [THING, "k", field, value, "--user", named.get("user", "ada")]
    arguments += ["--reason", named.get("reason", "why"), "--json", *([how] if how else [])]
    with pytest.raises(CommandError) as refusal:
        call_command("correct", *arguments, stdout=out, stderr=io.StringIO())
    assert (json.loads(out.getvalue())["error"], refusal.value.returncode) == (code, exit_code)
    assert stored_content() == before


def test_an_entity_that_is_not_there_is_wrong_usage(ada: User) -> None:
    with pytest.raises(CommandError) as refusal:
        call_command("correct", THING, "other", "colour", "x", "--user", "ada", "--reason", "why")
    assert refusal.value.returncode == 2
