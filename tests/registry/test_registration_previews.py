"""What a preview says is what the act does: both are decided in one place, and the quota is as the database counts."""

import json
from typing import Any

import pytest

from registry.domain.problems import InvalidDocument
from registry.errors import NothingToExtend
from registry.selectors_extending import extension_ground, extension_preview
from registry.selectors_registration import registration_preview
from registry.services.extensions import extension_remove, extension_save
from registry.services.schemas import schema_register
from schemaevo.kernel.errors import DomainError
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_user,
    make_version,
)
from tests.quotas import counters

DOCUMENTS: list[Any] = [
    make_definition(a="string"),
    make_definition(a={"type": "string", "description": "said"}),
    make_definition(a="string", b="number"),
    make_definition(a={"type": "string", "required": True}),
    make_definition(a="number"),
    make_definition(b="number"),
    make_definition(),
    make_definition(_a="string"),
    [],
]


@pytest.mark.parametrize("mode", ["NONE", "BACKWARD", "FULL_TRANSITIVE"])
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: json.dumps(document)[:60])
@pytest.mark.parametrize("is_active", [True, False], ids=["beside one in force", "beside a draft"])
def test_what_the_preview_says_is_what_registering_does(
    db: None, mode: Any, document: Any, is_active: bool
) -> None:
    owner = make_user()
    make_version(document=make_definition(a="string", c="string"), user=owner, is_active=is_active)
    make_version(document=make_definition(a="string"), user=owner, is_active=is_active)
    make_compatibility(mode=mode)
    preview = registration_preview(entity_type=THING, user_id=owner.pk, document=document, base="1.0.0")
    refused, registered = None, None
    try:
        registered = schema_register(entity_type=THING, document=document, actor=SHELL, user_id=owner.pk)
    except DomainError as error:
        refused = error
    registration = preview.registration
    if isinstance(refused, InvalidDocument):
        assert list(preview.problems) == refused.context["problems"]
        assert registration is None
        return
    assert registration is not None
    assert preview.quota is not None
    reasons = [reason.to_json() for reason in registration.reasons]
    if refused is not None:
        assert reasons == refused.context["reasons"]
        return
    assert registered is not None
    assert reasons == []
    assert registration.number == registered.version.number
    assert (registration.same is None) is registered.created
    assert tuple(limit.after.usage for limit in preview.quota.limits) == counters(owner)


EXTENSIONS: list[Any] = [
    {},
    {"additional_fields": {"mine": {"type": "number"}}},
    {"additional_fields": {"mine": {"type": "number"}, "more": {"type": "date"}}},
    {"field_overrides": {"a": {"required": True}}},
    {"field_overrides": {"a": {"description": ""}}},
    {"additional_fields": {"a": {"type": "number"}}},
    {"additional_fields": {"a": {"type": "string"}}},
    {"field_overrides": {"b": {"constraints": {"max": 100}}}},
    {"field_overrides": {"a": {}}},
    {"additional_fields": {"_": {}}},
    [],
]


@pytest.mark.parametrize(
    "before", [None, EXTENSIONS[1], EXTENSIONS[3]], ids=["none", "a field", "an override"]
)
@pytest.mark.parametrize("document", EXTENSIONS, ids=lambda document: json.dumps(document)[:60])
@pytest.mark.parametrize("has_own", [True, False], ids=["beside an own schema", "alone"])
def test_what_the_preview_of_an_extension_says_is_what_saving_does(
    db: None, before: Any, document: Any, has_own: bool
) -> None:
    owner = make_user()
    make_version(document=make_definition(a="string", b={"type": "number", "constraints": {"max": 10}}))
    if has_own:
        make_version(document=make_definition(z="string"), user=owner, is_active=False)
    if before is not None:
        make_extension(user=owner, document=before)
    ground = extension_ground(entity_type=THING, user_id=owner.pk)
    preview = extension_preview(ground=ground, user_id=owner.pk, document=document)
    try:
        extended = extension_save(entity_type=THING, user_id=owner.pk, document=document, actor=SHELL)
    except InvalidDocument as error:
        refused = error
    else:
        assert not preview.problems
        assert preview.quota is not None
        assert preview.revision == extended.revision.revision
        assert preview.is_same is not extended.created
        assert tuple(limit.after.usage for limit in preview.quota.limits) == counters(owner)
        return
    assert list(preview.problems) == refused.context["problems"]


def test_there_is_nothing_to_extend_where_nothing_is_in_force_or_an_own_schema_waits(db: None) -> None:
    owner = make_user()
    with pytest.raises(NothingToExtend) as none:
        extension_ground(entity_type=THING, user_id=owner.pk)
    make_version(document=make_definition(a="string"), user=owner)
    make_version(document=make_definition(a="string"))
    with pytest.raises(NothingToExtend) as waits:
        extension_ground(entity_type=THING, user_id=owner.pk)
    assert (none.value.code, waits.value.code) == ("no_global_schema", "not_adopted")


def test_a_first_version_asks_for_no_base_and_refuses_one_that_somebody_made(db: None) -> None:
    document = make_definition(a="string")
    assert schema_register(entity_type=THING, document=document, actor=SHELL, base="").created
    with pytest.raises(DomainError) as stale:
        schema_register(entity_type=THING, document=make_definition(b="date"), actor=SHELL, base="")
    assert stale.value.code == "stale_base"
    assert "was made from none, but by now it is 1.0.0" in stale.value.message


def test_taking_an_extension_back_gives_its_quota_back(db: None) -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"))
    make_extension(user=owner, document=EXTENSIONS[2])
    ground = extension_ground(entity_type=THING, user_id=owner.pk)
    preview = extension_preview(ground=ground, user_id=owner.pk, document={})
    extension_remove(entity_type=THING, user_id=owner.pk, actor=SHELL)
    assert preview.quota is not None
    assert [limit.after.usage for limit in preview.quota.limits] == [*counters(owner)] == [0, 0]
