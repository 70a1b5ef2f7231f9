"""docs/tour.md tells of the stops that are walked, in their order, with their pictures and logins."""

from __future__ import annotations

import re

from schemaevo.kernel.demo_logins import DEMO_LOGINS
from tests.tour.demo import PROJECT
from tests.tour.stops import STOPS

PAGE = (PROJECT / "docs" / "tour.md").read_text(encoding="utf-8")


def parts() -> list[tuple[str, str]]:
    """Title and text of each stop."""
    found = re.split(r"^## \d+\. (.+)$", PAGE, flags=re.MULTILINE)[1:]
    return list(zip(found[::2], found[1::2], strict=True))


def test_the_headings_are_the_stops() -> None:
    assert [title for title, _ in parts()] == [stop.title for stop in STOPS]
    numbers = re.findall(r"^## (\d+)\.", PAGE, flags=re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(STOPS) + 1)]


def test_each_has_its_picture_and_says_who_looks() -> None:
    for stop, (_, text) in zip(STOPS, parts(), strict=True):
        assert re.findall(r"\]\((images/[^)]+)\)", text) == [f"images/{stop.picture}"]
        assert (PROJECT / "docs" / "images" / stop.picture).is_file()
        assert f"`{stop.login}`" in text, stop.title


def test_pictures_that_no_stop_has_are_not_kept() -> None:
    kept = {path.name for path in (PROJECT / "docs" / "images").glob("tour-*.png")}
    assert kept == {stop.picture for stop in STOPS}


def test_whoever_walks_is_a_login_of_the_demo() -> None:
    assert {stop.login for stop in STOPS} == {part.username for part in DEMO_LOGINS}
