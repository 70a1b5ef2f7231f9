"""How many queries a list and the first page cost: the same with one row as with more than a page of them.

The numbers stand in tests/query_counts.json, so that a page that begins to ask more is seen when it does. Whoever means
it runs this with SCHEMAEVO_REWRITE_BASELINES=1 and commits the difference.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from schemaevo.kernel.pages.base import StoreAdmin
from tests.admin.addresses import OURS, list_of
from tests.admin.conftest import Store
from tests.benchmarks.full_store import fill
from tests.factories import make_maximum

REWRITE = "SCHEMAEVO_REWRITE_BASELINES"
BASELINE = Path(__file__).parent.parent / "query_counts.json"

LISTS = [list_of(model) for model in admin.site._registry if model._meta.app_label in OURS | {"auth"}]
#: Pages that show many rows and are no list of a model.
OTHERS = [
    reverse("admin:index"),
    reverse("admin:kernel_job_queues"),
    reverse("admin:registry_extensionrevision_conflicts"),
    f"{reverse('admin:registry_schema_effective')}?type=order",
]


# What the page cache answers is no query, and how much that is depends on what was looked at before.
@override_settings(SCHEMAEVO_PAGE_CACHE_ENABLED=False)
def test_a_page_costs_the_same_number_of_queries_with_one_row_and_with_many(
    store: Store, client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of("superuser")
    # Names are looked up for whoever is near a quota: with one as with many, not with nobody.
    make_maximum(user=store.owner, max_schemas=1, max_fields=1)
    few = {path: _queries(client, path) for path in OTHERS}
    fill(0)
    with monkeypatch.context() as small:
        # Not by a list of one row: where all rows are on the page, nobody has to ask how many there are.
        small.setattr(StoreAdmin, "list_per_page", 1)
        few |= {path: _queries(client, path, rows=1) for path in LISTS}
    many = {path: _queries(client, path) for path in [*LISTS, *OTHERS]}
    assert few == many
    if os.environ.get(REWRITE) == "1":
        BASELINE.write_text(json.dumps(many, indent=2, sort_keys=True) + "\n")
    assert json.loads(BASELINE.read_text()) == many, f"run again with {REWRITE}=1 where that is meant"


def _queries(client: Client, path: str, *, rows: int | None = None) -> int:
    """What a look at the page costs once everything that a process remembers is remembered."""
    first = client.get(path)
    assert first.status_code == 200, path
    if path in LISTS:
        shown = len(first.context["cl"].result_list)
        assert shown == rows if rows else shown > 1, f"{path} shows {shown} rows"
    with CaptureQueriesContext(connection) as captured:
        client.get(path)
    return len(captured)
