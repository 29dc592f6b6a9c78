"""The connection of one process to the bus: nats-py with its traps closed.

What is closed here, each with a test (tests/service/test_link.py):
nothing is buffered while the server is away, so nothing is executed late; a subscription is known to the server when
`subscribe` returns; what arrives before we may answer waits until then; reconnecting never gives up; who listens on
the port is checked before we sign anything; a forbidden subject is told to whoever published on it; a slow consumer
is said once, not once a message.
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
from nats.aio.subscription import Subscription as NatsSubscription

from ubmc.kit.errors import Exhausted, Unavailable
from ubmc.kit.keys import BusKey
from ubmc.kit.metrics import Metrics

log = logging.getLogger("ubmc.bus")

RECONNECT_SECONDS = 0.05
CANCEL_SECONDS = 0.5
FLUSHER_TURNS = 3  # of the event loop, until what was queued is written
QUIET_SECONDS = 2.0
CONNECT_SECONDS = 10.0
FLUSH_SECONDS = 2.0
DRAIN_SECONDS = 1.0
PENDING_MESSAGES = 256
PENDING_BYTES = 1024 * 1024
MAX_PAYLOAD = 256 * 1024
_FORBIDDEN = re.compile(r'permissions violation for publish to "([^"]+)"', re.IGNORECASE)
_LISTEN, _ESTABLISHED = "0A", "01"  # st of a socket in /proc/net/tcp


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the bus is, and which user's process must be listening there."""

    port: int
    uid: int

    def genuine(self, local_port: int = 0) -> bool:
        """Whether the socket that listens on our port of 127.0.0.1 belongs to the expected user (proc(5), net/tcp).

        Args:
            local_port: the port of our end of a connection. The other end of it must belong to that user too: a
                listener may have changed hands since the connection was accepted.
        """
        address, peer = f"0100007F:{self.port:04X}", f"0100007F:{local_port:04X}"
        listens, accepted = False, not local_port
        with Path("/proc/net/tcp").open() as sockets:
            for line in sockets:  # there may be thousands, and what is read at once stays with the process
                fields = line.split()
                if fields[1] != address:
                    continue
                ours = int(fields[7]) == self.uid
                if fields[3] == _LISTEN:
                    listens = ours
                elif fields[3] == _ESTABLISHED and fields[2] == peer:
                    accepted = ours
        return listens and accepted


@dataclass(slots=True, eq=False)
class Subscription:
    """A subject that we listen to, over all connections."""

    subject: str
    queue: str
    callback: Callable[[Msg], Awaitable[None]]
    pending: int
    """How many messages may wait for the callback."""
    client: Client | None = None
    """The connection that knows of it."""
    live: NatsSubscription | None = None


