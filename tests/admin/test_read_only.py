"""What is append-only, or written by services alone, cannot be touched by hand; and strangers see nothing."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry.models import UserQuota
from schemaevo.kernel.models import AuditEvent, Job, User
from tests.admin.addresses import READ_ONLY, list_of, page_of, verb_of
from tests.admin.conftest import Store
from tests.factories import make_user


def test_all_that_services_write_is_read_only() -> None:
    assert {model._meta.db_table for model in READ_ONLY} == {
        "schemas",
        "schema_registry",
        "user_schema_extensions",
        "schema_compatibility",
        "schema_proposals",
        "user_schema_quotas",
        "quota_requests",
        "quota_notices",
        "sources",
        "observations",
        "entity_snapshots",
        "raw_fragments",
        "raw_fragment_aggregates",
        "field_totals",
        "bulk_acts",
        "promotions",
        "enhancements",
        "enhancement_settings",
        "ingest_runs",
        "dead_letters",
        "jobs",
        "audit_events",
        "verify_outcomes",
        "erasures",
    }


@pytest.mark.parametrize("role", ["viewer", "schema_admin", "superuser"])
def test_nothing_can_be_added_changed_or_deleted(
    store: Store, client_of: Callable[[str], Client], role: str
) -> None:
    Job.objects.create(kind="k", queue="interactive")
    client = client_of(role)
    for model in READ_ONLY:
        row, before = model._default_manager.all()[0], model._default_manager.count()
        for verb, args in (("add", ()), ("delete", (row.pk,))):
            assert client.get(verb_of(model, verb, *args)).status_code == 403, (model, verb)
            answer = client.post(verb_of(model, verb, *args), {"post": "yes"})
            assert answer.status_code == 403, (model, verb)
        assert client.post(page_of(row), {"anything": "1"}).status_code == 403, model
        assert client.get(page_of(row)).status_code == 200, model
        # A list takes no writes either: it has no actions and nothing to edit in place.
        client.post(list_of(model), {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"})
        assert model._default_manager.count() == before, model


def test_strangers_are_sent_to_sign_in(store: Store, client_of: Callable[[str], Client]) -> None:
    owner, nobody = Client(), client_of("none")
    owner.force_login(store.owner, backend="django.contrib.auth.backends.ModelBackend")
    for model in READ_ONLY:
        for client in (Client(), owner):
            answer = client.get(list_of(model))
            assert answer.status_code == 302, model
            assert answer["Location"].startswith(reverse("admin:login")), model
        assert nobody.get(list_of(model)).status_code == 403, model


def test_a_row_that_is_not_there_is_no_error(store: Store, client_of: Callable[[str], Client]) -> None:
    client = client_of("viewer")
    for model in READ_ONLY:
        for pk in (uuid4(), 999_999_999, "x"):
            assert client.get(verb_of(model, "change", pk)).status_code == 302, (model, pk)


def test_looking_writes_nothing(store: Store, client_of: Callable[[str], Client]) -> None:
    client = client_of("superuser")
    rows = [store.snapshot, store.observation, store.fragment, store.run, store.letter, store.version]
    rows += [store.extension, store.request, UserQuota.objects.get(user=store.owner)]
    with CaptureQueriesContext(connection) as queries:
        for url in ["/admin/", *map(list_of, READ_ONLY), *map(page_of, rows)]:
            client.get(url)
    writes = [q["sql"] for q in queries if q["sql"].split()[0] in {"INSERT", "UPDATE", "DELETE", "TRUNCATE"}]
    assert writes == []


@pytest.mark.parametrize("role", ["viewer", "operator", "schema_admin"])
def test_people_and_roles_are_for_superusers(client_of: Callable[[str], Client], role: str) -> None:
    client = client_of(role)
    for name in ("kernel_user", "auth_group"):
        assert client.get(reverse(f"admin:{name}_changelist")).status_code == 403
        assert client.get(reverse(f"admin:{name}_add")).status_code == 403


def test_users_are_never_deleted(client_of: Callable[[str], Client]) -> None:
    client, user = client_of("superuser"), make_user()
    assert client.post(verb_of(User, "delete", user.pk), {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=user.pk).exists()


def test_only_logins_get_a_password(client_of: Callable[[str], Client]) -> None:
    client, owner = client_of("superuser"), make_user()
    url = reverse("admin:auth_user_password_change", args=[owner.pk])
    assert client.get(url).status_code == 403
    assert client.post(url, {"password1": "a-long-one-9", "password2": "a-long-one-9"}).status_code == 403
    login = make_user(is_staff=True)
    url = reverse("admin:auth_user_password_change", args=[login.pk])
    given = {"password1": "a-long-one-9", "password2": "a-long-one-9", "usable_password": "true"}
    assert client.post(url, given).status_code == 302
    login.refresh_from_db()
    assert login.check_password("a-long-one-9")


def test_a_new_login_may_sign_in_and_is_in_the_audit_log(client_of: Callable[[str], Client]) -> None:
    client = client_of("superuser")
    given = {
        "username": "new",
        "password1": "a-long-one-9",
        "password2": "a-long-one-9",
    }
    assert client.post(verb_of(User, "add"), given).status_code == 302
    login = User.objects.get(username="new")
    assert login.is_staff
    assert login.check_password("a-long-one-9")
    event = AuditEvent.objects.get(action="user.create")
    assert event.target_id == str(login.pk)
    assert event.actor is not None


def test_a_change_of_roles_is_in_the_audit_log(client_of: Callable[[str], Client]) -> None:
    client, login = client_of("superuser"), make_user(username="ann", is_staff=True)
    role = Group.objects.get(name="viewer")
    given = {"username": "ann", "time_zone": "UTC", "is_active": "on", "is_staff": "on", "groups": [role.pk]}
    assert client.post(page_of(login), given).status_code == 302
    event = AuditEvent.objects.get(action="user.change")
    assert event.before["roles"] == []
    assert event.after["roles"] == ["viewer"]


def test_writes_want_the_token_of_a_form(store: Store) -> None:
    superuser = make_user(is_staff=True, is_superuser=True)
    client = Client(enforce_csrf_checks=True)
    client.force_login(superuser, backend="django.contrib.auth.backends.ModelBackend")
    for url in (
        verb_of(User, "add"),
        reverse("admin:registry_schemaversion_activate", args=[store.version.pk]),
        reverse("admin:registry_schemaversion_deactivate", args=[store.version.pk]),
        reverse("admin:registry_schemaversion_retire", args=[store.version.pk]),
        reverse("admin:registry_schema_retire", args=[store.version.schema_id]),
    ):
        assert client.post(url, {}).status_code == 403
