"""Lists over big tables: every row once, forward and back, at a constant number of queries."""

import re
from collections.abc import Callable
from html import unescape

import pytest
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from fragments.models import LifecycleState, RawFragment
from schemaevo.kernel.models import AuditEvent
from schemaevo.kernel.pages import keyset
from schemaevo.kernel.pages.keyset import Keyset
from snapshots.admin.observations import ObservationAdmin
from snapshots.models import EntitySnapshot, Observation, Source
from tests.admin.addresses import KEYSET, list_of, name_of, page_of
from tests.factories import make_definition, make_run, make_user, make_version
from tests.lifecycle import put

ROWS = 130


@pytest.fixture
def many(db: None) -> None:
    """More than two pages of observations, snapshots and fragments, of two owners, with keys of any kind."""
    make_version(document=make_definition(k="string"))
    keys = [f"key {number}" for number in range(ROWS // 2 - 3)] + ["é\"'\\<b>", "%_", "ключ"]
    for _owner in range(2):
        make_run(records=[{"k": key, "undeclared": key} for key in keys], user=make_user())


def ids_on(html: str, model: type[Model]) -> list[str]:
    meta = model._meta
    pattern = rf"<th[^>]*>\s*<a[^>]*href=\"[^\"]*/{meta.app_label}/{meta.model_name}/([^/\"]+)/change/"
    return re.findall(pattern, html)


def link_on(html: str, rel: str) -> str | None:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', html)
    return unescape(found.group(1)) if found else None


@pytest.mark.parametrize("model", [Observation, EntitySnapshot, RawFragment], ids=name_of)
def test_walking_forward_and_back_meets_every_row_once(
    many: None, client_of: Callable[[str], Client], model: type[Model]
) -> None:
    client, base = client_of("superuser"), list_of(model)
    pages: list[list[str]] = []
    url: str | None = "?"
    while url is not None:
        html = client.get(base + url).content.decode()
        pages.append(ids_on(html, model))
        back, url = link_on(html, "prev"), link_on(html, "next")
    assert [len(page) for page in pages] == [50, 50, 30]
    walked = [pk for page in pages for pk in page]
    assert sorted(walked) == sorted(str(pk) for pk in model._default_manager.values_list("pk", flat=True))

    returned = [pages[-1]]
    while back is not None:
        html = client.get(base + back).content.decode()
        returned.append(ids_on(html, model))
        back = link_on(html, "prev")
    assert returned == pages[::-1]


def test_going_back_close_to_the_start_shows_a_whole_first_page(
    many: None, client_of: Callable[[str], Client]
) -> None:
    client, base = client_of("superuser"), list_of(RawFragment)
    second = client.get(base + (link_on(client.get(base).content.decode(), "next") or "")).content.decode()
    tenth = RawFragment.objects.order_by("-id")[9].pk
    put(LifecycleState.PENDING_DELETION, pk__gte=tenth)
    connection.cursor().execute("DELETE FROM raw_fragments WHERE id >= %s", [tenth])
    page = ids_on(client.get(base + (link_on(second, "prev") or "")).content.decode(), RawFragment)
    assert page == [str(pk) for pk in RawFragment.objects.order_by("-id").values_list("pk", flat=True)[:50]]


@pytest.mark.parametrize("model", [Observation, EntitySnapshot, RawFragment], ids=name_of)
def test_the_number_of_queries_does_not_depend_on_the_rows(
    many: None, client_of: Callable[[str], Client], model: type[Model]
) -> None:
    client, base = client_of("superuser"), list_of(model)
    first = client.get(base).content.decode()
    second = link_on(first, "next") or ""
    third = link_on(client.get(base + second).content.decode(), "next") or ""
    counts = []
    for url in (base, base + second, base + third):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(url).status_code == 200
        counts.append(len(queries))
    assert len(set(counts)) == 1
    assert counts[0] <= 15


def test_no_list_counts_all_rows_or_skips_some(many: None, client_of: Callable[[str], Client]) -> None:
    client = client_of("superuser")
    for model in KEYSET:
        base = list_of(model)
        with CaptureQueriesContext(connection) as queries:
            html = client.get(base).content.decode()
            if following := link_on(html, "next"):
                client.get(base + following)
        table = model._meta.db_table
        ours = [query["sql"] for query in queries if f'"{table}"' in query["sql"]]
        assert ours, model
        assert not [sql for sql in ours if "OFFSET" in sql], model
        assert not [sql for sql in ours if "COUNT(" in sql and "LIMIT" not in sql], model


def test_a_deep_page_walks_the_index_from_its_place(many: None) -> None:
    order = Keyset(("user_id", "entity_type", "entity_key"))
    place = EntitySnapshot.objects.order_by(*order.order)[70]
    fields = order.fields_of(EntitySnapshot)
    beyond = order.beyond(fields, [place.user_id, place.entity_type, place.entity_key], backward=False)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
    plan = EntitySnapshot.objects.filter(beyond).order_by(*order.order)[:50].explain()
    assert "Index Cond: (ROW(user_id" in plan
    assert "Sort" not in plan


def test_an_order_of_two_directions_is_refused() -> None:
    with pytest.raises(ValueError, match="mixes directions"):
        Keyset(("-recorded_at", "id"))


def test_a_place_that_is_none_leads_to_the_first_page(many: None, client_of: Callable[[str], Client]) -> None:
    client = client_of("superuser")
    for place in (
        "x", "3", ">", ">AAAA", "<W10", ">WyIxIiwiMiJd", ">WyJ4Il0", ">W251bGxd", ">WyJcdTAwMDAiXQ", ">é"
    ):  # fmt: skip
        answer = client.get(list_of(RawFragment), {"p": place}, follow=True)
        assert answer.status_code == 200, place
        assert answer.redirect_chain, place


def test_a_list_that_takes_too_long_says_so(
    many: None, client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "PAGE_LIMIT_MS", 20)
    monkeypatch.setattr(
        ObservationAdmin,
        "get_queryset",
        lambda admin, request: Observation.objects.extra(where=["pg_sleep(600)::text = ''"]),
    )
    html = client_of("superuser").get(list_of(Observation)).content.decode()
    assert "narrow the list" in html


def test_what_a_list_tells_the_planner_holds_for_its_own_statements(db: None) -> None:
    def told() -> tuple[object, ...]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout'), current_setting('random_page_cost')")
            return tuple(cursor.fetchone() or ())

    before = told()
    # What stands around a test is a transaction; a list's is its own.
    with transaction.atomic():
        with keyset.page_limit():
            assert told() == ("5s", "1.1")
        transaction.set_rollback(True)
    assert told() == before


def test_the_foot_of_a_list_says_how_many_there_are(many: None, client_of: Callable[[str], Client]) -> None:
    client = client_of("superuser")
    whole = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", client.get(list_of(RawFragment)).content.decode()))
    assert f"{ROWS} fragments" in whole
    one = client.get(list_of(RawFragment), {"q": str(RawFragment.objects.first().pk)}).content.decode()  # type: ignore[union-attr]
    assert "1 fragment" in re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", one))


def test_rows_whose_counterparts_are_gone_are_still_listed(
    many: None, client_of: Callable[[str], Client]
) -> None:
    fragment = RawFragment.objects.order_by("-id")[0]
    observation = Observation.objects.order_by("-recorded_at", "-id")[0]
    EntitySnapshot.objects.all()._raw_delete("default")
    Source.objects.all()._raw_delete("default")
    client = client_of("superuser")
    for row in (fragment, observation):
        assert str(row.pk) in ids_on(client.get(list_of(type(row))).content.decode(), type(row))
        assert client.get(page_of(row)).status_code == 200


def test_the_audit_log_pages_by_itself(client_of: Callable[[str], Client], db: None) -> None:
    AuditEvent.objects.bulk_create(
        [AuditEvent(action="thing.do", target_type="thing", target_id=str(n)) for n in range(60)]
    )
    html = client_of("viewer").get(list_of(AuditEvent)).content.decode()
    assert len(ids_on(html, AuditEvent)) == 50
    assert link_on(html, "next")
