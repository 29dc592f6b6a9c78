"""Accounts, sessions, tokens, roles, policy, directory: everybody's own, and everybody's for who manages them."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

import pyotp
import pytest
from playwright.sync_api import Page, expect
from tests.harness.program import ADMIN_PASSWORD, until
from tests.webui.webui_house import PASSWORD, PHONE, Board, Opener, Watch, axe, check_width, shots

pytestmark = pytest.mark.e2e

ROOT_PARTS = {"Administrator": 7, "Operator": 5, "ReadOnly": 5}


def login(board: Board, user: str, password: str, code: str = "") -> int:
    body = {"user": user, "password": password, "oneTimeCode": code}
    return board.program.request("POST", "/api/v1alpha1/sessions:login", body, token="").status_code


def open_actions(page: Page, user: str, action: str) -> None:
    page.locator(f"[data-user='{user}']").get_by_role("button").click()
    page.get_by_role("menuitem", name=action, exact=True).click()


@pytest.mark.parametrize("role", ["Administrator", "Operator", "ReadOnly"])
def test_each_role_sees_its_parts(role: str, open_page: Opener) -> None:
    page = open_page(role, "/users")
    parts = page.get_by_role("navigation", name="Parts of the user pages")
    expect(parts.get_by_role("link")).to_have_count(ROOT_PARTS[role])
    if role == "Administrator":
        expect(page.locator("[data-user='admin']")).to_be_visible()
    else:
        expect(page).to_have_url("/users/me")
        for path in ("/users/sessions", "/users/tokens", "/users/roles", "/users/policy"):
            page.goto(path)
            expect(parts.locator("[aria-current=page]")).to_have_attribute("href", path)
        expect(page.get_by_role("button", name="Save")).to_have_count(0)
        expect(page.get_by_label("Characters at least")).to_be_disabled()
        page.goto("/users/roles")
        expect(page.get_by_role("button", name="New role")).to_have_count(0)


@pytest.mark.parametrize("part", ["", "/me", "/sessions", "/tokens", "/roles", "/policy", "/directory"])
def test_every_part_is_accessible_and_fits(part: str, open_page: Opener) -> None:
    page = open_page("Administrator", f"/users{part}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Users")
    expect(page.get_by_text("Loading…")).to_have_count(0)
    shots(page, f"users{part.replace('/', '-')}")
    axe(page)


def test_an_account_is_made_changed_and_deleted(open_page: Opener, board: Board, watch: Watch) -> None:
    watch.allow(r"status of 4\d\d")
    page = open_page("Administrator", "/users")
    page.get_by_role("button", name="New account").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Not Good!")
    dialog.get_by_label("Role").select_option("Operator")
    dialog.get_by_label("Password", exact=True).fill("for the first day")
    axe(page)
    dialog.get_by_role("button", name="New account").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    expect(dialog.get_by_label("Name", exact=True)).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Name", exact=True).fill("olga")
    dialog.get_by_label("Password", exact=True).fill("password")
    dialog.get_by_role("button", name="New account").click()
    expect(dialog.get_by_label("Password", exact=True)).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Password", exact=True).fill("for the first day")
    dialog.get_by_role("button", name="New account").click()
    row = page.locator("[data-user='olga']")
    expect(row).to_contain_text("Operator")
    expect(row).to_contain_text("Must change the password")

    open_actions(page, "olga", "Change")
    dialog.get_by_label("Role").select_option("ReadOnly")
    dialog.get_by_label("May log in").uncheck()
    dialog.get_by_label("Identities in client certificates").fill("email:olga@example.org\n\ndns:olga.example.org\n")
    dialog.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("Disabled")
    user = board.call("GET", "/api/v1alpha1/users/olga")["user"]
    assert user["role"] == "ReadOnly"
    assert user["certificateIdentities"] == ["email:olga@example.org", "dns:olga.example.org"]

    open_actions(page, "olga", "Delete")
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_a_password_is_given_anew_and_a_lock_is_opened(open_page: Opener, board: Board) -> None:
    name = board.user("Operator", "lena")
    page = open_page("Administrator", "/users")
    open_actions(page, name, "Give a new password")
    page.get_by_role("dialog").get_by_label("New password").fill("quite another phrase")
    page.get_by_role("dialog").get_by_role("button", name="Give a new password").click()
    expect(page.locator(f"[data-user='{name}']")).to_contain_text("Must change the password")
    assert login(board, name, "quite another phrase") == 200
    for _ in range(6):
        login(board, name, "wrong")
    expect(page.locator(f"[data-user='{name}']")).to_contain_text("Locked until")
    open_actions(page, name, "Unlock")
    expect(page.locator(f"[data-user='{name}']")).not_to_contain_text("Locked until")
    assert login(board, name, "quite another phrase") == 200


def test_what_the_server_refuses_is_explained(open_page: Opener, watch: Watch) -> None:
    watch.allow(r"status of 4\d\d")
    page = open_page("Administrator", "/users")
    open_actions(page, "admin", "Change")
    page.get_by_role("dialog").get_by_label("Role").select_option("ReadOnly")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    alert = page.get_by_role("dialog").get_by_role("alert")
    expect(alert).to_contain_text("administrator")
    expect(alert).to_contain_text("Trace id")


def test_the_own_password(open_page: Opener, board: Board, watch: Watch) -> None:
    watch.allow(r"status of 4\d\d")
    board.user("ReadOnly", "paul")
    page = open_page("", "/login")
    page.get_by_label("User name").fill("paul")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.goto("/users/me")
    page.get_by_label("Current password").fill("not this one")
    page.get_by_label("New password", exact=True).fill("a phrase of my own")
    page.get_by_label("New password again").fill("a phrase of my")
    page.keyboard.press("Tab")
    expect(page.get_by_text("The two are not the same.")).to_be_visible()
    page.get_by_label("New password again").fill("a phrase of my own")
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_label("Current password")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_text("The password was changed.").first).to_be_visible()
    assert login(board, "paul", "a phrase of my own") == 200
    # the session that changed it goes on
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Users")


def test_a_second_factor_by_qr_code(open_page: Opener, board: Board, watch: Watch) -> None:
    watch.allow(r"status of 4\d\d")
    board.user("Operator", "tina")
    page = open_page("", "/login?next=/users/me")
    page.get_by_label("User name").fill("tina")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Set up a second factor").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Current password").fill(PASSWORD)
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_role("img", name="QR code for the authenticator app")).to_be_visible()
    secret = re.sub(r"\s", "", dialog.locator("[data-totp-secret]").inner_text())
    shots(page, "users-second-factor")
    axe(page)
    dialog.get_by_label("Code", exact=True).fill("000000")
    dialog.get_by_role("button", name="Confirm").click()
    expect(dialog.get_by_label("Code", exact=True)).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Code", exact=True).fill(pyotp.TOTP(secret).now())
    dialog.get_by_role("button", name="Confirm").click()
    codes = dialog.locator("[data-secret] li")
    expect(codes).to_have_count(10)
    shown = codes.all_inner_texts()
    shots(page, "users-recovery-codes")
    axe(page)
    dialog.get_by_role("button", name="I have kept them").click()
    expect(page.get_by_text("10 recovery codes left")).to_be_visible()
    # shown once: nowhere in the page any more
    assert shown[0] not in page.content()
    assert login(board, "tina", PASSWORD) == 401
    assert login(board, "tina", PASSWORD, shown[0]) == 200
    page.get_by_role("button", name="New recovery codes").click()
    dialog.get_by_label("Code", exact=True).fill("999999")
    dialog.get_by_role("button", name="New recovery codes").click()
    # a wrong code is told, and logs nobody out
    expect(dialog.get_by_role("alert").first).to_be_visible()
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove the second factor").click()
    dialog.get_by_label("Code", exact=True).fill(shown[1])
    dialog.get_by_role("button", name="Remove the second factor").click()
    expect(page.get_by_text("Not set up")).to_be_visible()
    assert login(board, "tina", PASSWORD) == 200


def test_an_ipmi_secret_is_shown_once(open_page: Opener, board: Board) -> None:
    board.user("Operator", "ines")
    page = open_page("Administrator", "/users")
    open_actions(page, "ines", "IPMI")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Make a new secret").click()
    secret = dialog.locator("[data-secret]").inner_text().strip()
    assert len(secret) == 20
    axe(page)
    page.keyboard.press("Escape")
    expect(page.locator("[data-user='ines']")).to_contain_text("IPMI")
    assert secret not in page.content()
    open_actions(page, "ines", "IPMI")
    dialog.get_by_role("button", name="Take the secret away").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Take the secret away").click()
    until(lambda: not board.call("GET", "/api/v1alpha1/users/ines")["user"].get("ipmiEnabled"), why="it is gone")


def test_sessions_are_ended(open_page: Opener, board: Board, watch: Watch) -> None:
    watch.allow(r"status of 401")
    other = open_page("ReadOnly", "/events", fresh=True)
    expect(other.locator("[data-event]").first).to_be_visible()
    page = open_page("Administrator", "/users/sessions")
    expect(page.locator("[data-session]").first).to_contain_text("This session")
    token = {each["name"]: each["value"] for each in other.context.cookies()}["__Host-ubmc-session"]
    answer = board.program.request("GET", "/api/v1alpha1/sessions:current", token=token).json()
    row = page.locator(f"[data-session='{answer['session']['id']}']")
    expect(row).to_contain_text("a-readonly")
    row.get_by_role("button").click()
    page.get_by_role("alertdialog").get_by_role("button", name="End").click()
    expect(row).to_have_count(0)
    expect(other.get_by_label("User name")).to_be_visible(timeout=20_000)


def test_somebody_sees_only_their_own_sessions(open_page: Opener) -> None:
    page = open_page("ReadOnly", "/users/sessions")
    expect(page.locator("[data-session]").first).to_be_visible()
    for each in page.locator("[data-session]").all():
        expect(each).to_contain_text("a-readonly")


def test_a_token_is_made_used_and_deleted(open_page: Opener, board: Board) -> None:
    page = open_page("Operator", "/users/tokens")
    expect(page.get_by_text("There are no tokens.")).to_be_visible()
    page.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("What it is for").fill("nightly backup")
    dialog.get_by_label("Good for").select_option(label="7 days")
    dialog.get_by_label("Log in and look").check()
    expect(dialog.get_by_label("Manage accounts")).to_have_count(0)
    axe(page)
    page.evaluate("const now = Date.now; Date.now = () => now() + 400 * 86_400_000")  # a clock that is wrong
    dialog.get_by_role("button", name="New token").click()
    secret = dialog.locator("[data-secret]").inner_text().strip()
    assert secret.startswith("ubmc_pat_")
    made = board.call("GET", "/api/v1alpha1/tokens?user=a-operator")["tokens"][0]
    length = datetime.fromisoformat(made["expireTime"]) - datetime.fromisoformat(made["createTime"])
    assert abs(length - timedelta(days=7)) < timedelta(seconds=1)
    shots(page, "users-token-made")
    dialog.get_by_role("button", name="Close").last.click()
    assert board.program.request("GET", "/api/v1alpha1/hosts", token=secret).status_code == 200
    body = {"identify": True}
    refused = board.program.request("POST", "/api/v1alpha1/chassis/chassis.0:setIdentify", body, token=secret)
    assert refused.status_code == 403
    row = page.locator("[data-token='nightly backup']")
    expect(row).to_contain_text("Log in and look")
    row.get_by_role("button").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    until(
        lambda: board.program.request("GET", "/api/v1alpha1/hosts", token=secret).status_code == 401, why="it is dead"
    )


def test_a_service_account_gets_its_token_from_an_administrator(open_page: Opener, board: Board) -> None:
    board.call("POST", "/api/v1alpha1/users", {"user": {"name": "robot", "role": "Operator", "serviceAccount": True}})
    page = open_page("Administrator", "/users/tokens")
    page.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("What it is for").fill("ci")
    dialog.get_by_label("For", exact=True).select_option("robot")
    dialog.get_by_role("button", name="New token").click()
    secret = dialog.locator("[data-secret]").inner_text().strip()
    who = board.program.request("GET", "/api/v1alpha1/sessions:current", token=secret).json()
    assert who["session"]["user"] == "robot"


def test_a_role_is_made_changed_and_deleted(open_page: Opener, board: Board) -> None:
    page = open_page("Administrator", "/users/roles")
    page.get_by_role("button", name="New role").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Keeper")
    expect(dialog.get_by_label("Log in and look")).to_be_disabled()
    dialog.get_by_label("Change the BMC").check()
    axe(page)
    dialog.get_by_role("button", name="New role").click()
    row = page.locator("[data-role='Keeper']")
    expect(row).to_be_visible()
    row.get_by_role("button", name="Change Keeper").click()
    dialog.get_by_label("Change the BMC").uncheck()
    dialog.get_by_label("Operate the machine").check()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    roles = {each["name"]: each for each in board.call("GET", "/api/v1alpha1/roles")["roles"]}
    assert "PRIVILEGE_CONFIGURE_COMPONENTS" in roles["Keeper"]["privileges"]
    assert "PRIVILEGE_CONFIGURE_MANAGER" not in roles["Keeper"]["privileges"]
    row.get_by_role("button", name="Delete the role Keeper").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    expect(page.locator("[data-role='Operator']").get_by_role("button")).to_have_count(0)


def test_the_policy_changes_only_what_was_changed(open_page: Opener, board: Board) -> None:
    before = board.call("GET", "/api/v1alpha1/account-policy")["policy"]
    page = open_page("Administrator", "/users/policy")
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    page.get_by_label("Characters at least").fill("10")
    page.get_by_label("Failures that lock an account").fill("7")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The account policy was changed.")).to_be_visible()
    after = board.call("GET", "/api/v1alpha1/account-policy")["policy"]
    assert after == {**before, "minPasswordLength": 10, "lockoutFailures": 7}
    event = board.call("GET", "/api/v1alpha1/events?newestFirst=true&filter.messageId=AccountPolicy")["events"][0]
    assert "session" not in json.dumps(event["arguments"])
    board.call("PATCH", "/api/v1alpha1/account-policy", before)


def test_the_directory(open_page: Opener, board: Board, watch: Watch) -> None:
    watch.allow(r"status of 4\d\d")
    page = open_page("Administrator", "/users/directory")
    page.get_by_label("Servers", exact=True).fill("ldap.example.org\nldap2.example.org:1636")
    page.get_by_label("Name of a user in the directory").fill("uid={user},ou=people,dc=example,dc=org")
    page.get_by_role("button", name="Add a group").click()
    page.get_by_label("Group", exact=True).fill("cn=admins,ou=groups,dc=example,dc=org")
    page.get_by_label("Role", exact=True).select_option("Administrator")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The directory settings were changed.")).to_be_visible()
    ldap = board.call("GET", "/api/v1alpha1/ldap")["ldap"]
    assert ldap["servers"] == ["ldap.example.org", "ldap2.example.org:1636"]
    assert ldap["roleMappings"] == [{"group": "cn=admins,ou=groups,dc=example,dc=org", "role": "Administrator"}]
    page.get_by_label("Servers", exact=True).fill("not a server!")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()


def test_german_on_a_phone(open_page: Opener) -> None:
    page = open_page("Administrator", "/users", language="de-DE", size=PHONE)
    expect(page.get_by_role("button", name="Neues Konto")).to_be_visible()
    for path in ("/users/me", "/users/sessions", "/users/tokens", "/users/roles", "/users/policy", "/users/directory"):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_have_text("Benutzer")
        check_width(page)
    assert ADMIN_PASSWORD not in page.content()
