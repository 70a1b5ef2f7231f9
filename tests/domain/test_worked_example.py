"""The example in docs/incremental-snapshots.md is what the code does."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path

from registry.domain.validation import parse_definition
from schemaevo.kernel.canonical import canonical_json, decode
from snapshots.domain.merge import merge, project
from snapshots.domain.observed import Observed
from snapshots.domain.reducer import reduce
from snapshots.domain.state import empty_state

PAGE = Path(__file__).parents[2] / "docs" / "incremental-snapshots.md"


def _observations(page: str) -> list[Observed]:
    """The rows of the example's table."""
    rows = re.findall(r"^\| (0.) \| (\d+) \| (\d+) \| (\w+) \| `(.*)` \|$", page, re.MULTILINE)
    observations = []
    for name, hour, priority, kind, said in rows:
        fields = decode(said)
        assert isinstance(fields, dict)
        observations.append(Observed(name, int(hour), int(priority), 1, kind, fields))
    return observations


def test_the_worked_example_holds_in_every_order():
    page = PAGE.read_text(encoding="utf-8")
    definition = parse_definition(
        {
            "fields": {
                "homepage": {"type": "string"},
                "size": {"type": "number", "converters": ["string_to_number"]},
                "tags": {"type": "array"},
            },
            "merge_policies": {"size": {"strategy": "highest_priority"}, "tags": {"strategy": "merge_array"}},
        }
    )
    observations = _observations(page)
    assert len(observations) == 3
    stated = re.search(r"```json\n(.*?)```", page, re.DOTALL)
    assert stated is not None
    wanted = canonical_json(decode(stated[1]))
    for order in permutations(observations):
        state = empty_state()
        merge(state, order, definition)
        assert canonical_json(state) == wanted
        assert project(state, definition).values == {"size": 130, "tags": ["ruby", "json", "web"]}
    reduced = reduce(observations, definition)
    assert canonical_json(reduced.state) == wanted
    assert reduced.provenance == {"size": ["0c"], "tags": ["0b", "0a"]}
    assert reduce(observations[:2], definition).values == {"size": 140, "tags": ["ruby", "json", "web"]}
