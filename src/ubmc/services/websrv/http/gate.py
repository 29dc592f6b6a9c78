"""The gate: what happens to a connection between accept and its HTTP protocol.

A connection over a cap is refused at accept, by an abort, before any TLS work is spent on it. The gate stays the
transport's protocol for the whole life of the connection and hands bytes on, so counting and closing have one owner.
It reads into one buffer shared by all connections (reads are synchronous), instead of 256 KiB allocated for each.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from ubmc.kit.addresses import address_key
from ubmc.services.websrv.http.asgi import App
from ubmc.services.websrv.http.limits import Counts, Limits
from ubmc.services.websrv.http.outlet import Outlet
from ubmc.services.websrv.http.tls import tls_extension

log = logging.getLogger("ubmc.websrv.http")

READ_BYTES = 64 << 10
KNOWN_ADDRESSES = 64
COLLECT_AFTER = 64


class Handler(Protocol):
    """An HTTP version on one connection."""

    def data_received(self, data: bytes) -> None:
        """Decrypted bytes of the client."""

    def eof_received(self) -> object:
        """The client said that it will send no more."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; called once."""

    def pause_writing(self) -> None:
        """Too much is waiting to be written."""

    def resume_writing(self) -> None:
        """Writing may go on."""

    def shutdown(self) -> None:
        """Finish what is running, take nothing new, close."""

    def expire(self, now: float) -> None:
        """Enforce the deadlines of this protocol; called every sweep."""


@dataclass(slots=True)
class Standing:
    """Whether somebody who is logged in uses a connection; requests get it in their scope as `ubmc.standing`."""

    known: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a connection; requests get it in their scope."""

    client: tuple[str, int]
    server: tuple[str, int]
    tls: dict[object, object]
    standing: Standing = field(default_factory=Standing)


class Connections:
    """Who is connected: admission by caps, and the bookkeeping that goes with it.

    When the door is full, a newcomer takes the place of a connection by which nobody is logged in: the oldest one of
    the address that has the most of them. So a crowd of slow clients cannot lock an administrator out.
    """

    def __init__(self, limits: Limits, counts: Counts) -> None:
        self._limits = limits
        self._counts = counts
        self._by_address: dict[str, dict[Gate, float]] = {}
        self._known: OrderedDict[str, None] = OrderedDict()
        self._full = False

    def admit(self, key: str, gate: Gate, now: float) -> bool:
        """Take a connection of `key` in, or count its refusal."""
        count = len(self._by_address.get(key, ()))
        if self._counts.open >= self._limits.connections_total and not self._make_room(key, now):
            return self._refuse("total", key)
        if count >= self._limits.connections_per_address:
            return self._refuse("address", key)
        self._by_address.setdefault(key, {})[gate] = now
        self._counts.accepted += 1
        self._counts.open += 1
        return True

    def _make_room(self, key: str, now: float) -> bool:
        """End a connection that nobody is logged in by; whether there was one.

        One that has just come is spared, unless the newcomer's address is a known one, or has less than its share.
        """
        count = len(self._by_address.get(key, ()))
        settled = now - self._limits.newcomer_seconds
        for address, gates in sorted(self._by_address.items(), key=lambda item: len(item[1]), reverse=True):
            favoured = (key in self._known and address not in self._known) or count + 1 < len(gates)
            for gate, since in gates.items():
                if (favoured or since <= settled) and not gate.standing.known:
                    self._counts.refused["yielded"] += 1
                    gate.abort()
                    gate.leave()
                    return True
        return False

    def release(self, key: str, gate: Gate) -> None:
        """Give up the place of a connection of `key`."""
        self._counts.open -= 1
        gates = self._by_address[key]
        del gates[gate]
        if gate.standing.known:  # who was logged in from there comes again
            self._known[key] = None
            self._known.move_to_end(key)
            if len(self._known) > KNOWN_ADDRESSES:
                self._known.popitem(last=False)
        if not gates:
            del self._by_address[key]
        # well below the caps, so that a client that hovers at one does not write a line per connection
        low = min(self._limits.connections_total // 2, self._limits.connections_per_address // 2)
        if self._full and self._counts.open <= low:
            self._full = False
            log.info("connections are accepted again", extra={"open": self._counts.open})

    def _refuse(self, reason: str, key: str) -> bool:
        self._counts.refused[reason] += 1
        if not self._full:
            self._full = True
            log.warning("connection limit reached, refusing", extra={"limit": reason, "address": key})
        return False


Speak: TypeAlias = "Callable[[Shared, Gate, Outlet, Facts, str | None], Handler]"


@dataclass(slots=True)
class Shared:
    """What all connections of a listener have in common; `speak` makes the handler for what ALPN chose."""

    app: App
    speak: Speak
    limits: Limits
    counts: Counts
    loop: asyncio.AbstractEventLoop
    connections: Connections
    gates: set[Gate] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    http1: Any = None  # uvicorn's configuration and state, made when first needed
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(READ_BYTES)))
    empty: asyncio.Event = field(default_factory=asyncio.Event)  # no connection is open
    stopping: bool = False
    gone: int = 0  # connections since garbage was collected
    timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Look at deadlines from now on, as long as a connection is open."""
        if self.timer is None:
            self.timer = self.loop.call_later(self.limits.sweep_seconds, self._sweep)

    def count_gone(self) -> None:
        """Take note of a connection that is gone; asyncio's TLS leaves cycles with large buffers behind."""
        self.gone += 1
        if self.gone >= COLLECT_AFTER:
            self.gone = 0
            self.loop.call_soon(gc.collect)

    def _sweep(self) -> None:
        self.timer = None
        now = self.loop.time()
        for gate in tuple(self.gates):
            gate.expire(now)
        if self.gates:
            self.watch()


