"""Bulk ingest through the front door, against the plain floor that leaves the same rows."""

from pathlib import Path

import pytest

from fragments.services.ingest import Input, ingest
from fragments.services.records import IngestOptions, jsonl_lines
from tests.benchmarks import floor
from tests.benchmarks.figures import Printer, alternating, scaled, seconds
from tests.benchmarks.records import ACTOR, ENTITY_TYPE, EPOCH, KEY_FIELD, USER_FIELD, register, write_records

RECORDS = scaled(20_000, at_least=100)
#: Each entity is seen twice or so: half of the records begin one, half merge into one.
ENTITIES = RECORDS // 2
OPTIONS = IngestOptions(
    entity_type=ENTITY_TYPE, key_field=KEY_FIELD, user_field=USER_FIELD, create_users=True, batch_size=1000
)


@pytest.mark.parametrize(
    ("undeclared", "by_triggers", "what", "target"),
    [
        (0, True, "none undeclared", ">= 0.6"),
        (3, False, "3 undeclared, not counted", ">= 0.6"),
        (3, True, "3 undeclared, aggregates kept", ">= 0.4"),
    ],
)
def test_bulk_ingest(
    printer: Printer, tmp_path: Path, undeclared: int, by_triggers: bool, what: str, target: str
) -> None:
    register()
    path = tmp_path / "records.jsonl"
    write_records(path, records=RECORDS, entities=ENTITIES, users=50, undeclared=undeclared)
    _ingest(path)
    rows = floor.stored_rows()
    assert len(rows.observations) == RECORDS
    assert sum(map(len, rows.fragments.values())) == RECORDS * undeclared

    def measured() -> float:
        floor.empty_tables()
        with floor.aggregates_kept(by_triggers=by_triggers):
            return seconds(lambda: _ingest(path))

    def plain() -> float:
        floor.empty_tables()
        with floor.aggregates_kept(by_triggers=False):
            return seconds(lambda: floor.write_ingested(rows))

    system_s, floor_s = alternating(measured, plain)
    printer.figure(
        f"bulk ingest of {RECORDS:,} records, 10 declared fields, {what}",
        f"{RECORDS / system_s:,.0f}/s",
        f"{RECORDS / floor_s:,.0f}/s",
        floor_s / system_s,
        target,
    )


def _ingest(path: Path) -> None:
    with path.open("rb") as file:
        source = Input(jsonl_lines(file), path.name, "bench", default_observed_at=EPOCH)
        run = ingest(source=source, options=OPTIONS, actor=ACTOR)
    assert run.observation_count == RECORDS
