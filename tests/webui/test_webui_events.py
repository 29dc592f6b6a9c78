"""The event log: live, filtered, opened, exported, cleared."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect
from tests.harness.program import until
from tests.webui.webui_house import Board, Opener, axe, shots

pytestmark = pytest.mark.e2e


def event_ids(page: Page) -> list[int]:
    return [int(each.get_attribute("data-event") or 0) for each in page.locator("[data-event]").all()]


def newest(board: Board, kind: str) -> dict[str, object]:
    found = board.call("GET", f"/api/v1alpha1/events?newestFirst=true&pageSize=1&filter.messageId={kind}")["events"]
    return dict(found[0]) if found else {}


def identify(board: Board, wanted: bool) -> dict[str, object]:
    """Makes an event; gives it."""
    board.call("POST", "/api/v1alpha1/chassis/chassis.0:setIdentify", {"identify": wanted})

    def told() -> dict[str, object] | None:
        found = newest(board, "Chassis.IdentifyChanged")
        return found if found.get("arguments") == {"name": "chassis.0", "identify": str(wanted).lower()} else None

    return until(told, why="the event of the identify light")


def test_the_log_is_shown_newest_first_and_new_events_come_by_themselves(open_page: Opener, board: Board) -> None:
    page = open_page("ReadOnly", "/events")
    expect(page.get_by_role("heading", level=1)).to_have_text("Event log")
    expect(page.locator("[data-event]").first).to_be_visible()
    event = identify(board, True)
    expect(page.locator(f"[data-event='{event['id']}']")).to_contain_text("identify is")
    ids = event_ids(page)
    assert ids == sorted(ids, reverse=True)
    shots(page, "events")
    axe(page)


def test_details_tell_cause_and_trace(open_page: Opener, board: Board) -> None:
    identify(board, True)
    event = identify(board, False)
    page = open_page("ReadOnly", "/events?kind=Chassis.IdentifyChanged")
    row = page.locator(f"[data-event='{event['id']}']")
    row.get_by_role("button").first.focus()
    page.keyboard.press("Enter")
    cause = event["cause"]
    assert isinstance(cause, dict)
    expect(row.locator("[data-trace]")).to_have_text(cause["traceId"])
    expect(row).to_contain_text("admin")
    expect(row).to_contain_text(str(event["ulid"]))
    shots(page, "event-details")
    axe(page)
    row.get_by_role("button", name="Only chassis.0").click()
    expect(page.get_by_label("Component")).to_have_value("chassis.0")


def test_filters_are_in_the_address_and_hold_for_new_events(open_page: Opener, board: Board) -> None:
    identify(board, True)
    page = open_page("Operator", "/events")
    page.get_by_label("Kind").fill("Session")
    expect(page).to_have_url("/events?kind=Session")
    expect(page.locator("[data-event]").first).to_have_attribute("data-kind", "Session.Login")
    before = len(event_ids(page))
    event = identify(board, False)
    page.get_by_label("Kind").fill("Chassis")
    expect(page.locator("[data-event]").first).to_have_attribute("data-event", str(event["id"]))
    assert before >= 1
    page.get_by_label("Severity").select_option(label="Critical only")
    expect(page.get_by_text("No event matches the filter.")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Severity")).to_have_value("critical")
    page.get_by_role("button", name="Show everything").click()
    expect(page).to_have_url("/events")
    expect(page.locator("[data-event]").first).to_be_visible()
    # who is quick, and goes from field to field, means all of it
    page.get_by_label("Component").fill("chassis.0")
    page.get_by_label("Kind").fill("Chassis")
    page.get_by_label("Severity").select_option(label="Warning and critical")
    expect(page).to_have_url("/events?severity=warning&component=chassis.0&kind=Chassis")


def test_a_link_to_events_of_a_time_is_the_same_in_another_time_zone(open_page: Opener) -> None:
    page = open_page("Operator", "/events", timezone_id="Asia/Kolkata")
    page.get_by_label("From").fill("2099-01-01T05:30")
    expect(page.get_by_text("No event matches the filter.")).to_be_visible()
    assert page.url.endswith(f"/events?since={quote('2099-01-01T00:00Z', safe='')}")
    other = open_page("Operator", page.url, timezone_id="America/New_York")
    expect(other.get_by_label("From")).to_have_value("2098-12-31T19:00")


def test_older_events_are_there_on_request(open_page: Opener, board: Board) -> None:
    for round_ in range(30):
        board.call("POST", "/api/v1alpha1/chassis/chassis.0:setIdentify", {"identify": round_ % 2 == 0})
    page = open_page("ReadOnly", "/events")
    expect(page.locator("[data-event]")).to_have_count(50)
    page.get_by_role("button", name="Show older events").click()
    until(lambda: len(event_ids(page)) > 50, why="older events")
    ids = event_ids(page)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("form", ["CSV", "JSON"])
def test_what_is_shown_can_be_taken_along(form: str, open_page: Opener, board: Board, tmp_path: Path) -> None:
    # a spreadsheet would take these for formulas
    for tag in ("=cmd()", "+1", "-1", "@SUM(A1)"):
        board.call("PATCH", "/api/v1alpha1/assets/host.0", {"assetTag": tag})
    identify(board, True)
    page = open_page("ReadOnly", "/events")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as waiting:
        page.get_by_role("menuitem", name=f"As {form}").click()
    file = tmp_path / "events"
    waiting.value.save_as(file)
    assert waiting.value.suggested_filename.endswith(form.lower())
    text = file.read_bytes().decode()
    known = {each["id"] for each in board.program.events()}
    if form == "JSON":
        rows = json.loads(text)["events"]
        assert rows[0]["ulid"]
    else:
        rows = list(csv.DictReader(io.StringIO(text)))
        assert "\r\n" in text
        for row in rows:
            for cell in row.values():
                assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r")), row
    ids = [each["id"] for each in rows]
    assert set(ids) <= known
    assert len(ids) > len(known) - 5
    assert ids == sorted(ids, key=int)


@pytest.mark.parametrize("role", ["Operator", "ReadOnly"])
def test_who_may_not_clear_is_not_offered_it(role: str, open_page: Opener) -> None:
    page = open_page(role, "/events")
    expect(page.locator("[data-event]").first).to_be_visible()
    expect(page.get_by_role("button", name="Clear the log")).to_have_count(0)


def test_an_administrator_clears_the_log_and_everybody_sees_who_did(open_page: Opener) -> None:
    other = open_page("ReadOnly", "/events")
    page = open_page("Administrator", "/events")
    expect(page.locator("[data-event]").nth(5)).to_be_visible()
    page.get_by_role("button", name="Clear the log").click()
    dialog = page.get_by_role("alertdialog")
    axe(page)
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("[data-event]").nth(5)).to_be_visible()
    page.get_by_role("button", name="Clear the log").click()
    dialog.get_by_role("button", name="Clear the log").click()
    for each in (page, other):
        cleared = each.locator("[data-kind='EventLog.Cleared']")
        expect(cleared).to_have_count(1)
        until(lambda each=each: len(event_ids(each)) < 5, why="the old ones are gone")  # type: ignore[misc]
        cleared.get_by_role("button").first.click()
        expect(cleared).to_contain_text("admin")


def test_german(open_page: Opener) -> None:
    page = open_page("Administrator", "/events", language="de-DE")
    expect(page.get_by_role("heading", level=1)).to_have_text("Ereignisprotokoll")
    expect(page.get_by_role("button", name="Protokoll leeren")).to_be_visible()
