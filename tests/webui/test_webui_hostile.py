"""What strangers can write somewhere is shown as text everywhere: markup, text that turns around, very long words."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from playwright.sync_api import Page, expect
from tests.webui.webui_house import DESKTOP, NARROWEST, Board, Opener, Watch, artifacts, check_width

pytestmark = pytest.mark.e2e

IMAGE = "<img src=x onerror=document.title='owned'>"
SCRIPT = "\"><script>document.title='owned'</script>"
TURNED = "gnp.\u202eexe.\u2066innocent"
TURNED_SHOWN = "gnp.\\u202eexe.\\u2066innocent"
LONG = "W" * 10_000
HOSTILE = (IMAGE, SCRIPT, TURNED, LONG)
NAMES = ("W" * 63, ".".join(["W" * 60] * 3), "W" * 200)
"""The longest of what is no markup: of a host, of a domain, of a time server."""
PAGES = (
    "/", "/inventory", "/inventory?asset=psu.0", "/inventory?asset=host.0", "/inventory?asset=board.0", "/events",
    "/events?kind=Audit", "/users",
    "/users/me", "/users/sessions", "/users/tokens", "/users/roles", "/users/policy", "/users/directory", "/security",
    "/security/trust", "/security/acme", "/security/policy", "/security/audit", "/settings", "/settings/network",
    "/settings/time", "/about",
)  # fmt: skip


def authority(common: str, long: str) -> str:
    """A certificate of an authority that says hostile things of itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, SCRIPT[:64]),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, TURNED),
        ]
    )
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(long), x509.UniformResourceIdentifier(f"https://x/{IMAGE}")]),
            critical=False,
        )
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def ssh_key(comment: str) -> str:
    """A line as in a `.pub` file."""
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{line.decode()} {comment}"[:4096]


