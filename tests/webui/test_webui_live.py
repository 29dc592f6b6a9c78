"""A page holds one stream to the BMC, whatever it shows, and knows what there is as soon as that is told."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect
from tests.webui.webui_house import Board, Opener

pytestmark = pytest.mark.e2e

STREAM = "application/connect+proto"
LOADS = 3
MOMENT_MS = 1200
"""From the first answer to all that the overview rests on; a snapshot whose end has to be guessed takes longer."""
NOTES = """
    window.links = [];
    const note = () => {
        const link = document.querySelector('[data-link]')?.dataset.link;
        if (link && link !== window.links.at(-1)?.link) window.links.push({ link, at: performance.now() });
        if (!window.knownAt && document.body?.innerText.includes('Nothing needs attention')) {
            window.knownAt = performance.now();
        }
    };
    new MutationObserver(note).observe(document, { subtree: true, childList: true, attributes: true });
"""


class Streams:
    """The streams that a page has open."""

    def __init__(self, page: Page) -> None:
        self.open: set[Request] = set()
        self.opened: list[str] = []
        self.most = 0
        page.on("request", self._opens)
        page.on("requestfinished", self._ends)
        page.on("requestfailed", self._ends)

    def _opens(self, request: Request) -> None:
        if request.headers.get("content-type") == STREAM:
            self.open.add(request)
            self.opened.append(request.url)
            self.most = max(self.most, len(self.open))

    def _ends(self, request: Request) -> None:
        self.open.discard(request)

    def are_one(self, page: Page) -> None:
        """There is exactly one, and it is this one."""
        page.wait_for_timeout(300)  # another would be open by now
        assert [each.url.rpartition("/")[2] for each in self.open] == ["WatchLive"], self.open


def is_live(page: Page) -> None:
    expect(page.locator("[data-link='live']")).to_be_visible()


def choose(page: Page, entry: str) -> None:
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=entry, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(entry)


def links(page: Page) -> list[str]:
    """How the connection was, one after the other."""
    told: list[dict[str, Any]] = page.evaluate("window.links")
    return [each["link"] for each in told]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/", "section:has-text('Health') >> text=Nothing needs attention"),
        ("/sensors", "[data-sensor]"),
        ("/cooling", "main section"),
        ("/inventory", "main section"),
        ("/events", "[data-event]"),
    ],
)
def test_a_page_holds_exactly_one_stream(open_page: Opener, path: str, shown: str) -> None:
    page = open_page("ReadOnly", "/login")
    streams = Streams(page)
    page.goto(path)
    is_live(page)
    expect(page.locator(shown).first).to_be_visible()
    streams.are_one(page)


def test_going_through_the_pages_opens_one_stream_after_the_other_and_loses_nothing(
    open_page: Opener, board: Board
) -> None:
    page = open_page("ReadOnly", "/login")
    page.add_init_script(NOTES)
    streams = Streams(page)
    page.goto("/")
    is_live(page)
    expect(page.get_by_role("region", name="Health")).to_contain_text("Nothing needs attention")
    before = len(streams.opened)
    for entry in ("Cooling", "Sensors", "Inventory", "Overview", "Power", "Event log"):
        choose(page, entry)
    streams.are_one(page)
    # only assets and lights are new, and come together; the others are still lingering
    assert len(streams.opened) - before <= 2, streams.opened
    board.call("POST", "/api/v1alpha1/subscriptions:sendTestEvent", {"message": "told while pages change"})
    events = page.locator("[data-event]").filter(has_text="told while pages change")
    expect(events).to_have_count(1)
    page.wait_for_timeout(11_000)  # nobody looks at the others any more
    streams.are_one(page)
    assert len(streams.opened) - before <= 4, streams.opened
    expect(events).to_have_count(1)
    assert links(page) == ["connecting", "live"]


def test_the_overview_knows_what_there_is_a_moment_after_it_is_there(open_page: Opener) -> None:
    page = open_page("ReadOnly", "/login")
    page.add_init_script(NOTES)
    took: list[float] = []
    for _ in range(LOADS):
        page.goto("/")
        is_live(page)
        expect(page.get_by_role("region", name="Health")).to_contain_text("Nothing needs attention")
        live, known = page.evaluate("[window.links.find(each => each.link === 'live').at, window.knownAt]")
        took.append(known - live)
    assert min(took) < MOMENT_MS, took


def test_what_is_live_goes_on_after_the_machine_changes(open_page: Opener, board: Board) -> None:
    page = open_page("ReadOnly", "/")
    hosts = page.get_by_role("region", name="Hosts")
    for action, state in (("ON", "On"), ("FORCE_OFF", "Off")):
        choose(page, "Cooling")
        board.program.power(action)
        choose(page, "Overview")
        expect(hosts).to_contain_text(state)
        board.program.wait_state(state.upper())
