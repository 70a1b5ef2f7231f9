"""The recorded cases of a peer's reducer hold by the full path, and incrementally in every order."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from registry.domain.definition import Definition
from registry.domain.times import parse_time, to_us
from schemaevo.kernel.canonical import canonical_json, decode, exact_number
from snapshots.domain.merge import merge, project
from snapshots.domain.observed import Observed
from snapshots.domain.reducer import Reduced, reduce
from snapshots.domain.state import empty_state, read_state

ORDERS_PER_CASE = 24

_document: Any = decode((Path(__file__).parents[1] / "data" / "reducer_cases.json").read_bytes())
CASES: list[Any] = _document["cases"]


def _observed(stored: Any) -> Observed:
    specificity = stored["specificity_score"]
    return Observed(
        id=stored["id"],
        observed_us=to_us(parse_time(stored["observed_at"])),
        priority=stored["source_priority"],
        specificity=0 if specificity is None else exact_number(specificity),
        kind=stored["observation_source"],
        fields=stored["fields"],
    )


def _read(case: Any) -> tuple[list[Observed], Definition | None]:
    definition = None if case["schema"] is None else Definition.from_json(case["schema"])
    return [_observed(stored) for stored in case["observations"]], definition


def _shown(reduced: Reduced, expected: Any) -> str:
    shown: dict[str, Any] = {
        "deleted": reduced.deleted,
        "snapshot": reduced.values,
        "provenance": reduced.provenance,
        "observation_count": reduced.observation_count,
    }
    return canonical_json({key: shown[key] for key in expected})


def test_all_cases_are_there():
    assert len(CASES) == 217


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_full_path_gives_the_recorded_snapshot(case):
    observations, definition = _read(case)
    assert _shown(reduce(observations, definition), case["expected"]) == canonical_json(case["expected"])


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_incremental_path_gives_it_in_every_order_and_batching(case):
    observations, definition = _read(case)
    wanted = reduce(observations, definition)
    dice = random.Random(case["id"])
    for _ in range(ORDERS_PER_CASE):
        waiting = dice.sample(observations, len(observations))
        state: Any = empty_state()
        while waiting:
            size = dice.randint(1, len(waiting))
            merge(state, waiting[:size], definition)
            waiting = waiting[size:]
            # As between two batches of ingest, where the state rests in the database.
            state = read_state(canonical_json(state))
        merged = project(state, definition)
        assert _shown(merged, case["expected"]) == canonical_json(case["expected"])
        assert canonical_json(merged.state) == canonical_json(wanted.state)
        assert merged.last_observed_us == wanted.last_observed_us
        assert merged.last_computed_id == wanted.last_computed_id
