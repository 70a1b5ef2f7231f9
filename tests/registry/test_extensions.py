"""Extensions: what a user adds to the global schema, or overrides in it, in immutable revisions."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings

from registry.domain.composition import Origin, compose, extension_problems
from registry.domain.definition import Declaration, Definition, Field
from registry.domain.extension import Extension, parse_extension
from registry.domain.problems import InvalidExtension
from registry.domain.vocabulary import FieldType
from registry.models import ExtensionRevision, SchemaEpoch
from registry.selectors import effective_schema, extension_in_force, schema_standing
from registry.services.activation import schema_activate, schema_deactivate
from registry.services.extensions import (
    Extended,
    extension_add_fields,
    extension_remove,
    extension_remove_fields,
    extension_save,
)
from registry.services.schemas import schema_register
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json, decode
from schemaevo.kernel.errors import LockTimeout
from schemaevo.kernel.locks import LockSpace, hold
from schemaevo.kernel.models import Job, User
from tests.domain.strategies import definitions, extensions
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_user,
    make_version,
)
from tests.registry.trail import audited, refused
from tests.rounds import rounds
from tests.threads import Aside

pytestmark = pytest.mark.django_db

SHARED = make_definition(
    name="string",
    size={"type": "number", "constraints": {"max": 10}},
    policies={"size": {"strategy": "highest_priority"}},
)
MINE: JsonObject = {
    "base_schema_version": "1.0.0",
    "additional_fields": {"colour": {"type": "string", "merge_policy": {"strategy": "most_specific"}}},
    "field_overrides": {"size": {"constraints": {"max": 5}, "description": "small"}},
}
EMPTY: JsonObject = {"additional_fields": {}, "field_overrides": {}}


@pytest.fixture
def owner() -> User:
    make_version(document=SHARED)
    return make_user()


def save(user: User, document: Json = MINE, **options: Any) -> Extended:
    return extension_save(
        **{"entity_type": THING, "user_id": user.pk, "document": document, "actor": SHELL, **options}
    )


def declared(name: str, field_type: FieldType = FieldType.STRING) -> Declaration:
    return Declaration.from_json(name, {"type": field_type.value})


def fields_of(user: User) -> set[str]:
    definition = effective_schema(entity_type=THING, user_id=user.pk).definition
    return set() if definition is None else set(definition.fields)


def revisions(user: User) -> list[tuple[int, bool]]:
    rows = ExtensionRevision.objects.filter(user=user).order_by("revision")
    return [(row.revision, row.is_active) for row in rows]


def problems_of(context: dict[str, Any]) -> set[tuple[str, str]]:
    return {(problem["path"], problem["rule"]) for problem in context["problems"]}


# --- saving ---------------------------------------------------------------------------------------------------
def test_an_extension_is_in_force_at_once_for_its_user_alone(owner: User) -> None:
    other = make_user()
    extended = save(owner, note="mine")
    assert (extended.created, extended.revision.revision, extended.revision.note) == (True, 1, "mine")
    schema = effective_schema(entity_type=THING, user_id=owner.pk)
    assert schema.extension_revision_id == extended.revision.pk
    assert schema.number == "1.0.0"
    assert fields_of(owner) == {"name", "size", "colour"}
    assert fields_of(other) == {"name", "size"}
    composition = schema_standing(entity_type=THING, user_id=owner.pk).composition
    assert composition is not None
    assert composition.origins == {
        "name": Origin.GLOBAL,
        "size": Origin.OVERRIDE,
        "colour": Origin.EXTENSION,
    }
    assert composition.definition == schema.definition
    assert composition.conflicts == ()


def test_every_change_is_a_revision_an_event_an_epoch_and_a_recomputation(owner: User) -> None:
    with audited() as events:
        first = save(owner).revision
        second = save(owner, {"additional_fields": {"b": {"type": "date"}}}, note="otherwise").revision
    assert revisions(owner) == [(1, False), (2, True)]
    assert [(event.action, event.target_type, event.target_id, event.reason) for event in events] == [
        ("extension.change", "extension", str(first.pk), ""),
        ("extension.change", "extension", str(second.pk), "otherwise"),
    ]
    assert events[0].before is None
    assert events[1].before == {"revision": 1, "fields": ["colour"]}
    assert events[0].after == {
        "entity_type": THING,
        "owner": owner.pk,
        "revision": 1,
        "cause": "edit",
        "fields": ["colour"],
        "overrides": ["size"],
        "absorbed": [],
        "content_hash": first.content_hash,
    }
    assert isinstance(events[1].after, dict)
    assert (events[1].after["revision"], events[1].after["fields"]) == (2, ["b"])
    assert SchemaEpoch.objects.get(user=owner).epoch == 3  # one in force; then one out of it and another in
    assert Job.objects.get(kind="recompute_snapshots", target=f"{THING}:{owner.pk}").wanted == 2


def test_an_equal_document_changes_nothing_however_it_is_written(owner: User) -> None:
    first = save(owner).revision
    with audited() as events:
        again = save(
            owner,
            {
                "field_overrides": {"size": {"description": "small", "constraints": {"max": 5}}, "name": {}},
                "additional_fields": {
                    "colour": {
                        "merge_policy": {"strategy": "most_specific", "tie_breaker": "observed_at"},
                        "type": "string",
                        "required": False,
                    }
                },
                "base_schema_version": "1.0.0",
            },
        )
    assert (again.revision.pk, again.created, events) == (first.pk, False, [])
    assert revisions(owner) == [(1, True)]


@pytest.mark.rounds
@settings(
    max_examples=rounds(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(shared=definitions(), extension=extensions())
def test_what_is_stored_is_what_was_said_and_an_export_of_it_can_be_saved_again(
    shared: Definition, extension: Extension
) -> None:
    with transaction.atomic():
        user = make_user()
        make_version(document=shared.to_json())
        document = extension.to_json()
        problems = _writers_problems(extension, shared)
        if problems:
            context = refused(lambda: save(user, document), "invalid_extension")
            assert problems_of(context) == problems
            assert not ExtensionRevision.objects.exists()
        else:
            revision = save(user, document).revision
            revision.refresh_from_db()
            assert canonical_json(revision.document) == canonical_json(document)
            again = save(user, decode(canonical_json(revision.document)), base=1)
            assert (again.revision.pk, again.created) == (revision.pk, False)
            expected = compose(shared, extension).definition
            definition = effective_schema(entity_type=THING, user_id=user.pk).definition
            assert definition is not None
            assert definition.to_json() == expected.to_json()
        transaction.set_rollback(True)


def _writers_problems(extension: Extension, shared: Definition) -> set[tuple[str, str]]:
    try:
        parsed = parse_extension(extension.to_json())
    except InvalidExtension as refusal:
        return problems_of(refusal.context)
    return {(problem.path, problem.rule) for problem in extension_problems(parsed, shared)}


def test_every_problem_of_a_document_is_told_at_once(owner: User) -> None:
    document: Json = {
        "additional_fields": {"_a": {"type": "string"}, "b": {"type": "text"}, "Name": {"type": "string"}},
        "field_overrides": {"size": {"required": False, "converters": ["nonsense"]}},
        "more": 1,
    }
    assert problems_of(refused(lambda: save(owner, document), "invalid_extension")) == {
        ("/additional_fields/_a", "invalid_name"),
        ("/additional_fields/b/type", "unknown_type"),
        ("/field_overrides/size/required", "override_loosens"),
        ("/field_overrides/size/converters/0/function", "unknown_converter"),
        ("/more", "unknown_key"),
    }
    document = {
        "additional_fields": {
            "Name": {"type": "string"},
            "size": {"type": "string"},
            "name": {"type": "string"},
        },
    }
    assert ("/additional_fields/name", "ambiguous_name") in problems_of(
        refused(lambda: save(owner, document), "invalid_extension")
    )
    document = {
        "additional_fields": {"NAME": {"type": "string"}, "size": {"type": "string"}},
        "field_overrides": {"nothing": {"required": True}},
    }
    assert problems_of(refused(lambda: save(owner, document), "invalid_extension")) == {
        ("/additional_fields/NAME", "ambiguous_name"),
        ("/additional_fields/size/type", "type_differs"),
        ("/field_overrides/nothing", "override_of_undeclared"),
    }
    document = {"additional_fields": {"name": {"type": "string"}}}
    assert problems_of(refused(lambda: save(owner, document), "invalid_extension")) == {
        ("/additional_fields/name", "already_declared")
    }
    assert revisions(owner) == []


def test_what_was_said_before_may_be_said_again_after_the_global_schema_moved(owner: User) -> None:
    save(owner, {"additional_fields": {"colour": {"type": "string"}, "weight": {"type": "number"}}})
    moved: dict[str, Any] = {"colour": {"type": "array"}, "weight": {"type": "number"}}
    make_version(document=make_definition(**SHARED["fields"], **moved))
    kept: JsonObject = {"colour": {"type": "string"}, "weight": {"type": "number"}}
    assert save(owner, {"additional_fields": {**kept, "new": {"type": "date"}}}).created
    worse: Json = {"additional_fields": {**kept, "name": {"type": "date"}}}
    assert problems_of(refused(lambda: save(owner, worse), "invalid_extension")) == {
        ("/additional_fields/name/type", "type_differs")
    }
    assert save(owner, {"additional_fields": {"new": {"type": "date"}}}).created
    gone: Json = {"additional_fields": kept}
    assert problems_of(refused(lambda: save(owner, gone), "invalid_extension")) == {
        ("/additional_fields/colour/type", "type_differs"),
        ("/additional_fields/weight", "already_declared"),
    }


# --- a stale base ---------------------------------------------------------------------------------------------
def test_a_stale_base_is_refused(owner: User) -> None:
    assert refused(lambda: save(owner, base=1), "stale_base") == {
        "entity_type": THING,
        "given": 1,
        "present": None,
    }
    assert save(owner, base=0).created
    other: Json = {"additional_fields": {"b": {"type": "date"}}}
    for base in (0, 2, -1):
        context = refused(lambda base=base: save(owner, other, base=base), "stale_base")  # type: ignore[misc]
        assert (context["given"], context["present"]) == (base, 1)
    assert save(owner, other, base=1).revision.revision == 2
    refused(lambda: save(owner, base=1), "stale_base")
    for act in (_add, _remove_fields, _remove):
        refused(lambda act=act: act(owner, base=1), "stale_base")  # type: ignore[misc]
    assert revisions(owner) == [(1, False), (2, True)]


def _add(user: User, **options: Any) -> Extended:
    return extension_add_fields(
        **{
            "entity_type": THING,
            "user_id": user.pk,
            "declarations": [declared("added")],
            "actor": SHELL,
            **options,
        }
    )


def _remove_fields(user: User, **options: Any) -> Extended:
    return extension_remove_fields(
        **{"entity_type": THING, "user_id": user.pk, "names": ["colour"], "actor": SHELL, **options}
    )


def _remove(user: User, **options: Any) -> Extended:
    return extension_remove(**{"entity_type": THING, "user_id": user.pk, "actor": SHELL, **options})


# --- fields one by one ----------------------------------------------------------------------------------------
def test_fields_are_added_and_taken_away_and_the_rest_is_said_as_before(owner: User) -> None:
    save(owner)
    added = _add(owner, declarations=[declared("b"), declared("c", FieldType.DATE)]).revision
    assert fields_of(owner) == {"name", "size", "colour", "b", "c"}
    assert added.document == {
        "base_schema_version": "1.0.0",
        "additional_fields": {
            **parse_extension(MINE).to_json()["additional_fields"],  # type: ignore[dict-item]
            "b": declared("b").to_json(),
            "c": declared("c", FieldType.DATE).to_json(),
        },
        "field_overrides": parse_extension(MINE).to_json()["field_overrides"],
    }
    assert (
        _remove_fields(owner, names=["b", "c", "nothing"]).revision.document
        == parse_extension(MINE).to_json()
    )
    assert not _remove_fields(owner, names=["b"]).created
    assert not _add(owner, declarations=[]).created


def test_the_first_field_makes_the_extension(owner: User) -> None:
    assert _add(owner, base=0).revision.revision == 1
    assert not _add(owner).created


@pytest.mark.parametrize(
    ("name", "rule"), [("Colour", "ambiguous_name"), ("_x", "invalid_name"), (" ", "invalid_name")]
)
def test_a_field_that_does_not_go_together_with_the_others_is_refused(
    owner: User, name: str, rule: str
) -> None:
    """Each declaration may be well-formed alone; what is stored must be one that can be saved again."""
    save(owner)
    wrong = Declaration(Field(name, FieldType.STRING), declared("x").policy)
    context = refused(lambda: _add(owner, declarations=[wrong]), "invalid_extension")
    assert [problem["rule"] for problem in context["problems"]] == [rule]
    assert revisions(owner) == [(1, True)]


def test_a_field_that_the_global_schema_has_is_refused(owner: User) -> None:
    for field_type, rule in ((FieldType.STRING, "already_declared"), (FieldType.DATE, "type_differs")):
        context = refused(
            lambda kind=field_type: _add(owner, declarations=[declared("name", kind)]),  # type: ignore[misc]
            "invalid_extension",
        )
        assert [problem["rule"] for problem in context["problems"]] == [rule]


# --- taking it back -------------------------------------------------------------------------------------------
def test_taken_back_it_is_a_revision_that_says_nothing(owner: User) -> None:
    save(owner)
    removed = _remove(owner, base=1, note="enough").revision
    assert (removed.revision, removed.document, removed.note) == (2, EMPTY, "enough")
    assert revisions(owner) == [(1, False), (2, True)]
    assert fields_of(owner) == {"name", "size"}
    assert not _remove(owner).created
    assert save(owner).revision.revision == 3


def test_there_is_nothing_to_take_back_where_there_is_no_extension(owner: User) -> None:
    refused(lambda: _remove(owner), "schema_not_found")


# --- what there has to be -------------------------------------------------------------------------------------
def test_without_a_global_schema_there_is_nothing_to_extend() -> None:
    user = make_user()
    make_version(document=SHARED, is_active=False)
    for act in (save, _add, _remove_fields):
        assert refused(lambda act=act: act(user), "no_global_schema") == {"entity_type": THING}  # type: ignore[misc]


def test_an_own_schema_has_to_be_adopted_first(owner: User) -> None:
    make_version(document=make_definition(own="string"), user=owner)
    refused(lambda: save(owner), "not_adopted")


def test_who_extends_cannot_put_an_own_schema_in_force_beside_it(owner: User) -> None:
    draft = make_version(document=make_definition(own="string"), user=owner, is_active=False)
    save(owner)

    def activate() -> object:
        return schema_activate(version_id=draft.pk, actor=SHELL)

    refused(activate, "extension_in_force")
    schema_deactivate(entity_type=THING, user_id=None, actor=SHELL, without_review="off")
    assert fields_of(owner) == set()
    activate()
    assert fields_of(owner) == {"own"}
    back = schema_register(entity_type=THING, document=SHARED, actor=SHELL).version
    schema_activate(version_id=back.pk, actor=SHELL, without_review="on")
    assert fields_of(owner) == {"name", "size", "colour"}


def test_a_wrong_type_or_note_is_refused(owner: User) -> None:
    refused(lambda: save(owner, entity_type="No"), "invalid_entity_type")
    refused(lambda: save(owner, note="\0"), "unstorable_json")
    assert revisions(owner) == []


# --- the global schema moves ----------------------------------------------------------------------------------
def test_a_global_change_reaches_every_user_with_it_and_writes_no_row_of_theirs(owner: User) -> None:
    make_compatibility()
    others = [make_user() for _ in range(3)]
    for user in (owner, *others):
        save(user)
    before = list(ExtensionRevision.objects.values_list("pk", "is_active"))
    with CaptureQueriesContext(connection) as few:
        make_version(document=make_definition(name="string", more="date"))
    assert [fields_of(user) for user in (owner, *others)] == [{"name", "more", "colour"}] * 4
    assert list(ExtensionRevision.objects.values_list("pk", "is_active")) == before
    for user in [make_user() for _ in range(20)]:
        save(user, {"additional_fields": {"colour": {"type": "string"}}})
    with CaptureQueriesContext(connection) as many:
        make_version(document=make_definition(name="string", evenmore="date"))
    assert len(many) == len(few)


def test_the_newest_revision_is_found_by_its_owner_and_type(owner: User) -> None:
    make_version(document=SHARED, entity_type="other")
    save(owner)
    newer = save(owner, EMPTY).revision
    elsewhere = make_extension(user=owner, document=MINE, entity_type="other")
    assert extension_in_force(entity_type=THING, user_id=owner.pk) == newer
    assert extension_in_force(entity_type="other", user_id=owner.pk) == elsewhere
    assert extension_in_force(entity_type=THING, user_id=make_user().pk) is None


@pytest.mark.django_db(transaction=True)
def test_a_change_waits_for_writers_by_it_and_for_the_global_schema_alone(settings: Any) -> None:
    make_version(document=SHARED)
    owner, other = make_user(), make_user()
    settings.SCHEMAEVO_LOCK_TIMEOUT_S = 0.2

    def outcome(user: User) -> str:
        try:
            save(user)
        except LockTimeout as timeout:
            return timeout.code
        return "saved"

    def aside(user: User) -> object:
        with Aside(lambda: outcome(user)) as future:
            return future.result(60)

    with transaction.atomic():
        hold(LockSpace.SCHEMA_TYPE, [(THING,)], shared=True)
        hold(LockSpace.SCHEMA_OWNER, [(THING, owner.pk)], shared=True)
        assert [aside(owner), aside(other)] == ["lock_timeout", "saved"]
    with transaction.atomic():
        hold(LockSpace.SCHEMA_TYPE, [(THING,)])
        assert aside(owner) == "lock_timeout"
