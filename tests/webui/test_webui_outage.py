"""What a page does while nobody answers, and then; what it says while it knows nothing; whose it is, and how long."""

from __future__ import annotations

import re
import struct
import time
from functools import partial
from typing import Literal

import pytest
from playwright.sync_api import Page, Route, expect
from protobuf import Oneof
from tests.harness.program import until
from tests.webui.webui_house import ROOT, Board, Opener, Watch, axe

from ubmc.v1alpha1.live_pb import LiveState, LiveTopic, LiveTopicState, WatchLiveResponse

pytestmark = pytest.mark.e2e

GONE = r"net::ERR_|the server responded with a status of 50[234]"
NODES = ROOT / "src" / "ubmc" / "webui" / "_app" / "immutable" / "nodes"
MENU = ("Power", "Sensors", "Cooling", "Inventory", "Event log", "Users", "Security", "Settings", "About", "Overview")
IDLE_SECONDS = 30


def is_live(page: Page) -> None:
    expect(page.locator("[data-link='live']")).to_be_visible()


def has_fetched(page: Page, count: int) -> bool:
    """Whether the browser has the code of so many pages."""
    kinds = "performance.getEntriesByType('resource').filter(each => each.name.includes('/immutable/nodes/')).length"
    return bool(page.evaluate(kinds) >= count)


def choose(page: Page, entry: str) -> None:
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=entry, exact=True).click()


def log_in_as(page: Page, board: Board, role: str) -> None:
    """As another tab of its browser does."""
    page.context.add_cookies(
        [
            {**each, "url": board.url, "secure": True, "sameSite": "Strict"}  # type: ignore[typeddict-item]
            for each in board.cookies(role, fresh=True)
        ]
    )


def test_the_menu_works_while_nobody_answers_and_each_page_fills_itself(
    open_page: Opener, watch: Watch, board: Board
) -> None:
    watch.allow(GONE)
    wanted = {"Event log": "[data-event]", "Users": "[data-user='admin']", "Security": "dl"}
    pages = {name: open_page("Administrator", "/") for name in wanted}
    most = len([each for each in NODES.glob("*.js") if each.is_file()])
    for page in pages.values():
        is_live(page)
        until(partial(has_fetched, page, most - 3), 30, "the code of all pages")  # but for that of the login
        page.evaluate("window.notReloaded = true")
    board.program.stop()
    page = pages["Event log"]
    expect(page.get_by_role("alert").filter(has_text="No answer from the BMC")).to_be_visible()
    for entry in MENU:
        choose(page, entry)
        expect(page.get_by_role("heading", level=1)).to_have_text(entry)
    for name, each in pages.items():
        choose(each, name)
        expect(each.get_by_role("heading", level=1)).to_have_text(name)
        expect(each.locator("main").locator(wanted[name])).to_have_count(0)
    board.program.start()
    for name, each in pages.items():
        is_live(each)
        expect(each.locator("main").locator(wanted[name]).first).to_be_visible()
        expect(each.locator("main").get_by_text("cannot be reached")).to_have_count(0)
        assert each.evaluate("window.notReloaded") is True


def test_a_page_whose_code_cannot_be_fetched_keeps_the_frame_and_comes_later(
    open_page: Opener, watch: Watch, board: Board
) -> None:
    watch.allow(GONE)
    watch.allow("Failed to fetch dynamically imported module")
    page = open_page("Operator", "/")
    is_live(page)
    page.route("**/_app/**", lambda route: route.abort())
    board.program.stop()
    expect(page.locator("[data-link='lost']")).to_be_visible()
    choose(page, "Cooling")
    expect(page.get_by_role("heading", level=1)).to_have_text("This page could not be loaded.")
    expect(page.get_by_role("alert").filter(has_text="No answer from the BMC")).to_be_visible()
    axe(page, both=False)
    choose(page, "Overview")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    choose(page, "Cooling")
    expect(page.get_by_role("heading", level=1)).to_have_text("This page could not be loaded.")
    page.unroute("**/_app/**")
    board.program.start()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cooling")
    is_live(page)


def say_away(away: dict[LiveTopic, str], route: Route) -> None:
    """As the door does while services are away; then the connection breaks."""
    body = b""
    for topic, message in away.items():
        state = LiveTopicState(topic=topic, state=LiveState.AWAY, message=message)
        update: Oneof[Literal["state"], LiveTopicState] = Oneof("state", state)
        told = WatchLiveResponse(update=update).to_binary()
        body += struct.pack(">BI", 0, len(told)) + told
    end = b'{"error": {"code": "unknown", "message": "broken"}}'
    body += struct.pack(">BI", 2, len(end)) + end
    route.fulfill(content_type="application/connect+proto", body=body)


