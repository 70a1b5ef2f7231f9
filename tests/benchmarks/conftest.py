"""What the benchmarks share: their mark, the printer, and a database that each begins empty."""

from pathlib import Path

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from tests.benchmarks.figures import Printer

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == _HERE:
            item.add_marker(pytest.mark.bench)
            # Real transactions: what is measured commits.
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture(scope="session")
def printer(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Printer:
    plugins = request.config.pluginmanager
    printer = Printer(plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager"))
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("SHOW fsync")
        printer.heading(*cursor.fetchone())
    return printer
