"""What tests of the doors need: a certificate, a listener for the length of a block, a raw HTTP/2 client.

The client is the h2 library on a plain socket, so that a test can say what no well-behaved client says.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes, Settings

from ubmc.services.websrv.http.asgi import App
from ubmc.services.websrv.http.limits import Limits
from ubmc.services.websrv.http.listener import Listener
from ubmc.services.websrv.http.tls import Material, server_context

HOST = "127.0.0.1"


def self_signed(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """Write a fresh self-signed certificate and its key into `folder`; returns both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_file.write_bytes(key.private_bytes(*form))
    return cert_file, key_file


def client_context(*alpn: str) -> ssl.SSLContext:
    """A client's context that trusts anyone and offers `alpn`."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    return context


@dataclass(frozen=True, slots=True)
class Door:
    """A listener that is up, the port it is on, and its TLS context."""

    listener: Listener
    port: int
    context: ssl.SSLContext

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://{HOST}:{self.port}"


@contextlib.asynccontextmanager
async def serving(app: App, folder: Path, limits: Limits | None = None) -> AsyncGenerator[Door]:
    """Serve `app` on a free loopback port, with a certificate made in `folder`.

    Raises:
        AssertionError: an exception came up in the loop, where nobody else would have noticed.
    """
    faults: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(str(context)))
    listener = Listener(app, limits=limits)
    certificate, key = self_signed(folder)
    context = server_context(Material(certificate.read_text(), key.read_text()))
    _, port = await listener.start(HOST, 0, context)
    try:
        yield Door(listener, port, context)
    finally:
        await listener.stop(0.0)
    if faults:
        raise AssertionError(f"the loop reported: {faults}")


@dataclass(slots=True)
class Answer:
    """What a client has heard on one stream."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    trailers: dict[bytes, bytes] = field(default_factory=dict)
    ended: bool = False
    reset: int | None = None


class Http2Client:
    """A raw HTTP/2 client: it does what it is told, right or wrong."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, window_bytes: int) -> None:
        self._reader = reader
        self.writer = writer
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding=False))
        values = {SettingCodes.INITIAL_WINDOW_SIZE: window_bytes, SettingCodes.ENABLE_PUSH: 0}
        self.h2.local_settings = Settings(client=True, initial_values=values)
        self.h2.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.goaway: int | None = None
        self.closed = False

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, port: int, *, window_bytes: int = 65_535) -> AsyncGenerator[Http2Client]:
        """A connected client; `window_bytes` is what it lets the server send on each stream."""
        reader, writer = await asyncio.open_connection(HOST, port, ssl=client_context("h2"))
        client = cls(reader, writer, window_bytes)
        try:
            await client.flush()
            yield client
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def flush(self) -> None:
        """Send what the h2 library has to say."""
        self.writer.write(self.h2.data_to_send())
        with contextlib.suppress(OSError):
            await self.writer.drain()

    async def send_raw(self, data: bytes) -> None:
        """Send bytes past the h2 library."""
        self.writer.write(data)
        with contextlib.suppress(OSError):
            await self.writer.drain()

    def request(
        self, path: str = "/", *, method: str = "GET", end: bool = True, headers: Iterable[tuple[str, str]] = ()
    ) -> int:
        """Queue the head of a request; returns its stream id."""
        stream_id = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        self.h2.send_headers(stream_id, [*pseudo, *headers], end_stream=end)
        self.answers[stream_id] = Answer()
        return stream_id

    async def upload(self, stream_id: int, body: bytes, *, seconds: float = 10.0) -> None:
        """Send a whole body as the server's window allows, reading meanwhile."""
        at = 0
        while at < len(body):
            room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
            if room <= 0:
                await self.flush()
                await self.hear(lambda: self.h2.local_flow_control_window(stream_id) > 0, seconds=seconds)
                continue
            self.h2.send_data(stream_id, body[at : at + room], end_stream=at + room >= len(body))
            at += room
        await self.flush()

    async def hear(self, enough: Callable[[], bool], *, seconds: float = 5.0, acknowledge: bool = True) -> None:
        """Read until `enough()`, or the server has closed.

        Raises:
            TimeoutError: neither came within `seconds`.
        """
        async with asyncio.timeout(seconds):
            while not enough() and not self.closed:
                try:
                    data = await self._reader.read(65_536)
                except OSError:
                    data = b""
                if not data:
                    self.closed = True
                    return
                self._take(data, acknowledge=acknowledge)
                await self.flush()

    async def answer(self, stream_id: int, *, seconds: float = 5.0) -> Answer:
        """The whole answer of a stream."""
        answer = self.answers[stream_id]
        await self.hear(lambda: answer.ended or answer.reset is not None, seconds=seconds)
        return answer

    def _take(self, data: bytes, *, acknowledge: bool) -> None:
        for event in self.h2.receive_data(data):
            if isinstance(event, ResponseReceived):
                answer = self.answers[event.stream_id]
                answer.headers = dict(event.headers or [])
                answer.status = int(answer.headers[b":status"])
            elif isinstance(event, DataReceived):
                self.answers[event.stream_id].body += event.data or b""
                if acknowledge:
                    self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            elif isinstance(event, TrailersReceived):
                self.answers[event.stream_id].trailers = dict(event.headers or [])
            elif isinstance(event, StreamEnded):
                self.answers[event.stream_id].ended = True
            elif isinstance(event, StreamReset):
                self.answers[event.stream_id].reset = int(event.error_code or 0)
            elif isinstance(event, ConnectionTerminated):
                self.goaway = int(event.error_code or 0)
