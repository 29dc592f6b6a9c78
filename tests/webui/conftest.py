"""What the tests of the web UI share: one browser and one board for each module, pages for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from tests.harness.program import Program
from tests.webui.webui_house import Board, Opener, Watch, chromium_path, launched


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as running:
        yield running


@pytest.fixture(scope="module")
def board(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    chromium_path()
    with Program(tmp_path_factory.mktemp("webui") / "s") as program:
        yield Board(program)


@pytest.fixture
def open_page(browser: Browser, board: Board) -> Iterator[Opener]:
    """`open_page("Operator", "/power")` gives a page; all must be without fault at the end."""
    opener = Opener(browser, board)
    try:
        yield opener
        opener.watch.check()
    finally:
        opener.close()


@pytest.fixture
def watch(open_page: Opener) -> Watch:
    """What went wrong in the pages of this test, and what it may."""
    return open_page.watch
