"""Certificates, ACME, trust, the policy of the doors, the self-test, the audit trail."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from playwright.sync_api import Route, expect
from tests.harness.authority import Authority
from tests.webui.webui_house import PHONE, Board, Opener, Watch, axe, check_width, shots

pytestmark = pytest.mark.e2e

PARTS = {
    "": "good for",
    "/acme": "Nothing was ordered yet",
    "/trust": "No authority is trusted",
    "/policy": "Accept TLS 1.2 too",
}


@pytest.mark.parametrize("role", ["Administrator", "Operator", "ReadOnly"])
def test_each_role_sees_its_parts(role: str, open_page: Opener) -> None:
    page = open_page(role, "/security")
    links = page.get_by_role("navigation", name="Parts of the security pages").get_by_role("link")
    expect(links).to_have_count(6 if role == "Administrator" else 4)
    for part, text in PARTS.items():
        page.goto(f"/security{part}")
        expect(page.get_by_text(text).first).to_be_visible()
        if role != "Administrator":
            for verb in ("Save", "Upload", "Make the request", "Trust an authority", "Order now"):
                expect(page.get_by_role("button", name=verb)).to_have_count(0)


@pytest.mark.parametrize("part", ["", "/acme", "/trust", "/policy", "/selftest", "/audit"])
def test_every_part_is_accessible_and_fits(part: str, open_page: Opener) -> None:
    page = open_page("Administrator", f"/security{part}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Security")
    expect(page.get_by_text("Loading…")).to_have_count(0)
    if part == "/selftest":
        page.get_by_role("button", name="Run the self-test").click()
        expect(page.locator("[data-control]").first).to_be_visible(timeout=30_000)
    shots(page, f"security{part.replace('/', '-')}")
    axe(page)


def test_the_certificate_is_shown_as_it_is(open_page: Opener, board: Board) -> None:
    page = open_page("ReadOnly", "/security")
    expect(page.locator("[data-fingerprint]")).to_have_text(board.program.fingerprint)
    expect(page.get_by_text("Signed by itself", exact=True)).to_be_visible()
    expect(page.get_by_text("good for 3,6")).to_be_visible()


def test_a_signing_request_is_made_signed_and_uploaded(
    open_page: Opener, board: Board, watch: Watch, tmp_path: Path
) -> None:
    watch.allow(r"status of 4\d\d")
    page = open_page("Administrator", "/security")
    request = page.get_by_role("region", name="Signing request")
    request.get_by_label("Common name").fill("bmc.example.org")
    request.get_by_label("Further names and addresses").fill("bmc.example.org\n192.0.2.10\n127.0.0.1")
    request.get_by_label("Country").fill("xx")
    request.get_by_role("button", name="Make the request").click()
    expect(request.get_by_label("Country")).to_have_attribute("aria-invalid", "true")
    request.get_by_label("Country").fill("DE")
    request.get_by_role("button", name="Make the request").click()
    with page.expect_download() as waiting:
        request.get_by_role("button", name="Download the request").click()
    file = tmp_path / "https.csr"
    waiting.value.save_as(file)
    csr = file.read_bytes()
    asked = x509.load_pem_x509_csr(csr)
    assert asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "bmc.example.org"
    shots(page, "security-request")
    # a slip of the pen needs no reload
    request.get_by_role("button", name="Make another one").click()
    expect(request.get_by_label("Common name")).to_have_value("bmc.example.org")

    authority = Authority()
    upload = page.get_by_role("region", name="Upload")
    upload.get_by_label("Certificate and chain (PEM)", exact=True).fill("no certificate")
    upload.get_by_role("button", name="Upload", exact=True).click()
    expect(upload.get_by_role("alert")).to_be_visible()
    chain = authority.sign_request(csr) + authority.pem
    upload.get_by_label("Certificate and chain (PEM)", exact=True).fill(chain.decode())
    upload.get_by_role("button", name="Upload", exact=True).click()
    expect(page.get_by_text("The new certificate is in use.")).to_be_visible()
    expect(page.get_by_text("Chain of 2 certificates")).to_be_visible()
    expect(page.get_by_text("Uploaded", exact=True)).to_be_visible()

    page.get_by_role("button", name="Make a self-signed one").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Make a self-signed one").click()
    expect(page.get_by_text("Signed by itself", exact=True)).to_be_visible()


def test_an_authority_is_trusted_and_no_more(open_page: Opener, board: Board) -> None:
    page = open_page("Administrator", "/security/trust")
    page.get_by_label("Certificate of the authority (PEM)", exact=True).fill(
        Authority("An example authority").pem.decode()
    )
    page.get_by_role("button", name="Trust an authority").click()
    expect(page.get_by_text("CN=An example authority").first).to_be_visible()
    axe(page)
    page.get_by_role("button", name="Trust no more: CN=An example authority").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Trust no more").click()
    expect(page.get_by_text("No authority is trusted")).to_be_visible()
    assert board.call("GET", "/api/v1alpha1/trusted-certificates").get("certificates", []) == []


def test_the_policy_changes_only_what_was_changed(open_page: Opener, board: Board, watch: Watch) -> None:
    watch.allow(r"status of 4\d\d")
    before = board.call("GET", "/api/v1alpha1/security-policy")["policy"]
    page = open_page("Administrator", "/security/policy")
    page.get_by_label("Accept TLS 1.2 too").check()
    page.get_by_label("Other origins").fill("https://portal.example.org")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The security policy was changed.")).to_be_visible()
    after = board.call("GET", "/api/v1alpha1/security-policy")["policy"]
    assert after == {**before, "tls12": True, "allowedOrigins": ["https://portal.example.org"]}
    page.get_by_label("Other origins").fill("javascript:alert(1)")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()


def test_a_button_keeps_the_focus_while_its_call_is_under_way(open_page: Opener, watch: Watch) -> None:
    watch.allow(r"status of 4\d\d")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page = open_page("Administrator", "/security/policy")
    page.route("**/UpdateSecurityPolicy", hold)
    page.get_by_label("Other origins").fill("javascript:alert(1)")
    save = page.get_by_role("button", name="Save")
    save.press("Enter")
    expect(save).to_have_attribute("aria-busy", "true")
    expect(save).to_be_disabled()  # as it is told to who does not see it
    expect(save).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    for route in held:
        route.continue_()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(save).to_be_focused()
    assert len(held) == 1


def test_requiring_certificates_is_asked_about(open_page: Opener, board: Board) -> None:
    page = open_page("Administrator", "/security/policy")
    page.get_by_label("Client certificates").select_option(label="Nobody connects without one")
    page.get_by_role("button", name="Save").click()
    dialog = page.get_by_role("alertdialog")
    expect(dialog).to_contain_text("this page included")
    dialog.get_by_role("button", name="Cancel").click()
    policy = board.call("GET", "/api/v1alpha1/security-policy")["policy"]
    assert policy["clientCertificates"] != "CLIENT_CERTIFICATES_REQUIRED"


def test_an_acme_order_that_fails_tells_why(open_page: Opener, board: Board, watch: Watch) -> None:
    watch.allow(r"status of 4\d\d")
    page = open_page("Administrator", "/security/acme")
    page.get_by_label("Directory of the authority").fill("https://127.0.0.1:1/directory")
    page.get_by_label("Names", exact=True).fill("bmc.example.org")
    page.get_by_label("I agree to the terms").check()
    page.get_by_label("Get and renew certificates").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The last order failed; it is tried again")).to_be_visible()
    expect(page.get_by_text("127.0.0.1 is loopback")).to_be_visible()
    board.call("PATCH", "/api/v1alpha1/acme", {"enabled": False})


def test_the_audit_trail(open_page: Opener, board: Board, tmp_path: Path) -> None:
    board.user("Operator", "olaf")
    page = open_page("Administrator", "/security/audit")
    expect(page.locator("[data-record]").first).to_be_visible()
    page.get_by_role("button", name="Check the chain").click()
    expect(page.get_by_text("The chain is whole")).to_be_visible()
    page.get_by_role("searchbox").fill("admin")
    expect(page.locator("[data-record]").filter(has_text="CreateUser").first).to_be_visible()
    shots(page, "security-audit-checked")
    axe(page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    newest = page.locator("[data-record]").first
    newest.get_by_role("button", name="Copy the trace id").press("Enter")
    expect(newest.get_by_role("status")).to_have_text("Copied")
    trace = page.evaluate("navigator.clipboard.readText()")
    assert len(trace) == 32
    expect(newest.locator("[data-trace]")).to_contain_text(trace)
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    expect(page.locator("[data-record]").first.get_by_text("127.0.0.1")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export as CSV").click()
    file = tmp_path / "audit.csv"
    waiting.value.save_as(file)
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert {each["user"] for each in rows} == {"admin"}
    assert any(each["action"] == "UserService.CreateUser" and each["target"] == "olaf" for each in rows)


def test_german_on_a_phone(open_page: Opener) -> None:
    page = open_page("Administrator", "/security", language="de-DE", size=PHONE)
    expect(page.get_by_role("button", name="Selbstsigniertes erzeugen")).to_be_visible()
    for part in ("", "/acme", "/trust", "/policy", "/selftest", "/audit"):
        page.goto(f"/security{part}")
        expect(page.get_by_role("heading", level=1)).to_have_text("Sicherheit")
        check_width(page)
