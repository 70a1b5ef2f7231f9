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
