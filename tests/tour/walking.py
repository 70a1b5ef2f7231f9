"""Walking the tour in a browser, one context for each login."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from schemaevo.embedded.processes import wait_until
from tests.tour.demo import Demo
from tests.tour.stops import Deed, Stop

#: Told of each page of a stop; the last word says whether it is the one of the picture.
Look: TypeAlias = "Callable[[Stop, Page, bool], None]"

PATIENCE_MS = 60_000


@dataclass
class Walk:
    """One walk through all stops: how wide, in which colours, and what browsers complained of on the way."""

    browser: Browser
    demo: Demo
    width: int
    height: int
    theme: str
    complaints: list[str] = field(default_factory=list)
    _pages: dict[str, Page] = field(default_factory=dict)

    def go(self, stops: Sequence[Stop], look: Look, *, does: bool) -> None:
        """Every stop was looked at; with `does` what is to be done there was done."""
        for stop in stops:
            page = self._open(stop)
            if stop.deed is not None and does:
                self._do(stop, stop.deed, page, look)
            else:
                look(stop, page, True)
        for page in self._pages.values():
            page.context.close()

    def wait_for_jobs(self, login: str) -> None:
        """What the scheduler asks for when it starts is done."""
        page = self._page_of(login)

        def are_done() -> bool:
            page.goto(self.demo.base + "/admin/kernel/job/?state=pending")
            return page.locator("#result_list tbody tr").count() == 0

        wait_until(are_done, PATIENCE_MS / 1000)

    def _open(self, stop: Stop) -> Page:
        page = self._page_of(stop.login)
        answer = page.goto(self.demo.base + stop.path)
        assert answer is not None
        assert answer.status == 200, f"{stop.path} answered {answer.status}"
        for link in stop.follow:
            page.locator("#content-main, #main, main").first.get_by_role("link", name=link).first.click()
            page.wait_for_load_state()
        expect(page.locator("body")).to_contain_text(stop.sees)
        return page

    def _do(self, stop: Stop, deed: Deed, page: Page, look: Look) -> None:
        page.get_by_role("link", name=deed.link, exact=True).click()
        page.wait_for_load_state()
        if deed.note:
            page.get_by_label("Note").fill(deed.note)
        look(stop, page, deed.is_asked_in_picture)
        page.get_by_role("button", name=deed.button, exact=True).click()
        expect(page.locator("#proposal-state .se-badge").first).to_have_text(deed.state)
        # The page follows the jobs by itself.
        expect(page.locator("#proposal-work")).not_to_contain_text("at work", timeout=PATIENCE_MS)
        look(stop, page, not deed.is_asked_in_picture)

    def _page_of(self, login: str) -> Page:
        """The page of somebody who has signed in."""
        if login not in self._pages:
            context = self.browser.new_context(
                viewport={"width": self.width, "height": self.height},
                color_scheme="dark" if self.theme == "dark" else "light",
            )
            context.set_default_timeout(PATIENCE_MS)
            page = context.new_page()
            page.on("console", self._hear)
            page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
            page.on("request", self._hear_request)
            page.goto(self.demo.base + "/admin/")
            page.fill("[name=username]", login)
            page.fill("[name=password]", self.demo.passwords[login])
            page.click("#login-form button[type=submit]")
            page.wait_for_url("**/admin/")
            self._pages[login] = page
        return self._pages[login]

    def _hear(self, message: ConsoleMessage) -> None:
        # A refused resource of the content security policy is an error of the console, too.
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.location.get('url', '')}: {message.text}")

    def _hear_request(self, request: Request) -> None:
        if not request.url.startswith((self.demo.base, "data:")):
            self.complaints.append(f"asked another host: {request.url}")
