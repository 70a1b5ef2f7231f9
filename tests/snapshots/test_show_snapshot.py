"""show_snapshot: what an entity is, and why."""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command

from schemaevo.kernel.models import User
from snapshots.models import Observation, ObservationOrigin
from snapshots.selectors_explained import Bounds
from tests.factories import (
    make_definition,
    make_observation,
    make_recorded,
    make_run,
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


def test_a_conversion_and_a_promotion_are_told(ada: User) -> None:
    text = show("thing", "k", "--user", "ada", "--why")
    assert 'won:  "12" shown as 12 by string_to_number from feed' in text
    [origin] = [
        identity
        for identity, fields in Observation.objects.values_list("pk", "fields")
        if fields.get("name") == "new"
    ]
    promoted = make_observation(user=ada, key="k", fields={"must": "p"}, seconds=1)
    make_recorded(
        observations=[
            msgspec.structs.replace(promoted, ranks_as=str(origin), origin=ObservationOrigin.PROMOTION)
        ]
    )
    assert "promoted from a fragment" in show("thing", "k", "--user", "ada", "--why")
    [winner] = show_json("thing", "k", "--user", "ada", "--why")["why"]["must"]["winners"]
    assert (winner["observation"], winner["promoted_by"]) == (str(origin), promoted.id)


def test_what_waits_as_a_fragment_is_told_with_the_reasons(ada: User) -> None:
    make_run(records=[{"k": "k", "smell": [1]}, {"k": "other", "smell": [2]}], user=ada)
    text = show("thing", "k", "--user", "ada", "--why")
    assert "smell = [1] waits as a fragment: unknown field, active, seen once, from feed" in text
    assert "[2]" not in text
    [one] = show_json("thing", "k", "--user", "ada", "--why")["fragments"]
    assert (one["field"], one["value"], one["reason"]) == ("smell", [1], "unknown_field")
    assert "fragments" not in show_json("thing", "k", "--user", "ada")


def test_as_of_a_time_tells_what_was_observed_by_then_and_what_is_different_now(ada: User) -> None:
    text = show("thing", "k", "--user", "ada", "--as-of", "2024-05-01T12:00:00")
    assert "as of 2024-05-01T12:00:00+00:00" in text
    assert 'name = "old"   (now "new")' in text
    assert 'tags = ["x"]   (now ["z","x"])' in text
    answer = show_json("thing", "k", "--user", "ada", "--as-of", "2024-05-01 14:00:01+02:00", "--why")
    assert (answer["as_of"], answer["observation_count"]) == ("2024-05-01T12:00:01+00:00", 2)
    assert answer["values"] == {"name": "new", "size": 12, "tags": ["x"]}
    assert answer["differs_now"] == {"tags": {"now": ["z", "x"]}}
    assert answer["missing"] == ["must"]
    assert [one["value"] for one in answer["why"]["name"]["runners_up"]] == ["old"]
    before = show_json("thing", "k", "--user", "ada", "--as-of", "2024-05-01")
    assert (before["values"], before["observation_count"], before["last_observation_at"]) == ({}, 0, None)
    assert set(before["differs_now"]) == {"name", "size", "tags"}
    assert "differs_now" not in show_json("thing", "k", "--user", "ada")


def test_as_of_a_time_before_its_deletion_the_entity_was_there(ada: User) -> None:
    make_recorded(
        observations=[make_observation(user=ada, fields={"_deleted": True}, seconds=4, priority=300)]
    )
    answer = show_json("thing", "k", "--user", "ada", "--as-of", "2024-05-01T12:00:03Z")
    assert (answer["deleted"], answer["deleted_now"], answer["values"]["name"]) == (False, True, "new")


@pytest.mark.parametrize(
    "time", ["", "yesterday", "2024-13-01", "2024-05-01T25:00", "12:00", "\0", "0001-01-01T00:00+23:59"]
)
def test_a_time_that_cannot_be_read_is_wrong_usage(ada: User, time: str) -> None:
    with pytest.raises(CommandError, match=r"is no time: .* Write 2026-01-05T10:00Z") as refusal:
        show("thing", "k", "--user", "ada", "--as-of", time)
    assert refusal.value.returncode == 2


def test_of_a_history_too_long_to_explain_the_winners_and_the_past_are_told(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = show_json("thing", "k", "--user", "ada", "--as-of", "2024-05-01T12:00:01", "--why")
    short = Bounds(explained=1, read=None, listed=None)
    monkeypatch.setattr("snapshots.management.commands.show_snapshot.AT_SHELL", short)
    answer = show_json("thing", "k", "--user", "ada", "--as-of", "2024-05-01T12:00:01", "--why")
    for name in ("values", "observation_count", "last_observation_at", "differs_now"):
        assert answer[name] == whole[name]
    assert [one["observation"] for one in answer["why"]["name"]["winners"]] == (
        [one["observation"] for one in whole["why"]["name"]["winners"]]
    )
    assert "value" not in answer["why"]["name"]["winners"][0]
    assert "too long to tell who lost" in show("thing", "k", "--user", "ada", "--why")
    make_version(document=make_definition(name="string"))
    waiting = show_json("thing", "k", "--user", "ada", "--as-of", "2024-05-01T12:00:01")
    assert (waiting["waiting"], waiting["values"], waiting["differs_now"]) == (True, {"name": "new"}, {})


def test_a_waiting_snapshot_says_so(ada: User) -> None:
    make_version(document=make_definition(name="string"))
    text = show("thing", "k", "--user", "ada")
    assert "waiting" in text
    assert "size = 12   (once recomputed: absent)" in text
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