class Planted:
    """What was accepted, and by which call."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.places: list[str] = []

    def plant(self, place: str, method: str, path: str, body: object) -> bool:
        """Whether the server took it. It may refuse, but not fail."""
        answer = self._board.program.request(method, path, body)
        assert answer.status_code < 500 or answer.status_code == 503, (place, answer.text)
        if answer.status_code == 200:
            self.places.append(place)
        return answer.status_code == 200


@pytest.fixture(scope="module")
def planted(board: Board) -> Planted:
    """Hostile text in every field that takes it."""
    found = Planted(board)
    api = "/api/v1alpha1"
    assets = board.call("GET", f"{api}/assets?pageSize=1000")["assets"]
    for asset, text in zip(assets, HOSTILE * 3, strict=False):
        found.plant("asset tag", "PATCH", f"{api}/assets/{asset['name']}", {"assetTag": text[:63]})
    for name, text in (("psu.0", IMAGE), ("host.0", SCRIPT)):
        found.plant("asset tag", "PATCH", f"{api}/assets/{name}", {"assetTag": text[:63]})
    for asset in assets:
        if asset.get("fruWritable"):
            for text in HOSTILE:
                fru = {"fru": {"productVersion": text[:63]}}
                path = f"{api}/assets/{asset['name']}?updateMask=fru.productVersion"
                found.plant("FRU", "PATCH", path, fru)
            break
    for text in HOSTILE:
        found.plant("token", "POST", f"{api}/tokens", {"token": {"name": text[:64]}})
        found.plant("SSH key", "POST", f"{api}/users/admin/ssh-keys", {"publicKey": ssh_key(text)})
        found.plant("target of a call", "DELETE", f"{api}/users/{text[:8]}", None)
        login = {"user": text[:64], "password": text[:128]}
        board.program.request("POST", f"{api}/sessions:login", login, token="")
    identities = [f"email:{IMAGE}", f"uri:{SCRIPT}", f"cn:{'W' * 250}"]
    board.user("Operator", "harmless")
    found.plant("identity", "PATCH", f"{api}/users/harmless", {"certificateIdentities": identities})
    found.plant("authority", "POST", f"{api}/trusted-certificates", {"pem": authority(IMAGE[:64], LONG[:9000])})
    ldap = {"servers": ["192.0.2.1"], "userDnTemplate": f"uid={{user}},{IMAGE}", "groupBaseDn": SCRIPT}
    mappings = [{"group": text[:512], "role": "ReadOnly"} for text in HOSTILE]
    found.plant("directory", "PATCH", f"{api}/ldap", {**ldap, "roleMappings": mappings})
    acme = {"directoryUrl": f"https://192.0.2.1/{IMAGE}", "domains": ["bmc.example"], "email": f"{SCRIPT}@x"}
    found.plant("ACME", "PATCH", f"{api}/acme", acme)
    boot = {"bootOverride": {"mode": "BOOT_OVERRIDE_MODE_ONCE", "target": "BOOT_TARGET_HTTP", "httpUri": "http://x/" + SCRIPT}}  # fmt: skip  # noqa: E501  one value
    found.plant("boot address", "PATCH", f"{api}/hosts/host.0?updateMask=bootOverride", boot)
    found.plant("host name", "PATCH", f"{api}/network", {"hostName": NAMES[0]})
    found.plant("domain", "PATCH", f"{api}/network", {"domain": NAMES[1]})
    found.plant("time server", "PATCH", f"{api}/time", {"ntpServers": [NAMES[2], "2001:db8::1"]})
    return found


def check_harmless(page: Page) -> None:
    """Nothing of it became part of the page."""
    assert "owned" not in page.title()
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("script:has-text('owned')").count() == 0
    # what turns text around is written out, so that nothing beside it looks different
    assert "\u202e" not in page.inner_text("body")
    check_width(page)


def test_most_fields_take_it(planted: Planted) -> None:
    """Else the other tests look at nothing."""
    wanted = {
        "asset tag", "FRU", "token", "SSH key", "identity", "authority", "directory", "ACME", "boot address",
        "host name", "domain", "time server",
    }  # fmt: skip
    assert wanted <= set(planted.places), planted.places


@pytest.mark.parametrize("text", [IMAGE, SCRIPT, TURNED])
def test_what_is_a_name_by_its_form_takes_none_of_it(text: str, planted: Planted, board: Board) -> None:
    for path, body in (
        ("network", {"hostName": text}),
        ("network", {"domain": text}),
        ("network", {"staticDnsServers": [text]}),
        ("time", {"ntpServers": [text]}),
    ):
        assert board.program.request("PATCH", f"/api/v1alpha1/{path}", body).status_code == 400, (path, body)


def test_no_page_takes_text_for_markup(open_page: Opener, planted: Planted) -> None:
    page = open_page("Administrator", "/")
    for path in PAGES:
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text("Loading…")).to_have_count(0)
        page.evaluate("for (const each of document.querySelectorAll('main details')) each.open = true")
        check_harmless(page)
        page.set_viewport_size({"width": NARROWEST, "height": 800})
        check_width(page)
        name = path.strip("/").replace("/", "-").replace("?", "-") or "overview"
        page.screenshot(path=artifacts() / f"hostile-{name}.png")
        page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})


def test_it_is_shown_as_the_text_that_it_is(open_page: Opener, planted: Planted) -> None:
    page = open_page("Administrator", "/inventory?asset=psu.0")
    expect(page.get_by_role("region", name="psu.0")).to_contain_text(IMAGE)
    page.goto("/users/tokens")
    for text in (IMAGE, SCRIPT, TURNED_SHOWN):
        expect(page.get_by_text(text[:60]).first).to_be_visible()
    page.goto("/users/me")
    expect(page.get_by_text(IMAGE).first).to_be_visible()
    page.goto("/security/trust")
    expect(page.get_by_text("onerror").first).to_be_visible()
    page.goto("/inventory?asset=board.0")
    expect(page.get_by_role("region", name="board.0")).to_contain_text("W" * 63)
    page.goto("/security/acme")
    expect(page.get_by_label("Directory of the authority")).to_have_value(f"https://192.0.2.1/{IMAGE}")
    page.goto("/settings")
    expect(page.get_by_label("What to load")).to_have_value("http://x/" + SCRIPT)
    page.goto("/settings/network")
    expect(page.get_by_label("Name of the BMC")).to_have_value(NAMES[0])
    page.goto("/settings/time")
    expect(page.get_by_label("Time servers", exact=True)).to_have_value(f"{NAMES[2]}\n2001:db8::1")
    check_harmless(page)


def test_hostile_events_are_text_and_are_opened_without_harm(open_page: Opener, planted: Planted, board: Board) -> None:
    hostile = [each["id"] for each in audited(board) if each["arguments"].get("target") == IMAGE[:8]]
    assert hostile
    page = open_page("ReadOnly", "/events?kind=Audit.Call")
    row, older = page.locator(f"[data-event='{hostile[0]}']"), page.get_by_role("button", name="Show older events")
    expect(page.locator("[data-event]").first).to_be_visible()
    while not row.count() and older.count():
        shown = page.locator("[data-event]").count()
        older.click()
        expect(page.locator("[data-event]").nth(shown)).to_be_visible()
    row.get_by_role("button").first.click()
    expect(row.locator("dl").get_by_text(IMAGE[:8], exact=True)).to_be_visible()
    for each in page.locator("[data-event] > button").all()[:25]:
        if each.get_attribute("aria-expanded") == "false":
            each.click()
    check_harmless(page)


def audited(board: Board) -> list[dict[str, Any]]:
    """The calls that the event log tells, the newest first."""
    found = board.call("GET", "/api/v1alpha1/events?newestFirst=true&pageSize=1000&filter.messageId=Audit.Call")
    return list(found["events"])


def test_dialogs_ask_about_hostile_names(open_page: Opener, planted: Planted) -> None:
    page = open_page("Administrator", "/users/tokens")
    expect(page.locator("[data-token]").first).to_be_visible()
    for row in page.locator("[data-token]").all():
        row.get_by_role("button").click()
        dialog = page.get_by_role("alertdialog")
        expect(dialog).to_be_visible()
        check_harmless(page)
        dialog.get_by_role("button", name="Cancel").click()
        expect(dialog).to_be_hidden()


def test_addresses_of_pages_are_no_way_in(open_page: Opener, planted: Planted) -> None:
    page = open_page("Administrator", "/")
    for text in HOSTILE[:3]:
        value = encoded(text)
        everywhere = f"component={value}&kind={value}&since={value}&severity={value}"
        for path in (f"/events?{everywhere}", f"/inventory?asset={value}", f"/console?host={value}"):
            page.goto(path)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            check_harmless(page)


def encoded(text: str) -> str:
    """Percent-encoded, as a link would have it."""
    return "".join(f"%{each:02x}" for each in text.encode())


def test_a_form_that_was_filled_with_it_tells_what_is_wrong(open_page: Opener, watch: Watch) -> None:
    watch.allow(r"status of 4\d\d")
    page = open_page("Administrator", "/security")
    request = page.get_by_role("region", name="Signing request")
    request.get_by_label("Common name").fill(IMAGE[:64])
    request.get_by_label("Further names and addresses").fill(f"{SCRIPT}\n{TURNED}")
    request.get_by_label("Organisation").fill(SCRIPT[:64])
    request.get_by_role("button", name="Make the request").click()
    expect(request.get_by_role("alert").or_(request.locator("[data-csr]"))).to_be_visible()
    check_harmless(page)
    page.goto("/users")
    page.get_by_role("button", name="New account").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill(IMAGE[:32])
    dialog.get_by_label("Password", exact=True).fill(SCRIPT)
    dialog.get_by_role("button", name="New account").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    check_harmless(page)
