"""Sensors and cooling: live readings, thresholds, history; zones, profiles, driving by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.harness.program import until
from tests.webui.webui_house import Board, Opener, Watch, axe, shots

pytestmark = pytest.mark.e2e

ALARM = re.compile("Critical|Warning|Fatal")


@pytest.fixture(autouse=True, scope="module")
def host_is_on(board: Board) -> None:
    board.program.power("ON")
    board.program.wait_state("ON")


@pytest.fixture(autouse=True)
def mended(board: Board) -> Iterator[None]:
    yield
    board.mend()


def row(page: Page, name: str) -> Locator:
    return page.locator(f"[data-sensor='{name}']")


def test_readings_are_live(open_page: Opener, board: Board) -> None:
    page = open_page("ReadOnly", "/sensors")
    value = row(page, "cpu0_temp").locator("[data-value]")
    expect(value).to_contain_text("°C")
    before = value.inner_text()
    board.fault("sensor-stuck", "cpu0_temp", 63.2)
    expect(value).to_have_text("63.2\u00a0°C")
    assert before != value.inner_text()
    axe(page)
    shots(page, "sensors")


def test_a_threshold_that_is_crossed_shows_without_a_reload(open_page: Opener, board: Board) -> None:
    page = open_page("ReadOnly", "/sensors")
    inlet = row(page, "inlet_temp")
    expect(inlet).to_contain_text("Normal")
    expect(page.get_by_text("0 alarms")).to_be_visible()
    page.evaluate("window.notReloaded = true")
    board.fault("sensor-stuck", "inlet_temp", 50)
    expect(inlet).to_contain_text("Critical")
    expect(page.get_by_text("0 alarms")).to_have_count(0)
    page.get_by_label("Show", exact=True).select_option("alarms")
    expect(inlet).to_be_visible()
    expect(row(page, "outlet_temp")).to_have_count(0)
    board.mend()
    expect(page.get_by_text("No sensor has an alarm.")).to_be_visible()
    assert page.evaluate("window.notReloaded") is True


def test_a_sensor_that_fails_says_why(open_page: Opener, board: Board) -> None:
    page = open_page("ReadOnly", "/sensors?sensor=outlet_temp")
    board.fault("sensor-nan", "outlet_temp")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Implausible")
    expect(dialog.get_by_role("alert")).to_be_visible()


def test_sensors_are_found_by_words_and_kind(open_page: Opener) -> None:
    page = open_page("ReadOnly", "/sensors")
    expect(page.get_by_text("97 sensors")).to_be_visible()
    page.get_by_label("Search").fill("psu.0 temp")
    expect(page.get_by_text("1 sensor", exact=True).first).to_be_visible()
    expect(row(page, "psu0_temp")).to_be_visible()
    page.get_by_label("Search").fill("<img src=x onerror=alert(1)>")
    expect(page.get_by_text("No sensor matches.")).to_be_visible()
    page.get_by_role("button", name="Show all sensors").click()
    page.get_by_label("Kind").select_option(label="Voltages")
    expect(page.get_by_role("table")).to_have_count(1)
    expect(row(page, "p12v")).to_be_visible()


def test_the_details_have_a_chart_that_grows(open_page: Opener) -> None:
    page = open_page("ReadOnly", "/sensors")
    row(page, "cpu0_temp").get_by_role("link").click()
    expect(page).to_have_url("/sensors?sensor=cpu0_temp")
    dialog = page.get_by_role("dialog", name="cpu0_temp")
    chart = dialog.locator("[data-points]")
    expect(chart.locator("canvas")).to_be_visible()
    expect(chart).to_have_attribute("aria-label", re.compile("History of cpu0_temp over the last 15.min"))
    first = int(chart.get_attribute("data-points") or 0)
    until(lambda: int(chart.get_attribute("data-points") or 0) > first + 1, 15, "the chart grows")
    expect(dialog).to_contain_text("Upper critical")
    expect(dialog.get_by_role("button", name="Edit thresholds")).to_have_count(0)
    axe(page)
    shots(page, "sensor", whole=False)
    page.keyboard.press("Escape")
    expect(page).to_have_url("/sensors")
    expect(dialog).to_have_count(0)


# how many points of the chart have the colour of a name
COUNT = """(chart, name) => {
  const points = (canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const one = document.createElement('canvas');
  one.getContext('2d').fillStyle = getComputedStyle(chart).getPropertyValue(name);
  one.getContext('2d').fillRect(0, 0, one.width, one.height);
  const [red, green, blue] = points(one);
  const drawn = points(chart.querySelector('canvas'));
  const differs = (at) =>
    Math.abs(drawn[at] - red) + Math.abs(drawn[at + 1] - green) + Math.abs(drawn[at + 2] - blue);
  let found = 0;
  for (let at = 0; at < drawn.length; at += 4) if (drawn[at + 3] > 60 && differs(at) < 16) found++;
  return found;
}"""


def test_the_limits_that_are_near_are_drawn_into_the_history(open_page: Opener, watch: Watch, board: Board) -> None:
    watch.allow("willReadFrequently")  # advice for who reads a canvas often, as this test does
    board.fault("sensor-stuck", "inlet_temp", 40)  # warning at 42, critical at 47, fatal at 55
    page = open_page("ReadOnly", "/sensors?sensor=inlet_temp")
    chart = page.get_by_role("dialog", name="inlet_temp").locator("[data-points]")
    expect(chart.locator("canvas")).to_be_visible()
    for name in ("--primary", "--warning", "--critical"):
        until(lambda name=name: chart.evaluate(COUNT, name) > 100, 20, name)  # type: ignore[misc]
    # far from all limits, where they would only flatten the line
    far = open_page("ReadOnly", "/sensors?sensor=outlet_temp").locator("[data-points]")
    until(lambda: far.evaluate(COUNT, "--primary") > 100, 20, "a line")
    assert far.evaluate(COUNT, "--critical") == 0


def test_thresholds_are_edited_by_who_may(open_page: Opener, watch: Watch, board: Board) -> None:
    watch.allow("the server responded with a status of 400")
    page = open_page("Operator", "/sensors?sensor=inlet_temp")
    dialog = page.get_by_role("dialog", name="inlet_temp")
    dialog.get_by_role("button", name="Edit thresholds").click()
    warning = dialog.get_by_label("Upper warning")
    expect(warning).to_have_value("42")
    for nonsense in ("warm", "Infinity", "0x10", "1e3"):
        warning.fill(nonsense)
        dialog.get_by_role("button", name="Save").click()
        expect(warning).to_have_attribute("aria-invalid", "true")
    warning.fill("90")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert").first).to_contain_text("must be above upperWarning (Upper warning), which is 90")
    axe(page)
    shots(page, "sensor-thresholds", whole=False)
    warning.fill("12")
    dialog.get_by_label("Lower critical").fill("")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("Changed; not those of the board file.")).to_be_visible()
    expect(dialog.get_by_text(ALARM).first).to_be_visible()
    kept = board.call("GET", "/api/v1alpha1/sensors/inlet_temp")["sensor"]["thresholds"]
    assert kept["upperWarning"] == 12
    assert "lowerCritical" not in kept
    assert kept["lowerWarning"] == 5
    dialog.get_by_role("button", name="Take those of the board file").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Take those of the board file").click()
    expect(dialog.get_by_text("Changed; not those of the board file.")).to_have_count(0)
    assert board.call("GET", "/api/v1alpha1/sensors/inlet_temp")["sensor"]["thresholds"]["upperWarning"] == 42


def test_statistics_begin_anew_and_who_cannot_have_that_is_told(open_page: Opener, watch: Watch, board: Board) -> None:
    watch.allow("net::ERR_")
    path = "/api/v1alpha1/sensors/outlet_temp"
    before = board.call("GET", path)["sensor"]["statistics"]["since"]
    page = open_page("Operator", "/sensors?sensor=outlet_temp")
    dialog = page.get_by_role("dialog", name="outlet_temp")
    page.route("**/ResetSensorStatistics", lambda route: route.abort())
    dialog.get_by_role("button", name="Begin anew").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The BMC cannot be reached.")
    page.unroute_all()
    dialog.get_by_role("button", name="Begin anew").click()
    expect(dialog.get_by_role("alert")).to_have_count(0)
    until(lambda: board.call("GET", path)["sensor"]["statistics"]["since"] > before, why="they began anew")


def test_two_who_edit_thresholds_do_not_undo_each_other(open_page: Opener, board: Board) -> None:
    path = "/api/v1alpha1/sensors/inlet_temp"
    page = open_page("Operator", "/sensors?sensor=inlet_temp", language="de-DE")
    dialog = page.get_by_role("dialog", name="inlet_temp")
    dialog.get_by_role("button", name="Schwellwerte ändern").click()
    board.call("PATCH", f"{path}/thresholds?updateMask=upperCritical", {"upperCritical": 47.5})
    dialog.get_by_label("Obere Warnung").fill("41,5")
    dialog.get_by_role("button", name="Speichern").click()
    expect(dialog.get_by_text("41,5")).to_be_visible()
    kept = board.call("GET", path)["sensor"]["thresholds"]
    assert (kept["upperWarning"], kept["upperCritical"]) == (41.5, 47.5)
    board.call("POST", f"{path}:resetThresholds", {})


def zone(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=f"Zone {name}")


def test_cooling_shows_zones_and_fans(open_page: Opener, board: Board) -> None:
    page = open_page("ReadOnly", "/cooling")
    for name in ("cpu", "memory", "system"):
        expect(zone(page, name)).to_contain_text("Normal")
    expect(page.locator("[data-device]")).to_have_count(6)
    margins = page.get_by_role("row", name=re.compile("regulators margin"))
    expect(margins.get_by_role("cell", name=re.compile(r"^[\d.]+.°C left$"))).to_have_count(2)
    expect(page.locator("[data-device='fan.0']")).to_contain_text("rpm")
    expect(page.locator("main").get_by_role("button")).to_have_count(0)
    axe(page)
    shots(page, "cooling")
    board.fault("fan-seized", "fan.2")
    expect(page.locator("[data-device='fan.2']")).to_contain_text("Seized")
    expect(zone(page, "cpu").get_by_role("alert")).to_be_visible()
    shots(page, "cooling-seized")
    board.mend()
    expect(page.locator("[data-device='fan.2']")).to_contain_text("OK")


def test_a_profile_is_chosen(open_page: Opener, board: Board) -> None:
    page = open_page("Operator", "/cooling")
    cpu = zone(page, "cpu")
    cpu.get_by_text("Profile and manual duty").click()
    cpu.get_by_label("Profile").select_option(label="Custom")
    cpu.get_by_label("Least duty").fill("45")
    cpu.get_by_label("Set-point offset").fill("-5")
    axe(page)
    shots(page, "cooling-settings")
    cpu.get_by_role("button", name="Apply profile").click()
    expect(cpu.get_by_role("meter", name="Duty of cpu")).to_have_attribute("aria-valuenow", "45")
    told = board.call("GET", "/api/v1alpha1/thermal-zones/cpu")["thermalZone"]
    assert told["custom"] == {"setPointOffsetCelsius": -5.0, "minimumPercent": 45.0}
    cpu.get_by_label("Profile").select_option(label="Balanced")
    cpu.get_by_role("button", name="Apply profile").click()
    expect(cpu.locator("dd").filter(has_text="Balanced")).to_be_visible()


def test_a_zone_is_driven_by_hand_with_a_countdown(open_page: Opener) -> None:
    page = open_page("Operator", "/cooling")
    other = open_page("ReadOnly", "/cooling")
    system = zone(page, "system")
    system.get_by_text("Profile and manual duty").click()
    system.get_by_label("Duty, in %").fill("70")
    system.get_by_label("For how long").select_option(label="1 minute")
    system.get_by_role("button", name="Drive by hand").click()
    left = system.get_by_text(re.compile(r"Driven by hand at 70 %, for (\d+).s still"))
    expect(left).to_be_visible()
    expect(zone(other, "system").get_by_text("Manual", exact=True)).to_be_visible()

    def seconds() -> int:
        found = re.search(r"for (\d+)", left.inner_text())
        assert found
        return int(found[1])

    expect(left).to_have_attribute("aria-live", "off")
    before = seconds()
    page.wait_for_timeout(2500)
    assert 1 <= before - seconds() <= 4
    expect(system.get_by_role("meter", name="Duty of system")).to_have_attribute("aria-valuenow", "70")
    system.get_by_role("button", name="Let the controllers drive").click()
    expect(left).to_have_count(0)
    expect(zone(other, "system").get_by_text("Normal", exact=True)).to_be_visible()
