"""The connection of one process to the bus: nats-py with its traps closed.

What is closed here, each with a test (tests/service/test_link.py):
nothing is buffered while the server is away, so nothing is executed late; a subscription is known to the server when
`subscribe` returns; reconnecting never gives up; who listens on the port is checked before we sign anything; a
forbidden subject is told to whoever published on it; a slow consumer is said once, not once a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ubmc.kit.errors import Exhausted, Unavailable
from ubmc.kit.keys import BusKey
from ubmc.kit.metrics import Metrics

log = logging.getLogger("ubmc.bus")

RECONNECT_SECONDS = 0.05
FLUSH_SECONDS = 2.0
PENDING_MESSAGES = 256
PENDING_BYTES = 1024 * 1024
MAX_PAYLOAD = 256 * 1024
_FORBIDDEN = re.compile(r'permissions violation for publish to "([^"]+)"', re.IGNORECASE)
_LISTEN = "0A"  # st of a listening socket in /proc/net/tcp


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the bus is, and which user's process must be listening there."""

    port: int
    uid: int

    def genuine(self) -> bool:
        """Whether the socket that listens on our port of 127.0.0.1 belongs to the expected user (proc(5), net/tcp)."""
        address = f"0100007F:{self.port:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1] == address and fields[3] == _LISTEN:
                return int(fields[7]) == self.uid
        return False


class Link:
    """A connection that comes back by itself."""

    def __init__(self, process: str, key: BusKey, metrics: Metrics) -> None:
        self.process = process
        self.connected = asyncio.Event()
        self.on_connect: list[Callable[[], None]] = []
        self.on_disconnect: list[Callable[[], None]] = []
        self.on_forbidden: Callable[[str], None] = lambda _subject: None
        self._key = key
        self._metrics = metrics
        self._client = Client()
        self._slow: set[str] = set()
        self._closing = False

    async def connect(self, endpoint: Endpoint) -> None:
        """Connect, trying until it works; afterwards the connection restores itself.

        Cancelling is the only way to give up.
        """

        def sign(nonce: str) -> bytes:
            if not endpoint.genuine():
                raise nats.errors.AuthorizationError
            return self._key.sign(nonce)

        said = False
        while True:
            self._client = Client()
            self._client._public_nkey = self._key.public  # noqa: SLF001  the library's own way drags in PyNaCl
            try:
                await self._client.connect(
                    f"nats://127.0.0.1:{endpoint.port}",
                    name=self.process,
                    signature_cb=sign,
                    error_cb=self._error,
                    disconnected_cb=self._disconnected,
                    reconnected_cb=self._reconnected,
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type] # annotated as int
                    connect_timeout=2,
                    ping_interval=5,
                    max_outstanding_pings=2,
                    inbox_prefix=f"_INBOX_{self.process}",
                    pending_size=0,
                )
            except (OSError, nats.errors.Error, TimeoutError) as error:
                await self._discard()
                if not said:
                    log.warning("the bus cannot be reached yet", extra={"error": repr(error)})
                    said = True
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            self._up()
            return

    async def _discard(self) -> None:
        # Closing a client that never got through asserts, or trips over what it has not made yet.
        with contextlib.suppress(OSError, nats.errors.Error, TimeoutError, AssertionError, AttributeError):
            await self._client.close()

    async def close(self) -> None:
        """Close the connection for good."""
        self._closing = True
        self.connected.clear()
        await self._discard()

    async def publish(self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Send one message.

        Raises:
            Unavailable: the bus is away; nothing was sent.
            Exhausted: the message is larger than the bus takes.
        """
        if not self.connected.is_set():
            raise Unavailable("the bus is away")
        try:
            await self._client.publish(subject, data, reply, headers)
        except nats.errors.MaxPayloadError as error:
            raise Exhausted(f"a message of {len(data)} bytes is larger than {MAX_PAYLOAD}") from error
        except (nats.errors.Error, OSError) as error:
            raise Unavailable("the bus is away") from error

    async def subscribe(self, subject: str, callback: Callable[[Msg], Awaitable[None]], queue: str = "") -> Subscription:
        """Subscribe; when this returns the server knows, unless the bus went away: then it is told when it comes back.

        Raises:
            Unavailable: there has been no connection yet, or it was closed.
        """
        try:
            subscription = await self._client.subscribe(
                subject, queue=queue, cb=callback, pending_msgs_limit=PENDING_MESSAGES, pending_bytes_limit=PENDING_BYTES
            )
        except (nats.errors.Error, OSError) as error:
            raise Unavailable("the bus is away") from error
        with contextlib.suppress(Unavailable):
            await self.flush()
        return subscription

    async def flush(self) -> None:
        """Return when the server has seen everything that was sent before."""
        await asyncio.sleep(0)  # the command of subscribe() is written by another task
        try:
            await self._client.flush(timeout=FLUSH_SECONDS)  # type: ignore[arg-type] # annotated as int
        except (nats.errors.Error, OSError) as error:
            raise Unavailable("the bus is away") from error

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription."""
        with contextlib.suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()

    def _up(self) -> None:
        self.connected.set()
        for callback in self.on_connect:
            callback()

    async def _reconnected(self) -> None:
        log.info("the bus is back")
        self._up()

    async def _disconnected(self) -> None:
        if self.connected.is_set():
            self.connected.clear()
            if not self._closing:
                log.warning("the bus is lost")
                self._metrics.bus_disconnects.inc()
            for callback in self.on_disconnect:
                callback()

    async def _error(self, error: Exception) -> None:
        forbidden = _FORBIDDEN.search(str(error))
        if forbidden is not None:
            log.error("the bus forbids us to publish", extra={"subject": forbidden[1]})
            self.on_forbidden(forbidden[1])
        elif isinstance(error, nats.errors.SlowConsumerError):
            self._metrics.slow_consumers.inc()
            if error.subject not in self._slow:
                self._slow.add(error.subject)
                log.warning("messages are lost: a subscription cannot follow", extra={"subject": error.subject})
        elif not self._closing and self.connected.is_set():
            log.info("the bus reports", extra={"error": repr(error)})
