"""What all pages stand on: delivery, policy, size, the connection that is lost and comes back, session expiry."""

from __future__ import annotations

import os
import re
import signal

import httpx
import pytest
from playwright.sync_api import Page, Response, expect
from tests.harness.program import KILLS_PEERS, until
from tests.webui.webui_house import PHONE, Board, Opener, Watch, axe, check_width, shot

pytestmark = pytest.mark.e2e

BUDGET = 300 * 1024
MENU = (
    "/", "/power", "/sensors", "/cooling", "/inventory", "/events", "/console", "/users", "/security", "/settings",
    "/about",
)  # fmt: skip
PARTS = (
    "/sensors?sensor=inlet_temp", "/inventory?asset=psu.0",
    "/users/me", "/users/sessions", "/users/tokens", "/users/roles", "/users/policy", "/users/directory",
    "/security/acme", "/security/trust", "/security/policy", "/security/selftest", "/security/audit",
    "/settings/network", "/settings/time", "/screen", "/media", "/updates",
)  # fmt: skip
ADMINISTRATORS = {"/users/directory", "/security/selftest", "/security/audit"}
MAY_NOT = "Your role does not include this."


def test_files_are_served_as_they_should(board: Board) -> None:
    with board.program.client(headers={"accept": "text/html", "accept-encoding": "gzip"}) as client:
        page = client.get("/sensors")
        assert page.status_code == 200
        assert page.headers["content-encoding"] == "gzip"
        best = client.get("/sensors", headers={"accept-encoding": "gzip, deflate, br, zstd"})
        assert best.headers["content-encoding"] == "br"
        assert best.headers["etag"] != page.headers["etag"]
        assert page.headers["cache-control"] == "no-cache"
        policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert "unsafe" not in page.headers["content-security-policy"]
        assert policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "geolocation=()" in page.headers["permissions-policy"]
        again = client.get("/sensors", headers={"if-none-match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        script = re.search(r'href="(/_app/immutable/[^"]+\.js)"', page.text)
        assert script
        found = client.get(script[1])
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert found.headers["content-type"].startswith("text/javascript")
        plain = client.get(script[1], headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.text == found.text
        assert plain.headers["etag"] != found.headers["etag"]
        head = client.head("/")
        assert (head.status_code, head.content) == (200, b"")
        for path in (
            "/_app/immutable/nothing.js",
            "/manifest.json",
            "/.stamp",
            "/_app/../.stamp",
            "/%2e%2e/app.py",
        ):
            answer = client.get(path, headers={"accept": "*/*"})
            assert answer.status_code == 404, path
        assert client.post("/").status_code == 405
        assert client.get("/api/v1alpha1/nothing").status_code == 404


def test_the_first_load_is_small(open_page: Opener) -> None:
    sizes: dict[str, int] = {}

    def note(answer: Response) -> None:
        if "/ubmc." not in answer.url:
            sizes[answer.url] = int(answer.headers.get("content-length", "0"))

    page = open_page("", "/login")
    page.on("response", note)
    page.goto("/login")
    expect(page.get_by_label("User name")).to_be_visible()
    login = sum(sizes.values())
    assert 30_000 < login < BUDGET, f"{login} bytes"
    sizes.clear()
    inside = open_page("Administrator", "/login")
    inside.on("response", note)
    inside.goto("/")
    expect(inside.get_by_role("region", name="Temperatures nearest to their limits")).to_be_visible()
    overview = sum(sizes.values())
    assert 50_000 < overview < BUDGET, f"{overview} bytes"


@pytest.mark.parametrize("role", ["Administrator", "Operator", "ReadOnly"])
def test_every_page_opens_for_every_role_asks_for_nothing_forbidden_and_fits_a_phone(
    open_page: Opener, role: str
) -> None:
    page = open_page(role, "/", size=PHONE)
    titles = set()
    for path in (*MENU, *PARTS):
        page.goto(path)
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_be_visible()
        if path in MENU:
            titles.add(heading.inner_text())
        expect(page.get_by_text("Loading…")).to_have_count(0)
        expect(page.get_by_text(MAY_NOT)).to_have_count(int(path in ADMINISTRATORS and role != "Administrator"))
        if path in ADMINISTRATORS and role != "Administrator":
            # the parts beside it are there, and nothing else to press
            expect(page.locator("main").get_by_role("button")).to_have_count(0)
            expect(page.locator("main nav").get_by_role("link").first).to_be_visible()
        check_width(page)
    assert len(titles) == len(MENU)


def test_pages_that_this_bmc_does_not_have_are_not_in_the_menu_and_say_so(open_page: Opener) -> None:
    page = open_page("Administrator", "/screen")
    expect(page.get_by_role("heading", level=1)).to_have_text("Screen")
    expect(page.get_by_text("This BMC does not have the screen of a host yet.")).to_be_visible()
    menu = page.get_by_role("navigation", name="Pages")
    expect(menu.get_by_role("link", name="Console")).to_be_visible()  # by now it is known what there is
    for name in ("Screen", "Media", "Updates"):
        expect(menu.get_by_role("link", name=name)).to_have_count(0)
    axe(page)


def test_times_are_written_as_the_region_of_the_browser_writes_them(open_page: Opener) -> None:
    seen = {}
    for language in ("en-GB", "en-US"):
        page = open_page("ReadOnly", "/events", language=language, timezone_id="Asia/Kolkata")
        time = page.locator("[data-event] time").first
        expect(time).to_be_visible()
        seen[language] = time.inner_text()
        assert "GMT+5:30" in (time.get_attribute("title") or "")
        expect(page.get_by_text("Time (GMT+5:30)")).to_be_visible()
        page.locator("[data-event] > button").first.click()
        expect(page.locator("[data-event] dd time").first).to_contain_text("GMT+5:30")
    assert re.search(r"[AP]M$", seen["en-US"]), seen
    assert not re.search(r"[AP]M", seen["en-GB"]), seen


def test_what_the_browser_says_of_a_lost_connection_is_in_the_language_of_the_page(
    open_page: Opener, watch: Watch
) -> None:
    watch.allow("net::ERR_")
    page = open_page("Administrator", "/users/policy", language="de-DE")
    page.get_by_label("Zeichen mindestens").fill("10")
    page.route("**/UpdateAccountPolicy", lambda route: route.abort())
    page.get_by_role("button", name="Speichern").click()
    expect(page.get_by_role("alert").filter(has_text="Der BMC ist nicht zu erreichen.")).to_be_visible()
    expect(page.get_by_text("Failed to fetch")).to_have_count(0)


def test_the_frame_and_the_window_say_which_bmc_it_is(open_page: Opener) -> None:
    page = open_page("ReadOnly", "/power", size=PHONE)
    expect(page.locator("[data-bmc]")).to_have_text("127.0.0.1")
    expect(page).to_have_title("Power · 127.0.0.1 · u-bmc")


def test_the_menu_works_on_a_phone(open_page: Opener) -> None:
    page = open_page("ReadOnly", "/", size=PHONE)
    page.get_by_role("button", name="Menu").click()
    menu = page.get_by_role("dialog", name="Pages")
    axe(page, both=False)
    menu.get_by_role("link", name="Sensors").click()
    expect(menu).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text("Sensors")


def test_theme_and_language_are_chosen_and_kept(open_page: Opener) -> None:
    page = open_page("ReadOnly", "/", dark=True)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    account = page.get_by_role("banner").get_by_role("button", name="Account")
    account.click()
    axe(page, both=False, without=("region",))  # a menu is above the page, and in no part of it
    page.get_by_role("menuitem", name="Theme: light").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    account.click()
    expect(page.get_by_role("menuitem", name="Theme: light chosen")).to_be_visible()
    expect(page.get_by_role("menuitem", name="Theme: dark chosen")).to_have_count(0)
    page.get_by_role("menuitem", name="Deutsch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Übersicht")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Übersicht")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert page.evaluate("document.documentElement.lang") == "de"


def test_a_page_that_is_not_there_says_so(open_page: Opener) -> None:
    page = open_page("ReadOnly", "/no/such/page")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page.")
    axe(page)
    page.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


@KILLS_PEERS
def test_a_killed_door_is_noticed_and_caught_up_with_without_a_reload(
    open_page: Opener, watch: Watch, board: Board
) -> None:
    watch.allow(r"net::ERR_|the server responded with a status of 50[34]")
    page = open_page("Operator", "/")
    host = page.locator("[data-host='host.0']")
    expect(host).to_contain_text("Off")
    page.evaluate("window.notReloaded = true")
    door = board.program.processes()["websrv"]
    os.kill(door, signal.SIGSTOP)  # so that the state changes while nothing can be heard
    os.kill(door, signal.SIGKILL)
    expect(page.locator("[data-link='lost']")).to_be_visible()
    until(lambda: board.program.processes().get("websrv", door) != door, 20, "another websrv")
    until(lambda: answers(board), 20, "websrv answers")
    board.program.power("ON")
    expect(page.locator("[data-link='live']")).to_be_visible()
    expect(host.get_by_text("On", exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="Last events")).to_contain_text("host.0 went from powering on to on")
    assert page.evaluate("window.notReloaded") is True


def answers(board: Board) -> bool:
    try:
        return board.program.request("GET", "/api/v1alpha1/hosts").status_code == 200
    except (OSError, httpx.HTTPError):
        return False


@KILLS_PEERS
def test_the_whole_program_is_restarted_under_an_open_page(open_page: Opener, watch: Watch, board: Board) -> None:
    watch.allow(r"net::ERR_|the server responded with a status of 50[34]")
    page = open_page("Operator", "/sensors")
    value = page.locator("[data-sensor='inlet_temp'] [data-value]")
    expect(value).to_contain_text("°C")
    page.evaluate("window.notReloaded = true")
    board.program.stop()
    banner = page.get_by_role("alert").filter(has_text="No answer from the BMC since")
    expect(banner).to_be_visible()
    # what is urgent is read out each time it changes
    said = banner.inner_text()
    page.wait_for_timeout(2500)
    assert banner.inner_text() == said
    shot(page, "lost")
    board.program.start()
    expect(page.locator("[data-link='live']")).to_be_visible()
    board.fault("sensor-stuck", "inlet_temp", 33.3)
    expect(value).to_have_text("33.3\u00a0°C")
    board.mend()
    assert page.evaluate("window.notReloaded") is True


def test_nothing_is_kept_of_who_was_here_before(open_page: Opener, watch: Watch) -> None:
    watch.allow("the server responded with a status of 401")
    page = open_page("Administrator", "/events", fresh=True)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    log_out(page)
    assert page.evaluate("sessionStorage.length") == 0
    kept = page.evaluate("Object.keys(localStorage)")
    assert set(kept) <= {"ubmc-theme", "ubmc-language"}
    assert page.evaluate("document.cookie") == ""


def log_out(page: Page) -> None:
    page.get_by_role("banner").get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Log out").click()
    expect(page.get_by_label("User name")).to_be_visible()
