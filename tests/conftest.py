"""What every test shares."""

import sys
from pathlib import Path

import pytest


def pytest_unconfigure(config: pytest.Config) -> None:
    settings = sys.modules.get("tests.settings")
    if settings is not None:
        settings.servers.close()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the committed data files."""
    return Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def _empty_schema_cache() -> None:
    """No test is served what another one stored: of a rolled back transaction the epochs come again."""
    from registry.cache import cache_clear

    cache_clear()
