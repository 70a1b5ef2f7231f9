"""show_snapshot: what an entity is, and why."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from schemaevo.kernel.models import User
from snapshots.selectors import snapshot_explained
from tests.factories import (
    make_definition,
    make_observation,
    make_recorded,
    make_snapshot,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db


def show(*arguments: str) -> str:
    out = io.StringIO()
    call_command("show_snapshot", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def show_json(*arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(show(*arguments, "--json"))
    return answer


@pytest.fixture
def ada() -> User:
    """Owner of one entity whose fields are decided by every policy."""
    ada = make_user(username="ada", email="ada@example.org")
    make_version(
        document=make_definition(
            name="string",
            size={"type": "number", "converters": ["string_to_number"]},
            tags="array",
            must={"type": "string", "required": True},
            policies={"size": {"strategy": "highest_priority"}, "tags": {"strategy": "merge_array"}},
        )
    )
    make_recorded(
        observations=[
            make_observation(
                user=ada, key="k", fields={"name": "old", "size": "12", "tags": ["x"]}, priority=200
            ),
            make_observation(
                user=ada, key="k", fields={"name": "new", "size": 7, "tags": ["y", "x"]}, seconds=1
            ),
            make_observation(
                user=ada, key="k", fields={"tags": "z", "other": 1}, seconds=2, priority=200, kind="human"
            ),
        ]
    )
    return ada


def test_the_text_names_values_policies_winners_and_losers(ada: User) -> None:
    text = show("thing", "k", "--user", "ada", "--why")
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "thing k: 3 observations, schema 1.0.0"
    assert 'name = "new"' in lines
    assert "size = 12" in lines
    assert 'tags = ["z","x"]' in lines
    assert "must is required and missing" in lines
    assert "by highest_priority" in lines
    [lost] = [line for line in lines if line.startswith("lost: 7 ")]
    assert "higher priority" in lost
    [won] = [line for line in lines if line.startswith('won:  "12" ')]
    assert "feed" in won
    assert "2024-05-01T12:00:00+00:00" in won
    assert "priority 200" in won
    assert "other" not in text


def test_without_why_only_the_values_are_shown(ada: User) -> None:
    text = show("thing", "k", "--user", "ada")
    assert 'name = "new"' in text
    assert "won:" not in text


def test_the_json_says_the_same(ada: User) -> None:
    answer = show_json("thing", "k", "--user", "ADA@EXAMPLE.ORG", "--why")
    assert answer["values"] == {"name": "new", "size": 12, "tags": ["z", "x"]}
    assert (answer["user"], answer["deleted"], answer["waiting"], answer["missing"]) == (
        "ada",
        False,
        False,
        ["must"],
    )
    snapshot = make_snapshot(user=ada)
    why = answer["why"]
    assert {name: [w["observation"] for w in field["winners"]] for name, field in why.items()} == (
        snapshot.provenance
    )
    assert [w["value"] for w in why["size"]["winners"]] == ["12"]
    assert why["name"]["runners_up"][0]["value"] == "old"
    assert why["tags"]["winners"][0]["kind"] == "human"
    assert "why" not in show_json("thing", "k", "--user", "ada")


def test_the_explained_winner_is_the_stored_value_for_every_field(ada: User) -> None:
    explained = snapshot_explained(snapshot_id=str(make_snapshot(user=ada).pk))
    assert {field.name: field.value for field in explained.fields if not field.is_absent} == (
        explained.snapshot.values
    )


def test_a_cleared_field_and_a_deleted_entity_are_explained(ada: User) -> None:
    make_recorded(observations=[make_observation(user=ada, fields={"name": None}, seconds=3)])
    assert "name = (absent)" in show("thing", "k", "--user", "ada", "--why")
    assert "name" not in show_json("thing", "k", "--user", "ada")["values"]
    gone = make_observation(user=ada, fields={"_deleted": True}, seconds=4, priority=300)
    make_recorded(observations=[gone])
    text = show("thing", "k", "--user", "ada", "--why")
    assert f"deleted by {gone.id}" in text
    answer = show_json("thing", "k", "--user", "ada")
    assert (answer["deleted"], answer["values"], answer["missing"]) == (True, {}, [])


def test_a_waiting_snapshot_says_so(ada: User) -> None:
    make_version(document=make_definition(name="string"))
    assert "waiting" in show("thing", "k", "--user", "ada")
    assert show_json("thing", "k", "--user", "ada")["waiting"] is True


def test_an_undeclared_type_is_explained_as_well() -> None:
    owner = make_user(username="eve")
    make_recorded(
        observations=[make_observation(user=owner, entity_type="free", fields={"a": [1], "b": None})]
    )
    text = show("free", "k", "--user", "eve", "--why")
    assert "schema undeclared" in text
    assert "a = [1]" in text


def test_another_users_entity_of_the_same_key_is_not_touched_or_shown(ada: User) -> None:
    other = make_user(username="bob")
    make_recorded(
        observations=[make_observation(user=other, fields={"name": "bobs"}, priority=999, seconds=99)]
    )
    assert show_json("thing", "k", "--user", "ada")["values"]["name"] == "new"
    bobs = show_json("thing", "k", "--user", "bob", "--why")
    assert (bobs["values"], bobs["observation_count"]) == ({"name": "bobs"}, 1)
    assert make_snapshot(user=ada).pk != make_snapshot(user=other).pk


@pytest.mark.parametrize(
    "arguments",
    [
        ("thing", "unknown", "--user", "ada"),
        ("other", "k", "--user", "ada"),
        ("thing", "k", "--user", "nobody"),
        ("thing", "k", "--user", "stranger"),
        ("thing", "\udcff", "--user", "ada"),
        ("\udcff", "k", "--user", "ada"),
        ("thing", "k", "--user", "\udcff"),
    ],
)
def test_what_is_not_there_is_wrong_usage(ada: User, arguments: tuple[str, ...]) -> None:
    make_user(username="stranger")
    with pytest.raises(CommandError) as refusal:
        show(*arguments)
    assert refusal.value.returncode == 2
