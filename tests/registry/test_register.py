"""Registering versions: the number follows from the difference, and nothing is in force yet."""

from __future__ import annotations

import pytest

from registry.models import Schema, SchemaVersion
from registry.services.schemas import schema_register
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.errors import DomainError, Invalid
from schemaevo.kernel.models import AuditEvent, Job
from tests.factories import SHELL, THING, make_compatibility, make_definition, make_user, make_version

pytestmark = pytest.mark.django_db

BASE = make_definition(a="string", b={"type": "number", "constraints": {"min": 1}})


def test_the_first_version_is_1_0_0_and_not_in_force() -> None:
    registered = schema_register(entity_type=THING, document=BASE, actor=SHELL, note="the first")
    version = registered.version
    assert registered.created
    assert (version.number, version.is_active, version.first_activated_at, version.note) == (
        "1.0.0",
        False,
        None,
        "the first",
    )
    event = AuditEvent.objects.get(action="schema_version.register")
    assert event.target_id == str(version.pk)
    assert event.reason == "the first"
    assert event.after == {
        "entity_type": THING,
        "owner": None,
        "number": "1.0.0",
        "change": "major",
        "definition_hash": version.definition_hash,
    }
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("document", "number"),
    [
        (make_definition(a="string"), "2.0.0"),
        (make_definition(a="date", b={"type": "number", "constraints": {"min": 1}}), "2.0.0"),
        (make_definition(a={"type": "string", "required": True}, b=BASE["fields"]["b"]), "2.0.0"),
        (make_definition(a="string", b={"type": "number", "constraints": {"min": 2}}), "2.0.0"),
        (make_definition(a="string", b="number"), "1.1.0"),
        (make_definition(**BASE["fields"], c="array"), "1.1.0"),
        (make_definition(**BASE["fields"], policies={"a": {"strategy": "merge_array"}}), "1.1.0"),
        (make_definition(**BASE["fields"], kinds=["human"]), "1.1.0"),
        (make_definition(a={"type": "string", "description": "new"}, b=BASE["fields"]["b"]), "1.0.1"),
    ],
)
def test_the_number_follows_from_the_real_difference(document: Json, number: str) -> None:
    make_compatibility()
    make_version(document=BASE)
    assert schema_register(entity_type=THING, document=document, actor=SHELL).version.number == number


def test_the_difference_is_to_the_version_in_force_and_counts_on_from_the_highest() -> None:
    make_compatibility()
    make_version(document=BASE)
    make_version(document=make_definition(a="array"), is_active=False)
    text_only = make_definition(a={"type": "string", "description": "x"}, b=BASE["fields"]["b"])
    assert schema_register(entity_type=THING, document=text_only, actor=SHELL).version.number == "2.0.1"


@pytest.mark.parametrize(
    "same",
    [
        BASE,
        make_definition(b={"constraints": {"min": 1}, "type": "number"}, a="string"),
        {**BASE, "merge_policies": {"a": {"strategy": "last_write", "tie_breaker": "observed_at"}}},
        {
            **BASE,
            "observation_source_priority": [
                "sensor",
                "workflow_state",
                "llm_summary",
                "human",
                "import",
                "sync",
            ],
        },
    ],
)
def test_a_definition_equal_in_meaning_is_the_version_that_is_there(same: Json) -> None:
    first = make_version(document=BASE)
    make_version(document=make_definition(a="string", b="number"))
    again = schema_register(entity_type=THING, document=same, actor=SHELL)
    assert (again.version.pk, again.created) == (first.pk, False)
    assert SchemaVersion.objects.count() == 2
    assert AuditEvent.objects.filter(action="schema_version.register").count() == 2


def test_every_problem_is_told_at_once_and_nothing_is_left_behind() -> None:
    document: Json = {
        "fields": {
            "_a": {"type": "string"},
            "b": {"type": "text"},
            "c": {"type": "number", "converters": ["boolean_to_string", "nonsense"]},
            "d": {"type": "string", "constraints": {"pattern": "(", "min": 2}},
        },
        "merge_policies": {"unknown": {"strategy": "coin_toss"}},
        "extra": 1,
    }
    with pytest.raises(Invalid) as refusal:
        schema_register(entity_type=THING, document=document, actor=SHELL)
    assert refusal.value.code == "invalid_definition"
    paths = {problem["path"] for problem in refusal.value.context["problems"]}
    for part in ("_a", "b", "c", "d", "unknown", "extra"):
        assert any(part in path for path in paths), (part, paths)
    assert all({"path", "rule", "value", "message"} <= set(p) for p in refusal.value.context["problems"])
    assert not Schema.objects.exists()
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("entity_type", ["", "Thing", "1a", "a-b", "a" * 64, "ä", "a\n"])
def test_a_wrong_entity_type_is_refused(entity_type: str) -> None:
    with pytest.raises(DomainError) as refusal:
        schema_register(entity_type=entity_type, document=BASE, actor=SHELL)
    assert refusal.value.code == "invalid_entity_type"


def test_every_owner_counts_alone() -> None:
    one, other = make_user(), make_user()
    make_version(document=BASE)
    make_version(document=make_definition(a="string"))
    for owner in (one, other):
        mine = schema_register(entity_type=THING, document=BASE, actor=SHELL, user_id=owner.pk)
        assert (mine.version.number, mine.created, mine.version.user_id) == ("1.0.0", True, owner.pk)
    assert Schema.objects.count() == 3