class Link:
    """A connection that comes back by itself.

    The client library's own reconnecting is switched off: it ends for good at some errors, and a stranger who listens
    on the port while the server is away can make it hang. Every connection is a new client, so that nothing that was
    meant for an earlier one can be sent by a later one.
    """

    def __init__(self, process: str, key: BusKey, metrics: Metrics) -> None:
        self.process = process
        self.connected = asyncio.Event()
        self.on_disconnect: list[Callable[[], None]] = []
        self.on_forbidden: Callable[[str], None] = lambda _subject: None
        self._key = key
        self._metrics = metrics
        self._client = Client()
        self._subscriptions: list[Subscription] = []
        self._lost = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._slow: set[str] = set()
        self._closing = False

    async def connect(self, endpoint: Endpoint) -> None:
        """Connect, trying until it works; afterwards the connection restores itself until `close`.

        Cancelling gives up, and so does `give_up`.
        """
        await self._dial(endpoint)
        self._keeping = asyncio.create_task(self._keep(endpoint))

    async def _keep(self, endpoint: Endpoint) -> None:
        while not self._closing:
            await self._lost.wait()
            await self._dial(endpoint)
            if not self._closing:
                log.info("the bus is back")

    async def _dial(self, endpoint: Endpoint) -> None:
        began, said = asyncio.get_running_loop().time(), False
        while not self._closing:
            await self._discard()
            try:
                await self._attempt(endpoint)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
            except Exception as error:  # noqa: BLE001  a stranger on the port may make the library raise anything
                waited = asyncio.get_running_loop().time() - began
                if waited > QUIET_SECONDS and not said:  # a server that starts, or learns our key, is no news
                    log.warning("the bus cannot be reached yet", extra={"error": repr(error)})
                    said = True
            else:
                self.connected.set()
                return
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _attempt(self, endpoint: Endpoint) -> None:
        client = self._client = Client()
        self._lost.clear()
        client._public_nkey = self._key.public  # noqa: SLF001  the library's own way drags in PyNaCl

        def sign(nonce: str) -> bytes:
            name = client._transport._io_writer.get_extra_info("sockname")  # type: ignore[union-attr] # noqa: SLF001
            if not endpoint.genuine(name[1]):
                raise nats.errors.AuthorizationError
            return self._key.sign(nonce)

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                task.exception()  # seen
            self._disconnected(client)

        async with asyncio.timeout(CONNECT_SECONDS):
            await client.connect(
                f"nats://127.0.0.1:{endpoint.port}",
                name=self.process,
                signature_cb=sign,
                error_cb=self._error,
                allow_reconnect=False,
                reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type] # between tries to reach the port
                connect_timeout=2,
                ping_interval=5,
                max_outstanding_pings=2,
                inbox_prefix=f"_INBOX_{self.process}",
                pending_size=0,
            )
            # The library's own callbacks are not called when its last flush fails; this task always ends.
            for task in (client._reading_task, client._flusher_task):  # noqa: SLF001
                if task is not None:
                    task.add_done_callback(ended)
            while missing := [each for each in self._subscriptions if each.client is not client]:
                for each in missing:
                    await self._apply(each, client)
                await client.flush(timeout=FLUSH_SECONDS)  # type: ignore[arg-type] # annotated as int
        if self._lost.is_set():
            raise nats.errors.ConnectionClosedError

    async def _apply(self, subscription: Subscription, client: Client) -> None:
        async def arrived(msg: Msg) -> None:
            # The server hands out messages while it still learns of our other subscriptions: an answer to them, or a
            # call to somebody else on the way to it, would be refused as long as `connected` is not set.
            if not self.connected.is_set():
                await self.connected.wait()
            if client is self._client:
                await subscription.callback(msg)

        subscription.client = client
        subscription.live = await client.subscribe(
            subscription.subject,
            queue=subscription.queue,
            cb=arrived,
            pending_msgs_limit=subscription.pending,
            pending_bytes_limit=PENDING_BYTES,
        )
        await asyncio.sleep(0)  # the command of subscribe() is written by another task

    async def _discard(self) -> None:
        # Closing a client that never got through asserts, or trips over what it has not made yet.
        with contextlib.suppress(Exception):
            await self._client.close()
        transport = self._client._transport  # noqa: SLF001  which it leaves open in these cases
        if transport is not None:
            transport.close()  # type: ignore[no-untyped-call]

    def give_up(self) -> None:
        """Try no more to connect; `close` is to follow."""
        self._closing = True

    async def close(self) -> None:
        """Close the connection for good."""
        self.give_up()
        while self._keeping is not None and not self._keeping.done():
            self._keeping.cancel()  # again and again: the library swallows a cancellation now and then
            await asyncio.wait((self._keeping,), timeout=CANCEL_SECONDS)
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

    async def subscribe(
        self,
        subject: str,
        callback: Callable[[Msg], Awaitable[None]],
        queue: str = "",
        *,
        pending: int = PENDING_MESSAGES,
    ) -> Subscription:
        """Listen to a subject on this connection and all later ones.

        When this returns the server knows, unless the bus is away; then it will know before `connected` is set again.
        """
        subscription = Subscription(subject, queue, callback, pending)
        self._subscriptions.append(subscription)
        if self.connected.is_set():
            with contextlib.suppress(nats.errors.ConnectionClosedError, OSError, Unavailable):
                await self._apply(subscription, self._client)
                await self.flush()
        return subscription

    async def known(self) -> None:
        """Return when the server knows all subscriptions made so far, however long that takes."""
        while True:
            await self.connected.wait()
            with contextlib.suppress(Unavailable):
                await self.flush()
                return
            await asyncio.sleep(RECONNECT_SECONDS)

    async def flush(self) -> None:
        """Return when the server has seen everything that was sent before.

        Raises:
            Unavailable: the bus is away.
        """
        # The answer to a flush that was cancelled meanwhile would end the library's reader, and with it the connection.
        flushing = asyncio.ensure_future(self._client.flush(timeout=FLUSH_SECONDS))  # type: ignore[arg-type] # annotated as int
        flushing.add_done_callback(_seen)
        try:
            await asyncio.shield(flushing)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable("the bus is away") from error

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription; what the server has sent until it hears of that still reaches the callback."""
        with contextlib.suppress(ValueError):
            self._subscriptions.remove(subscription)
        if subscription.live is not None and subscription.client is self._client and self.connected.is_set():
            with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    # The library's drain asks "have you sent all?" before its flusher task has said "send no more".
                    await self._client._send_unsubscribe(subscription.live._id)  # noqa: SLF001
                    for _ in range(FLUSHER_TURNS):
                        await asyncio.sleep(0)
                    await subscription.live.drain()  # type: ignore[no-untyped-call]

    def _disconnected(self, client: Client) -> None:
        if client is not self._client:
            return
        self._lost.set()
        if not self.connected.is_set():
            return
        self.connected.clear()
        if not self._closing:
            log.warning("the bus is lost")
            self._metrics.bus_disconnects.inc()
        for callback in tuple(self.on_disconnect):
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


def _seen(done: asyncio.Future[None]) -> None:
    """Look at the outcome of something that nobody may be waiting for any more."""
    if not done.cancelled():
        done.exception()
