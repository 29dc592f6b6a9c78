"""HTTP/3 for API calls: a bridge from aioquic to the same ASGI application. Loaded only when it is offered (15 MB).

Addresses are validated by a retry before any state is kept for them (RFC 9000, 8.1.2). Bulk data stays on TCP: an
answer waits while much of it is unacknowledged, and ends with the stream when that lasts too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.h3.connection import H3_ALPN, ErrorCode
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, ProtocolNegotiated, QuicEvent, StreamReset
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ubmc.kit.addresses import address_key
from ubmc.services.websrv.http.asgi import App, Disconnected, Message, Scope
from ubmc.services.websrv.http.frames3 import LimitedH3
from ubmc.services.websrv.http.limits import Counts, Limits

log = logging.getLogger("ubmc.websrv.http")

HIGH_WATER_BYTES = 64 << 10
WAIT_SECONDS = 0.02
STREAMS = 128  # at a time on a connection; what aioquic tells its peers
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
_ONCE = frozenset({b"host", b"content-length", b"content-type", b"authorization"})


@dataclass(slots=True)
class _Stream:
    """One request and its answer."""

    number: int
    body: asyncio.Queue[tuple[bytes, bool]]
    received: int = 0
    reading: bool = False
    over: bool = False  # the client has sent everything
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    started: float = field(default_factory=time.monotonic)


class Http3Listener:
    """One UDP port beside the TCP port of the same number."""

    def __init__(self, app: App, *, limits: Limits, counts: Counts) -> None:
        self._app = app
        self.limits = limits
        self.counts = counts
        self.open: dict[str, int] = {}
        self.connections: set[_Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._server: _Server | None = None

    async def start(self, host: str, port: int, certificate_pem: str, key_pem: str) -> tuple[str, int]:
        """Listen; returns the bound address.

        Raises:
            OSError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        transport, self._server = await loop.create_datagram_endpoint(
            lambda: _Server(self, _configuration(self.limits, certificate_pem, key_pem)), local_addr=(host, port)
        )
        bound = transport.get_extra_info("sockname")
        return str(bound[0]), int(bound[1])

    def use(self, certificate_pem: str, key_pem: str) -> None:
        """Shake hands with this certificate from now on; open connections are not disturbed."""
        if self._server is not None:
            self._server.use(_configuration(self.limits, certificate_pem, key_pem))

    def stop(self) -> None:
        """Close all connections and end what runs for them."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self.connections):
            connection.leave()
        for task in tuple(self.tasks):
            task.cancel()

    def admit(self, key: str) -> bool:
        """Take a connection of an address in, or count its refusal."""
        if sum(self.open.values()) >= self.limits.connections_total:
            self.counts.refused["total"] += 1
            return False
        if self.open.get(key, 0) >= self.limits.connections_per_address:
            self.counts.refused["address"] += 1
            return False
        self.open[key] = self.open.get(key, 0) + 1
        self.counts.accepted += 1
        return True

    def release(self, connection: _Connection, key: str) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        self.open[key] -= 1
        if not self.open[key]:
            del self.open[key]

    @property
    def app(self) -> App:
        """What answers."""
        return self._app


def _configuration(limits: Limits, certificate_pem: str, key_pem: str) -> QuicConfiguration:
    chain = x509.load_pem_x509_certificates(certificate_pem.encode("ascii"))
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=list(H3_ALPN),
        idle_timeout=limits.idle_seconds,
        max_data=limits.body_bytes,
        max_stream_data=limits.h2_window_bytes,
    )
    configuration.certificate, configuration.certificate_chain = chain[0], chain[1:]
    configuration.private_key = serialization.load_pem_private_key(key_pem.encode("ascii"), None)
    return configuration


class _Server(QuicServer):
    """aioquic's server with caps on connections."""

    def __init__(self, listener: Http3Listener, configuration: QuicConfiguration) -> None:
        super().__init__(configuration=configuration, create_protocol=self._make, retry=True)
        self._listener = listener

    def use(self, configuration: QuicConfiguration) -> None:
        self._configuration = configuration

    def _make(self, *arguments: Any, **options: Any) -> QuicConnectionProtocol:
        connection = _Connection(self._listener, *arguments, **options)
        self._listener.connections.add(connection)
        return connection


