"""Every address of the site answers each role as the table says, and only what is posted by those who may is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from tests.admin.addresses import page_of
from tests.permissions.pages import FOR_EVERYBODY, PAGES, SEEN, Page, pages_of, registered
from tests.permissions.scene import SECRET, Scene, Store, actors_since, everything, newest_event, scene_of
from tests.permissions.table import OUTSIDE, TABLE, Role, roles_for

pytestmark = pytest.mark.django_db

NO_BROWSER = frozenset({Role.SHELL})


def post(line: Page, scene: Scene, client: Client, before: dict[str, str]) -> None:
    """It is done in the name of who may, and changes nothing for anybody else."""
    row = TABLE[line.does] if line.does else None
    url, where, event = line.at(scene), (scene.role, str(line)), newest_event()
    status = client.post(url, line.given(scene)).status_code
    if row is not None and scene.role in row.may:
        assert status == line.done, where
        assert (everything() != before) == line.writes, where
        is_audited = line.writes and line.audited
        assert actors_since(event) == ({scene.actor.name} if is_audited else set()), where
        return
    assert everything() == before, where
    if scene.role in OUTSIDE:
        assert status == 302, where
    elif row is not None and scene.role not in row.holders:
        assert status == 403, where
    else:
        # Four eyes are a matter of one request: some pages tell it in words.
        assert status < 500, where


def post_from_elsewhere(line: Page, store: Store) -> None:
    """Without the token of its form it is done for nobody."""
    for role in sorted(TABLE[line.does].may - {Role.SHELL})[:1]:
        with scene_of(store, role) as scene:
            line.first(scene)
            client, before = scene.browser(is_strict=True), everything()
            assert client.post(line.at(scene), line.given(scene)).status_code == 403
            assert everything() == before


@pytest.mark.parametrize("line", PAGES, ids=str)
def test_an_address_shows_and_does_what_the_role_may(store: Store, line: Page) -> None:
    answers: dict[Role, int] = {}
    rows = [TABLE[name] for name in (line.sees, line.does) if name]
    for role in roles_for(*rows, but=NO_BROWSER):
        with scene_of(store, role) as scene:
            line.first(scene)
            client, before = scene.browser(), everything()
            answers[role] = client.get(line.at(scene)).status_code
            assert everything() == before, role
            post(line, scene, client, before)
    assert answers == {role: line.answer(role) for role in answers}
    if line.does:
        post_from_elsewhere(line, store)


@pytest.mark.parametrize("label", SEEN)
def test_the_pages_of_a_model_show_what_the_role_may_see_and_take_nothing(store: Store, label: str) -> None:
    lines = list(pages_of(label))
    for role in roles_for(TABLE[SEEN[label]], but=NO_BROWSER):
        with scene_of(store, role) as scene:
            client, before = scene.browser(), everything()
            answers = [client.get(line.at(scene)).status_code for line in lines]
            assert answers == [line.answer(role) for line in lines], role
            for line in lines:
                assert client.post(line.at(scene), {"post": "yes"}).status_code < 500
            assert everything() == before, role


def test_values_are_shown_to_those_who_may_see_them(store: Store) -> None:
    rows = (store.snapshot, store.observation, store.fragment, store.letter)
    for role in sorted(TABLE["see"].may - {Role.SHELL}):
        with scene_of(store, role) as scene:
            client = scene.browser()
            shown = {SECRET in client.get(page_of(row)).content.decode() for row in rows}
            assert shown == {role in TABLE["see values"].may}, role


# --- whole ----------------------------------------------------------------------------------------------------
def routes(patterns: Sequence[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    """Every route of the site, as a resolved address names it."""
    for pattern in patterns:
        said = str(pattern.pattern)
        route = before + (said.removeprefix("^") if before else said)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


def test_every_address_is_tried_or_says_why_not(store: Store) -> None:
    assert SEEN.keys() == registered().keys()
    with scene_of(store, Role.SUPERUSER) as scene:
        lines = [*PAGES, *(line for label in SEEN for line in pages_of(label))]
        tried = {resolve(line.at(scene).partition("?")[0]).route for line in lines}
    assert not tried & FOR_EVERYBODY.keys()
    assert tried | FOR_EVERYBODY.keys() == set(routes(get_resolver().url_patterns))
