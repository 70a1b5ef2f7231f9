"""The commands of quotas: who acts, what they answer, and their exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.models import QuotaRequest
from schemaevo.kernel.models import AuditEvent
from tests.factories import make_definition, make_login, make_maximum, make_run, make_user, make_version
from tests.quotas import maxima, tamper
from tests.registry.commands import refusal, refused, run, said, written

pytestmark = pytest.mark.django_db


def test_asked_by_one_and_decided_by_another() -> None:
    owner = make_user(username="ada")
    asker, admin = make_login(role="operator"), make_login(role="schema_admin")
    asked = run("request_quota", "ada", "--max-schemas", "20", "--reason", "grows", "--as", asker.username)
    number = str(asked["request"])
    assert (asked["user"], asked["state"]) == ("ada", "pending")
    assert asked["asked"] == {"max_schemas": 20, "max_fields": None}
    line = said("request_quota", "ada", "--max-schemas", "20", "--reason", "grows", "--as", asker.username)
    assert line == f"Upgrade request {number} for ada (20 schemas): pending.\n"
    assert run("show_quota")["requests"][0]["reason"] == "grows"

    answer = run(
        *("decide_quota", number, "approve", "--max-schemas", "15", "--until", "2099-01-31"),
        *("--note", "for now", "--as", admin.username),
    )
    assert answer["granted"] == {"max_schemas": 15, "max_fields": None, "until": "2099-01-31T00:00:00+00:00"}
    assert answer["quota"]["schemas"] == {"usage": 0, "maximum": 15, "percent": 0}
    assert maxima(owner) == (15, 200)
    assert AuditEvent.objects.get(action="quota_request.approve").actor == admin
    assert "until 2099-01-31 00:00 UTC" in said("show_quota", "ada")


def test_rejected_and_withdrawn() -> None:
    make_user(username="ada")
    asker, admin = make_login(role="operator"), make_login(role="schema_admin")
    ask = ("request_quota", "ada", "--max-fields", "300", "--reason", "grows", "--as", asker.username)
    first = str(run(*ask)["request"])
    assert "rejected" in said("decide_quota", first, "reject", "--note", "no", "--as", admin.username)
    second = str(run(*ask)["request"])
    assert run("decide_quota", second, "withdraw", "--as", asker.username)["state"] == "withdrawn"


def test_whoever_asked_is_refused_by_the_command_and_permissions_are_the_logins() -> None:
    make_user(username="ada")
    admin, operator = make_login(role="schema_admin"), make_login(role="operator")
    asked = run("request_quota", "ada", "--max-schemas", "20", "--reason", "x", "--as", admin.username)
    number = str(asked["request"])
    for decision in (("approve",), ("reject", "--note", "no")):
        refused_one = refusal("decide_quota", number, *decision, "--as", admin.username)
        assert (refused_one.exit_code, refused_one.answer["error"]) == (1, "own_request")
    denied = refusal("decide_quota", number, "approve", "--as", operator.username)
    assert (denied.exit_code, denied.answer["error"]) == (1, "permission_denied")
    assert QuotaRequest.objects.get().state == "pending"


@pytest.mark.parametrize(
    "arguments",
    [
        ("request_quota", "nobody", "--max-schemas", "20", "--reason", "x", "--as", "root"),
        ("request_quota", "ada", "--max-schemas", "20", "--reason", "x", "--as", "nobody"),
        ("request_quota", "ada", "--reason", "x", "--as", "root"),
        ("request_quota", "ada", "--max-schemas", "10", "--reason", "x", "--as", "root"),
        ("request_quota", "ada", "--max-schemas", "20", "--reason", " ", "--as", "root"),
        ("decide_quota", "999999", "approve", "--as", "root"),
        ("decide_quota", "999999", "approve", "--until", "tomorrow", "--as", "root"),
        ("decide_quota", "999999", "approve", "--until", "1999-01-01", "--as", "root"),
        ("decide_quota", "999999", "approve", "--until", "9999-12-31T23:59-12:00", "--as", "root"),
        ("decide_quota", "999999", "reject", "--until", "2099-01-01", "--note", "x", "--as", "root"),
        ("decide_quota", "999999", "reject", "--as", "root"),
        ("show_quota", "nobody"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    make_user(username="ada")
    make_login(is_superuser=True)
    make_user(username="root", is_superuser=True)
    assert refused(*arguments).returncode == 2


def test_show_quota_tells_what_uses_it_and_what_could_be_given_back() -> None:
    owner = make_user(username="ada")
    make_maximum(user=owner, max_fields=2)
    make_version(document=make_definition(k="string", idle="string"), user=owner)
    make_run(user=owner, records=[{"k": "1"}])
    assert said("show_quota", "ada").splitlines() == [
        "ada uses 1 of 10 schemas (10 %) and 2 of 2 fields (100 %).",
        "  thing: 2 fields",
        "  thing: no data in idle (all 1 snapshots looked at)",
    ]
    answer = run("show_quota", "ada")
    assert answer["consumers"] == [{"entity_type": "thing", "fields": 2}]
    assert answer["without_data"][0]["fields"] == ["idle"]
    assert said("show_quota") == "ada uses 2 of 2 fields (100 %).\n"
    assert [one["user"] for one in run("show_quota")["near"]] == ["ada"]


def test_what_comes_up_to_a_maximum_is_told_by_the_command_that_does_it(tmp_path: Path) -> None:
    owner = make_user(username="ada")
    make_maximum(user=owner, max_schemas=2)
    own = written(tmp_path / "own.json", {"entity_type": "own", "definition": make_definition(a="string")})
    assert "warning" not in run("register_schema", own, "--user", "ada", "--activate")
    make_version(document=make_definition(k="string"))
    extension = written(
        tmp_path / "extension.json",
        {"entity_type": "thing", "extension": {"additional_fields": {"x": {"type": "string"}}}},
    )
    full = "The owner uses 2 of 2 schemas (100 %); request_quota asks for more."
    assert said("extend_schema", extension, "--user", "ada", "--dry-run").endswith(f"{full}\n")
    assert run("extend_schema", extension, "--user", "ada")["warning"] == full
    assert run("activate_schema", "own", "1.0.0", "--user", "ada")["warning"] == full
    edits = written(
        tmp_path / "edits.json", [{"op": "add_field", "field": "b", "declaration": {"type": "string"}}]
    )
    assert (
        run("update_schema", "own", edits, "--base", "1.0.0", "--user", "ada", "--activate")["warning"]
        == full
    )
    more = written(tmp_path / "more.json", {"entity_type": "more", "definition": make_definition(a="string")})
    too_many = refusal("register_schema", more, "--user", "ada")
    assert (too_many.exit_code, too_many.answer["error"]) == (1, "quota_exceeded")
    assert "at most 2 are allowed" in too_many.text


def test_show_quota_with_nobody_near() -> None:
    assert said("show_quota") == "Nobody comes up to a maximum.\n"


def test_recount_quotas_fails_on_what_is_wrong_until_it_is_put_right() -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"), user=owner)
    assert said("recount_quotas") == "Every quota is what it counts.\n"
    tamper(owner, total_fields=7)
    with pytest.raises(SystemExit) as ended:
        said("recount_quotas")
    assert ended.value.code == 1
    wrong = {"user_id": owner.pk, "schemas": 1, "fields": 7, "counted_schemas": 1, "counted_fields": 1}
    assert run("recount_quotas", "--repair") == {"divergent": [wrong], "repaired": True}
    assert run("recount_quotas") == {"divergent": [], "repaired": False}