class _Connection(QuicConnectionProtocol):
    """One QUIC connection."""

    def __init__(self, listener: Http3Listener, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._listener = listener
        self._http: LimitedH3 | None = None
        self._streams: dict[int, _Stream] = {}
        self._key: str | None = None
        self._peer: tuple[str, int] = ("", 0)
        self._slow: frozenset[int] = frozenset()
        self._quiet_seconds = 0.0
        self._resets = 0
        self._looking: asyncio.TimerHandle | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        """Take an event of the transport."""
        if isinstance(event, ProtocolNegotiated):
            self._negotiated()
        elif isinstance(event, StreamReset):
            self._reset(event.stream_id)
        elif isinstance(event, ConnectionTerminated):
            self.leave()
        if self._http is not None:
            for each in self._http.handle_event(event):
                self._heard(each)

    def _negotiated(self) -> None:
        address = self._quic._network_paths[0].addr  # noqa: SLF001  the library tells it in no other way
        self._peer = (str(address[0]), int(address[1]))
        key = address_key(self._peer[0])
        if not self._listener.admit(key):
            self.close(error_code=int(ErrorCode.H3_EXCESSIVE_LOAD))
            return
        self._key = key
        self._http = LimitedH3(self._quic, self._listener.limits, self._listener.counts)
        self._look_again()

    def _look_again(self) -> None:
        wait = self._listener.limits.header_seconds
        self._looking = asyncio.get_running_loop().call_later(wait, self._expire, wait)

    def _expire(self, seconds: float) -> None:
        """End a connection whose headers do not come, or that does nothing but stay."""
        assert self._http is not None
        unfinished = self._http.unfinished()
        limits = self._listener.limits
        self._resets = 0
        self._quiet_seconds = 0.0 if self._streams else self._quiet_seconds + seconds
        met = "header_seconds" if unfinished & self._slow else "idle_seconds"
        if met == "idle_seconds" and self._quiet_seconds < limits.idle_seconds:
            self._slow = unfinished
            self._look_again()
            return
        self._listener.counts.limited[met] += 1
        self.close(error_code=int(ErrorCode.H3_EXCESSIVE_LOAD if unfinished else ErrorCode.H3_NO_ERROR))

    def leave(self) -> None:
        """Give up its place, and everything that it has under way."""
        if self._looking is not None:
            self._looking.cancel()
        for stream in tuple(self._streams.values()):
            self._forget(stream)
        if self._key is not None:
            self._listener.release(self, self._key)
            self._key = None
        self._listener.connections.discard(self)

    def _reset(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            self._forget(stream)
        self._resets += 1
        if self._resets > self._listener.limits.h2_resets and self._key is not None:
            self._listener.counts.limited["h3_resets"] += 1
            self.close(error_code=int(ErrorCode.H3_EXCESSIVE_LOAD))

    def _forget(self, stream: _Stream) -> None:
        self._streams.pop(stream.number, None)
        stream.gone.set()
        if stream.reading:
            with contextlib.suppress(asyncio.QueueFull):
                stream.body.put_nowait((b"", False))

    def _heard(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived) and event.stream_id not in self._streams:
            self._begin(event)
        elif isinstance(event, DataReceived | HeadersReceived):
            stream = self._streams.get(event.stream_id)
            if stream is not None and not stream.over:  # of trailers only the end matters
                data = event.data if isinstance(event, DataReceived) else b""
                self._feed(stream, data, ended=event.stream_ended)

    def _begin(self, event: HeadersReceived) -> None:
        stream = _Stream(event.stream_id, asyncio.Queue())
        scope = None if len(self._streams) >= STREAMS else self._scope(event.headers)
        if scope is None:
            self._abort(stream.number, ErrorCode.H3_REQUEST_REJECTED)
            return
        self._streams[stream.number] = stream
        self._quiet_seconds = 0.0
        self._listener.counts.requests["3"] += 1
        if event.stream_ended:
            self._feed(stream, b"", ended=True)
        task = stream.task = asyncio.get_running_loop().create_task(self._run(stream, scope))
        self._listener.tasks.add(task)
        task.add_done_callback(self._listener.tasks.discard)

    def _feed(self, stream: _Stream, data: bytes, *, ended: bool) -> None:
        stream.received += len(data)
        if stream.received > self._listener.limits.body_bytes:
            self._listener.counts.limited["body_bytes"] += 1
            self._abort(stream.number, ErrorCode.H3_EXCESSIVE_LOAD)
            self._forget(stream)
            return
        stream.over = ended
        stream.body.put_nowait((data, ended))

    def _scope(self, headers: list[tuple[bytes, bytes]]) -> Scope | None:
        """The ASGI scope of a request; None for one that is malformed or too large (RFC 9114, 4.3)."""
        limits = self._listener.limits
        size = sum(len(name) + len(value) for name, value in headers)
        if size > limits.header_bytes or len(headers) > limits.header_count:
            self._listener.counts.limited["header_bytes"] += 1
            return None
        pseudo = [(name, value) for name, value in headers if name.startswith(b":")]
        plain = [(name, value) for name, value in headers if not name.startswith(b":")]
        first = dict(pseudo)
        names = [name for name, _ in plain]
        if len(first) != len(pseudo) or set(first) != {b":method", b":scheme", b":authority", b":path"}:
            return None
        if any(name in _HOP_BY_HOP or name != name.lower() for name in names) or any(
            names.count(name) > 1 for name in _ONCE
        ):
            return None
        hosts = [value for name, value in plain if name == b"host"]
        if (hosts and hosts[0] != first[b":authority"]) or not first[b":path"].startswith(b"/"):
            return None
        raw, _, query = first[b":path"].partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "3",
            "method": first[b":method"].decode("ascii", "replace"),
            "scheme": "https",
            "path": unquote_to_bytes(raw).decode("utf-8", "replace"),
            "raw_path": raw,
            "query_string": query,
            "root_path": "",
            "headers": [*(plain if hosts else [(b"host", first[b":authority"]), *plain])],
            "client": self._peer,
            "server": None,
            "extensions": {"tls": {"client_cert_chain": [], "tls_version": 0x0304}},
        }

    async def _run(self, stream: _Stream, scope: Scope) -> None:
        answer = _Answer(self, stream)
        try:
            await self._listener.app(scope, answer.receive, answer.send)
        except Disconnected:
            pass
        except Exception:
            log.exception("a bug: a request failed", extra={"path": scope["path"]})
        finally:
            if not answer.ended and not stream.gone.is_set():
                self._abort(stream.number, ErrorCode.H3_INTERNAL_ERROR)
            self._streams.pop(stream.number, None)

    def _abort(self, number: int, error: ErrorCode) -> None:
        with contextlib.suppress(Exception):  # the stream may be over already
            self._quic.reset_stream(number, int(error))
        with contextlib.suppress(Exception):
            self._quic.stop_stream(number, int(error))
        self.transmit()

    # --- what an answer needs ---------------------------------------------------------------------------------------

    def send_headers(self, number: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of an answer."""
        if self._http is None:
            raise Disconnected("the client has gone away")
        self._http.send_headers(number, headers)

    def send_data(self, number: int, data: bytes, *, end: bool) -> None:
        """Send a part of its body."""
        if self._http is None:
            raise Disconnected("the client has gone away")
        self._http.send_data(number, data, end)
        self.transmit()

    def unsent(self, number: int) -> int:
        """How many bytes of an answer the client has not acknowledged yet."""
        stream = self._quic._streams.get(number)  # noqa: SLF001  the library has no back-pressure of its own
        return 0 if stream is None else len(stream.sender._buffer)  # noqa: SLF001


class _Answer:
    """The ASGI side of one stream."""

    def __init__(self, connection: _Connection, stream: _Stream) -> None:
        self._connection = connection
        self._stream = stream
        self._limits = connection._listener.limits  # noqa: SLF001  one unit
        self.ended = False

    async def receive(self) -> Message:
        """The next part of the request's body, or that the client has gone."""
        stream = self._stream
        if stream.over and stream.body.empty():
            await stream.gone.wait()
        if stream.gone.is_set():
            return {"type": "http.disconnect"}
        stream.reading = True
        deadline = self._limits.body_deadline(stream.started, stream.received)
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0.0)):
                data, ended = await stream.body.get()
        except TimeoutError:
            return {"type": "http.disconnect"}
        finally:
            stream.reading = False
        if stream.gone.is_set():
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": data, "more_body": not ended}

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if self._stream.gone.is_set():
            raise Disconnected("the client has gone away")
        number = self._stream.number
        if message["type"] == "http.response.start":
            head = [(b":status", str(message["status"]).encode())]
            head += [(name.lower(), value) for name, value in message.get("headers", [])]
            self._connection.send_headers(number, head)
            return
        if message["type"] != "http.response.body":
            return
        self.ended = not message.get("more_body", False)
        self._connection.send_data(number, message.get("body", b""), end=self.ended)
        await self._drained()

    async def _drained(self) -> None:
        deadline = time.monotonic() + self._limits.write_seconds
        while self._connection.unsent(self._stream.number) > HIGH_WATER_BYTES:
            if self._stream.gone.is_set() or time.monotonic() > deadline:
                raise Disconnected("the client does not read")
            await asyncio.sleep(WAIT_SECONDS)
