"""Saved views on the pages: the bar above a list, what opens, who sees which, and the page of one's views."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from fragments.models import RawFragment
from fragments.services.erasure_inventory import ENTITY_FILTERS, KEY_FILTERS, OWNER_FILTERS, SEARCH
from registry.models import Schema
from schemaevo.kernel.models import Job, SavedView, User
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.filters import OwnerFilter
from schemaevo.kernel.pages.views_bar import SHOWN_MAX, VIEW_VAR, list_name
from tests.admin.addresses import OURS, list_of
from tests.admin.conftest import Store
from tests.admin.test_pages import text_of
from tests.factories import make_login

FRAGMENTS = "fragments_rawfragment"
LISTS = [
    model
    for model, one in admin.site._registry.items()
    if model._meta.app_label in OURS | {"auth"} and isinstance(one, StoreAdmin)
]


def login_in(client: Client) -> User:
    return User.objects.get(pk=client.session["_auth_user_id"])


def make_view(*, login: User, name: str = "Smells", **columns: object) -> SavedView:
    given: dict[str, object] = {"list_name": FRAGMENTS, "query": {"field": "smell"}, **columns}
    return SavedView.objects.create(login=login, name=name, **given)


def bar_of(html: str) -> str:
    """What stands in the bar, with its marks."""
    return html.partition('<div class="se-saved">')[2].partition("</div>")[0]


def pills_of(html: str) -> dict[str, tuple[str, bool]]:
    """The views in the bar: where each leads, and whether it is marked as open."""
    found = re.findall(r'<a class="se-saved-pill" href="([^"]*)"([^>]*)>(.*?)</a>', bar_of(html), re.DOTALL)
    return {
        text_of(name.partition("</span>")[0]).strip(): (unescape(url), "aria-current" in more)
        for url, more, name in found
    }


def post_save(client: Client, **given: str) -> str:
    """What the next page tells."""
    form = {"list": FRAGMENTS, "name": "Mine", "query": "field=smell&owner=owner-of-it", **given}
    answer = client.post(reverse("view_save"), form, follow=True)
    assert answer.status_code == 200
    return text_of(answer.content.decode())


# --- the bar --------------------------------------------------------------------------------------------------
def test_a_list_is_saved_as_it_is_narrowed_and_opens_so_again(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    listed = f"{list_of(RawFragment)}?field=smell&owner=owner-of-it&p=%3EWyI5OTk5OSJd"
    html = client.get(listed).content.decode()
    kept = re.search(r'name="query" value="([^"]*)"', bar_of(html))
    assert kept is not None
    assert "Mine is saved." in post_save(client, query=unescape(kept.group(1)))
    view = SavedView.objects.get()
    assert (view.query, view.is_shared) == ({"field": "smell", "owner": "owner-of-it"}, False)
    html = client.get(list_of(RawFragment)).content.decode()
    url, is_open = pills_of(html)["Mine"]
    assert not is_open
    html = client.get(url).content.decode()
    assert pills_of(html)["Mine"] == (url, True)
    assert html.count('class="data-row') == 1
    # What is open need not be saved once more.
    assert 'name="query"' not in bar_of(html)


def test_a_view_stays_marked_on_its_further_pages(store: Store, client_of: Callable[[str], Client]) -> None:
    client = client_of("viewer")
    make_view(login=login_in(client))
    html = client.get(f"{list_of(RawFragment)}?field=smell&p=%3EWyI5OTk5OSJd").content.decode()
    assert pills_of(html)["Smells"][1]
    assert not pills_of(html)["All"][1]


def test_each_sees_their_own_views_and_what_is_shared(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    one, other = client_of("operator"), client_of("viewer")
    make_view(login=login_in(one), name="private")
    make_view(login=login_in(one), name="shared", is_shared=True)
    ready = {"All", "Did not fit", "Waits for deletion"}
    seen = {client: client.get(list_of(RawFragment)).content.decode() for client in (one, other)}
    assert set(pills_of(seen[one])) == ready | {"private", "shared"}
    assert set(pills_of(seen[other])) == ready | {"shared"}
    assert f"shared by {login_in(one).username}" in bar_of(seen[other])
    assert "private" not in text_of(other.get(reverse("views")).content.decode())


def test_nothing_stands_above_a_list_without_views_until_it_is_narrowed(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    assert "se-saved" not in client.get(list_of(Schema)).content.decode().partition('id="content"')[2]
    html = client.get(list_of(Schema), {"type": "thing"}).content.decode()
    assert pills_of(html) == {}
    assert "Save this view" in text_of(bar_of(html))


def test_only_who_may_share_is_offered_it(store: Store, client_of: Callable[[str], Client]) -> None:
    for role, is_offered in (("viewer", False), ("operator", True)):
        html = client_of(role).get(list_of(RawFragment), {"field": "smell"}).content.decode()
        assert ('name="is_shared"' in bar_of(html)) == is_offered


def test_the_bar_shows_ones_own_views_first_and_not_all_there_are(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client, other = client_of("viewer"), make_login(role="operator")
    for number in range(SHOWN_MAX + 3):
        make_view(login=other, name=f"a {number}", is_shared=True)
    make_view(login=login_in(client), name="z")
    html = client.get(list_of(RawFragment)).content.decode()
    names = list(pills_of(html))
    assert names[:4] == ["All", "Did not fit", "Waits for deletion", "z"]
    assert len(names) == SHOWN_MAX + 3
    assert "All views" in text_of(bar_of(html))


def test_many_views_cost_a_list_and_the_page_no_further_query(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client, other = client_of("superuser"), make_login(role="operator")
    counts = []
    for number in (1, 9):
        for login in (login_in(client), other):
            for turn in range(number):
                make_view(login=login, name=f"{number} {turn}", is_shared=True)
                make_view(login=login, name=f"{number} {turn}", is_shared=True, list_name="kernel_job")
        for path in (list_of(RawFragment), reverse("views")):
            client.get(path)
            with CaptureQueriesContext(connection) as queries:
                client.get(path)
            counts.append(len(queries))
    assert counts[:2] == counts[2:]


# --- views that come with a list ------------------------------------------------------------------------------
def test_every_view_that_comes_with_a_list_opens_and_is_marked(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client, seen = client_of("superuser"), 0
    for model in LISTS:
        shown_by = admin.site._registry[model]
        assert isinstance(shown_by, StoreAdmin)
        for ready in shown_by.ready_views:
            declared = {one.parameter_name: one for one in shown_by.list_filter}
            assert set(ready.query) <= set(declared)
            answer = client.get(list_of(model), dict(ready.query))
            assert answer.status_code == 200
            assert pills_of(answer.content.decode())[str(ready.name)][1], (model, ready)
            # A value that the filter does not know would find nothing, or everything.
            for name, said in ready.query.items():
                assert said in dict(declared[name].lookups(declared[name], None, shown_by))  # type: ignore[arg-type]
            seen += 1
    assert seen > 10


# --- addresses and filters that are gone ----------------------------------------------------------------------
def test_a_view_with_a_filter_that_is_gone_opens_with_a_note(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    view = make_view(login=login_in(client), query={"field": "smell", "tone": "sweet"})
    url, _is_open = pills_of(client.get(list_of(RawFragment)).content.decode())["Smells"]
    html = client.get(url).content.decode()
    assert html.count('class="data-row') == 1
    assert "a filter that the list has no more (tone)" in text_of(html)
    assert [name for name, (_url, is_open) in pills_of(html).items() if is_open] == ["Smells"]
    assert "has no filter tone any more" in text_of(client.get(reverse("views")).content.decode())
    # By hand what is not declared is refused as ever, and another's view is not told of.
    assert client.get(list_of(RawFragment), {"tone": "sweet"}).status_code == 400
    other = client_of("viewer").get(f"{list_of(RawFragment)}?{VIEW_VAR}={view.pk}")
    assert "no more" not in text_of(other.content.decode())


def test_a_view_that_the_bar_has_no_room_for_tells_which_filter_is_gone(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    login = login_in(client)
    for number in range(SHOWN_MAX + 1):
        make_view(login=login, name=f"{number:02}", query={"field": f"f{number}"})
    make_view(login=login, name="zz", query={"field": "smell", "tone": "sweet"})
    (url,) = set(re.findall(r'href="([^"]*view=\d+)"', client.get(reverse("views")).content.decode()))
    html = client.get(unescape(url)).content.decode()
    assert "a filter that the list has no more (tone)" in text_of(html)
    pills = pills_of(html)
    assert [name for name, (_url, is_open) in pills.items() if is_open] == ["zz"]
    assert len(pills) == SHOWN_MAX + 3


@pytest.mark.parametrize("said", ["0", "-1", "9" * 40, "a", "\0", ""])
def test_an_address_with_a_view_that_makes_no_sense_shows_the_list(
    store: Store, client_of: Callable[[str], Client], said: str
) -> None:
    for model in LISTS:
        assert client_of("superuser").get(list_of(model), {VIEW_VAR: said}).status_code == 200, model


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"query": "value__startswith=a"}, "The list has no filter value__startswith."),
        ({"query": "p=%3Eabc"}, "The list has no filter p."),
        ({"query": ""}, "Nothing narrows the list"),
        ({"query": "field=%00"}, "characters that cannot be kept"),
        ({"query": f"field={'x' * 3000}"}, "longer than"),
        ({"name": " "}, "The name of a view is one line"),
        ({"name": "x" * 200}, "The name of a view is one line"),
        ({"name": "\0"}, "The name of a view is one line"),
    ],
)
def test_what_cannot_be_saved_is_told(
    store: Store, client_of: Callable[[str], Client], given: dict[str, str], told: str
) -> None:
    assert told in post_save(client_of("viewer"), **given)
    assert not SavedView.objects.exists()


def test_a_list_that_there_is_not_or_that_one_may_not_see_is_not_saved(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    form = {"name": "x", "query": "what=login"}
    client = client_of("operator")
    for name, status in (("kernel_user", 403), ("no_such", 404), ("", 404), ("\0", 404), ("auth_group", 404)):
        assert client.post(reverse("view_save"), {**form, "list": name}).status_code == status, name
    assert not SavedView.objects.exists()


# --- one's own page -------------------------------------------------------------------------------------------
def test_the_page_has_ones_views_in_words_and_what_others_share(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client, other = client_of("viewer"), client_of("superuser")
    assert "You have saved no view yet" in text_of(client.get(reverse("views")).content.decode())
    make_view(login=login_in(client), query={"reason": "type_mismatch", "q": "smell"})
    make_view(
        login=login_in(other),
        name="Broken",
        list_name="kernel_job",
        query={"state": "failed"},
        is_shared=True,
    )
    make_view(
        login=login_in(other), name="Who", list_name="kernel_user", query={"what": "login"}, is_shared=True
    )
    text = text_of(client.get(reverse("views")).content.decode())
    assert re.search(r"Fragments Smells .*Search smell reason type mismatch", text)
    assert re.search(rf"Shared by others Jobs Broken state failed by {login_in(other).username}", text)
    # A list that one may not see is not told of, whoever shares it.
    assert "Who" not in text
    assert "Take back" not in text
    make_view(login=login_in(client), name="Ours", is_shared=True)
    assert re.search("Ours .* Take back Ours", text_of(other.get(reverse("views")).content.decode()))


def test_a_view_of_a_list_that_one_may_see_no_more_leads_nowhere(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("none")
    make_view(login=login_in(client))
    make_view(login=login_in(client), name="Gone", list_name="fragments_nolist")
    html = client.get(reverse("views")).content.decode()
    assert text_of(html).count("you may not see this list any more") == 2
    assert list_of(RawFragment) not in html


def test_a_view_is_renamed_shared_taken_back_and_deleted(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("operator")
    view = make_view(login=login_in(client))
    for verb, given, told in (
        ("rename", {"name": "Scents"}, "The view is called Scents."),
        ("share", {}, "Whoever may see the list sees Scents now."),
        ("unshare", {}, "Nobody else sees Scents any more."),
        ("rename", {"name": ""}, "The name of a view is one line"),
        ("delete", {}, "The view is deleted."),
        ("delete", {}, "There is no such view any more."),
    ):
        answer = client.post(reverse(f"view_{verb}", args=[view.pk]), given, follow=True)
        assert told in text_of(answer.content.decode()), verb
    assert not SavedView.objects.exists()


# --- what erasure knows of filters ----------------------------------------------------------------------------
def test_erasure_knows_every_filter_in_which_somebody_is_named() -> None:
    declared = {
        one for model in LISTS for one in admin.site._registry[model].list_filter if isinstance(one, type)
    }
    owners = {one.parameter_name for one in declared if issubclass(one, OwnerFilter)}
    assert owners == OWNER_FILTERS
    columns = {getattr(one, "column", ""): one.parameter_name for one in declared}  # type: ignore[attr-defined]
    assert {columns["entity_id"]} == ENTITY_FILTERS
    assert {columns["entity_key"]} == KEY_FILTERS
    assert SEARCH == "q"
    assert list_name(admin.site._registry[Job]) == "kernel_job"  # type: ignore[arg-type]
