"""`make webui-dev`: the pages with hot reload, beside a board that runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect
from tests.harness.program import ADMIN_PASSWORD
from tests.webui.webui_house import ROOT, SECONDS, Board, build

pytestmark = pytest.mark.e2e

START_SECONDS = 60.0
LOCAL = re.compile(r"Local:\s+(http://127\.0\.0\.1:\d+)/")


@pytest.fixture
def served(board: Board, tmp_path: Path) -> Iterator[str]:
    """Where the pages are served while they are changed."""
    build()  # packages and generated files, which otherwise count as time to start
    said = tmp_path / "said"
    with said.open("wb") as into:
        running = subprocess.Popen(
            [sys.executable, str(ROOT / "tools" / "webui.py"), "dev"],
            stdin=subprocess.DEVNULL,
            stdout=into,
            stderr=subprocess.STDOUT,
            env={**os.environ, "UBMC_URL": board.url},
            start_new_session=True,
        )
    try:
        yield address(running, said)
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(SECONDS)


def address(running: subprocess.Popen[bytes], said: Path) -> str:
    """What the server says of where it is; another port if somebody has the first one."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        found = LOCAL.search(said.read_text())
        if found:
            return found[1]
        time.sleep(0.2)
    raise AssertionError(said.read_text() or "it said nothing")


def test_pages_come_from_their_sources_and_calls_go_to_the_board(served: str, browser: Browser, board: Board) -> None:
    with httpx.Client(base_url=served) as client:
        assert "NAVIGATION" in client.get("/src/lib/nav.ts", timeout=SECONDS).text
    context = browser.new_context(base_url=served, locale="en-GB")
    # what is asked for first is compiled first
    context.set_default_timeout(START_SECONDS * 1000)
    page = context.new_page()
    told: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: told.append(str(frame))))
    try:
        page.goto("/power")
        page.get_by_label("User name").fill("admin", timeout=START_SECONDS * 1000)
        page.get_by_label("Password", exact=True).fill(ADMIN_PASSWORD)
        page.get_by_role("button", name="Log in").click()
        host = page.get_by_role("region", name="host.0", exact=True)
        expect(host.get_by_text("Off", exact=True)).to_be_visible(timeout=START_SECONDS * 1000)
        # a stream goes through as well as a call
        board.program.power("ON")
        expect(host.get_by_text("On", exact=True)).to_be_visible()
        # a file that is written, with nothing new in it, is sent to the page
        os.utime(ROOT / "webui" / "src" / "app.css")
        deadline = time.monotonic() + START_SECONDS
        while not any('"type":"update"' in each for each in told):
            assert time.monotonic() < deadline, told
            page.wait_for_timeout(200)
    finally:
        context.close()
