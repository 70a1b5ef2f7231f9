"""What the preview of a promotion says is what the promotion, and its backfill, then do."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fragments.domain.trial import Side
from fragments.models import LifecycleState, Promotion, RawFragment
from fragments.services import promotion_outlook as outlooks
from fragments.services.dismissals import field_dismiss
from fragments.services.promotion_outlook import PromotionOutlook, promotion_outlook
from fragments.services.promotions import field_promote, promotion_undo
from registry.domain.compatibility import Mode
from registry.domain.definition import Definition
from registry.domain.fit import fits
from registry.selectors import effective_schema
from registry.selectors_quotas import quota_of
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import User
from snapshots.models import EntitySnapshot
from tests.content import stored_content
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_maximum,
    make_run,
    make_user,
    make_version,
)
from tests.fragments.trials import work
from tests.lifecycle import put
from tests.rounds import rounds
from tests.snapshots.store_draws import POLICIES, SCALARS, VALUES, draw_field

pytestmark = pytest.mark.django_db
SIZE = "size"
NUMBER: JsonObject = {"type": "number"}


def foreseen(owner: User, declaration: JsonObject = NUMBER, field: str = SIZE) -> PromotionOutlook:
    return promotion_outlook(user_id=owner.pk, entity_type=THING, field=field, declaration=declaration)


def promoted(owner: User, declaration: JsonObject = NUMBER, field: str = SIZE) -> Promotion:
    """The field is promoted, and all that follows is done."""
    promotion = field_promote(
        user_id=owner.pk, entity_type=THING, field=field, declaration=declaration, actor=SHELL
    ).promotion
    work()
    promotion.refresh_from_db()
    return promotion


def definition_of(owner: User) -> Definition | None:
    return effective_schema(entity_type=THING, user_id=owner.pk).definition


# --- equal to what is then done ---------------------------------------------------------------------------
@pytest.mark.rounds
@settings(
    max_examples=rounds(60),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(seed=st.integers(0, 2**32))
def test_the_preview_says_what_promotion_and_backfill_do(seed: int) -> None:
    dice = random.Random(seed)
    with transaction.atomic():
        owner = _drawn_owner(dice)
        declaration = {**draw_field(dice), "merge_policy": dice.choice(POLICIES)}
        content = stored_content()
        said = foreseen(owner, declaration)
        assert stored_content() == content
        before = _counted(owner)
        held = _shown(owner)

        refused = ""
        try:
            with transaction.atomic():
                promotion = promoted(owner, declaration)
        except DomainError as error:
            refused = error.code
        assert (refused in codes(said)) if refused else said.is_possible
        if not refused:
            _assert_as_said(owner, said, promotion, before, held)
        transaction.set_rollback(True)


def _drawn_owner(dice: random.Random) -> User:
    """Somebody with an own schema, an extension, or nothing of their own, of whom values of `size` wait; sometimes with
    hardly any quota left."""
    owner = make_user()
    make_compatibility(mode=dice.choice([Mode.NONE, Mode.BACKWARD, Mode.FULL_TRANSITIVE]))
    if dice.random() < 0.5:
        make_version(document=make_definition(k="string"))
        if dice.random() < 0.5:
            make_extension(user=owner, document={"additional_fields": {"other": {"type": "string"}}})
    else:
        make_version(document=make_definition(k="string", other="string"), user=owner)
    drawn: list[Any] = SCALARS if dice.random() < 0.5 else VALUES
    for feed in ("one", "two")[: dice.randint(1, 2)]:
        records = [
            {"k": dice.choice("abcdefgh"), SIZE: dice.choice(drawn), "other": "x"}
            for _ in range(dice.randint(1, 9))
        ]
        make_run(user=owner, records=records, source=feed, priority=dice.choice([50, 100, 100]))
    if dice.random() < 0.3:
        put(LifecycleState.ARCHIVED, value_type="string")
    if dice.random() < 0.3:
        # Declared once as something else, and taken back.
        try:
            with transaction.atomic():
                promotion_undo(promotion_id=promoted(owner, draw_field(dice)).pk, actor=SHELL)
        except DomainError:
            pass
    work()
    if dice.random() < 0.3:
        used = quota_of(user_id=owner.pk).fields.usage
        make_maximum(user=owner, max_fields=used + dice.randint(0, 1))
    return owner


def _counted(owner: User) -> dict[int, str]:
    rows = RawFragment.objects.filter(user=owner, fragment_key=SIZE)
    return dict(rows.values_list("pk", "lifecycle_state"))


def _shown(owner: User) -> dict[str, Any]:
    rows = EntitySnapshot.objects.filter(user=owner)
    return {str(row.pk): row.values for row in rows}


def _assert_as_said(
    owner: User, said: PromotionOutlook, promotion: Promotion, before: dict[int, str], held: dict[str, Any]
) -> None:
    after = _counted(owner)
    moved = [
        pk for pk, state in before.items() if state in ("active", "archived") and after[pk] == "promoted"
    ]
    stayed = [pk for pk, state in after.items() if state in ("active", "archived")]
    found = said.fragments
    assert found.is_whole
    assert said.waiting is not None
    assert said.waiting.value == len(moved) + len(stayed)
    assert (found.promoted, found.misfit) == (len(moved), len(stayed))
    assert (promotion.promoted_count, promotion.misfit_count) == (len(moved), len(stayed))

    assert said.declared is not None
    kind = said.declared.field
    values = RawFragment.objects.filter(pk__in=moved)
    assert found.converted == sum(fits(row.value, kind) is not None for row in values)

    assert said.declaring is not None
    assert said.declaring.after is not None
    assert said.declaring.quota is not None
    now = quota_of(user_id=owner.pk)
    assert (said.declaring.quota.after.schemas, said.declaring.quota.after.fields) == (
        now.schemas,
        now.fields,
    )
    applied = definition_of(owner)
    assert applied is not None
    assert applied.to_json() == said.declaring.after.to_json()

    shown = _shown(owner)
    assert len(said.sample) == min(outlooks.SAMPLE_ENTITIES, len({*held}), len(said.fragments.entities))
    for sampled in said.sample:
        sides = sampled.fields[SIZE]
        for side, snapshot in zip(sides, (held, shown), strict=True):
            expected = Side.of(snapshot[sampled.entity_id], SIZE)
            assert side.to_json() == expected.to_json()


# --- what it says -----------------------------------------------------------------------------------------
@pytest.fixture
def owner() -> User:
    """An owner to whom a global schema applies; of `size` two are numbers, one is after conversion, one is not."""
    make_version(document=make_definition(k="string"))
    work()
    owner = make_user(username="ada")
    sizes = [1, 2, "3", "large"]
    make_run(user=owner, records=[{"k": f"k{n}", SIZE: size} for n, size in enumerate(sizes)])
    return owner


def codes(outlook: PromotionOutlook) -> set[str]:
    return {refusal.code for refusal in outlook.refusals}


def test_it_tells_fragments_quota_schema_and_a_sample(owner: User) -> None:
    said = foreseen(owner, {"type": "number", "converters": ["string_to_number"]})
    assert said.is_possible
    found = said.fragments
    assert (found.fitting, found.converted, found.misfit, found.is_whole) == (2, 1, 1, True)
    assert said.declaring is not None
    assert said.declaring.quota is not None
    assert said.declaring.quota.after.fields.usage == 1
    assert said.declaring.sides is not None
    assert [field.name for field in said.declaring.sides.differing] == [SIZE]
    assert said.snapshots is not None
    assert said.snapshots.value == 4
    after = {sampled.entity_key: sampled.fields[SIZE][1].to_json() for sampled in said.sample}
    assert after == {"k0": {"value": 1}, "k1": {"value": 2}, "k2": {"value": 3}, "k3": {}}
    assert [sampled.is_changed for sampled in said.sample] == [True, True, True, False]


def test_where_nothing_is_declared_nothing_waits_to_be_promoted(db: None) -> None:
    owner = make_user()
    make_run(user=owner, records=[{"k": "a", SIZE: 1}])
    assert codes(foreseen(owner)) == {"undeclared_type"}


def test_what_is_declared_is_told_so(owner: User) -> None:
    assert codes(foreseen(owner, field="k")) == {"already_declared"}


def test_a_field_that_nobody_sent_is_told_so(owner: User) -> None:
    assert codes(foreseen(owner, field="weight")) == {"no_fragments"}


def test_without_a_type_nothing_can_be_told(owner: User) -> None:
    assert codes(foreseen(owner, {})) == {"no_type_known"}


@pytest.mark.parametrize("has_own", [True, False])
def test_a_name_that_people_would_confuse_is_told_so(has_own: bool) -> None:
    owner = make_user()
    document = make_definition(k="string", Size="string")
    make_version(document=document, user=owner if has_own else None)
    make_run(user=owner, records=[{"k": "a", SIZE: 1}])
    said = foreseen(owner)
    assert codes(said) == {"invalid_definition" if has_own else "invalid_extension"}
    with pytest.raises(DomainError) as refused, transaction.atomic():
        promoted(owner)
    assert {refused.value.code} == codes(said)


def test_a_converter_that_ends_in_another_type_is_told_so(owner: User) -> None:
    assert codes(foreseen(owner, {"type": "number", "converters": ["number_to_string"]})) == {
        "invalid_extension"
    }


@pytest.mark.parametrize("has_own", [True, False])
def test_a_quota_that_is_used_up_is_told_with_the_numbers(has_own: bool) -> None:
    owner = make_user()
    if not has_own:
        make_version(document=make_definition(k="string"))
    make_version(document=make_definition(k="string"), user=owner, entity_type=THING if has_own else "else")
    make_run(user=owner, records=[{"k": "a", SIZE: 1}])
    make_maximum(user=owner, max_fields=1)
    said = foreseen(owner)
    assert codes(said) == {"quota_exceeded"}
    assert "would have 2 fields; at most 1" in said.refusals[0].message
    # What would be promoted is told all the same.
    assert said.fragments.promoted == 1


def test_an_own_schema_that_may_not_change_so_is_told_so(db: None) -> None:
    owner = make_user()
    make_version(document=make_definition(k="string"), user=owner)
    make_run(user=owner, records=[{"k": "a", SIZE: 1}])
    promotion_undo(promotion_id=promoted(owner).pk, actor=SHELL)
    work()
    make_compatibility(mode=Mode.BACKWARD_TRANSITIVE)
    said = foreseen(owner, {"type": "string", "converters": []})
    assert codes(said) == {"incompatible_change"}
    with pytest.raises(DomainError) as refused, transaction.atomic():
        promoted(owner, {"type": "string"})
    assert refused.value.code == "incompatible_change"


def test_more_than_a_page_looks_at_is_said_to_be_more(owner: User) -> None:
    said = promotion_outlook(user_id=owner.pk, entity_type=THING, field=SIZE, declaration=NUMBER, at_most=3)
    assert (said.fragments.looked_at, said.fragments.is_whole) == (3, False)
    assert said.waiting is not None
    assert said.waiting.value == 4
    whole = promotion_outlook(user_id=owner.pk, entity_type=THING, field=SIZE, declaration=NUMBER, at_most=4)
    assert whole.fragments.is_whole


def test_a_dismissed_field_can_be_promoted_all_the_same(owner: User) -> None:
    field_dismiss(entity_type=THING, name=SIZE, user_id=owner.pk, actor=SHELL)
    assert foreseen(owner).is_possible


def test_it_costs_as_many_queries_with_many_values_as_with_few(owner: User) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            foreseen(owner)
        return len(captured)

    queries()
    few = queries()
    make_run(user=owner, records=[{"k": f"n{n}", SIZE: n} for n in range(60)])
    assert queries() == few
