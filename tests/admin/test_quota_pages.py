"""Pages of quotas: the fullest first, a page for every owner, notices, and the way to them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

from registry.models import QuotaGrant, QuotaNotice, QuotaRequest, UserQuota
from registry.services.quota_requests import quota_request_reject
from registry.services.quotas import quota_grants_expire
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User
from tests.admin.addresses import list_of, page_of, verb_of
from tests.admin.conftest import Store
from tests.admin.test_keyset import ids_on, link_on
from tests.admin.test_pages import read, text_of
from tests.factories import (
    SHELL,
    make_definition,
    make_extension,
    make_login,
    make_maximum,
    make_quota_request,
    make_run,
    make_user,
    make_version,
)
from tests.quotas import fields_named

pytestmark = pytest.mark.django_db


def signed_in(login: User) -> Client:
    """A browser in which this login has signed in."""
    client = Client()
    client.force_login(login, backend="django.contrib.auth.backends.ModelBackend")
    return client


def owner_with(schemas: int, *, fields: int = 1, **columns: Any) -> User:
    """An owner of so many own schemas, each with so many fields."""
    owner = make_user(**columns)
    for number in range(schemas):
        make_version(document={"fields": fields_named(fields)}, entity_type=f"type_{number}", user=owner)
    return owner


def quota_page(owner: User) -> str:
    return verb_of(UserQuota, "change", owner.pk)


# --- the list -------------------------------------------------------------------------------------------
def test_the_fullest_quota_stands_first(client_of: Callable[[str], Client]) -> None:
    owner_with(1, username="roomy")
    full, passed = owner_with(2, username="full"), owner_with(2, username="passed")
    make_maximum(user=full, max_schemas=2)
    make_maximum(user=passed, max_schemas=1)
    near = owner_with(1, fields=8, username="near")
    make_maximum(user=near, max_fields=10)
    client = client_of("viewer")
    text = read(client, list_of(UserQuota))
    assert [text.index(name) for name in ("passed", "full", "near", "roomy")] == sorted(
        text.index(name) for name in ("passed", "full", "near", "roomy")
    )
    html = client.get(list_of(UserQuota)).content.decode()
    for shown in ("schemas: 2 of 1, 200 %", "schemas: 2 of 2, 100 %", "fields: 8 of 10, 80 %"):
        assert f'aria-label="{shown}"' in html
    assert html.count("se-usage-bad") == 2
    assert html.count("se-usage-warn") == 1


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, {"passed", "full", "near", "roomy"}),
        ({"fullness": "near"}, {"passed", "full", "near"}),
        ({"fullness": "full"}, {"passed", "full"}),
        ({"fullness": "passed"}, {"passed"}),
        ({"fullness": "perhaps"}, {"passed", "full", "near", "roomy"}),
        ({"owner": "near"}, {"near"}),
        ({"owner": "nobody"}, set()),
    ],
)
def test_quotas_are_filtered(
    client_of: Callable[[str], Client], query: dict[str, str], found: set[str]
) -> None:
    for name, most in (("roomy", 100), ("near", 10), ("full", 8), ("passed", 7)):
        make_maximum(user=owner_with(1, fields=8, username=name), max_fields=most)
    html = client_of("viewer").get(list_of(UserQuota), query).content.decode()
    shown = ids_on(html, UserQuota)
    assert set(User.objects.filter(pk__in=shown).values_list("username", flat=True)) == found


def test_pages_of_quotas_meet_every_owner_once_by_fullness(client_of: Callable[[str], Client]) -> None:
    owners = User.objects.bulk_create([User(username=f"o{n}", password="!") for n in range(110)])
    UserQuota.objects.bulk_create([UserQuota(user=owner) for owner in owners])
    for number in range(6):
        make_maximum(user=owner_with(1, fields=number + 1), max_fields=10)
    client, base = client_of("viewer"), list_of(UserQuota)
    walked: list[list[str]] = []
    url: str | None = "?"
    while url is not None:
        html = client.get(base + url).content.decode()
        walked.append(ids_on(html, UserQuota))
        back, url = link_on(html, "prev"), link_on(html, "next")
    assert [len(page) for page in walked] == [50, 50, 16]
    ordered = sorted(
        UserQuota.objects.all(),
        key=lambda row: (
            (max(row.schema_count * 100 // row.max_schemas, row.total_fields * 10), row.pk)
            if row.total_fields
            else (0, row.pk)
        ),
        reverse=True,
    )
    assert [pk for page in walked for pk in page] == [str(row.pk) for row in ordered]
    assert ids_on(client.get(base + (back or "")).content.decode(), UserQuota) == walked[1]
    assert client.get(base + "?p=>WyJ4IiwiMSJd").status_code == 302


def test_an_owner_is_found_by_name_mail_or_number_even_without_a_row(
    client_of: Callable[[str], Client],
) -> None:
    owner = make_user(username="idle", email="idle@example.org")
    client, find = client_of("viewer"), reverse("admin:registry_userquota_find")
    for said in ("idle", "idle@example.org", str(owner.pk), " idle "):
        assert client.get(find, {"owner": said})["Location"] == quota_page(owner)
    text = read(client, quota_page(owner))
    assert "Quota of idle" in text
    assert "0 / 10" in text
    assert "the default, which everybody has" in text
    assert not UserQuota.objects.filter(user=owner).exists()
    for nobody in ("", "nobody", "a\0b"):
        answer = client.get(find, {"owner": nobody}, follow=True)
        assert answer.redirect_chain[0][0] == list_of(UserQuota)
        assert "There is no user" in answer.content.decode()
    assert client_of("none").get(find, {"owner": "idle"}).status_code == 403


# --- the page of an owner -------------------------------------------------------------------------------
def test_the_page_of_an_owner_tells_what_the_quota_is_used_for(client_of: Callable[[str], Client]) -> None:
    owner = make_user(username="ada")
    own = make_version(document=make_definition(k="string", idle="string"), entity_type="pkg", user=owner)
    make_version(document=make_definition(a="string"))
    revision = make_extension(user=owner, document={"additional_fields": {"b": {"type": "number"}}})
    make_run(records=[{"k": "one"}], user=owner, entity_type="pkg")
    html = client_of("viewer").get(quota_page(owner)).content.decode()
    text = text_of(html)
    assert "pkg schema 2 fields" in text
    assert "thing extension 1 field" in text
    assert page_of(own.schema) in html
    assert page_of(revision) in html
    assert "1 field in the only snapshot idle" in text
    assert "2 / 10" in text
    assert "3 / 200" in text


def test_the_page_of_an_owner_tells_what_was_granted_until_when_and_by_whom(
    client_of: Callable[[str], Client],
) -> None:
    owner, admin = owner_with(2, username="ada"), make_login(role="schema_admin")
    refused = make_quota_request(user=owner, max_schemas=30)
    quota_request_reject(request_id=refused.pk, actor=Actor.login(admin), note="retire some first")
    make_maximum(user=owner, max_schemas=2)
    make_maximum(user=owner, max_fields=50, until=now() + timedelta(days=9))
    text = read(client_of("viewer"), quota_page(owner))
    assert "full set by system:tests, without an end" in text
    assert f"set by system:tests, until {(now() + timedelta(days=9)):%Y-%m-%d}" in text
    assert f"#{refused.pk} 30 schemas asked for by" in text
    assert f"rejected by {admin}" in text
    assert "they grow retire some first" in text
    assert text.count("in force") == 2
    assert "100 % schemas: 2 / 2" in text


def test_a_grant_that_ended_is_history(client_of: Callable[[str], Client]) -> None:
    owner = make_user()
    # Its end has to lie in the future when it is given: only SQL can make one that is over at once.
    QuotaGrant.objects.create(
        user=owner, max_schemas=30, until=now() - timedelta(seconds=1), granted_by_name="sql"
    )
    assert quota_grants_expire(actor=SHELL) == 1
    text = read(client_of("viewer"), quota_page(owner))
    assert "the default, which everybody has" in text
    assert "30 schemas" in text
    assert "ended" in text
    assert "in force" not in text


@pytest.mark.parametrize(
    ("role", "offered"),
    [("viewer", []), ("operator", ["ask"]), ("schema_admin", ["ask", "maxima"])],
)
def test_the_page_offers_what_the_login_may_do(
    client_of: Callable[[str], Client], role: str, offered: list[str]
) -> None:
    owner = make_user()
    client = client_of(role)
    html = client.get(quota_page(owner)).content.decode()
    for verb in ("ask", "maxima"):
        address = verb_of(UserQuota, verb, owner.pk)
        assert (f'href="{address}"' in html) == (verb in offered)
        for method in (client.get, client.post):
            assert (method(address).status_code == 403) == (verb not in offered)
    assert not QuotaRequest.objects.exists()
    assert not QuotaGrant.objects.exists()


def test_the_number_of_queries_does_not_grow_with_what_is_shown(client_of: Callable[[str], Client]) -> None:
    owner = owner_with(5, username="ada")
    make_maximum(user=owner, max_fields=20)
    make_quota_request(user=make_user())
    make_maximum(user=owner_with(1), max_schemas=1)
    client = client_of("schema_admin")
    counts: list[list[int]] = []
    for _round in range(2):
        counts.append([])
        for url in (
            list_of(UserQuota),
            list_of(QuotaRequest),
            list_of(QuotaNotice),
            quota_page(owner),
            verb_of(UserQuota, "maxima", owner.pk),
        ):
            client.get(url)  # what is asked once and remembered is no cost of the page
            with CaptureQueriesContext(connection) as queries:
                assert client.get(url).status_code == 200
            counts[-1].append(len(queries))
        for number in range(5, 8):
            make_version(document=make_definition(k="string"), entity_type=f"more_{number}", user=owner)
            make_maximum(user=owner, max_schemas=10 + number)
            make_maximum(user=owner_with(1), max_schemas=1)
            make_quota_request(user=make_user())
    assert counts[0] == counts[1]
    assert max(counts[0][:3]) <= 16
    assert counts[0][3] <= 40


# --- notices, and the way in ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, 3),
        ({"limit": "schemas"}, 2),
        ({"limit": "fields"}, 1),
        ({"threshold": "100"}, 1),
        ({"threshold": "90"}, 3),
        ({"holds": "1"}, 1),
        ({"holds": "0"}, 2),
        ({"owner": "ada"}, 2),
    ],
)
def test_notices_are_filtered(client_of: Callable[[str], Client], query: dict[str, str], found: int) -> None:
    ada = owner_with(1, username="ada")
    make_maximum(user=ada, max_schemas=1)
    make_maximum(user=ada, max_schemas=10)
    make_maximum(user=owner_with(1, fields=8, username="bob"), max_fields=10)
    html = client_of("viewer").get(list_of(QuotaNotice), query).content.decode()
    assert html.count('class="data-row') == found


def test_a_notice_says_what_was_crossed_and_whether_it_holds(client_of: Callable[[str], Client]) -> None:
    make_maximum(user=owner_with(1, fields=8, username="bob"), max_fields=10)
    notice = QuotaNotice.objects.get()
    client = client_of("viewer")
    assert "bob fields 80 % 8 / 10 holds still" in read(client, list_of(QuotaNotice))
    assert "8 / 10" in read(client, page_of(notice))


def test_the_side_bar_tells_how_many_requests_wait(client_of: Callable[[str], Client]) -> None:
    viewer, stranger = client_of("viewer"), client_of("none")
    badge = '<span class="se-nav-badge">'
    assert badge not in viewer.get(reverse("admin:index")).content.decode()
    make_quota_request(user=make_user())
    make_quota_request(user=make_user())
    html = viewer.get(reverse("admin:index")).content.decode()
    assert f"{badge}2</span>" in html
    assert f'href="{list_of(QuotaRequest)}?state=pending"' in html
    for model in (UserQuota, QuotaNotice):
        assert f'href="{list_of(model)}"' in html
    html = stranger.get(reverse("admin:index")).content.decode()
    assert badge not in html
    assert list_of(QuotaRequest) not in html


def test_an_owner_whose_name_is_markup_is_shown_as_text(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    evil = "<script>alert(1)</script>"
    owner = owner_with(1, username=evil)
    make_maximum(user=owner, max_schemas=1)
    QuotaRequest.objects.create(
        user=owner, asked_max_schemas=20, reason=evil, asked_by=make_login(role="operator")
    )
    client = client_of("schema_admin")
    pages = [list_of(UserQuota), list_of(QuotaRequest), list_of(QuotaNotice), quota_page(owner)]
    pages += [
        page_of(QuotaRequest.objects.get(user=owner)),
        page_of(QuotaNotice.objects.get(user=owner, threshold=100)),
    ]
    pages += [verb_of(UserQuota, verb, owner.pk) for verb in ("ask", "maxima")]
    for url in pages:
        assert evil not in client.get(url).content.decode(), url
