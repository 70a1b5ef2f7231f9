"""Stored values are seen by those who may see values, and by nobody else, on no page and by no search."""

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from django.test import Client

from fragments.models import DeadLetter, RawFragment, RawFragmentAggregate
from snapshots.models import EntitySnapshot, Observation
from tests.admin.addresses import READ_ONLY, list_of, page_of
from tests.admin.conftest import SECRET, Store


def pages_of(store: Store) -> list[str]:
    rows = [store.snapshot, store.observation, store.fragment, store.letter, store.run, store.source]
    return [
        "/admin/",
        *(list_of(model) for model in READ_ONLY),
        *(page_of(row) for row in [*rows, store.version, *RawFragmentAggregate.objects.all()]),
    ]


def test_a_viewer_sees_no_value_on_any_page(store: Store, client_of: Callable[[str], Client]) -> None:
    client = client_of("viewer")
    for url in pages_of(store):
        answer = client.get(url)
        assert answer.status_code == 200, url
        assert SECRET not in answer.content.decode(), url


@pytest.mark.parametrize("role", ["operator", "schema_admin", "superuser"])
def test_who_may_see_values_sees_them(store: Store, client_of: Callable[[str], Client], role: str) -> None:
    client = client_of(role)
    shown = [store.snapshot, store.observation, store.fragment, store.letter]
    for url in [*map(page_of, [*shown, *RawFragmentAggregate.objects.all()]), list_of(RawFragment)]:
        assert SECRET in client.get(url).content.decode(), url


def test_a_viewer_sees_names_and_counts(store: Store, client_of: Callable[[str], Client]) -> None:
    client = client_of("viewer")
    assert "colour" in client.get(page_of(store.observation)).content.decode()
    assert "colour" in client.get(page_of(store.snapshot)).content.decode()
    assert "smell" in client.get(list_of(RawFragment)).content.decode()
    assert store.letter.code in client.get(page_of(store.letter)).content.decode()


@pytest.mark.parametrize("role", ["viewer", "superuser"])
def test_no_list_can_be_narrowed_by_a_value(
    store: Store, client_of: Callable[[str], Client], role: str
) -> None:
    client = client_of(role)
    for model, lookup in (
        (EntitySnapshot, "values__colour__startswith"),
        (EntitySnapshot, "merge_state__icontains"),
        (Observation, "fields__colour"),
        (Observation, "entity__values__icontains"),
        (RawFragment, "value__startswith"),
        (RawFragment, "value_hash"),
        (RawFragmentAggregate, "sample_values__icontains"),
        (DeadLetter, "message__icontains"),
        (DeadLetter, "raw"),
    ):
        answer = client.get(f"{list_of(model)}?{urlencode({lookup: SECRET[0]})}")
        assert answer.status_code == 400, (model, lookup)


def test_searching_for_a_value_finds_nothing(store: Store, client_of: Callable[[str], Client]) -> None:
    client = client_of("superuser")
    for model in (EntitySnapshot, Observation, RawFragment, RawFragmentAggregate, DeadLetter):
        html = client.get(list_of(model), {"q": SECRET}).content.decode()
        assert html.count('class="data-row') == (1 if model is DeadLetter else 0), model


def test_values_are_escaped(client_of: Callable[[str], Client], store: Store) -> None:
    evil = "<script>alert(1)</script>"
    DeadLetter.objects.create(
        run=store.run, line_number=99, code="c", message=evil, raw=evil.encode() + b"\xff\x00"
    )
    letter = DeadLetter.objects.get(line_number=99)
    client = client_of("superuser")
    for url in (list_of(DeadLetter), page_of(letter), page_of(store.run)):
        assert evil not in client.get(url).content.decode()
    assert "\\xff" in client.get(page_of(letter)).content.decode()
