"""Settings of hosts, network and time; and what this BMC is made of."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest
from playwright.sync_api import expect
from tests.harness.program import KILLS_PEERS, until
from tests.webui.webui_house import PHONE, ROOT, Board, Opener, Watch, axe, check_width, shots

pytestmark = pytest.mark.e2e


def test_the_restore_policy_is_chosen_and_others_see_it(open_page: Opener, board: Board) -> None:
    other = open_page("ReadOnly", "/settings")
    page = open_page("Operator", "/settings")
    page.get_by_label("When mains comes back").select_option(label="Power on")
    for each in (page, other):
        expect(each.get_by_label("When mains comes back")).to_have_value("2")
    until(
        lambda: board.program.host()["restorePolicy"] == "RESTORE_POLICY_ALWAYS_ON", why="the restore policy is stored"
    )
    expect(other.get_by_label("When mains comes back")).to_be_disabled()
    expect(other.get_by_role("button", name="Save")).to_have_count(0)
    expect(other.get_by_role("button", name="Start it")).to_have_count(0)


def test_a_policy_that_was_refused_is_not_shown_as_if_it_held(open_page: Opener, board: Board, watch: Watch) -> None:
    watch.allow("net::ERR_")
    page = open_page("Operator", "/settings")
    policy = page.get_by_label("When mains comes back")
    before = policy.input_value()
    page.route("**/UpdateHost", lambda route: route.abort())
    policy.select_option(value={"1": "3"}.get(before, "1"))
    expect(page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_visible()
    expect(policy).to_have_value(before)


def test_the_next_boot_is_from_the_network(open_page: Opener, board: Board) -> None:
    page = open_page("Operator", "/settings")
    page.get_by_label("It holds").select_option(label="For the next boot")
    page.get_by_label("From", exact=True).select_option(label="Network (PXE)")
    page.get_by_role("group", name="Boot override").get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.").first).to_be_visible()
    override = board.program.host()["bootOverride"]
    assert (override["mode"], override["target"]) == ("BOOT_OVERRIDE_MODE_ONCE", "BOOT_TARGET_PXE")
    # somebody else takes it back
    body = {"bootOverride": {"mode": "BOOT_OVERRIDE_MODE_DISABLED"}}
    board.call("PATCH", "/api/v1alpha1/hosts/host.0?updateMask=bootOverride", body)
    expect(page.get_by_label("It holds")).to_have_value("1")


def test_the_watchdog_runs_is_fed_and_stopped(open_page: Opener, board: Board, watch: Watch) -> None:
    watch.allow(r"status of 4\d\d")
    page = open_page("Operator", "/settings")
    group = page.get_by_role("group", name="Host watchdog")
    # it does not run while the host is off, and the server says so
    group.get_by_role("button", name="Start it").click()
    expect(group.get_by_role("alert")).to_be_visible()
    board.program.power("ON")
    board.program.wait_state("ON")
    group.get_by_label("Time until it expires (seconds)").fill("600")
    group.get_by_label("When it expires").select_option(label="Only an event")
    group.get_by_role("button", name="Start it").click()
    expect(group.get_by_text("Runs, ")).to_be_visible()
    assert board.program.host()["watchdog"]["timeout"] == "600s"
    group.get_by_role("button", name="Feed it now").click()
    expect(group.get_by_text("Runs, ")).to_be_visible()
    group.get_by_role("button", name="Stop it").click()
    expect(group.get_by_text("Does not run")).to_be_visible()
    board.program.power("FORCE_OFF")


def test_the_settings_of_hosts_look_right(open_page: Opener) -> None:
    page = open_page("Administrator", "/settings")
    expect(page.get_by_label("When mains comes back")).to_be_visible()
    shots(page, "settings")
    axe(page)


def test_the_network(open_page: Opener, board: Board) -> None:
    page = open_page("Administrator", "/settings/network")
    expect(page.get_by_label("Name of the BMC")).to_be_visible()
    shots(page, "settings-network")
    axe(page)
    page.get_by_label("Name of the BMC").fill("rack7-bmc")
    page.get_by_label("Name servers").fill("192.0.2.53")
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_text("Saved.").first).to_be_visible()
    network = board.call("GET", "/api/v1alpha1/network")["network"]
    assert (network["hostName"], network["staticDnsServers"]) == ("rack7-bmc", ["192.0.2.53"])


def test_an_interface_gets_an_address(open_page: Opener, board: Board) -> None:
    page = open_page("Administrator", "/settings/network")
    card = page.get_by_role("region", name="Interface").first
    card.get_by_label("IPv4 by DHCP").uncheck()
    card.get_by_label("Static IPv4 addresses").fill("192.0.2.300")
    expect(card.get_by_text("“192.0.2.300” is no address with a prefix.")).to_be_visible()
    expect(card.get_by_role("button", name="Save")).to_be_disabled()
    card.get_by_label("Static IPv4 addresses").fill("192.0.2.10/24")
    card.get_by_label("IPv4 gateway").fill("192.0.2.1")
    card.get_by_role("button", name="Save").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Change it").click()
    expect(card.get_by_text("192.0.2.10/24 static")).to_be_visible()
    found = board.call("GET", "/api/v1alpha1/network/interfaces")["networkInterfaces"][0]
    assert found["ipv4"]["staticAddresses"][0]["address"] == "192.0.2.10"


@pytest.mark.parametrize("role", ["Operator", "ReadOnly"])
def test_who_may_not_change_the_bmc_looks_at_network_and_time(role: str, open_page: Opener) -> None:
    page = open_page(role, "/settings/network")
    expect(page.get_by_label("Name of the BMC")).to_be_disabled()
    expect(page.get_by_role("region", name="Interface").first).to_contain_text("eth0")
    expect(page.get_by_label("IPv4 gateway")).to_have_count(0)
    page.goto("/settings/time")
    expect(page.locator("[data-clock]")).to_be_visible()
    expect(page.get_by_label("Time servers", exact=True)).to_be_disabled()
    for path in ("/settings/network", "/settings/time"):
        page.goto(path)
        expect(page.get_by_text("Loading…")).to_have_count(0)
        for verb in ("Save", "Change", "Set the clock"):
            expect(page.locator("main").get_by_role("button", name=verb)).to_have_count(0)


@KILLS_PEERS
def test_an_edit_survives_that_everything_is_read_anew(open_page: Opener, board: Board, watch: Watch) -> None:
    watch.allow(r"net::ERR_|status of 50[34]")
    page = open_page("Administrator", "/settings/network")
    card = page.get_by_role("region", name="Interface").first
    card.get_by_label("Largest packet").fill("1400")
    page.get_by_label("Domain").fill("rack7.example.org")
    door = board.program.processes()["websrv"]
    os.kill(door, signal.SIGKILL)
    expect(page.locator("[data-link='lost']")).to_be_visible()
    expect(page.locator("[data-link='live']")).to_be_visible()
    # something else is saved, and read anew
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_text("Saved.").first).to_be_visible()
    expect(page.get_by_label("Domain")).to_have_value("rack7.example.org")
    expect(card.get_by_label("Largest packet")).to_have_value("1400")
    expect(card.get_by_role("button", name="Save")).to_be_enabled()


def test_the_time(open_page: Opener, board: Board) -> None:
    page = open_page("Administrator", "/settings/time")
    expect(page.locator("[data-clock]")).to_be_visible()
    shots(page, "settings-time")
    axe(page)
    page.get_by_label("Time servers", exact=True).fill("ntp1.example.org\nntp2.example.org")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.").first).to_be_visible()
    assert board.call("GET", "/api/v1alpha1/time")["time"]["ntpServers"] == ["ntp1.example.org", "ntp2.example.org"]


def test_about(open_page: Opener, board: Board) -> None:
    page = open_page("ReadOnly", "/about")
    system = board.call("GET", "/api/v1alpha1/system")["system"]
    expect(page.locator("[data-version]")).to_have_text(system["version"])
    for service in board.call("GET", "/api/v1alpha1/system/health")["services"]:
        expect(page.locator(f"[data-service='{service['name']}']")).to_be_visible()
    expect(page.get_by_text("All services do their work.")).to_be_visible()
    licences = json.loads((ROOT / "src" / "ubmc" / "webui" / "licences.json").read_text())
    assert {"svelte", "@connectrpc/connect-web", "tailwindcss", "uplot"} <= {each["name"] for each in licences}
    for each in licences:
        assert each["licence"], each
        assert len(each["text"]) > 200 if each["part"] == "pages" else each["where"], each
    packages = page.locator("summary")
    packages.filter(has_text=re.compile(r"^\s*svelte ")).click()
    expect(page.get_by_label("Licence of svelte", exact=True)).to_contain_text("Permission is hereby granted")
    shots(page, "about")
    page.get_by_label("Search: name, version, licence").fill("nats-server apache")
    expect(packages).to_have_count(1)
    expect(page.get_by_text("1 package", exact=True)).to_be_visible()
    packages.click()
    expect(page.locator("[data-part='bmc']")).to_contain_text("dist-info/licenses/LICENSE")
    axe(page)
    german = open_page("ReadOnly", "/about", language="de-DE")
    expect(german.get_by_role("heading", name="Auf dem BMC läuft")).to_be_visible()


def test_german_on_a_phone(open_page: Opener) -> None:
    page = open_page("Administrator", "/settings", language="de-DE", size=PHONE)
    expect(page.get_by_label("Wenn der Netzstrom wiederkommt")).to_be_visible()
    for path in ("/settings", "/settings/network", "/settings/time", "/about"):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        check_width(page)
