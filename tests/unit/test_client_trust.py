"""Trust: real TLS sockets, and what reaches a server that must not be trusted."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.harness.connect import Certificate, make_certificate

from ubmc.client import CaFile, Client, Insecure, NotTrusted, Pinned, SystemTrust, Trust
from ubmc.client.trust import fetch_leaf, split_url, tls_context
from ubmc.kit.errors import Invalid, UbmcError, Unavailable
from ubmc.v1alpha1.session_pb import LoginRequest
from ubmc.v1alpha1.session_rpc import SessionService


class Listener:
    """Speaks TLS with the certificate of the moment, and keeps what it is sent after the handshake."""

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.received = bytearray()
        self.handshakes = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._socket.accept()
            except OSError:
                return
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate.path)
            with suppress(OSError), raw:
                raw.settimeout(5)
                with context.wrap_socket(raw, server_side=True) as connection:
                    self.handshakes += 1
                    while data := connection.recv(65536):
                        self.received += data
                        if b"secret" in self.received:
                            body = b'{"code":"unauthenticated","message":"no"}'
                            head = b"HTTP/1.1 401 X\r\ncontent-type: application/json\r\nconnection: close\r\n"
                            connection.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
                            break

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    found = Listener(make_certificate(tmp_path / "bmc.pem"))
    yield found
    found.close()


def login(url: str, trust: Trust) -> str:
    """The name of the error that a login gives: `unauthenticated` means that the request got through."""
    with Client(url, trust=trust, timeout_seconds=5, pause=lambda _: None) as client:
        try:
            client.ask(SessionService.Login, LoginRequest(user="admin", password="secret"))
        except UbmcError as error:
            return error.name
    return "ok"


def test_the_pinned_certificate_is_trusted(listener: Listener) -> None:
    assert login(listener.url, Pinned.parse(listener.certificate.fingerprint)) == "unauthenticated"
    assert b"secret" in listener.received


def test_another_certificate_is_refused_before_a_byte_is_sent(listener: Listener) -> None:
    digits = listener.certificate.fingerprint
    other = ("0" if digits[0] != "0" else "1") + digits[1:]
    assert login(listener.url, Pinned.parse(other)) == "not_trusted"
    assert listener.received == b""


def test_a_certificate_signed_by_the_pinned_one_is_not_the_pinned_one(listener: Listener, tmp_path: Path) -> None:
    pin = Pinned.parse(listener.certificate.fingerprint)
    listener.certificate = make_certificate(tmp_path / "child.pem", issuer=listener.certificate)
    assert login(listener.url, pin) == "not_trusted"
    assert listener.received == b""


def test_every_connection_is_checked_anew(listener: Listener, tmp_path: Path) -> None:
    pin = Pinned.parse(listener.certificate.fingerprint)
    with Client(listener.url, trust=pin, timeout_seconds=5) as client:
        with pytest.raises(UbmcError):
            client.ask(SessionService.Login, LoginRequest(user="admin", password="secret 1"))
        listener.certificate = make_certificate(tmp_path / "other.pem")
        before = bytes(listener.received)
        assert b"secret 1" in before
        with pytest.raises(NotTrusted, match="not the one that was pinned"):
            client.ask(SessionService.Login, LoginRequest(user="admin", password="secret 2"))
    assert listener.received == before


async def test_a_pin_holds_in_asyncio_too(listener: Listener) -> None:
    _, host, port = split_url(listener.url)
    context = tls_context(Pinned.parse(listener.certificate.fingerprint))
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(host, port, ssl=tls_context(Pinned(bytes(32))))
    assert listener.received == b""


def test_a_pin_asks_neither_for_names_nor_for_dates(listener: Listener, tmp_path: Path) -> None:
    listener.certificate = make_certificate(tmp_path / "old.pem", host="bmc.invalid", days=-1)
    assert login(listener.url, Pinned.parse(listener.certificate.fingerprint)) == "unauthenticated"


def test_system_trust_does_not_know_a_self_signed_certificate(listener: Listener) -> None:
    assert login(listener.url, SystemTrust()) == "not_trusted"
    assert listener.received == b""


def test_a_ca_file_is_trusted_with_the_right_name_only(listener: Listener, tmp_path: Path) -> None:
    authority = make_certificate(tmp_path / "ca.pem")
    listener.certificate = make_certificate(tmp_path / "leaf.pem", issuer=authority)
    assert login(listener.url, CaFile(authority.path)) == "unauthenticated"
    listener.received.clear()
    listener.certificate = make_certificate(tmp_path / "elsewhere.pem", host="10.9.8.7", issuer=authority)
    assert login(listener.url, CaFile(authority.path)) == "not_trusted"
    assert listener.received == b""


def test_insecure_trusts_anybody(listener: Listener) -> None:
    assert login(listener.url, Insecure()) == "unauthenticated"


def test_the_leaf_can_be_fetched_and_nothing_is_sent(listener: Listener) -> None:
    leaf = fetch_leaf(listener.url, Insecure())
    assert leaf == listener.certificate.der
    assert fetch_leaf(listener.url, Pinned(hashlib.sha256(leaf).digest())) == leaf
    with pytest.raises(NotTrusted, match="self-signed"):
        fetch_leaf(listener.url, SystemTrust())
    assert listener.received == b""


def test_nobody_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable, match="cannot reach"):
        fetch_leaf(f"https://127.0.0.1:{port}", Insecure(), timeout_seconds=2)
    assert login(f"https://127.0.0.1:{port}", Insecure()) == "unavailable"


def test_a_ca_file_without_certificates_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(Invalid, match="PEM"):
        Client("https://127.0.0.1", trust=CaFile(tmp_path / "empty.pem"))
    with pytest.raises(Invalid, match="cannot read"):
        Client("https://127.0.0.1", trust=CaFile(tmp_path / "none.pem"))


@pytest.mark.parametrize("form", ["{}", "SHA256:{}", "sha256 Fingerprint={}", " {} ", "SHA-256: {}"])
@pytest.mark.parametrize("colons", [True, False])
def test_fingerprints_are_read_in_every_form(form: str, colons: bool) -> None:
    digest = hashlib.sha256(b"x").digest()
    text = digest.hex(":").upper() if colons else digest.hex()
    assert Pinned.parse(form.format(text)) == Pinned(digest)
    assert Pinned.parse(str(Pinned(digest))) == Pinned(digest)


@pytest.mark.parametrize("text", ["", "ab", "g" * 64, "a" * 63, "a" * 65, "sha1:" + "a" * 40])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="64 hexadecimal digits"):
        Pinned.parse(text)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("https://127.0.0.1:8443", "https://127.0.0.1:8443"),
        ("https://bmc.example/", "https://bmc.example"),
        ("bmc.example:8443", "https://bmc.example:8443"),
        ("BMC.example", "https://bmc.example"),
        ("https://bmc:443", "https://bmc"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_urls_have_one_plain_form(given: str, plain: str) -> None:
    assert split_url(given)[0] == plain


@pytest.mark.parametrize(
    "url",
    ["", "http://bmc", "ftp://bmc", "https://", "https://bmc/path", "https://u:p@bmc", "https://bmc:99999", "https://b\x1bc",
     "https://bmc?x"],
)  # fmt: skip
def test_what_is_no_url_of_a_bmc_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        split_url(url)
