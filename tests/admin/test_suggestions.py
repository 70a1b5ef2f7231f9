"""Addresses of Django's admin that no page here leads to: suggestions are bounded, and nothing breaks."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import ForeignKey, Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from fragments.models import RawFragment
from schemaevo.kernel.pages import keyset, suggestions
from snapshots.admin.snapshots import EntitySnapshotAdmin
from snapshots.models import EntitySnapshot
from tests.admin.addresses import OURS
from tests.factories import make_run, make_user

ADDRESS = "/admin/autocomplete/"


def references() -> Iterator[ForeignKey[Any, Any]]:
    """Every reference of ours to rows that can be searched for."""
    for model in admin.site._registry:
        for field in model._meta.get_fields() if model._meta.app_label in OURS else ():
            if isinstance(field, ForeignKey):
                shown_by = admin.site._registry.get(field.related_model)
                if shown_by is not None and shown_by.search_fields:
                    yield field


REFERENCES = sorted(references(), key=str)


def asking(field: ForeignKey[Any, Any], **more: str) -> dict[str, str]:
    """What the browser sends for a field that refers to other rows."""
    meta = field.model._meta
    return {"app_label": meta.app_label, "model_name": str(meta.model_name), "field_name": field.name, **more}


def test_references_to_the_big_tables_are_among_those_asked_for() -> None:
    tables = {field.related_model._meta.db_table for field in REFERENCES}
    assert {"entity_snapshots", "sources", "ingest_runs", "users"} <= tables


@pytest.mark.parametrize("field", REFERENCES, ids=str)
@pytest.mark.parametrize("more", [{}, {"page": "2"}, {"term": "1"}], ids=str)
def test_suggestions_neither_count_nor_skip_a_table(
    client_of: Callable[[str], Client],
    monkeypatch: pytest.MonkeyPatch,
    field: ForeignKey[Any, Any],
    more: dict[str, str],
) -> None:
    monkeypatch.setattr(suggestions, "SUGGESTED_MAX", 25)
    client = client_of("superuser")
    make_run(records=[{"k": n} for n in range(30)], user=make_user())
    table = field.related_model._meta.db_table
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(ADDRESS, asking(field, **more))
    # A table with less than a page of rows has no second one.
    assert answer.status_code in {200, 404}
    ours = [query["sql"] for query in queries if f'FROM "{table}"' in query["sql"]]
    counts = [sql for sql in ours if sql.startswith("SELECT COUNT(")]
    assert len(counts) == 1
    assert counts[0].endswith("LIMIT 25) subquery")
    assert f'ORDER BY "{table}"' not in counts[0]
    assert len(queries) <= 30


def walked(client: Client, field: ForeignKey[Any, Any]) -> list[str]:
    """All ids that scrolling to the end of the suggestions shows."""
    found: list[str] = []
    page, is_more = 1, True
    while is_more:
        answer = client.get(ADDRESS, asking(field, page=str(page))).json()
        found += [row["id"] for row in answer["results"]]
        page, is_more = page + 1, answer["pagination"]["more"]
    return found


def entity_reference() -> ForeignKey[Any, Any]:
    field = RawFragment._meta.get_field("entity")
    assert isinstance(field, ForeignKey)
    return field


def test_scrolling_ends_at_the_bound_and_meets_every_row_once(
    client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggestions, "SUGGESTED_MAX", 50)
    make_run(records=[{"k": f"{n:03}"} for n in range(70)], user=make_user())
    found = walked(client_of("superuser"), entity_reference())
    in_order = EntitySnapshot.objects.order_by("entity_key")[:50]
    assert found == [str(snapshot.pk) for snapshot in in_order]


def test_what_is_typed_narrows_and_what_no_row_holds_finds_nothing(
    client_of: Callable[[str], Client], db: None
) -> None:
    make_run(records=[{"k": "one"}, {"k": "two"}], user=make_user())
    client = client_of("superuser")
    texts = {
        term: [
            row["text"]
            for row in client.get(ADDRESS, asking(entity_reference(), term=term)).json()["results"]
        ]
        for term in ("two", "no such", "\0", "two\0")
    }
    assert texts == {"two": ["thing two"], "no such": [], "\0": [], "two\0": []}


def test_suggestions_that_take_too_long_are_none(
    client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "PAGE_LIMIT_MS", 20)
    monkeypatch.setattr(
        EntitySnapshotAdmin,
        "get_queryset",
        lambda admin, request: EntitySnapshot.objects.extra(where=["pg_sleep(600)::text = ''"]),
    )
    make_run(records=[{"k": 1}], user=make_user())
    answer = client_of("superuser").get(ADDRESS, asking(entity_reference()))
    assert answer.json() == {"results": [], "pagination": {"more": False}}


def test_suggestions_are_for_those_who_may_see_the_list(client_of: Callable[[str], Client], db: None) -> None:
    field = entity_reference()
    assert client_of("viewer").get(ADDRESS, asking(field)).status_code == 200
    assert client_of("none").get(ADDRESS, asking(field)).status_code == 403
    assert Client().get(ADDRESS, asking(field)).status_code == 302


@pytest.mark.parametrize("model", [*admin.site._registry, ContentType], ids=str)
@pytest.mark.parametrize("role", ["superuser", "viewer", "none"])
def test_no_row_has_a_page_outside_of_the_admin(
    client_of: Callable[[str], Client], role: str, model: type[Model]
) -> None:
    kind = ContentType.objects.get_for_model(model)
    client = client_of(role)
    for address in (f"/admin/r/{kind.pk}/1/", "/admin/r/1/1/", "/admin/r/x/", "/admin/r/999999/a/b"):
        assert client.get(address).status_code == 404
    assert Client().get(f"/admin/r/{kind.pk}/1/").status_code == 404
