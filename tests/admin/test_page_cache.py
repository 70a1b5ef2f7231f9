"""Lists and the first page remember what they read of schemas; whatever is decided by, or looked at alone, does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import Model
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from redis import Redis

from registry.models import ExtensionRevision, Schema, SchemaCompatibility, SchemaVersion
from schemaevo.kernel.pages.cache_backend import PageCache
from tests.admin.addresses import list_of, page_of, verb_of
from tests.admin.confirming import confirm
from tests.admin.test_pages import read
from tests.factories import (
    make_compatibility,
    make_definition,
    make_extension,
    make_login,
    make_user,
    make_version,
)
from tests.valkeys import OwnValkey

pytestmark = pytest.mark.django_db(transaction=True)

PROJECT = Path(__file__).resolve().parents[2]
LISTED: list[type[Model]] = [Schema, SchemaVersion, SchemaCompatibility, ExtensionRevision]


@pytest.fixture(autouse=True)
def _empty() -> None:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushdb()


@pytest.fixture
def client() -> Client:
    """A browser of somebody who may see everything. Roles do not outlive a transactional test."""
    client = Client()
    client.force_login(make_login(is_superuser=True), backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def version() -> SchemaVersion:
    """A global version in force, which one user extends."""
    version = make_version(document=make_definition(a="string"))
    make_extension(
        user=make_user(username="ada"), document={"additional_fields": {"own": {"type": "number"}}}
    )
    make_compatibility()
    make_version(
        document=make_definition(a="string"), entity_type="owned", user=make_user(username="eve-of-old")
    )
    return version


def tables_read(client: Client, url: str) -> set[str]:
    """The cached tables that a page asks the database for."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    asked = " ".join(query["sql"] for query in queries)
    return {table for table in settings.SCHEMAEVO_PAGE_CACHE_TABLES if f'FROM "{table}"' in asked}


def by_sql(statement: str) -> None:
    """As psql does it: nobody hears of it."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def manage(*arguments: str, **environment: str) -> None:
    """A command in a process of its own, on this test's database and Redis."""
    server, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    known = {
        "DJANGO_SETTINGS_MODULE": "schemaevo.settings",
        "DATABASE_URL": f"{server}/{connection.settings_dict['NAME']}",
        "REDIS_URL": settings.REDIS_URL,
    }
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env={**os.environ, **known, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# --- what is remembered -----------------------------------------------------------------------------------
@pytest.mark.parametrize("model", LISTED)
def test_a_list_that_is_looked_at_again_asks_less(
    client: Client, version: SchemaVersion, model: type[Model]
) -> None:
    assert model._meta.db_table in tables_read(client, list_of(model))
    first = read(client, list_of(model))
    assert tables_read(client, list_of(model)) == set()
    assert read(client, list_of(model)) == first


def test_every_cached_table_has_its_list(client: Client) -> None:
    assert {model._meta.db_table for model in LISTED} == set(settings.SCHEMAEVO_PAGE_CACHE_TABLES)


def test_the_first_page_asks_less_when_it_is_looked_at_again(client: Client, version: SchemaVersion) -> None:
    assert tables_read(client, "/admin/") == {"schema_registry"}
    first = read(client, "/admin/")
    assert "Schemas 2 1 global, 1 own" in first
    assert tables_read(client, "/admin/") == set()
    figures = PageCache.figures()
    # It asks twice itself.
    assert f"Page cache {figures.hits + 2:,} hits, {figures.misses:,} misses" in read(client, "/admin/")


def test_a_list_narrowed_is_another_list(client: Client, version: SchemaVersion) -> None:
    assert "owned" in read(client, list_of(Schema))
    assert "owned" not in read(client, list_of(Schema), type="thing")
    assert "owned" in read(client, list_of(Schema), owner="eve-of-old")
    assert "thing" not in read(client, list_of(Schema), owner="eve-of-old")


def test_names_of_owners_are_never_remembered(client: Client, version: SchemaVersion) -> None:
    for model in (Schema, SchemaVersion):
        assert "eve-of-old" in read(client, list_of(model))
    by_sql("UPDATE users SET username = 'renamed' WHERE username = 'eve-of-old'")
    for url in (list_of(Schema), list_of(SchemaVersion), "/admin/"):
        text = read(client, url)
        assert "renamed" in text
        assert "eve-of-old" not in text


def test_who_may_not_see_a_list_is_not_shown_what_others_saw(client: Client, version: SchemaVersion) -> None:
    assert client.get(list_of(Schema)).status_code == 200
    stranger = Client()
    stranger.force_login(make_login(), backend="django.contrib.auth.backends.ModelBackend")
    assert stranger.get(list_of(Schema)).status_code == 403


# --- how it is told of changes ------------------------------------------------------------------------------
def test_a_change_that_another_process_has_committed_is_listed(
    client: Client, version: SchemaVersion
) -> None:
    assert "in force 1.0.0" not in read(client, list_of(Schema), type="nothing")
    assert "none" not in read(client, list_of(Schema), type="thing")
    manage("retire_schema", "thing", "--without-review", "tested")
    assert "none" in read(client, list_of(Schema), type="thing")
    assert "retired" in read(client, list_of(SchemaVersion), type="thing")


def test_a_change_by_a_page_is_listed(client: Client, version: SchemaVersion) -> None:
    own = SchemaVersion.objects.get(entity_type="owned")
    assert "in force" in read(client, list_of(SchemaVersion), type="owned")
    confirm(client, verb_of(SchemaVersion, "deactivate", own.pk))
    own.refresh_from_db()
    assert not own.is_active
    assert "none" in read(client, list_of(Schema), type="owned")


def test_a_process_without_the_cache_announces_nothing_and_lists_are_behind_for_a_while(
    client: Client, version: SchemaVersion
) -> None:
    read(client, list_of(Schema), type="thing")
    manage("retire_schema", "thing", "--without-review", "tested", SCHEMAEVO_PAGE_CACHE_ENABLED="0")
    assert "none" not in read(client, list_of(Schema), type="thing")
    with Redis.from_url(settings.REDIS_URL) as redis:
        assert {redis.pttl(key) > 60_000 for key in redis.scan_iter("schemaevo:pages*")} == {False}
        redis.delete(*redis.scan_iter("schemaevo:pages*"))  # what a minute does
    assert "none" in read(client, list_of(Schema), type="thing")


# --- what is never read so ----------------------------------------------------------------------------------
def test_the_page_of_a_row_is_read_and_never_remembered(client: Client, version: SchemaVersion) -> None:
    for row in (version, version.schema, ExtensionRevision.objects.get(), SchemaCompatibility.objects.get()):
        before = PageCache.figures()
        for _time in range(2):
            assert row._meta.db_table in tables_read(client, page_of(row))
        assert PageCache.figures() == before


def test_a_row_is_shown_as_it_is_where_its_list_is_behind(client: Client, version: SchemaVersion) -> None:
    read(client, list_of(SchemaVersion), type="thing")
    read(client, page_of(version))
    by_sql("UPDATE schema_registry SET is_active = false WHERE entity_type = 'thing'")
    assert "in force" in read(client, list_of(SchemaVersion), type="thing")
    assert "was in force" in read(client, page_of(version))


def test_a_decision_is_made_by_what_is_there_and_not_by_what_was_listed(
    client: Client, version: SchemaVersion
) -> None:
    read(client, list_of(SchemaVersion))
    by_sql("UPDATE schema_registry SET is_active = false WHERE entity_type = 'owned'")
    own = SchemaVersion.objects.get(entity_type="owned")
    before = PageCache.figures()
    answer = client.post(verb_of(SchemaVersion, "deactivate", own.pk), {"shown": "own 1.0.0"}, follow=True)
    assert "was not in force any more" in answer.content.decode()
    assert PageCache.figures() == before


def test_a_form_sent_to_a_list_is_not_answered_from_memory(client: Client, version: SchemaVersion) -> None:
    for _time in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.post(list_of(Schema), {"action": "any", "_selected_action": "1"})
        assert any('FROM "schemas"' in query["sql"] for query in queries)


# --- Valkey and the switch ----------------------------------------------------------------------------------
@pytest.fixture
def valkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnValkey]:
    """A Valkey of the test's own, for the queues and the page cache."""
    server = OwnValkey(tmp_path)
    server.start()
    for queue in settings.RQ_QUEUES.values():
        monkeypatch.setitem(queue, "URL", server.url)
    caches = {**settings.CACHES, "pages": {**settings.CACHES["pages"], "LOCATION": server.url}}
    with override_settings(CACHES=caches):
        yield server
    server.stop()


