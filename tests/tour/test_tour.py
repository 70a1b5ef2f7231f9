"""The whole tour, on the running product: wide and narrow, light and dark, and nothing to complain of."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.test_admin import serious_flaws
from tests.tour.demo import Demo, running_demo
from tests.tour.stops import STOPS, Stop
from tests.tour.walking import Walk

pytestmark = [pytest.mark.long, pytest.mark.browser]


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """One demo for all walks."""
    home = Path(tempfile.mkdtemp(prefix="schemaevo-tour-"))
    try:
        with running_demo(home) as running:
            yield running
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_every_stop_is_there_to_be_seen_and_done_without_complaint(demo: Demo, chromium: Browser) -> None:
    flaws: list[str] = []

    def look(stop: Stop, page: Page, is_picture: bool) -> None:
        where = f"{stop.name} at {walk.width} in {walk.theme}"
        flaws.extend(f"{where}: {flaw}" for flaw in serious_flaws(page))
        over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if over > 0:
            flaws.append(f"{where}: wider than its window by {over}")

    for width, height in ((1440, 900), (390, 844)):
        for theme in ("light", "dark"):
            walk = Walk(chromium, demo, width, height, theme)
            # What is done is done once; from then on it is looked at.
            walk.go(STOPS, look, does=(width, theme) == (1440, "light"))
            flaws += [f"at {width} in {theme}: {complaint}" for complaint in walk.complaints]
    assert flaws == []
