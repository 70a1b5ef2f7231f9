"""The style sheets of the pages do not get into each other's way."""

import re
from itertools import combinations
from pathlib import Path

import pytest
from django.conf import settings

SHEETS = settings.BASE_DIR / "schemaevo" / "static" / "schemaevo"
#: What all pages share stands in this one; the others may go on from it.
SHARED = SHEETS / "admin.css"
OWN = sorted(sheet for sheet in SHEETS.glob("*.css") if sheet != SHARED)


def classes_of(sheet: Path) -> set[str]:
    return set(re.findall(r"\.(se-[a-z0-9-]+)", sheet.read_text()))


@pytest.mark.parametrize(
    "pair", list(combinations(OWN, 2)), ids=lambda pair: " and ".join(sheet.stem for sheet in pair)
)
def test_two_sheets_mean_different_things_by_different_names(pair: tuple[Path, Path]) -> None:
    """Every page loads all of them, so a name in two sheets is styled by both."""
    one, other = map(classes_of, pair)
    assert one & other <= classes_of(SHARED)
