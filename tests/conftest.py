"""What every test shares."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests import template
from tests.chromium import chromium as chromium
from tests.rounds import ALL_ROUNDS


def pytest_configure(config: pytest.Config) -> None:
    if _is_long(config):
        # Before any test is imported: some count their rounds then.
        os.environ[ALL_ROUNDS] = "1"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that take some of their rounds in `make test` take all of them among the long ones."""
    if _is_long(config):
        for item in items:
            if item.get_closest_marker("rounds"):
                item.add_marker(pytest.mark.long)


def _is_long(config: pytest.Config) -> bool:
    return bool(config.option.markexpr == "long")


def pytest_unconfigure(config: pytest.Config) -> None:
    settings = sys.modules.get("tests.settings")
    if settings is not None:
        settings.servers.close()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the committed data files."""
    return Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    """Each worker's database is a copy of one that was migrated once."""
    if "PYTEST_XDIST_WORKER" in os.environ and template.IS_WANTED in os.environ:
        from django.db import connection

        connection.settings_dict["TEST"]["TEMPLATE"] = template.migrated_template()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """The database of the tests is there, and what migrations made in it is noted."""
    from tests.emptying.database import note_as_migrated

    with django_db_blocker.unblock():
        note_as_migrated()


#: Of what they test nothing shows lists or the first page.
WITHOUT_PAGES = {"registry", "snapshots", "fragments", "concurrency", "triggers"}


@pytest.fixture(autouse=True)
def _answered_by_the_database(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever services, jobs and commands do in a test, the page cache is not asked."""
    from schemaevo.kernel.pages.cache_backend import PageCache

    before = PageCache.figures().asked
    yield
    if request.path.parent.name in WITHOUT_PAGES and "page_cache" not in request.path.name:
        assert PageCache.figures().asked == before


@pytest.fixture(autouse=True)
def _empty_schema_cache() -> None:
    """No test is served what another one stored: of a rolled back transaction the epochs come again."""
    from registry.cache import cache_clear

    cache_clear()
