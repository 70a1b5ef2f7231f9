"""What a preview tells is what then happens; and nobody decides by one that is outdated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from registry.domain.compatibility import Mode
from registry.domain.sides import Side
from registry.errors import StalePreview
from registry.models import Schema, SchemaVersion
from registry.selectors import schema_standing
from registry.selectors_conflicts import conflicts_page
from registry.selectors_previews import (
    ChangePreview,
    Hindrance,
    activation_preview,
    withdrawal_preview,
)
from registry.selectors_quotas import quota_of
from registry.services.activation import schema_activate, schema_deactivate, schema_retire
from registry.services.settling import extensions_settle
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import AuditEvent, User
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
from tests.quotas import fields_named

pytestmark = pytest.mark.django_db


def draft(user: User | None = None, **fields: Any) -> SchemaVersion:
    return make_version(document=make_definition(**fields), user=user, is_active=False)


def names(preview: ChangePreview, side: Side) -> list[str]:
    return [field.name for field in preview.sides.on(side)]


# --- what it tells --------------------------------------------------------------------------------------
def test_a_first_global_version_tells_whom_it_reaches() -> None:
    plain, mixed, own = make_user(), make_user(), make_user()
    make_run(records=[{"k": "1", "a": "x"}, {"k": "2"}], user=plain)
    make_version(document=make_definition(a="string", mine="number"), user=own)
    make_version(document=make_definition(a="number"), user=mixed)
    version = draft(a="string")
    preview = activation_preview(version=version)
    assert preview.hindrances == ()
    assert preview.shown == "nothing"
    assert names(preview, Side.ADDED) == ["a"]
    assert (preview.is_declared_before, preview.is_declared_after) == (False, True)
    assert preview.users is not None
    assert preview.users.is_every_user
    assert (preview.users.looked_at, preview.users.adopting) == (2, 2)
    assert (preview.users.absorbing_users, preview.users.absorbed_fields) == (1, 1)
    assert (preview.users.conflicting_users, preview.users.conflicts) == (1, 1)
    assert preview.is_recomputed
    assert preview.impacts[0].snapshots.value == 2
    # And so it is.
    schema_activate(version_id=version.pk, actor=SHELL, shown=preview.shown)
    settled = extensions_settle(entity_type=THING, after_user=0, actor=SHELL)
    assert settled.adopted == 2
    assert [owner.user_id for owner in conflicts_page(entity_type=THING).owners] == [mixed.pk]


def test_only_some_users_are_looked_at_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.selectors_previews.USERS_LOOKED_AT", 2)
    for _n in range(3):
        make_version(document=make_definition(a="string"), user=make_user())
    users = activation_preview(version=draft(a="string")).users
    assert users is not None
    assert (users.looked_at, users.is_every_user, users.absorbed_fields) == (2, False, 2)


def test_a_conflict_that_stands_already_is_not_counted_as_new() -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"))
    make_extension(user=owner, document={"additional_fields": {"b": {"type": "number"}}})
    make_compatibility()
    make_version(document=make_definition(a="string", b="string"))
    users = activation_preview(version=draft(a="string", b="string", c="string")).users
    assert users is not None
    assert (users.conflicts, users.absorbed_fields) == (0, 0)


def test_what_only_people_read_recomputes_nothing() -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"), user=owner)
    version = draft(owner, a={"type": "string", "description": "said otherwise"})
    preview = activation_preview(version=version)
    assert not preview.is_recomputed
    assert preview.sides.difference.size == "patch"


def test_a_version_of_a_users_own_is_compared_with_what_applies_beside_the_global_schema() -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"))
    preview = activation_preview(version=draft(owner, a="number", mine="string"))
    assert names(preview, Side.ADDED) == ["mine"]
    assert names(preview, Side.CHANGED) == ["a"]
    assert preview.composition is not None
    assert [conflict.field for conflict in preview.composition.conflicts] == ["a"]


def test_taking_the_last_version_out_leaves_the_type_undeclared() -> None:
    owner = make_user()
    version = make_version(document=make_definition(a="string"), user=owner)
    preview = withdrawal_preview(schema=version.schema, version=version, is_retired=False)
    assert names(preview, Side.REMOVED) == ["a"]
    assert (preview.is_declared_before, preview.is_declared_after) == (True, False)
    assert preview.retiring == ()


def test_retiring_a_draft_changes_nothing_that_applies() -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"), user=owner)
    other = draft(owner, a="string", b="string")
    preview = withdrawal_preview(schema=other.schema, version=other, is_retired=True)
    assert preview.sides.differing == ()
    assert [version.number for version in preview.retiring] == [other.number]
    assert preview.hindrances == ()


# --- what stands in the way -----------------------------------------------------------------------------
def test_every_hindrance_is_one_that_the_service_would_refuse() -> None:
    shared = make_version(document=make_definition(a="string"))
    changed = draft(a="string", b="string")
    owner, extender = make_user(), make_user()
    make_version(document=make_definition(a="string"), user=owner, entity_type="other")
    required = make_version(
        document=make_definition(a="string", b={"type": "string", "required": True}),
        user=owner,
        entity_type="free",
        is_active=False,
    )
    make_compatibility(entity_type="free")
    make_version(document=make_definition(c="string"), user=owner, entity_type="free")
    make_compatibility(entity_type="free", mode=Mode.BACKWARD)
    make_extension(user=extender, document={"additional_fields": {"e": {"type": "string"}}})
    beside = draft(extender, z="string")
    cases: list[tuple[ChangePreview, Hindrance, Callable[[], object] | None]] = [
        (
            activation_preview(version=changed),
            Hindrance.REVIEW_NEEDED,
            lambda: schema_activate(version_id=changed.pk, actor=SHELL),
        ),
        (
            withdrawal_preview(schema=shared.schema, version=shared, is_retired=False),
            Hindrance.REVIEW_NEEDED,
            lambda: schema_deactivate(entity_type=THING, user_id=None, actor=SHELL),
        ),
        (
            withdrawal_preview(schema=shared.schema, version=None, is_retired=True),
            Hindrance.REVIEW_NEEDED,
            lambda: schema_retire(entity_type=THING, user_id=None, actor=SHELL),
        ),
        (
            activation_preview(version=required),
            Hindrance.INCOMPATIBLE,
            lambda: schema_activate(version_id=required.pk, actor=SHELL),
        ),
        (
            activation_preview(version=beside),
            Hindrance.EXTENSION_IN_FORCE,
            lambda: schema_activate(version_id=beside.pk, actor=SHELL),
        ),
        (activation_preview(version=shared), Hindrance.NOTHING_TO_DO, None),
        (
            withdrawal_preview(schema=shared.schema, version=changed, is_retired=False),
            Hindrance.NOTHING_TO_DO,
            None,
        ),
    ]
    for preview, hindrance, act in cases:
        assert hindrance in preview.hindrances
        if act is not None:
            with pytest.raises(DomainError):
                act()


def test_a_transitive_mode_is_asked_about_every_version_that_was_in_force() -> None:
    owner = make_user()
    make_compatibility()
    for a_type in ("number", "string"):
        make_version(document=make_definition(a=a_type), user=owner)
    last = draft(owner, a="string", b="string")
    make_compatibility(mode=Mode.BACKWARD)
    assert activation_preview(version=last).reasons == ()
    make_compatibility(mode=Mode.BACKWARD_TRANSITIVE)
    assert [reason.against for reason in activation_preview(version=last).reasons] == ["1.0.0"]


# --- quotas ---------------------------------------------------------------------------------------------
def own(owner: User, count: int, *, is_active: bool = True, entity_type: str = THING) -> SchemaVersion:
    return make_version(
        document={"fields": fields_named(count)}, user=owner, entity_type=entity_type, is_active=is_active
    )


def test_the_quota_after_an_activation_is_the_one_that_was_told() -> None:
    owner = make_user()
    own(owner, 2)
    wider = own(owner, 5, is_active=False)
    preview = activation_preview(version=wider)
    schema_activate(version_id=wider.pk, actor=SHELL)
    assert preview.quota is not None
    assert preview.quota.now.fields.usage == 2
    assert preview.quota.after == quota_of(user_id=owner.pk)


@pytest.mark.parametrize("what", ["active", "draft", "both"])
def test_the_quota_after_a_retirement_is_the_one_that_was_told(what: str) -> None:
    owner = make_user()
    active, newer = own(owner, 2), own(owner, 3, is_active=False)
    own(owner, 1, entity_type="other")
    version = {"active": active, "draft": newer, "both": None}[what]
    preview = withdrawal_preview(schema=active.schema, version=version, is_retired=True)
    number = version.number if version else None
    schema_retire(entity_type=THING, user_id=owner.pk, actor=SHELL, number=number, shown=preview.shown)
    assert preview.quota is not None
    assert preview.quota.after == quota_of(user_id=owner.pk)


def test_the_quota_of_a_version_that_comes_back_is_the_one_that_was_told() -> None:
    owner = make_user()
    version = own(owner, 4)
    schema_retire(entity_type=THING, user_id=owner.pk, actor=SHELL)
    version.refresh_from_db()
    preview = activation_preview(version=version)
    assert preview.quota is not None
    assert preview.quota.now.schemas.usage == 0
    schema_activate(version_id=version.pk, actor=SHELL)
    assert preview.quota.after == quota_of(user_id=owner.pk)


def test_a_quota_that_does_not_suffice_stands_in_the_way() -> None:
    owner = make_user()
    own(owner, 2)
    wider = own(owner, 5, is_active=False)
    make_maximum(user=owner, max_fields=4)
    assert Hindrance.QUOTA in activation_preview(version=wider).hindrances
    make_maximum(user=owner, max_fields=5)
    assert Hindrance.QUOTA not in activation_preview(version=wider).hindrances


# --- outdated previews ----------------------------------------------------------------------------------
def test_what_moved_since_it_was_shown_is_not_decided_about() -> None:
    owner = make_user()
    make_compatibility()
    first = make_version(document=make_definition(a="string"), user=owner)
    second, third = draft(owner, b="string"), draft(owner, c="string")
    shown = activation_preview(version=second).shown
    schema_activate(version_id=third.pk, actor=SHELL)
    events = AuditEvent.objects.count()
    for act in (
        lambda: schema_activate(version_id=second.pk, actor=SHELL, shown=shown),
        lambda: schema_deactivate(entity_type=THING, user_id=owner.pk, actor=SHELL, shown=shown),
        lambda: schema_retire(entity_type=THING, user_id=owner.pk, actor=SHELL, shown=shown),
        lambda: schema_retire(
            entity_type=THING, user_id=owner.pk, actor=SHELL, number=first.number, shown=shown
        ),
    ):
        with pytest.raises(StalePreview) as refused:
            act()
        assert refused.value.code == "stale_preview"
        assert refused.value.context["shown"] == f"own {first.number}"
        assert refused.value.context["present"] == f"own {third.number}"
    assert AuditEvent.objects.count() == events
    assert SchemaVersion.objects.get(is_active=True) == third


def test_a_global_change_makes_the_preview_of_a_users_own_outdated() -> None:
    owner = make_user()
    version = draft(owner, a="string")
    shown = activation_preview(version=version).shown
    make_version(document=make_definition(b="string"))
    with pytest.raises(StalePreview):
        schema_activate(version_id=version.pk, actor=SHELL, shown=shown)
    present = schema_standing(entity_type=THING, user_id=owner.pk).in_words
    schema_activate(version_id=version.pk, actor=SHELL, shown=present)


def test_confirming_twice_comes_to_the_same() -> None:
    owner = make_user()
    version = draft(owner, a="string")
    shown = activation_preview(version=version).shown
    for _twice in range(2):
        assert schema_activate(version_id=version.pk, actor=SHELL, shown=shown).is_active
    shown = withdrawal_preview(schema=version.schema, version=None, is_retired=True).shown
    for _twice in range(2):
        schema_retire(entity_type=THING, user_id=owner.pk, actor=SHELL, shown=shown)
    assert Schema.objects.get().versions.filter(retired_at__isnull=True).count() == 0