@pytest.mark.parametrize("away", [OwnValkey.stop, OwnValkey.freeze], ids=["stopped", "frozen"])
def test_pages_stand_without_valkey(
    client: Client, version: SchemaVersion, valkey: OwnValkey, away: Callable[[OwnValkey], None]
) -> None:
    own = SchemaVersion.objects.get(entity_type="owned")
    pages = [*map(list_of, LISTED), "/admin/", page_of(version)]
    before = [read(client, page).partition("Page cache")[0] for page in pages[:-2]]
    away(valkey)
    assert [read(client, page).partition("Page cache")[0] for page in pages[:-2]] == before
    assert "Valkey does not answer" in read(client, "/admin/")
    assert client.get(page_of(version)).status_code == 200
    confirm(client, verb_of(SchemaVersion, "deactivate", own.pk))
    assert "none" in read(client, list_of(Schema), type="owned")


def test_with_the_switch_off_nothing_stands_between_pages_and_the_database() -> None:
    script = (
        "import django; django.setup()\n"
        "from django.conf import settings\n"
        "from django.db.models.sql.compiler import SQLCompiler\n"
        "from django.db.transaction import Atomic\n"
        "from registry.models import Schema\n"
        "from schemaevo.kernel.pages.cached import may_be_cached\n"
        "print('cachalot' in settings.INSTALLED_APPS, hasattr(SQLCompiler.execute_sql, '__wrapped__'),"
        " hasattr(Atomic.__enter__, '__code__') and Atomic.__enter__.__code__.co_name, may_be_cached(Schema))\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=PROJECT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "schemaevo.settings",
                "SCHEMAEVO_PAGE_CACHE_ENABLED": switch,
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for switch in ("0", "1")
    ]
    assert said == [["False", "False", "__enter__", "False"], ["True", "True", "inner", "True"]]


def test_the_first_page_tells_that_it_is_off(client: Client) -> None:
    with override_settings(SCHEMAEVO_PAGE_CACHE_ENABLED=False):
        assert "Page cache is off" in read(client, reverse("admin:index"))
