"""Pages of the web UI in a real browser, against the whole program on the simulated board.

A browser that sees an error in its console, an exception in a page, or a request to anywhere else fails the test.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    expect,
    sync_playwright,
)
from tests.harness.program import ADMIN_PASSWORD, Program

ROOT = Path(__file__).parents[2]
AXE = ROOT / "webui" / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
DESKTOP = (1280, 800)
PHONE = (390, 844)
NARROWEST = 360
PASSWORD = "a long enough passphrase"
# WCAG 2.2 AA and what else axe holds for good practice
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SECONDS = 20.0
"""A busy machine is slow, and then nothing is wrong."""
expect.set_options(timeout=SECONDS * 1000)


def chromium_path() -> str:
    """Debian's Chromium, or skip."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no Chromium; apt install chromium")
    return found


@cache
def build() -> None:
    """The web UI as its sources are now."""
    tool = [sys.executable, str(ROOT / "tools" / "webui.py"), "build"]
    done = subprocess.run(tool, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def launched(*more: str) -> Iterator[Browser]:
    """A browser."""
    path = chromium_path()
    build()
    playwright: Playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS, *more], timeout=60_000)
        try:
            yield browser
        finally:
            browser.close()


class Board:
    """The program, and a session for each role."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.url = program.url
        program.login()
        self._cookies: dict[str, list[dict[str, str]]] = {}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """As the administrator, over REST."""
        answer = self.program.request(method, path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def user(self, role: str, name: str = "") -> str:
        """The name of an account with a role, whose password is PASSWORD; the administrator is `admin`."""
        if role == "Administrator" and not name:
            return "admin"
        name = name or f"a-{role.lower()}"
        if self.program.request("GET", f"/api/v1alpha1/users/{name}").status_code != 200:
            self.call("POST", "/api/v1alpha1/users", {"user": {"name": name, "role": role}, "password": PASSWORD})
            self.call("PATCH", f"/api/v1alpha1/users/{name}?updateMask=mustChangePassword", {})
        return name

    def cookies(self, role: str, *, fresh: bool = False) -> list[dict[str, str]]:
        """The cookies of a session of a role: the same one each time, unless a fresh one is wanted."""
        if fresh or role not in self._cookies:
            user = self.user(role)
            body = {"user": user, "password": ADMIN_PASSWORD if user == "admin" else PASSWORD}
            with self.program.client(headers={"x-session-cookie": "1"}) as client:
                answer = client.post("/api/v1alpha1/sessions:login", json=body)
                assert answer.status_code == 200, answer.text
                found = [{"name": each.name, "value": each.value or ""} for each in client.cookies.jar]
            if fresh:
                return found
            self._cookies[role] = found
        return self._cookies[role]

    def fault(self, kind: str, target: str = "", value: float | None = None) -> None:
        """Break something of the simulated machine."""
        fault: dict[str, Any] = {"kind": kind, "target": target}
        if value is not None:
            fault["value"] = value
        self.call("POST", "/api/v1alpha1/simulation:injectFault", {"fault": fault})

    def mend(self) -> None:
        """Mend everything."""
        self.call("POST", "/api/v1alpha1/simulation:clearFault", {})


@dataclass
class Watch:
    """What went wrong in the pages of a test."""

    url: str
    found: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def allow(self, pattern: str) -> None:
        """What this test provokes, as a regular expression."""
        self.allowed.append(pattern)

    def follow(self, page: Page) -> None:
        """Look at a page."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.found.append(f"exception: {error}"))
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda socket: self._asked(socket.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.found.append(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _asked(self, url: str) -> None:
        asked = urlsplit(url)
        if asked.scheme not in ("data", "blob") and asked.netloc != urlsplit(self.url).netloc:
            self.found.append(f"request to another origin: {url}")

    def check(self) -> None:
        """Nothing went wrong but what was allowed."""
        left = [each for each in self.found if not any(re.search(pattern, each) for pattern in self.allowed)]
        assert not left, "\n".join(left)


class Opener:
    """Opens pages for one test, each in a browser profile of its own."""

    def __init__(self, browser: Browser, board: Board) -> None:
        self._browser = browser
        self._board = board
        self._contexts: list[BrowserContext] = []
        self.watch = Watch(board.url)

    def __call__(
        self, role: str = "Administrator", path: str = "/", *, size: tuple[int, int] = DESKTOP, dark: bool = False,
        language: str = "en-GB", fresh: bool = False, **options: Any,
    ) -> Page:  # fmt: skip
        """A page for somebody of a role; an empty role is not logged in."""
        context = self._browser.new_context(
            base_url=self._board.url,
            ignore_https_errors=True,
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            locale=language,
            reduced_motion="reduce",
            **options,
        )
        self._contexts.append(context)
        context.set_default_timeout(SECONDS * 1000)
        if role:
            context.add_cookies(
                [
                    {**each, "url": self._board.url, "secure": True, "sameSite": "Strict"}  # type: ignore[typeddict-item]
                    for each in self._board.cookies(role, fresh=fresh)
                ]
            )
        context.on("page", self.watch.follow)  # other tabs too
        page = context.new_page()
        page.goto(path)
        return page

    def close(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()


def artifacts() -> Path:
    """Where screenshots go."""
    folder = Path(os.environ.get("UBMC_ARTIFACTS") or ROOT / "build") / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def shot(page: Page, name: str) -> None:
    """One picture of a page as it is."""
    page.screenshot(path=artifacts() / f"{name}.png")


def check_width(page: Page) -> None:
    """Nothing but what may scroll by itself is wider than the window."""
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{page.url} is {wide} px wider than the window of {page.viewport_size}"


def shots(page: Page, name: str, *, whole: bool = True) -> None:
    """Pictures of a page: desktop and phone, light and dark; the whole page, or only what the window shows of it.

    It must fit into the narrowest phone too.

    With UBMC_DOC_PICTURES set, those that docs/webui.md shows are made anew.
    """
    page.evaluate("scrollTo(0, 0)")  # what sticks to the top is drawn there
    documented = ROOT / "docs" / "pictures" / f"webui-{name}.png"
    if os.environ.get("UBMC_DOC_PICTURES") and documented.exists():
        page.screenshot(path=documented)
    for width, height, kind in ((*DESKTOP, "desktop"), (*PHONE, "phone")):
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.screenshot(path=artifacts() / f"{name}-{kind}-{theme}.png", full_page=whole)
    page.set_viewport_size({"width": NARROWEST, "height": PHONE[1]})
    check_width(page)
    page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    page.emulate_media(color_scheme="light")


def axe(page: Page, *, both: bool = True, without: tuple[str, ...] = ()) -> None:
    """The page has no fault that axe finds, light and (unless not `both`) dark, but for some rules."""
    options = {"runOnly": RULES, "resultTypes": ["violations"], "rules": {rule: {"enabled": False} for rule in without}}
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for theme in ("light", "dark") if both else ("light",):
        page.emulate_media(color_scheme=theme)
        found = page.evaluate("options => axe.run(document, options)", options)
        told = [
            f"{theme}: {fault['id']} ({fault['impact']}): {fault['help']}\n"
            + "\n".join(f"    {node['html'][:200]}\n    {node['failureSummary']}" for node in fault["nodes"][:4])
            for fault in found["violations"]
        ]
        assert not told, "\n".join(told)
    page.emulate_media(color_scheme="light")
