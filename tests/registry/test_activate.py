"""Putting versions in force: one statement, one owner, one audit row, one job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.errors import ReviewNeeded
from registry.models import SchemaEpoch, SchemaVersion
from registry.selectors import version_in_force
from registry.services.activation import schema_activate, schema_deactivate
from registry.services.schemas import schema_register
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Unstorable
from schemaevo.kernel.errors import Denied, DomainError, NotFound
from schemaevo.kernel.models import AuditEvent, Job, User
from tests.factories import SHELL, THING, make_definition, make_login, make_user, make_version

pytestmark = pytest.mark.django_db

ONE, TWO = make_definition(a="string"), make_definition(a="string", b="number")


def in_force() -> set[tuple[int | None, str]]:
    return {(v.user_id, v.number) for v in SchemaVersion.objects.filter(is_active=True)}


def epochs() -> dict[int | None, int]:
    return dict(SchemaEpoch.objects.values_list("user_id", "epoch"))


def activations() -> list[AuditEvent]:
    return list(AuditEvent.objects.exclude(action="schema_version.register").order_by("id"))


def test_activation_swaps_both_rows_in_one_statement() -> None:
    first = make_version(document=ONE)
    second = make_version(document=TWO, is_active=False)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        schema_activate(version_id=second.pk, actor=SHELL, without_review="because")
    updates = [q["sql"] for q in queries if q["sql"].startswith('UPDATE "schema_registry"')]
    assert len(updates) == 1
    assert in_force() == {(None, second.number)}
    before = first.first_activated_at
    first.refresh_from_db()
    assert (first.is_active, first.first_activated_at) == (False, before)


def test_epoch_audit_and_job_follow_every_change_once() -> None:
    first = make_version(document=ONE)
    second = make_version(document=TWO)
    assert epochs() == {None: 2}
    event = activations()[-1]
    assert (event.action, event.target_id, event.reason, event.actor_name) == (
        "schema_version.activate",
        str(second.pk),
        "a test wants it",
        "system:tests",
    )
    assert event.before == {"in_force": first.number}
    assert event.after == {
        "in_force": second.number,
        "entity_type": THING,
        "owner": None,
        "without_review": True,
    }
    job = Job.objects.get(kind="recompute_snapshots")
    assert (job.target, job.wanted) == (THING, 2)


def test_activating_what_is_in_force_changes_nothing() -> None:
    version = make_version(document=ONE)
    stamped = version.activated_at
    again = schema_activate(version_id=version.pk, actor=SHELL)
    assert again.activated_at == stamped
    assert epochs() == {None: 1}
    assert len(activations()) == 1
    assert Job.objects.get(kind="recompute_snapshots").wanted == 1


def test_an_owners_activation_touches_neither_the_global_version_nor_another_owners() -> None:
    one, other = make_user(), make_user()
    make_version(document=ONE)
    make_version(document=ONE, user=one)
    make_version(document=ONE, user=other)
    before = epochs()
    make_version(document=TWO, user=one)
    assert in_force() == {(None, "1.0.0"), (one.pk, "1.1.0"), (other.pk, "1.0.0")}
    assert epochs() == {**before, one.pk: 2}
    schema_deactivate(entity_type=THING, user_id=one.pk, actor=SHELL)
    assert in_force() == {(None, "1.0.0"), (other.pk, "1.0.0")}
    assert epochs() == {**before, one.pk: 3}


def test_a_global_activation_touches_no_owners_version_and_no_other_type() -> None:
    one = make_user()
    make_version(document=ONE, user=one)
    make_version(document=ONE, entity_type="other")
    make_version(document=ONE)
    make_version(document=TWO)
    assert in_force() == {(one.pk, "1.0.0"), (None, "1.0.0"), (None, "1.1.0")}
    assert version_in_force(entity_type="other", user_id=None) is not None


@pytest.mark.parametrize("text", ["\udcff", "a\0b"])
def test_a_reason_or_note_that_no_row_can_hold_is_refused(text: str) -> None:
    version = make_version(document=make_definition(a="number"))
    for refuse in (
        lambda: schema_register(entity_type=THING, document={"fields": {}}, actor=SHELL, note=text),
        lambda: schema_activate(version_id=version.pk, actor=SHELL, without_review=text),
        lambda: schema_deactivate(entity_type=THING, user_id=None, actor=SHELL, without_review=text),
    ):
        with pytest.raises(Unstorable):
            refuse()
    assert version_in_force(entity_type=THING, user_id=None) == version


def test_a_second_global_activation_needs_a_trusted_actor_with_a_reason() -> None:
    admin = Actor.login(make_login(role="schema_admin"))
    first = schema_register(entity_type=THING, document=ONE, actor=admin).version
    schema_activate(version_id=first.pk, actor=admin)  # the first of a type needs no review
    second = schema_register(entity_type=THING, document=TWO, actor=admin).version
    for actor, reason in ((admin, ""), (admin, "I say so"), (SHELL, ""), (SHELL, " \n")):
        with pytest.raises(ReviewNeeded) as refusal:
            schema_activate(version_id=second.pk, actor=actor, without_review=reason)
        assert refusal.value.code == "review_needed"
        with pytest.raises(ReviewNeeded):
            schema_deactivate(entity_type=THING, user_id=None, actor=actor, without_review=reason)
    assert in_force() == {(None, first.number)}
    assert epochs() == {None: 1}
    schema_activate(version_id=second.pk, actor=SHELL, without_review="urgent")
    assert in_force() == {(None, second.number)}


def test_deactivating_opens_no_way_round_the_review() -> None:
    make_version(document=ONE)
    second = make_version(document=TWO, is_active=False)
    schema_deactivate(entity_type=THING, user_id=None, actor=SHELL, without_review="retired")
    with pytest.raises(ReviewNeeded):
        schema_activate(version_id=second.pk, actor=SHELL)


def test_an_owners_schema_changes_without_a_review() -> None:
    owner = make_user()
    admin = Actor.login(make_login(role="schema_admin"))
    for document in (ONE, TWO):
        registered = schema_register(entity_type=THING, document=document, actor=admin, user_id=owner.pk)
        schema_activate(version_id=registered.version.pk, actor=admin)
    assert in_force() == {(owner.pk, "1.1.0")}


def test_deactivation_leaves_none_in_force_and_says_so() -> None:
    owner = make_user()
    version = make_version(document=ONE, user=owner)
    gone = schema_deactivate(entity_type=THING, user_id=owner.pk, actor=SHELL)
    assert gone is not None
    assert not gone.is_active
    event = activations()[-1]
    assert (event.action, event.before) == ("schema_version.deactivate", {"in_force": version.number})
    assert isinstance(event.after, dict)
    assert event.after["in_force"] is None
    assert schema_deactivate(entity_type=THING, user_id=owner.pk, actor=SHELL) is None
    assert epochs() == {owner.pk: 2}
    assert len(activations()) == 2


def test_going_back_keeps_the_first_activation_and_stamps_a_new_one() -> None:
    first = make_version(document=ONE)
    make_version(document=TWO)
    SchemaVersion.objects.filter(pk=first.pk).update(activated_at="2020-01-01T00:00:00Z")
    again = schema_activate(version_id=first.pk, actor=SHELL, without_review="back")
    assert again.first_activated_at == first.first_activated_at
    assert again.activated_at is not None
    assert again.activated_at.year > 2020


def test_an_unknown_version_is_not_found() -> None:
    with pytest.raises(NotFound) as refusal:
        schema_activate(version_id=-1, actor=SHELL)
    assert refusal.value.code == "schema_not_found"


# --- who may ------------------------------------------------------------------------------------------------
def _register(actor: Actor) -> Any:
    return schema_register(entity_type=THING, document=TWO, actor=actor)


def _activate(actor: Actor) -> Any:
    owner = make_user()
    return schema_activate(version_id=make_version(document=ONE, user=owner, is_active=False).pk, actor=actor)


def _deactivate(actor: Actor) -> Any:
    owner = make_user()
    make_version(document=ONE, user=owner)
    return schema_deactivate(entity_type=THING, user_id=owner.pk, actor=actor)


def _login(role: str) -> User:
    if role == "superuser":
        return make_login(is_superuser=True)
    if role == "retired admin":
        return make_login(role="schema_admin", is_active=False)
    return make_login(role=None if role == "none" else role)


@pytest.mark.parametrize("act", [_register, _activate, _deactivate])
@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("none", False),
        ("viewer", False),
        ("operator", False),
        ("retired admin", False),
        ("schema_admin", True),
        ("superuser", True),
    ],
)
def test_only_schema_admins_change_schemas(act: Callable[[Actor], Any], role: str, may: bool) -> None:
    actor = Actor.login(_login(role))
    if may:
        assert act(actor) is not None
        assert AuditEvent.objects.latest("id").actor_name == actor.name
        return
    with pytest.raises(Denied) as refusal:
        act(actor)
    assert isinstance(refusal.value, DomainError)
    assert refusal.value.code == "permission_denied"
    assert not AuditEvent.objects.filter(actor_name=actor.name).exists()
