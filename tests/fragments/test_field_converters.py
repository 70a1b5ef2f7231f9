"""Converters are added to a field of one user, and what waits of it is retried; told beforehand as it then is done."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fragments.models import RawFragment
from fragments.selectors_field_converters import converters_told, with_converters
from fragments.services.field_converters import field_converters_add
from fragments.services.promotion_outlook import converters_outlook
from registry.domain.converters import CONVERTERS
from registry.domain.definition import Definition
from registry.models import ExtensionRevision, SchemaVersion
from registry.selectors import effective_schema, schema_standing
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import User
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)
from tests.fragments.trials import work
from tests.rounds import rounds
from tests.snapshots.store_draws import POLICIES, VALUES, draw_field

pytestmark = pytest.mark.django_db
SIZE = "size"


def owner_with(field: dict[str, Any], *, has_own: bool) -> User:
    """An owner whose own schema, or extension, declares `size` so."""
    owner = make_user()
    if has_own:
        policies = {SIZE: field.pop("merge_policy")} if "merge_policy" in field else None
        make_version(document=make_definition(policies=policies, k="string", size=field), user=owner)
    else:
        make_version(document=make_definition(k="string"))
        make_extension(user=owner, document={"additional_fields": {SIZE: field}})
    return owner


def add(owner: User, *converters: str) -> None:
    field_converters_add(
        user_id=owner.pk, entity_type=THING, field=SIZE, converters=converters, actor=SHELL, note="so"
    )


def definition_of(owner: User) -> Definition:
    definition = effective_schema(entity_type=THING, user_id=owner.pk).definition
    assert definition is not None
    return definition


def functions(owner: User) -> list[str]:
    return [converter.function for converter in definition_of(owner).fields[SIZE].converters]


def states() -> dict[str, int]:
    rows = RawFragment.objects.filter(fragment_key=SIZE).values_list("lifecycle_state", flat=True)
    return {state: list(rows).count(state) for state in set(rows)}


@pytest.mark.parametrize("has_own", [True, False])
def test_what_waits_is_retried_and_policy_and_constraints_stay(has_own: bool) -> None:
    field: dict[str, Any] = {
        "type": "number",
        "constraints": {"min": 2},
        "description": "in millimetres",
        "merge_policy": {"strategy": "highest_priority"},
    }
    owner = owner_with(field, has_own=has_own)
    make_run(user=owner, records=[{"k": "a", SIZE: "3"}, {"k": "b", SIZE: "1"}, {"k": "c", SIZE: "large"}])
    work()
    before = definition_of(owner)

    add(owner, "string_to_number")
    work()

    after = definition_of(owner)
    assert functions(owner) == ["string_to_number"]
    assert after.fields[SIZE].constraints == before.fields[SIZE].constraints
    assert after.fields[SIZE].description == "in millimetres"
    assert after.policy_of(SIZE) == before.policy_of(SIZE)
    assert make_snapshot(user=owner, key="a").values == {"k": "a", SIZE: 3}
    assert states() == {"promoted": 1, "active": 2}


@pytest.mark.parametrize("has_own", [True, False])
def test_once_more_changes_nothing(has_own: bool) -> None:
    owner = owner_with({"type": "number"}, has_own=has_own)
    add(owner, "string_to_number")
    rows = SchemaVersion.objects.count(), ExtensionRevision.objects.count()
    add(owner, "string_to_number")
    assert (SchemaVersion.objects.count(), ExtensionRevision.objects.count()) == rows


def test_seconds_are_asked_before_milliseconds() -> None:
    owner = owner_with({"type": "date", "converters": ["timestamp_ms_to_iso"]}, has_own=False)
    add(owner, "timestamp_s_to_iso")
    assert functions(owner) == ["timestamp_s_to_iso", "timestamp_ms_to_iso"]


@pytest.mark.parametrize(
    ("field", "converter", "code"),
    [
        ("weight", "string_to_number", "not_declared"),
        ("k", "number_to_string", "declared_globally"),
        (SIZE, "number_to_string", "invalid_extension"),
        (SIZE, "no_such", "invalid_extension"),
        (SIZE, "\x00", "unstorable_json"),
    ],
)
def test_refusals_have_their_codes(field: str, converter: str, code: str) -> None:
    owner = owner_with({"type": "number"}, has_own=False)
    with pytest.raises(DomainError) as refused:
        field_converters_add(
            user_id=owner.pk, entity_type=THING, field=field, converters=[converter], actor=SHELL
        )
    assert refused.value.code == code


def test_where_nothing_is_declared_there_is_nothing_to_add_to() -> None:
    with pytest.raises(DomainError) as refused:
        add(make_user(), "string_to_number")
    assert refused.value.code == "undeclared_type"


@pytest.mark.rounds
@settings(
    max_examples=rounds(30),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(seed=st.integers(0, 2**32))
def test_the_preview_says_what_adding_then_does(seed: int) -> None:
    dice = random.Random(seed)
    with transaction.atomic():
        make_compatibility()
        field = {**draw_field(dice), "merge_policy": dice.choice(POLICIES)}
        owner = owner_with(field, has_own=dice.random() < 0.5)
        for feed in ("one", "two"):
            records = [{"k": dice.choice("abc"), SIZE: dice.choice(VALUES)} for _ in range(8)]
            make_run(user=owner, records=records, source=feed)
        work()
        held = definition_of(owner).declaration(SIZE)
        ending = [name for name, spec in CONVERTERS.items() if spec.target is held.field.type]
        chosen = dice.sample(ending, dice.randint(0, len(ending)))
        standing = schema_standing(entity_type=THING, user_id=owner.pk)
        told = converters_told(standing=standing, user_id=owner.pk, entity_type=THING, field=SIZE)
        assert told is not None
        waiting = states().get("active", 0)
        assert told.looked_at == waiting
        said = converters_outlook(
            standing=standing,
            user_id=owner.pk,
            entity_type=THING,
            declared=with_converters(told.declared, chosen),
        )
        add(owner, *chosen)
        work()
        assert said.is_possible
        assert said.fragments.looked_at == waiting
        assert said.fragments.misfit == states().get("active", 0)
        assert said.declaring is not None
        assert said.declaring.after is not None
        assert definition_of(owner).to_json() == said.declaring.after.to_json()
        if len({*chosen} - {converter.function for converter in held.field.converters}) == 1:
            [added] = {*chosen} - {converter.function for converter in held.field.converters}
            assert told.reads[added] == said.fragments.promoted
        transaction.set_rollback(True)
