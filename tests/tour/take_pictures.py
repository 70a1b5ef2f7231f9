"""Takes the pictures of docs/tour.md, of which the README shows the first, from the running product: `make pictures`.

Starts `up` with the demo on servers of its own, walks the tour once, and stops it all.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.chromium import FLAGS, chromium_path
from tests.tour.demo import PROJECT, running_demo
from tests.tour.stops import SCHEMA_ADMIN, STOPS, Stop
from tests.tour.walking import Walk

IMAGES = PROJECT / "docs" / "images"
WIDTH, HEIGHT = 1280, 800
#: All of them together, in bytes.
SIZE_MAX = 2_500_000


def main() -> int:
    """Every stop has its picture; 1 if there is no chromium, or the pictures are too large."""
    chromium = chromium_path()
    if chromium is None:
        print("There is no chromium on PATH.", file=sys.stderr)
        return 1
    home = Path(tempfile.mkdtemp(prefix="schemaevo-pictures-"))
    try:
        print("Starting the demo ...")
        with running_demo(home) as demo, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            walk = Walk(browser, demo, WIDTH, HEIGHT, "light")
            walk.wait_for_jobs(SCHEMA_ADMIN)
            walk.go(STOPS, _take, does=True)
            browser.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    for name in {path.name for path in IMAGES.glob("tour-*.png")} - {stop.picture for stop in STOPS}:
        (IMAGES / name).unlink()
    size = sum(path.stat().st_size for path in IMAGES.glob("*.png"))
    print(f"{len(STOPS)} pictures, {size / 1e6:.1f} MB in all")
    return 0 if size <= SIZE_MAX else 1


def _take(stop: Stop, page: Page, is_picture: bool) -> None:
    if not is_picture:
        return
    print(f"  {stop.picture}  {stop.title}")
    # What moves, and where the pointer is, is no part of a picture.
    page.mouse.move(0, 0)
    page.screenshot(path=IMAGES / stop.picture, animations="disabled")


if __name__ == "__main__":
    sys.exit(main())
