"""A real chromium against the live server. Where there is none the tests are skipped, but never in CI."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from schemaevo.kernel.models import User
from tests.factories import make_login

PASSWORD = "correct-horse-9"
# Playwright keeps an event loop in the thread of the tests, which makes Django refuse the database there.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test in this folder drives the browser, and its database is seen by the live server's thread."""
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@dataclass
class Visit:
    """One person's browser: its page, and what went wrong in it."""

    context: BrowserContext
    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        """The page stands, with all that belongs to it; deferred scripts have run."""
        answer = self.page.goto(self.base + path)
        assert answer is not None
        assert answer.status == 200, f"{path} answered {answer.status}"
        return self.page

    def sign_in(self, login: User) -> Page:
        self.page.goto(self.base + "/admin/")
        self.page.fill("[name=username]", login.username)
        self.page.fill("[name=password]", PASSWORD)
        self.page.click("#login-form button[type=submit]")
        self.page.wait_for_url("**/admin/")
        return self.page

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return width


@pytest.fixture
def visit(chromium: Browser, live_server: "object") -> Iterator[Callable[..., Visit]]:
    """Opens browsers; at the end none of them may have complained of an error or a refused resource."""
    visits: list[Visit] = []

    def open_one(*, width: int = 1440, height: int = 900, theme: str = "light") -> Visit:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if theme == "dark" else "light"
        )
        context.set_default_timeout(20_000)
        page = context.new_page()
        opened = Visit(context, page, str(live_server))

        def hear(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                opened.complaints.append(f"{page.url}: {message.text}")

        def refuse(request: "object") -> None:
            url = request.url  # type: ignore[attr-defined]
            if not url.startswith((opened.base, "data:")):
                opened.complaints.append(f"asked another host: {url}")

        page.on("console", hear)
        page.on("pageerror", lambda error: opened.complaints.append(f"{page.url}: {error}"))
        page.on("request", refuse)
        visits.append(opened)
        return opened

    yield open_one
    for opened in visits:
        opened.context.close()
    assert [complaint for opened in visits for complaint in opened.complaints] == []


@pytest.fixture
def login_of(transactional_db: None) -> Callable[[str], User]:
    """Somebody who can sign in by password; `superuser` is a role too."""

    def make(role: str) -> User:
        login = make_login(is_superuser=True) if role == "superuser" else make_login(role=role)
        login.set_password(PASSWORD)
        login.save()
        return login

    return make
