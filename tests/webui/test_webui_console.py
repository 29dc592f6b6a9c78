"""The serial console in the page: reading, writing, taking over, and what a host may not do to the page."""

from __future__ import annotations

import base64
import os
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.harness.program import until
from tests.webui.webui_house import PHONE, Board, Opener, Watch, axe, check_width, shots

pytestmark = pytest.mark.e2e

CONSOLE = "/api/v1alpha1/hosts/host.0/console"


def screen(page: Page) -> Locator:
    return page.locator(".xterm-rows")


def said(board: Board) -> bytes:
    """The last that the host has written."""
    answer = board.call("GET", f"{CONSOLE}:read?tailBytes=65536")
    return base64.b64decode(answer.get("data", ""))


def write(board: Board, data: bytes) -> None:
    body = {"data": base64.b64encode(data).decode(), "takeOver": True}
    board.call("POST", f"{CONSOLE}:write", body)


@pytest.fixture(scope="module")
def shell(board: Board) -> Board:
    """The host runs, and somebody is logged in on its console."""
    board.program.power("ON")
    until(lambda: b"login: " in said(board), 40, "the host asks for a login")
    write(board, b"root\r")
    until(lambda: b"assword" in said(board), why="it asks for a password")
    write(board, b"root\r")
    until(lambda: said(board).rstrip().endswith((b"$", b"#")), why="a prompt")
    return board


def attached(page: Page, *, writing: bool = True) -> None:
    expect(page.locator("[data-console=attached]")).to_be_visible()
    if writing:
        expect(page.get_by_text("You write")).to_be_visible()


def test_somebody_types_and_reads(open_page: Opener, shell: Board) -> None:
    page = open_page("Operator", "/console")
    expect(page.get_by_role("heading", level=1)).to_have_text("Console of host.0")
    attached(page)
    # what the host wrote before is there
    expect(screen(page)).to_contain_text("login:")
    page.keyboard.type("echo hello from the page\n")
    until(lambda: said(shell).count(b"hello from the page") >= 2, why="the host answers")
    expect(screen(page)).to_contain_text("hello from the page")
    shots(page, "console")
    axe(page)
    page.keyboard.press("Control+Alt+Escape")
    expect(page.get_by_role("searchbox", name="Search in the console")).to_be_focused()


def test_who_may_only_look_only_looks(open_page: Opener, shell: Board) -> None:
    page = open_page("ReadOnly", "/console")
    attached(page, writing=False)
    expect(page.get_by_text("You read only")).to_be_visible()
    expect(screen(page)).to_contain_text("login:")
    for verb in ("Write", "Take over", "Send BREAK"):
        expect(page.get_by_role("button", name=verb)).to_have_count(0)
    page.keyboard.type("echo never typed\n")
    write(shell, b"echo of another\r")
    expect(screen(page)).to_contain_text("of another")
    assert b"never typed" not in said(shell)


def test_the_console_is_taken_over(open_page: Opener, shell: Board) -> None:
    first = open_page("Operator", "/console")
    attached(first)
    second = open_page("Administrator", "/console")
    attached(second, writing=False)
    expect(second.get_by_text("a-operator writes")).to_be_visible()
    second.get_by_role("button", name="Take over").click()
    second.get_by_role("alertdialog").get_by_role("button", name="Take over").click()
    expect(second.get_by_text("You write")).to_be_visible()
    expect(first.get_by_text("admin writes")).to_be_visible()
    second.get_by_role("button", name="Stop writing").click()
    expect(first.get_by_text("Nobody writes")).to_be_visible()
    first.get_by_role("button", name="Write", exact=True).click()
    expect(first.get_by_text("You write")).to_be_visible()


def test_search_and_download(open_page: Opener, shell: Board, tmp_path: Path) -> None:
    page = open_page("Operator", "/console")
    attached(page)
    page.locator("[data-terminal]").click()
    page.keyboard.type("echo needle-in-the-log\n")
    expect(screen(page)).to_contain_text("needle-in-the-log")
    page.get_by_role("searchbox").fill("needle-in-the-log")
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_text("Not found.")).to_have_count(0)
    # what was found is marked; a browser that lets nobody copy says so
    page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error('not now')))")
    page.get_by_role("button", name="Copy what is marked").click()
    expect(page.get_by_text("The browser does not let this page copy.")).to_be_visible()
    page.get_by_role("searchbox").fill("nothing of that kind")
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_text("Not found.")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download what is shown").click()
    file = tmp_path / "console.txt"
    waiting.value.save_as(file)
    assert "needle-in-the-log" in file.read_text()


def test_what_is_marked_is_copied_and_the_terminal_fills_the_screen(open_page: Opener, shell: Board) -> None:
    page = open_page("Operator", "/console", permissions=["clipboard-read", "clipboard-write"])
    attached(page)
    page.locator("[data-terminal]").click()
    page.keyboard.type("echo copied-from-here\n")
    expect(screen(page)).to_contain_text("copied-from-here")
    page.get_by_role("searchbox").fill("copied-from-here")
    page.get_by_role("searchbox").press("Enter")  # what is found is marked
    page.get_by_role("button", name="Copy what is marked").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "copied-from-here"
    page.get_by_role("button", name="Full screen").click()
    leave = page.get_by_role("button", name="Leave full screen")
    expect(leave).to_be_visible()
    assert page.evaluate("document.fullscreenElement.contains(document.querySelector('[data-terminal]'))")
    leave.click()
    expect(leave).to_have_count(0)
    assert page.evaluate("document.fullscreenElement") is None


def test_a_host_reaches_neither_clipboard_nor_title_nor_its_own_input(open_page: Opener, shell: Board) -> None:
    page = open_page("Operator", "/console", permissions=["clipboard-read", "clipboard-write"])
    attached(page)
    page.evaluate("navigator.clipboard.writeText('mine')")
    title = page.title()
    stolen = base64.b64encode(b"stolen")
    hostile = b"\x1b]52;c;" + stolen + b"\x07\x1b]0;owned\x07\x1b]2;owned\x07\x1b[21t\x1b]8;;https://evil.example\x07x"
    hostile += b"<img src=x onerror=document.title='owned'>"
    write(shell, b"echo " + hostile + b" marker-one\r")
    expect(screen(page)).to_contain_text("marker-one")
    assert page.evaluate("navigator.clipboard.readText()") == "mine"
    assert page.title() == title
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("[data-terminal] a").count() == 0
    # no report of the title was typed into the host
    assert b"owned\x1b\\" not in said(shell)


def test_what_came_meanwhile_is_there_after_the_door_was_killed(open_page: Opener, shell: Board, watch: Watch) -> None:
    watch.allow(r"WebSocket|ERR_|Failed to fetch|status of 503|net::")
    page = open_page("Operator", "/console")
    attached(page)
    os.kill(shell.program.processes()["websrv"], signal.SIGKILL)
    expect(page.locator("[data-console=lost]")).to_be_visible()
    attached(page)
    page.locator("[data-terminal]").click()
    page.keyboard.type("echo after the restart\n")
    expect(screen(page)).to_contain_text("after the restart")
    # nothing twice
    assert screen(page).inner_text().count("after the restart") == 2


def test_german_on_a_phone(open_page: Opener, shell: Board) -> None:
    page = open_page("Operator", "/console", language="de-DE", size=PHONE)
    expect(page.get_by_role("heading", level=1)).to_have_text("Konsole von host.0")
    expect(page.locator("[data-console=attached]")).to_be_visible()
    check_width(page)
