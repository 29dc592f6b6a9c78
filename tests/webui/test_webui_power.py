"""The overview and the power page: live transitions, confirmation, refusals, roles, two browsers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, Route, expect
from tests.harness.program import until
from tests.webui.webui_house import Board, Opener, Watch, axe, shot, shots

pytestmark = pytest.mark.e2e

BOOT_SECONDS = 8.0


@pytest.fixture(autouse=True)
def host_is_off(board: Board) -> Iterator[None]:
    yield
    board.mend()
    board.program.power("FORCE_OFF")
    board.program.wait_state("OFF")


def on(board: Board) -> None:
    board.program.power("ON")
    board.program.wait_state("ON")


def wait_for_system(board: Board) -> None:
    """Wait until the operating system of the simulated host runs: its firmware obeys the power button at once."""

    def simulated() -> float:
        return float(board.call("GET", "/api/v1alpha1/simulation")["simulation"]["timeSeconds"])

    since = simulated()
    until(lambda: simulated() > since + BOOT_SECONDS, 30, "the operating system runs")


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def test_a_power_cycle_is_watched_live(open_page: Opener) -> None:
    page = open_page("Operator", "/power")
    host = card(page, "host.0")
    expect(host.get_by_text("Off", exact=True)).to_be_visible()
    host.get_by_role("button", name="Power on").click()
    expect(host.get_by_text("Powering on", exact=True)).to_be_visible()
    expect(host.get_by_text("On", exact=True)).to_be_visible()
    expect(host.get_by_role("status").filter(has_text="Power on: done")).to_be_visible()
    expect(host.get_by_role("button", name="Power on")).to_have_count(0)
    axe(page)
    shots(page, "power")
    host.get_by_role("button", name="Force restart").click()
    dialog = page.get_by_role("alertdialog")
    expect(dialog).to_contain_text("reset at once")
    axe(page, both=False)
    shot(page, "power-confirm")
    dialog.get_by_role("button", name="Force restart").click()
    expect(dialog).to_have_count(0)
    expect(host.get_by_text("On", exact=True)).to_be_visible()
    host.get_by_role("button", name="Shut down").click()
    dialog.get_by_role("button", name="Shut down").click()
    expect(host.get_by_text("Off", exact=True)).to_be_visible()  # by way of a state of a moment


def test_what_hurts_is_not_done_without_a_second_word(open_page: Opener, board: Board) -> None:
    on(board)
    page = open_page("Operator", "/power")
    host = card(page, "host.0")
    host.get_by_role("button", name="Force off").click()
    expect(page.get_by_role("alertdialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("alertdialog")).to_have_count(0)
    expect(host.get_by_role("button", name="Force off")).to_be_focused()
    assert board.program.host()["state"] == "HOST_STATE_ON"


def test_everything_can_be_done_by_keyboard(open_page: Opener, board: Board) -> None:
    page = open_page("Operator", "/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('href')") == "/power":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Power")
    wanted = card(page, "host.0").get_by_role("button", name="Power on")
    expect(wanted).to_be_visible()
    for _ in range(40):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            break
    page.keyboard.press("Enter")
    board.program.wait_state("ON")


def test_what_a_running_host_forbids_is_greyed_out_with_the_reason(open_page: Opener, board: Board) -> None:
    page = open_page("Operator", "/power")
    chassis = card(page, "chassis.0")
    gentle = [chassis.get_by_role("button", name=name, exact=True) for name in ("Power off", "Power cycle")]
    reason = "Power off, Power cycle: only while host.0 is off. Shut it down first, or use a forced action."
    for button in gentle:
        expect(button).to_be_enabled()
    expect(chassis.get_by_text(reason)).to_have_count(0)
    on(board)
    for button in gentle:
        expect(button).to_be_disabled()
        expect(button).to_have_accessible_description(reason)
    expect(chassis.get_by_role("button", name="Force off")).to_be_enabled()
    axe(page)


def test_a_refusal_is_explained_where_it_was_asked_for(open_page: Opener, watch: Watch, board: Board) -> None:
    watch.allow("the server responded with a status of (400|409|412)")
    page = open_page("Operator", "/power")
    card(page, "chassis.0").get_by_role("button", name="Power off").click()
    dialog = page.get_by_role("alertdialog")
    on(board)  # somebody else, while this one still thinks about it
    dialog.get_by_role("button", name="Power off").click()
    expect(dialog.get_by_role("alert")).to_contain_text("host.0")
    expect(dialog.get_by_role("alert")).to_contain_text("Trace id")
    shot(page, "power-refused")
    dialog.get_by_role("button", name="Cancel").click()
    assert board.program.host()["state"] == "HOST_STATE_ON"


def test_a_refusal_is_shown_to_who_asked_and_not_with_the_next_question(
    open_page: Opener, watch: Watch, board: Board
) -> None:
    watch.allow("the server responded with a status of (400|409|412)")
    page = open_page("Operator", "/power")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/ChangeChassisPower", hold)
    card(page, "chassis.0").get_by_role("button", name="Power off").click()
    dialog = page.get_by_role("alertdialog")
    on(board)
    dialog.get_by_role("button", name="Power off").click()
    # while the answer is out, the window stays, so that there is a place for it
    expect(dialog.get_by_role("button", name="Cancel")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    held[0].continue_()
    expect(dialog.get_by_role("alert")).to_contain_text("host.0")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    board.program.power("FORCE_OFF")
    card(page, "chassis.0").get_by_role("button", name="Power cycle", exact=True).click()
    expect(dialog).to_contain_text("goes off and on again")
    expect(dialog.get_by_role("alert")).to_have_count(0)


def test_a_host_that_ignores_a_shutdown_is_not_shown_as_off(open_page: Opener, board: Board) -> None:
    on(board)
    wait_for_system(board)
    board.fault("hang-off", "host.0")
    page = open_page("Operator", "/power")
    host = card(page, "host.0")
    host.get_by_role("button", name="Shut down").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Shut down").click()
    expect(host.get_by_text("Shutting down", exact=True)).to_be_visible()
    # how long it takes is not read out each second
    expect(host.get_by_text(re.compile("Shut down: under way for"))).to_have_attribute("aria-live", "off")
    host.get_by_role("button", name="Force off").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Force off").click()
    expect(host.get_by_text("Off", exact=True)).to_be_visible()


def test_a_failure_is_said_beside_the_state_until_the_power_changes(open_page: Opener, board: Board) -> None:
    on(board)
    for kind in ("hang-off", "hang-hard"):
        board.fault(kind, "host.0")
    host = card(open_page("ReadOnly", "/power"), "host.0")
    german = card(open_page("ReadOnly", "/power", language="de-DE"), "host.0")
    board.program.power("FORCE_OFF")
    told = host.get_by_role("alert").filter(has_text="The last action failed: Force off")
    expect(told).to_contain_text(
        re.compile(r"State after \S.*: On\. The power cannot be cut by the wires"), timeout=60_000
    )
    expect(german.get_by_role("alert")).to_contain_text("Die letzte Aktion schlug fehl: Ausschalten erzwingen")
    board.mend()
    board.program.power("FORCE_OFF")
    expect(host.get_by_text("Off", exact=True)).to_be_visible()
    for each in (host, german):
        expect(each.get_by_role("alert")).to_have_count(0)


def test_two_browsers_see_the_same(open_page: Opener) -> None:
    one, two = open_page("Operator", "/power"), open_page("ReadOnly", "/")
    expect(two.locator("[data-host='host.0']")).to_contain_text("Off")
    card(one, "host.0").get_by_role("button", name="Power on").click()
    expect(two.locator("[data-host='host.0']").get_by_text("On", exact=True)).to_be_visible()
    expect(two.get_by_role("region", name="Last events")).to_contain_text("host.0 went from powering on to on")
    card(one, "chassis.0").get_by_role("button", name="Turn identify light on").click()
    expect(card(one, "chassis.0").get_by_role("button", name="Turn identify light off")).to_be_visible()


def test_who_may_only_read_is_offered_nothing(open_page: Opener, board: Board) -> None:
    on(board)
    page = open_page("ReadOnly", "/power")
    expect(card(page, "host.0").get_by_text("On", exact=True)).to_be_visible()
    expect(card(page, "bmc.0").get_by_text("Ready")).to_be_visible()
    expect(page.locator("main").get_by_role("button")).to_have_count(0)
    expect(page.get_by_text("Your role may look, but not change power.")).to_be_visible()
    operator = open_page("Operator", "/power")
    expect(card(operator, "bmc.0").get_by_text("Ready")).to_be_visible()
    expect(operator.get_by_role("button", name="Restart BMC")).to_have_count(0)


def test_the_overview_shows_what_matters(open_page: Opener, board: Board) -> None:
    on(board)
    page = open_page("ReadOnly", "/")
    expect(page.locator("[data-host='host.0']").get_by_text("On", exact=True)).to_be_visible()
    temperatures = page.get_by_role("region", name="Temperatures nearest to their limits")
    expect(temperatures.get_by_role("listitem")).to_have_count(5)
    expect(temperatures).to_contain_text("°C")
    expect(page.get_by_role("region", name="Power draw")).to_contain_text(" W")
    expect(page.get_by_role("region", name="Power draw")).to_contain_text("made of psu0_pin, psu1_pin")
    expect(page.get_by_role("region", name="System")).to_contain_text("Simulated board")
    board.fault("sensor-stuck", "inlet_temp", 50)
    health = page.get_by_role("region", name="Health")
    expect(health.get_by_role("link", name=re.compile("inlet_temp is Critical"))).to_be_visible()
    axe(page)
    shots(page, "overview")
    board.mend()
    expect(health.get_by_role("link", name=re.compile("inlet_temp"))).to_have_count(0)
    board.fault("fru-damaged", "board.0")
    faulty = health.get_by_role("link", name=re.compile("What board.0 says of itself is faulty"))
    expect(faulty).to_be_visible(timeout=45_000)
    board.mend()
    expect(faulty).to_have_count(0, timeout=45_000)
    health_of_german = open_page("ReadOnly", "/", language="de-DE").get_by_role("region", name="Zustand")
    expect(health_of_german).to_be_visible()


def test_the_bmc_restarts_and_the_page_comes_back_by_itself(open_page: Opener, watch: Watch) -> None:
    watch.allow(r"net::ERR_|the server responded with a status of 50[34]")
    page = open_page("Administrator", "/power", fresh=True)
    bmc = card(page, "bmc.0")
    bmc.get_by_role("button", name="Restart BMC").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Restart BMC").click()
    expect(page.locator("[data-link='lost']")).to_be_visible()
    expect(page.locator("[data-link='live']")).to_be_visible()
    expect(bmc.get_by_text("Ready")).to_be_visible()
    card(page, "host.0").get_by_role("button", name="Power on").click()
    expect(card(page, "host.0").get_by_text("On", exact=True)).to_be_visible()
