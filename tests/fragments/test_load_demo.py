"""The demo, loaded into the database, is what its manifest expects; loading it again changes nothing."""

from __future__ import annotations

import io
import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from fragments.models import IngestRun, IngestState, RawFragment
from schemaevo.kernel.models import User
from snapshots.models import EntitySnapshot, Observation, Source
from snapshots.services.verify import Verified, snapshot_ids_all, snapshots_verify
from tests.content import stored_content

MANIFEST = json.loads((Path(__file__).parent.parent / "data" / "debian" / "manifest.json").read_text())
EXPECTED = MANIFEST["expected"]


def load() -> str:
    out = io.StringIO()
    call_command("load_demo", records_only=True, stdout=out)
    return out.getvalue()


def stored_fragments() -> dict[str, dict[str, dict[str, int]]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT reason, fragment_key, count(*), count(DISTINCT user_id) FROM raw_fragments"
            " GROUP BY 1, 2 ORDER BY 1, 2"
        )
        found: dict[str, dict[str, dict[str, int]]] = {}
        for reason, key, fragments, users in cursor:
            found.setdefault(reason, {})[key] = {"fragments": fragments, "users": users}
    return found


@pytest.mark.django_db
def test_the_demo_is_what_its_manifest_expects_however_often_it_is_loaded() -> None:
    load()
    assert_is_as_expected()
    before = stored_content()

    assert "already" in load()
    assert stored_content() == before
    assert IngestRun.objects.count() == len(MANIFEST["sources"])

    # As after a crash in the middle: both files are read again, and everything is known.
    IngestRun.objects.update(state=IngestState.FAILED)
    load()
    assert stored_content() == before
    again = IngestRun.objects.filter(state=IngestState.DONE)
    assert sum(run.duplicate_count for run in again) == EXPECTED["records"]
    assert sum(run.observation_count + run.fragment_count + run.rejected_count for run in again) == 0


def assert_is_as_expected() -> None:
    runs = list(IngestRun.objects.order_by("id"))
    assert [run.record_count for run in runs] == [source["records"] for source in MANIFEST["sources"]]
    assert all(
        (run.state, run.rejected_count, run.duplicate_count) == (IngestState.DONE, 0, 0) for run in runs
    )
    assert (
        sum(run.observation_count for run in runs) == Observation.objects.count() == EXPECTED["observations"]
    )
    assert RawFragment.objects.count() == EXPECTED["fragments_total"]
    # A run counts sightings: the same value seen in two records is one fragment.
    seen = sum(RawFragment.objects.values_list("frequency_count", flat=True))
    assert sum(run.fragment_count for run in runs) == seen
    assert User.objects.count() == EXPECTED["users"]
    assert EntitySnapshot.objects.count() == EXPECTED["entities"]
    sizes = Counter(EntitySnapshot.objects.values_list("observation_count", flat=True))
    assert {str(size): count for size, count in sizes.items()} == EXPECTED["entities_by_observations"]
    assert stored_fragments() == EXPECTED["fragments"]
    assert set(RawFragment.objects.values_list("lifecycle_state", "reason").distinct()) == {
        ("active", "constraint"),
        ("active", "unknown_field"),
        ("promoted", "converted_original"),
    }
    assert set(Source.objects.values_list("name", flat=True)) == {s["source"] for s in MANIFEST["sources"]}
    verified = Verified()
    for ids in islice(snapshot_ids_all(), 5):
        verified.add(snapshots_verify(ids))
    assert (verified.checked, verified.waiting, verified.divergent) == (1000, 0, [])
    assert_policies_decide()


def assert_policies_decide() -> None:
    """A package in both files: the newer index says what it is, the more trusted one where it belongs."""
    twice = EntitySnapshot.objects.filter(observation_count=2).order_by("entity_key", "user_id")[:20]
    assert twice
    for snapshot in twice:
        newest, trusted = (
            next(iter(Observation.objects.filter(entity=snapshot).order_by(*order)))
            for order in (("-observed_at", "id"), ("-priority", "-observed_at", "id"))
        )
        values: Any = snapshot.values
        assert values["Package"] == snapshot.entity_key
        assert values["Version"] == fields_of(newest)["Version"]
        assert values["Section"] == fields_of(trusted)["Section"]


def fields_of(observation: Observation) -> dict[str, Any]:
    assert isinstance(observation.fields, dict)
    return observation.fields
