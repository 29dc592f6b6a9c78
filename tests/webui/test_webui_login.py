"""Logging in: password, second factor, forced change, refusals, the end of a session."""

from __future__ import annotations

import time

import pyotp
import pytest
from playwright.sync_api import Page, expect
from tests.harness.program import ADMIN_PASSWORD
from tests.webui.webui_house import PASSWORD, Board, Opener, Watch, axe, shots

pytestmark = pytest.mark.e2e

REFUSED = r"the server responded with a status of 401"


def log_in(page: Page, user: str, password: str) -> None:
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Log in").click()


def test_a_person_logs_in_and_comes_to_where_they_wanted(open_page: Opener) -> None:
    page = open_page("", "/sensors")
    expect(page).to_have_url("/login?next=%2Fsensors")
    log_in(page, "admin", ADMIN_PASSWORD)
    expect(page).to_have_url("/sensors")
    cookies = {each["name"]: each for each in page.context.cookies()}
    assert cookies["__Host-ubmc-session"]["httpOnly"]
    assert page.evaluate("document.cookie").count("session") == 0
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sensors")


def test_next_never_leads_away(open_page: Opener) -> None:
    page = open_page("Administrator", "/login?next=https://evil.example/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    # a path of ours that is another site's address by itself, and one that no page has
    for path in ("//evil.example/x", "/.//evil.example/x", "/no/such/page"):
        page.goto(f"/login?next={path}")
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_the_login_page_looks_right(open_page: Opener) -> None:
    page = open_page("", "/login")
    expect(page.get_by_label("User name")).to_be_focused()
    axe(page)
    shots(page, "login")
    page.get_by_role("button", name="Deutsch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Anmelden")
    assert page.evaluate("document.documentElement.lang") == "de"


def test_a_wrong_password_says_so_and_after_several_the_account_is_locked(
    open_page: Opener, watch: Watch, board: Board
) -> None:
    watch.allow(REFUSED)
    name = board.user("ReadOnly", "clumsy")
    path = f"/api/v1alpha1/users/{name}"
    board.call("PATCH", "/api/v1alpha1/account-policy?updateMask=lockoutFailures", {"lockoutFailures": 3})
    page = open_page("", "/login")
    for count in range(3):
        assert "lockedUntil" not in board.call("GET", path)["user"], count
        log_in(page, name, "wrong")
        expect(page.get_by_role("alert")).to_contain_text("wrong user name or password")
        expect(page.get_by_label("Password", exact=True)).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text("locked for some minutes")
    axe(page)
    shots(page, "login-refused")
    # it is, and the right password does not help
    log_in(page, name, PASSWORD)
    expect(page.get_by_label("Password", exact=True)).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text("locked for some minutes")
    expect(page).to_have_url("/login")
    board.call("POST", f"{path}:unlock", {})
    log_in(page, name, PASSWORD)
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_a_password_that_was_given_must_be_changed_first(open_page: Opener, watch: Watch, board: Board) -> None:
    watch.allow(r"the server responded with a status of 40[03]")
    user = {"user": {"name": "fresh", "role": "Operator", "mustChangePassword": True}, "password": PASSWORD}
    board.call("POST", "/api/v1alpha1/users", user)
    page = open_page("", "/login?next=%2Fpower")
    log_in(page, "fresh", PASSWORD)
    expect(page.get_by_role("heading", level=1)).to_have_text("Choose a password of your own")
    axe(page)
    shots(page, "login-change")
    page.goto("/power")
    expect(page.get_by_role("heading", level=1)).to_have_text("Choose a password of your own")
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("short")
    page.get_by_label("New password again").fill("shorter")
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_text("The two are not the same.")).to_be_visible()
    page.get_by_label("New password again").fill("short")
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_label("New password", exact=True)).to_have_attribute("aria-invalid", "true")
    for label in ("New password", "New password again"):
        page.get_by_label(label, exact=True).fill("another long passphrase")
    page.get_by_role("button", name="Change the password").click()
    expect(page).to_have_url("/power")


def test_a_second_factor_is_asked_for(open_page: Opener, watch: Watch, board: Board) -> None:
    watch.allow(REFUSED)
    name = board.user("Operator", "careful")
    secret = enrolled(board, name)
    page = open_page("", "/login")
    log_in(page, name, PASSWORD)
    code = page.get_by_label("One-time code")
    expect(code).to_be_focused()
    expect(code).not_to_have_attribute("aria-invalid", "true")
    axe(page)
    shots(page, "login-code")
    code.fill("000000")
    page.get_by_role("button", name="Log in").click()
    expect(code).to_have_attribute("aria-invalid", "true")
    code.fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def enrolled(board: Board, name: str) -> str:
    """Gives an account a second factor; the secret. The code that was used for it is of an earlier step."""
    with board.program.client() as client:
        token = client.post("/api/v1alpha1/sessions:login", json={"user": name, "password": PASSWORD}).json()["token"]
        client.headers["authorization"] = f"Bearer {token}"
        path = f"/api/v1alpha1/users/{name}"
        secret = str(client.post(f"{path}:startTotp", json={"currentPassword": PASSWORD}).json()["secret"])
        code = pyotp.TOTP(secret).at(time.time() - 30)
        answer = client.post(f"{path}:confirmTotp", json={"oneTimeCode": code})
        assert answer.status_code == 200, answer.text
    return secret


def test_logging_out_leaves_the_pages_in_every_tab(open_page: Opener, watch: Watch) -> None:
    watch.allow(REFUSED)
    page = open_page("Administrator", "/", fresh=True)
    other = page.context.new_page()
    other.goto("/power")
    expect(other.get_by_role("heading", level=1)).to_have_text("Power")
    page.get_by_role("banner").get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Log out").click()
    expect(page).to_have_url("/login")
    expect(other).to_have_url("/login?next=%2Fpower")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


def test_a_session_that_is_ended_elsewhere_says_so_and_goes_on_after_the_login(
    open_page: Opener, watch: Watch, board: Board
) -> None:
    watch.allow(REFUSED)
    page = open_page("Operator", "/power", fresh=True)
    expect(page.get_by_text("Live")).to_be_visible()
    for session in board.call("GET", "/api/v1alpha1/sessions")["sessions"]:
        if session["user"] == "a-operator":
            board.call("DELETE", f"/api/v1alpha1/sessions/{session['id']}")
    expect(page).to_have_url("/login?next=%2Fpower")
    expect(page.get_by_role("status").filter(has_text="Your session has ended")).to_be_visible()
    log_in(page, "a-operator", PASSWORD)
    expect(page).to_have_url("/power")
    expect(page.get_by_text("Live")).to_be_visible()


# The last one: nobody at this address can log in after it.
def test_too_many_failures_of_an_address_say_when_to_try_again(open_page: Opener, watch: Watch, board: Board) -> None:
    watch.allow(r"the server responded with a status of (401|429)")
    board.call("PATCH", "/api/v1alpha1/account-policy?updateMask=sourceLockoutFailures", {"sourceLockoutFailures": 5})
    page = open_page("", "/login")
    for _ in range(8):
        log_in(page, "nobody", "wrong")
        expect(page.get_by_role("button", name="Log in")).to_be_enabled()
    expect(page.get_by_role("alert")).to_contain_text("try again in")
