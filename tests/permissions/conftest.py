"""The store that every door is tried on."""

from collections.abc import Iterator

import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker

from tests.permissions.scene import Store, make_store


@pytest.fixture(scope="module")
def store(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """Made once for a module: whatever is done in a scene is undone with it."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield make_store(tmp_path_factory.mktemp("store"))
        transaction.set_rollback(True)