class Gate(asyncio.BufferedProtocol):
    """One connection from accept to loss."""

    def __init__(self, shared: Shared, context: ssl.SSLContext) -> None:
        self._shared = shared
        self._context = context
        self._key: str | None = None
        self._raw: asyncio.Transport | None = None
        self._outlet: Outlet | None = None
        self._upgrade: asyncio.Task[None] | None = None
        self._early = b""
        self._early_end = False
        self.standing = Standing()
        self.handler: Handler | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit or refuse, then begin TLS."""
        if not isinstance(transport, asyncio.Transport):  # a listening TCP socket makes nothing else
            raise TypeError("the gate stands on TCP")
        peer = transport.get_extra_info("peername")
        key = address_key(peer[0]) if peer else ""
        if self._shared.stopping or not peer or not self._shared.connections.admit(key, self, self._shared.loop.time()):
            transport.abort()
            return
        self._key = key
        self._raw = transport
        self._shared.gates.add(self)
        self._shared.empty.clear()
        self._shared.watch()
        transport.pause_reading()
        self._upgrade = self._shared.loop.create_task(self._start_tls(transport))

    async def _start_tls(self, raw: asyncio.Transport) -> None:
        limits = self._shared.limits
        try:
            tls = await self._shared.loop.start_tls(
                raw, self, self._context, server_side=True,
                ssl_handshake_timeout=limits.handshake_seconds, ssl_shutdown_timeout=limits.linger_seconds,
            )  # fmt: skip
        except OSError:  # ssl.SSLError, a reset and an expired deadline are all OSErrors
            self._shared.counts.refused["handshake"] += 1
            raw.abort()
            self._release()
            return
        except asyncio.CancelledError:
            raw.abort()
            self._release()
            raise
        # asyncio gives None when the transport was aborted during the handshake
        if tls is None or self._key is None:
            self._release()
            return
        self._hand_over(raw, tls)

    def _hand_over(self, raw: asyncio.Transport, tls: asyncio.Transport) -> None:
        peer, here = raw.get_extra_info("peername"), raw.get_extra_info("sockname")
        facts = Facts((str(peer[0]), int(peer[1])), (str(here[0]), int(here[1])), tls_extension(tls), self.standing)
        outlet = Outlet(raw, tls, self._shared.limits, self._shared.counts)
        self._outlet = outlet
        negotiated: ssl.SSLObject = tls.get_extra_info("ssl_object")
        self.handler = self._shared.speak(self._shared, self, outlet, facts, negotiated.selected_alpn_protocol())
        early, self._early = self._early, b""
        if early:
            self.handler.data_received(early)
        if self._early_end and self.handler is not None:
            self.handler.eof_received()

    def get_buffer(self, sizehint: int) -> memoryview:
        """The shared read buffer."""
        return self._shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes of the client are in the shared buffer."""
        data = bytes(self._shared.buffer[:nbytes])
        if self.handler is None:
            self._early += data  # came with the end of the handshake
        elif self._outlet is not None and not self._outlet.discarding:
            self.handler.data_received(data)

    def eof_received(self) -> None:
        """The client closed its side; TLS then closes ours."""
        if self.handler is None:
            self._early_end = True
        else:
            self.handler.eof_received()

    def pause_writing(self) -> None:
        """The write buffers are full."""
        if self._outlet is not None and self.handler is not None:
            self._outlet.writing_paused()
            self.handler.pause_writing()

    def resume_writing(self) -> None:
        """The write buffers are drained."""
        if self._outlet is not None and self.handler is not None:
            self._outlet.writing_resumed()
            self.handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._release()
        handler, self.handler = self.handler, None
        if handler is not None:
            handler.connection_lost(exc)
        # These lead back to us, and to 256 KiB of TLS buffers that would stay until the collector comes by.
        self._outlet = self._raw = self._upgrade = None

    def leave(self) -> None:
        """Give up the place at once; what is left of the connection goes by itself."""
        self._release()

    def _release(self) -> None:
        if self._key is not None:
            self._shared.connections.release(self._key, self)
            self._shared.count_gone()
            self._shared.gates.discard(self)
            if not self._shared.gates:
                self._shared.empty.set()
            self._key = None

    def expire(self, now: float) -> None:
        """Enforce all deadlines of this connection but that of the handshake, which TLS itself keeps."""
        if self._outlet is not None and self.handler is not None:
            self._outlet.expire(now)
            if not self._outlet.is_closing():
                self.handler.expire(now)

    def shutdown(self) -> None:
        """Let what runs finish, then close."""
        if self.handler is not None:
            self.handler.shutdown()
        elif self._raw is not None:
            self._raw.abort()

    def abort(self) -> None:
        """Drop the connection now, whatever it does."""
        if self._upgrade is not None:
            self._upgrade.cancel()
        if self._outlet is not None:
            self._outlet.abort()
        elif self._raw is not None:
            self._raw.abort()
