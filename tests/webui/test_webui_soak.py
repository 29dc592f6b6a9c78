"""The long form: 300 sensors live at 1 Hz for ten minutes cost the browser little, and always the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, expect
from tests.harness.program import Program
from tests.webui.webui_house import Board, Opener

pytestmark = [pytest.mark.e2e, pytest.mark.soak]

SETTLE_SECONDS = 60.0
WATCH_SECONDS = 600.0
MOST_OF_A_CORE = 0.20
MOST_GROWTH_BYTES = 2 * 1024 * 1024
MOST_NEW_NODES = 200


@pytest.fixture(scope="module")
def board(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    with Program(tmp_path_factory.mktemp("webui") / "s", board="sim-large") as program:
        yield Board(program)


def page_seconds(browser: Browser) -> float:
    """The CPU time of all that shows the one page: without a graphics card the GPU process paints with the CPU."""
    session = browser.new_browser_cdp_session()
    told: dict[str, Any] = session.send("SystemInfo.getProcessInfo")
    session.detach()
    return sum(float(each["cpuTime"]) for each in told["processInfo"] if each["type"] in ("renderer", "GPU"))


def memory(session: CDPSession) -> tuple[float, float]:
    """Bytes of the heap and nodes of the document, after a collection."""
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    told: dict[str, Any] = session.send("Performance.getMetrics")
    metrics = {each["name"]: float(each["value"]) for each in told["metrics"]}
    return metrics["JSHeapUsedSize"], metrics["Nodes"]


@pytest.mark.timeout(900)
def test_three_hundred_sensors_for_ten_minutes(browser: Browser, board: Board, open_page: Opener) -> None:
    board.program.power("ON")
    board.program.wait_state("ON", 60)
    page = open_page("ReadOnly", "/sensors")
    rows = page.locator("[data-sensor]")
    expect(rows.first).to_be_visible()
    assert rows.count() >= 300
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.enable")
    page.wait_for_timeout(SETTLE_SECONDS * 1000)
    heap, nodes = memory(session)
    began, spent = time.monotonic(), page_seconds(browser)
    page.wait_for_timeout(WATCH_SECONDS * 1000)
    share = (page_seconds(browser) - spent) / (time.monotonic() - began)
    heap_then, nodes_then = memory(session)
    told = f"{share:.1%} of a core; heap {heap:,.0f} -> {heap_then:,.0f} bytes; nodes {nodes:.0f} -> {nodes_then:.0f}"
    print(told)
    assert share < MOST_OF_A_CORE, told
    assert heap_then - heap < MOST_GROWTH_BYTES, told
    assert nodes_then - nodes < MOST_NEW_NODES, told
    expect(page.locator("[data-link='live']")).to_be_visible()
