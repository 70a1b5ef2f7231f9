"""What docs/schemas.md says of schemas is so."""

import json
import re
from pathlib import Path

import pytest
from django.conf import settings

from registry.domain.compatibility import Mode, Predecessor, incompatibilities
from registry.domain.composition import ConflictCode
from registry.domain.edit_documents import _FORMS, parse_edits
from registry.domain.extension import parse_extension
from registry.domain.validation import MAX_DEFINITION_BYTES, MAX_FIELDS, parse_definition
from schemaevo.kernel.canonical import Json
from tests.factories import make_definition

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "schemas.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose first heading is this, row by row."""
    table = PAGE.partition(f"\n| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def names(heading: str) -> set[str]:
    """What the first cells of a table name."""
    return {name for first, *_rest in rows(heading) for name in re.findall(r"`([\w]+)`", first)}


def test_the_examples_are_read() -> None:
    edits, extension = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    assert len(parse_edits(edits)) == 3
    assert parse_extension(extension).field_count == 1


def test_every_mode_conflict_and_edit_is_explained() -> None:
    assert names("mode") == set(Mode)
    assert names("conflict") == set(ConflictCode)
    assert names("op") == set(_FORMS)


def test_the_limits_and_defaults_are_those() -> None:
    assert f"at most {MAX_FIELDS:,} fields and {MAX_DEFINITION_BYTES:,} bytes" in PAGE
    for name, default, _what in rows("setting"):
        assert int(getattr(settings, name.strip("`"))) == int(default.strip("`"))


def _size(**parts: Json) -> Json:
    return make_definition(size={"type": "string", **parts})


def _number(**constraints: int) -> Json:
    return make_definition(size={"type": "number", "constraints": constraints})


#: Old and new definition of each row of the table of examples, in its order.
EXAMPLES: list[tuple[Json, Json]] = [
    (make_definition(), make_definition(colour="string")),
    (make_definition(), make_definition(colour={"type": "string", "required": True})),
    (_size(), make_definition()),
    (_size(required=True), make_definition()),
    (_size(), make_definition(size="number")),
    (_size(), _size(required=True)),
    (_size(required=True), _size()),
    (_number(max=100), _number(max=10)),
    (_number(max=10), _number(max=100)),
    (_size(constraints={"pattern": "a"}), _size(constraints={"pattern": "b"})),
]


def test_every_example_of_compatibility_has_its_definitions() -> None:
    assert len(rows("change, for example")) == len(EXAMPLES)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_compatibility_is_judged_as_the_page_says(number: int) -> None:
    _example, backward, forward = rows("change, for example")[number]
    old, new = map(parse_definition, EXAMPLES[number])
    for mode, verdict in ((Mode.BACKWARD, backward), (Mode.FORWARD, forward)):
        refused = bool(incompatibilities(mode, new, Predecessor("1.0.0", old)))
        assert refused is verdict.startswith("refused"), mode
