"""verify finds rows that refer to what is not there; nothing else would, since big tables have no such constraints."""

from __future__ import annotations

import io
import json
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection

from fragments.models import IngestRun, RawFragment
from schemaevo.kernel import verification_samples
from schemaevo.kernel.models import User, VerifyOutcome
from schemaevo.kernel.references import REFERENCES, references_unguarded
from schemaevo.kernel.verification import Extent
from schemaevo.kernel.verification_samples import KeyedTable, keys_next
from snapshots.models import EntitySnapshot, Observation
from tests.factories import make_definition, make_run, make_user, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    """The owner of three entities with an observation, a fragment and a source each way."""
    owner = make_user()
    make_version(document=make_definition(k="string"))
    make_run(records=[{"k": f"e{n}", "smell": n} for n in range(3)], user=owner)
    return owner


def verify(*arguments: str) -> tuple[dict[str, Any], int]:
    out = io.StringIO()
    code = 0
    try:
        call_command("verify", "--json", "--kind", REFERENCES, *arguments, stdout=out, stderr=io.StringIO())
    except SystemExit as end:
        code = int(end.code or 0)
    return json.loads(out.getvalue())["checks"][REFERENCES], code


def write(statement: str, *parameters: Any) -> None:
    """Past all guards, as a mistake would be."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE observations DISABLE TRIGGER USER")
        cursor.execute(statement, list(parameters))
        cursor.execute("ALTER TABLE observations ENABLE TRIGGER USER")


def test_what_ingest_writes_refers_to_what_is_there(owner: User) -> None:
    found, code = verify("--all")
    # Three observations, snapshots and fragments, one source, and one aggregate.
    assert (found["checked"], found["divergent"], code) == (11, 0, 0)


def test_every_foreign_key_without_a_constraint_is_looked_at() -> None:
    looked_at = {
        (table, reference.column)
        for table, (_model, references) in references_unguarded().items()
        for reference in references
    }
    assert looked_at == {
        ("sources", "user_id"),
        ("retractions", "source_id"),
        ("retractions", "user_id"),
        ("observations", "user_id"),
        ("observations", "entity_id"),
        ("observations", "schema_version_id"),
        ("observations", "source_id"),
        ("observations", "ingest_run_id"),
        ("observations", "ranks_as"),
        ("entity_snapshots", "user_id"),
        ("entity_snapshots", "schema_version_id"),
        ("entity_snapshots", "extension_revision_id"),
        ("entity_snapshots", "last_computed_observation_id"),
        ("raw_fragments", "user_id"),
        ("raw_fragments", "entity_id"),
        ("raw_fragments", "source_id"),
        ("raw_fragments", "observation_id"),
        ("raw_fragment_aggregates", "user_id"),
        ("job_log_lines", "job_id"),
        ("recompute_failures", "entity_id"),
        ("recompute_failures", "user_id"),
        ("corrections", "observation_id"),
        ("corrections", "entity_id"),
        ("corrections", "user_id"),
    }


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("observations", "user_id", 987_654),
        ("observations", "entity_id", uuid4()),
        ("observations", "source_id", uuid4()),
        ("observations", "schema_version_id", 987_654),
        ("observations", "ingest_run_id", 987_654),
        ("observations", "ranks_as", uuid4()),
        ("entity_snapshots", "user_id", 987_654),
        ("entity_snapshots", "extension_revision_id", 987_654),
        ("entity_snapshots", "last_computed_observation_id", uuid4()),
        ("sources", "user_id", 987_654),
        ("raw_fragments", "observation_id", uuid4()),
        ("raw_fragments", "source_id", uuid4()),
    ],
)
@pytest.mark.parametrize("how", ["--all", "--sample=50"])
def test_a_row_that_refers_to_nothing_is_found_and_named(
    owner: User, table: str, column: str, value: Any, how: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id::text FROM {table} ORDER BY id LIMIT 1")
        (identity,) = cursor.fetchone()
    write(f"UPDATE {table} SET {column} = %s WHERE id::text = %s", value, identity)
    found, code = verify(how)
    assert (found["divergent"], found["repaired"], code) == (1, 0, 1)
    assert found["examples"] == [{"table": table, "id": identity, "gone": {column: str(value)}}]


def test_what_is_gone_for_many_is_told_of_each(owner: User) -> None:
    write("DELETE FROM sources")
    write("DELETE FROM entity_snapshots")
    found, _code = verify("--all")
    gone = Counter((one["table"], *sorted(one["gone"])) for one in found["examples"])
    assert gone == {
        ("observations", "entity_id", "source_id"): 3,
        ("raw_fragments", "entity_id", "source_id"): 3,
    }


def test_nothing_repairs_it_and_it_says_so(owner: User) -> None:
    write("UPDATE raw_fragments SET source_id = gen_random_uuid() WHERE fragment_key = 'smell'")
    found, code = verify("--all", "--repair")
    assert (found["divergent"], found["repaired"], code) == (3, 0, 1)
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("verify", "--all", "--repair", stdout=out)
    assert "references: 3 cannot be repaired" in out.getvalue()
    assert VerifyOutcome.objects.filter(kind=REFERENCES).latest("id").left == 3


def test_a_run_that_retention_has_deleted_is_no_finding(owner: User) -> None:
    IngestRun.objects.all().delete()
    assert verify("--all")[1] == 0


def test_all_is_gone_through_look_by_look(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification_samples, "ROWS_PER_LOOK", 2)
    write("UPDATE raw_fragments SET source_id = gen_random_uuid()")
    assert (verify("--all")[0]["checked"], verify("--all")[0]["divergent"]) == (11, 3)


@pytest.mark.parametrize("model", [Observation, RawFragment, EntitySnapshot])
@pytest.mark.parametrize("size", [1, 3, 49, 50, 51, 120, 199, 200, 500])
def test_a_sample_has_no_row_twice_and_no_more_than_asked_for(model: Any, size: int) -> None:
    make_version(document=make_definition(k="string"))
    make_run(records=[{"k": f"e{n}", "smell": n} for n in range(200)], user=make_user())
    everything = {str(pk) for pk in model.objects.values_list("pk", flat=True)}
    table, found, place = KeyedTable.of(model), list[str](), None
    while True:
        step = keys_next(table, size, place)
        found += step.keys
        place = step.place
        if place is None:
            break
    assert len(found) == len(set(found)) <= size
    assert set(found) <= everything
    assert found
    if size >= len(everything):
        assert set(found) == everything


def test_every_row_comes_into_samples(owner: User) -> None:
    """The first and the last key are as good as any."""
    make_run(records=[{"k": f"e{n}", "smell": n} for n in range(60)], user=make_user())
    for model in (Observation, RawFragment):
        seen: set[str] = set()
        for _round in range(60):
            seen.update(keys_next(KeyedTable.of(model), 20, None).keys)
        assert seen == {str(pk) for pk in model._default_manager.values_list("pk", flat=True)}


def test_an_empty_table_has_an_empty_sample() -> None:
    assert keys_next(KeyedTable.of(Observation), 5, None).keys == []
    assert keys_next(KeyedTable.of(RawFragment), None, None).place is None
    assert Extent(5).scope == "sample"
