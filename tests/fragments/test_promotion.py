"""A promoted field is as if it had always been declared; and an undone one as if it never had been."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from fragments.errors import NotToBeUndone, Undeclared
from fragments.models import RawFragment
from fragments.models_promotions import Promotion, PromotionState
from fragments.services.backfill_runs import PROMOTE
from fragments.services.promotions import field_promote, promotion_undo
from registry.domain.targets import job_target
from registry.errors import QuotaReached
from registry.selectors import effective_schema
from registry.services.activation import schema_activate
from registry.services.extensions import extension_save
from registry.services.settling import extensions_settle
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.jobs import job_alive, run_job
from schemaevo.kernel.models import JobState, User
from snapshots.models import Observation
from snapshots.services.observations import RECOMPUTE
from snapshots.services.verify import snapshots_verify
from tests.aggregates import assert_aggregates_are_right
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_maximum,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db
NUMBER: JsonObject = {"type": "number"}


@pytest.fixture
def owner() -> User:
    """An owner to whom a global schema applies that declares `k` alone."""
    make_version(document=make_definition(k="string"))
    return make_user()


def promote(owner: User) -> Promotion:
    """`size` is promoted as a number, and all that follows is done."""
    promotion = field_promote(
        user_id=owner.pk, entity_type=THING, field="size", declaration=NUMBER, actor=SHELL
    ).promotion
    work(owner)
    promotion.refresh_from_db()
    return promotion


def undo(promotion: Promotion) -> None:
    """The promotion is undone, and all that follows is done."""
    promotion_undo(promotion_id=promotion.pk, actor=SHELL)
    work(promotion.user)
    promotion.refresh_from_db()


def work(owner: User | None) -> None:
    """The backfill, and then what waits for it, as workers do."""
    for kind in (PROMOTE, RECOMPUTE):
        job = job_alive(kind, job_target(THING, owner.pk if owner else None))
        assert job is not None
        run_job(str(job.pk))
        job.refresh_from_db()
        assert job.state == JobState.DONE, job.error


def declared(owner: User) -> set[str]:
    """The fields that are declared for the owner."""
    definition = effective_schema(entity_type=THING, user_id=owner.pk).definition
    assert definition is not None
    return set(definition.fields)


def fates() -> dict[str, tuple[str, str]]:
    """State and reason of every fragment, by its value."""
    rows = RawFragment.objects.values_list("value", "lifecycle_state", "reason")
    return {str(value): (state, reason) for value, state, reason in rows}


def test_what_fits_is_in_the_snapshot_and_the_rest_stays_a_fragment(owner: User) -> None:
    make_run(user=owner, records=[{"k": "a", "size": 1}, {"k": "a", "size": 2}, {"k": "b", "size": "large"}])

    promotion = promote(owner)

    row = make_snapshot(user=owner, key="a")
    newest = Observation.objects.filter(origin="ingest", entity=row.pk).latest("observed_at")
    assert row.values == {"k": "a", "size": 2}
    assert row.provenance["size"] == [str(newest.pk)]
    assert (row.observation_count, row.last_observation_at) == (2, newest.observed_at)
    assert make_snapshot(user=owner, key="b").values == {"k": "b"}
    assert fates() == {
        "1": ("promoted", "unknown_field"),
        "2": ("promoted", "unknown_field"),
        "large": ("active", "type_mismatch"),
    }
    assert (promotion.state, promotion.promoted_count, promotion.misfit_count) == (PromotionState.DONE, 2, 1)
    assert_aggregates_are_right()


def test_an_undone_promotion_leaves_the_fragments_as_they_were(owner: User) -> None:
    make_run(user=owner, records=[{"k": "a", "size": 1}, {"k": "b", "size": "large"}])
    promotion = promote(owner)

    undo(promotion)

    assert promotion.state == PromotionState.UNDONE
    assert declared(owner) == {"k"}
    assert make_snapshot(user=owner, key="a").values == {"k": "a"}
    assert fates() == {"1": ("active", "unknown_field"), "large": ("active", "unknown_field")}
    assert_aggregates_are_right()


def test_a_converter_that_comes_later_retries_what_did_not_fit(owner: User) -> None:
    make_run(user=owner, records=[{"k": "a", "size": "12"}, {"k": "b", "size": "large"}])
    promote(owner)
    assert fates() == {"12": ("active", "type_mismatch"), "large": ("active", "type_mismatch")}

    converting: JsonObject = {"type": "number", "converters": ["string_to_number"]}
    document: JsonObject = {"additional_fields": {"size": converting}}
    extension_save(entity_type=THING, user_id=owner.pk, document=document, actor=SHELL)
    work(owner)

    assert make_snapshot(user=owner, key="a").values == {"k": "a", "size": 12}
    assert fates() == {"12": ("promoted", "type_mismatch"), "large": ("active", "type_mismatch")}


def test_a_value_is_promoted_otherwise_once_its_field_is_declared_otherwise(owner: User) -> None:
    """What was converted is kept as it came: `007` as a number is 7, and still is 007 as a string."""
    make_run(user=owner, records=[{"k": "a", "size": "007"}])
    converting: JsonObject = {"type": "number", "converters": ["string_to_number"]}
    promotion = field_promote(
        user_id=owner.pk, entity_type=THING, field="size", declaration=converting, actor=SHELL
    ).promotion
    work(owner)
    assert make_snapshot(user=owner, key="a").values == {"k": "a", "size": 7}
    undo(promotion)

    field_promote(
        user_id=owner.pk, entity_type=THING, field="size", declaration={"type": "string"}, actor=SHELL
    )
    work(owner)
    assert make_snapshot(user=owner, key="a").values == {"k": "a", "size": "007"}


def test_a_declaration_that_comes_and_goes_before_snapshots_follow_leaves_them_right() -> None:
    """A snapshot that waits does not take an observation in, and must not look up to date after a change back."""
    make_compatibility()
    owner = make_user()
    first = make_version(document=make_definition(k="string", size="number"), user=owner)
    make_run(user=owner, records=[{"k": "a", "size": "12"}])
    converting = {"type": "number", "converters": ["string_to_number"]}
    make_version(document=make_definition(k="string", size=converting), user=owner)
    job = job_alive(PROMOTE, job_target(THING, owner.pk))
    assert job is not None
    run_job(str(job.pk))

    schema_activate(version_id=first.pk, actor=SHELL)
    work(owner)

    row = make_snapshot(user=owner, key="a")
    # As if the converter had never been there: a number is declared, and what came is none.
    assert row.values == {"k": "a"}
    assert snapshots_verify([str(row.pk)]).divergent == []


def test_a_change_for_all_users_moves_the_fragments_of_each() -> None:
    make_version(document=make_definition(k="string"))
    owners = [make_user() for _ in range(3)]
    for owner in owners:
        make_run(user=owner, records=[{"k": "a", "size": 1}, {"k": "a", "other": 1}])

    make_version(document=make_definition(k="string", size="number"))
    work(None)

    assert [make_snapshot(user=owner, key="a").values for owner in owners] == [{"k": "a", "size": 1}] * 3
    moved = RawFragment.objects.filter(lifecycle_state="promoted").values_list("fragment_key", flat=True)
    assert sorted(moved) == ["size"] * 3


@pytest.mark.parametrize(
    ("field", "declaration", "code"),
    [
        ("k", NUMBER, "already_declared"),
        ("nobody_sends_this", NUMBER, "no_fragments"),
        ("size", {}, "no_type_known"),
        ("size", {"type": "numeral"}, "invalid_extension"),
        ("size", {"type": "string", "converters": ["string_to_number"]}, "invalid_extension"),
    ],
)
def test_what_cannot_be_promoted_is_refused_and_nothing_changes(
    owner: User, field: str, declaration: JsonObject, code: str
) -> None:
    make_run(user=owner, records=[{"k": "a", "size": 1}])
    with pytest.raises(DomainError) as refused:
        field_promote(user_id=owner.pk, entity_type=THING, field=field, declaration=declaration, actor=SHELL)
    assert refused.value.code == code
    assert not Promotion.objects.exists()
    assert declared(owner) == {"k"}


def test_where_nothing_is_declared_there_is_nothing_to_promote() -> None:
    owner = make_user()
    make_run(user=owner, records=[{"k": "a", "size": 1}])
    with pytest.raises(Undeclared):
        field_promote(user_id=owner.pk, entity_type=THING, field="size", declaration=NUMBER, actor=SHELL)


def test_a_promotion_beyond_the_quota_is_refused_wholly(owner: User) -> None:
    make_maximum(user=owner, max_fields=1)
    make_run(user=owner, records=[{"k": "a", "size": 1, "other": 2}])
    promote(owner)
    with pytest.raises(QuotaReached):
        field_promote(user_id=owner.pk, entity_type=THING, field="other", declaration=NUMBER, actor=SHELL)
    assert Promotion.objects.count() == 1


def test_an_undo_gives_the_quota_back(owner: User) -> None:
    make_maximum(user=owner, max_fields=1)
    make_run(user=owner, records=[{"k": "a", "size": 1, "other": 2}])
    undo(promote(owner))
    field_promote(user_id=owner.pk, entity_type=THING, field="other", declaration=NUMBER, actor=SHELL)
    assert declared(owner) == {"k", "other"}


def test_only_the_newest_promotion_of_a_field_can_be_undone_and_only_once(owner: User) -> None:
    make_run(user=owner, records=[{"k": "a", "size": 1}])
    first = promote(owner)
    undo(first)
    second = promote(owner)
    with pytest.raises(NotToBeUndone) as refused:
        promotion_undo(promotion_id=first.pk, actor=SHELL)
    assert refused.value.code == "already_undone"
    undo(second)
    with pytest.raises(NotToBeUndone) as refused:
        promotion_undo(promotion_id=second.pk, actor=SHELL)
    assert refused.value.code == "already_undone"
    assert Observation.objects.filter(origin="promotion").count() == 1


def test_a_promotion_whose_field_was_removed_by_hand_and_promoted_anew_is_not_undone(owner: User) -> None:
    make_run(user=owner, records=[{"k": "a", "size": 1}])
    first = promote(owner)
    extension_save(entity_type=THING, user_id=owner.pk, document={}, actor=SHELL)
    promote(owner)
    with pytest.raises(NotToBeUndone) as refused:
        promotion_undo(promotion_id=first.pk, actor=SHELL)
    assert refused.value.code == "not_the_newest"


def test_a_field_that_became_global_is_not_taken_from_it_by_an_undo(owner: User) -> None:
    make_run(user=owner, records=[{"k": "a", "size": 1}])
    promotion = promote(owner)
    make_version(document=make_definition(k="string", size="number"))
    extensions_settle(entity_type=THING, after_user=0, actor=SHELL)
    with pytest.raises(NotToBeUndone) as refused:
        promotion_undo(promotion_id=promotion.pk, actor=SHELL)
    assert refused.value.code == "declared_otherwise"
    assert declared(owner) == {"k", "size"}


def test_a_draft_stays_a_draft_when_a_field_is_promoted_into_an_own_schema() -> None:
    owner = make_user()
    make_version(document=make_definition(k="string"), user=owner)
    make_version(document=make_definition(k="string", planned="string"), user=owner, is_active=False)
    make_run(user=owner, records=[{"k": "a", "size": 1}])
    promote(owner)
    assert declared(owner) == {"k", "size"}


def told(command: str, *options: str) -> Any:
    """What a command answers."""
    out = io.StringIO()
    call_command(command, *options, "--json", stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue())


def test_the_commands_tell_beforehand_what_they_do(owner: User) -> None:
    sizes = [1, 2, "3", "large"]
    make_run(user=owner, records=[{"k": f"k{n}", "size": size} for n, size in enumerate(sizes)])
    named = (THING, "size", "--user", owner.username, "--type", "number", "--converter", "string_to_number")

    before = told("promote_field", *named, "--dry-run")
    assert not Promotion.objects.exists()
    assert job_alive(PROMOTE, job_target(THING, owner.pk)) is None
    after = told("promote_field", *named)
    work(owner)

    counts = {"fitting": 2, "converted": 1, "misfit": 1}
    assert {name: before[name] for name in counts} == {name: after[name] for name in counts} == counts
    promotion = Promotion.objects.get()
    assert (after["promotion"], promotion.promoted_count, promotion.misfit_count) == (promotion.pk, 3, 1)
    assert told("undo_promotion", str(promotion.pk), "--dry-run")["promoted"] == 3
    promotion.refresh_from_db()
    assert promotion.state == PromotionState.DONE
    told("undo_promotion", str(promotion.pk))
    work(owner)
    assert {state for state, _ in fates().values()} == {"active"}
