"""The inventory: the tree of parts, everything about one, its tag, the identify light."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.harness.program import until
from tests.webui.webui_house import PHONE, Board, Opener, axe, shots

pytestmark = pytest.mark.e2e


def test_parts_stand_in_what_they_are_in(open_page: Opener, board: Board) -> None:
    page = open_page("ReadOnly", "/inventory")
    assets = {each["name"]: each for each in board.call("GET", "/api/v1alpha1/assets?pageSize=1000")["assets"]}
    expect(page.locator("[data-asset]")).to_have_count(len(assets))
    for name, asset in assets.items():
        depth = 0
        at = asset
        while at.get("parent") in assets:
            depth += 1
            at = assets[at["parent"]]
        padding = page.locator(f"[data-asset='{name}']").evaluate("each => parseFloat(each.style.paddingLeft) || 0")
        assert round(padding / 1.1) == depth, name
    page.get_by_role("button", name="Hide what is in chassis.0").click()
    until(lambda: page.locator("[data-asset]").count() < len(assets), why="the tree closes")
    page.get_by_role("button", name="Show what is in chassis.0").click()
    expect(page.locator("[data-asset]")).to_have_count(len(assets))
    shots(page, "inventory")
    axe(page)


def test_everything_about_one_part(open_page: Opener, board: Board) -> None:
    page = open_page("ReadOnly", "/inventory", permissions=["clipboard-read", "clipboard-write"])
    page.locator("[data-asset='psu.0']").get_by_role("button").last.click()
    expect(page).to_have_url("/inventory?asset=psu.0")
    asset = board.call("GET", "/api/v1alpha1/assets/psu.0")["asset"]
    details = page.get_by_role("region", name="psu.0")
    for field in ("manufacturer", "model", "serialNumber"):
        expect(details).to_contain_text(asset[field])
    details.get_by_role("button", name="Copy the serial number").click()
    until(lambda: page.evaluate("navigator.clipboard.readText()") == asset["serialNumber"], why="it is copied")
    expect(details.get_by_role("button", name="Change the tag")).to_have_count(0)
    expect(details.get_by_role("button", name="Turn the identify light on")).to_have_count(0)
    page.get_by_role("searchbox").fill("psu")
    shots(page, "inventory-part")
    axe(page)


def test_search_keeps_what_matches_and_what_it_is_in(open_page: Opener) -> None:
    page = open_page("ReadOnly", "/inventory")
    page.get_by_role("searchbox").fill("psu.0")
    expect(page.locator("[data-asset='psu.0']")).to_be_visible()
    expect(page.locator("[data-asset='chassis.0']")).to_be_visible()
    expect(page.locator("[data-asset='psu.1']")).to_have_count(0)
    page.get_by_role("searchbox").fill("no such part")
    expect(page.get_by_text("No part matches.")).to_be_visible()


def test_an_operator_gives_a_tag_and_others_see_it_at_once(open_page: Opener, board: Board) -> None:
    other = open_page("ReadOnly", "/inventory?asset=host.0")
    page = open_page("Operator", "/inventory?asset=host.0")
    page.get_by_role("button", name="Change the tag").click()
    expect(page.get_by_label("Asset tag")).to_be_focused()
    page.get_by_label("Asset tag").fill("rack 7, left")
    page.keyboard.press("Enter")
    for each in (page, other):
        expect(each.get_by_role("region", name="host.0")).to_contain_text("rack 7, left")
    assert board.call("GET", "/api/v1alpha1/assets/host.0")["asset"]["assetTag"] == "rack 7, left"


def test_the_identify_light_is_turned_on_from_any_part_of_the_chassis(open_page: Opener, board: Board) -> None:
    page = open_page("Operator", "/inventory?asset=psu.0")
    page.get_by_role("button", name="Turn the identify light on").click()
    expect(page.get_by_role("button", name="Turn the identify light off")).to_be_visible()
    assert board.call("GET", "/api/v1alpha1/chassis/chassis.0")["chassis"]["identify"]
    # somebody else turns it off
    board.call("POST", "/api/v1alpha1/chassis/chassis.0:setIdentify", {"identify": False})
    expect(page.get_by_role("button", name="Turn the identify light on")).to_be_visible()


def test_a_part_that_is_pulled_and_put_back_is_shown_so(open_page: Opener, board: Board) -> None:
    page = open_page("ReadOnly", "/inventory?asset=drive.3")
    row = page.locator("[data-asset='drive.3']")
    details = page.get_by_role("region", name="drive.3")
    expect(details).to_contain_text("DR0003")
    board.fault("asset-unplugged", "drive.3")
    expect(row).to_contain_text("Not there", timeout=20_000)
    expect(details).not_to_contain_text("DR0003")
    expect(page.get_by_text("1 not there")).to_be_visible()
    board.mend()
    expect(row).not_to_contain_text("Not there", timeout=20_000)
    expect(details).to_contain_text("DR0003")


def test_on_a_phone_the_chosen_part_comes_into_sight(open_page: Opener) -> None:
    page = open_page("ReadOnly", "/inventory", size=PHONE)
    page.locator("[data-asset='psu.0']").get_by_role("button").last.click()
    expect(page.get_by_role("heading", name="psu.0")).to_be_in_viewport()


def test_german(open_page: Opener) -> None:
    page = open_page("Administrator", "/inventory?asset=chassis.0", language="de-DE")
    expect(page.get_by_role("heading", level=1)).to_have_text("Inventar")
    expect(page.get_by_role("button", name="Suchlicht einschalten")).to_be_visible()
    expect(page.get_by_role("button", name="Lampentest")).to_be_visible()