def test_the_overview_does_not_call_well_what_it_cannot_see(open_page: Opener, board: Board) -> None:
    page = open_page("", "/login")
    away = {
        LiveTopic.SENSORS: "SensorService is away",
        LiveTopic.THERMAL_ZONES: "ThermalService is away",
        LiveTopic.HOSTS: "HostService is away",
    }
    page.route("**/ubmc.v1alpha1.LiveService/**", partial(say_away, away))
    log_in_as(page, board, "ReadOnly")
    page.goto("/")
    health = page.get_by_role("region", name="Health")
    expect(health).to_contain_text("Not known: ")
    expect(health).not_to_contain_text("Nothing needs attention")
    for name in ("Temperatures nearest to their limits", "Power draw"):
        expect(page.get_by_role("region", name=name)).to_contain_text("Not known: SensorService is away")
    expect(page.get_by_role("region", name="Hosts")).to_contain_text("Not known: HostService is away")
    page.unroute_all()
    expect(health).to_contain_text("Nothing needs attention")
    expect(page.get_by_text("Not known")).to_have_count(0)


def test_times_go_on_and_do_not_begin_anew(open_page: Opener, board: Board) -> None:
    board.program.power("ON")
    board.program.wait_state("ON")
    zone = board.call("GET", "/api/v1alpha1/thermal-zones")["thermalZones"][0]["name"]
    drive = f"/api/v1alpha1/thermal-zones/{zone}:setManualDuty"
    board.call("POST", drive, {"dutyPercent": 60, "durationSeconds": 1200})
    began = time.monotonic()
    page = open_page("Operator", "/power")
    on = page.locator("[data-on-time]")
    first = on.inner_text()
    expect(on).not_to_have_text(first)
    for _ in range(2):  # the second time from what the page knows already
        choose(page, "Cooling")
        card = page.get_by_role("region", name=f"Zone {zone}")
        card.get_by_text("Profile and manual duty").click()
        left = _left(card.get_by_role("status").filter(has_text="60 %").inner_text())
        assert -2 < 1200 - (time.monotonic() - began) - left < 5, left
        choose(page, "Power")
        page.wait_for_timeout(3000)
    board.call("POST", f"/api/v1alpha1/thermal-zones/{zone}:clearManualDuty", {})


def _left(text: str) -> int:
    """The seconds in `19 min 55 s`."""
    return sum(int(value) * (60 if unit == "min" else 1) for value, unit in re.findall(r"(\d+)\s*(min|s)\b", text))


def test_a_login_that_cannot_be_ended_is_not_called_ended(open_page: Opener, watch: Watch) -> None:
    watch.allow(GONE + "|the server responded with a status of 401")
    page = open_page("Operator", "/power", fresh=True)
    is_live(page)
    page.route("**/ubmc.v1alpha1.SessionService/Logout", lambda route: route.abort())
    account = page.get_by_role("banner").get_by_role("button", name="Account")
    account.click()
    page.get_by_role("menuitem", name="Log out").click()
    expect(page.get_by_text("You are still logged in")).to_be_visible()
    expect(page).to_have_url("/power")
    page.unroute_all()
    account.click()
    page.get_by_role("menuitem", name="Log out").click()
    expect(page.get_by_label("User name")).to_be_visible()


def test_a_page_becomes_that_of_who_logged_in_in_another_tab(open_page: Opener, board: Board) -> None:
    page = open_page("ReadOnly", "/", fresh=True)
    expect(page.get_by_role("banner")).to_contain_text("a-readonly")
    is_live(page)
    log_in_as(page, board, "Operator")
    expect(page.get_by_role("banner")).to_contain_text("a-operator")
    choose(page, "Power")
    expect(page.get_by_role("button", name="Force off").first).to_be_visible()


def test_nine_tabs_are_live_at_once(open_page: Opener) -> None:
    first = open_page("ReadOnly", "/", fresh=True)
    for _ in range(9):
        page = first.context.new_page()
        page.goto("/")
        is_live(page)
        expect(page.get_by_role("region", name="Health")).to_contain_text("Nothing needs attention")


def test_a_page_that_is_left_alone_loses_its_session_and_one_that_is_used_does_not(
    open_page: Opener, watch: Watch, board: Board
) -> None:
    watch.allow("the server responded with a status of 401")
    policy = "/api/v1alpha1/account-policy?updateMask=sessionIdleSeconds"
    before = board.call("GET", "/api/v1alpha1/account-policy")["policy"]["sessionIdleSeconds"]
    board.call("PATCH", policy, {"sessionIdleSeconds": IDLE_SECONDS})
    try:
        left, used = open_page("Operator", "/", fresh=True), open_page("ReadOnly", "/sensors", fresh=True)
        is_live(left)
        is_live(used)
        began = time.monotonic()
        while time.monotonic() - began < 1.5 * IDLE_SECONDS:
            used.mouse.wheel(0, 40)
            used.wait_for_timeout(2000)
        expect(left).to_have_url("/login")
        expect(left.get_by_role("status").filter(has_text="Your session has ended")).to_be_visible()
        expect(used).to_have_url("/sensors")
        is_live(used)
    finally:
        board.program.login()  # that session was left alone as well
        board.call("PATCH", policy, {"sessionIdleSeconds": before})
