"""The event log's inbox on the bus: a durable JetStream stream, and the one consumer that empties it.

Events stay in the stream until they are acknowledged, which is after they are on disk. The order in which a publisher
told them is kept even when we died between receiving and acknowledging: what the server holds to be under way is
waited for before anything newer is taken.

We pull with two messages of the documented protocol (ADR-37 of NATS) and not with nats-py's `fetch`: that one waits
until a batch is full or its time is over, so a single event would be seen seconds late.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import orjson
from nats.aio.msg import Msg

from ubmc.kit import subjects
from ubmc.kit.bus import Bus
from ubmc.kit.call import Call
from ubmc.kit.errors import UbmcError
from ubmc.kit.link import Subscription
from ubmc.kit.tracing import Trace
from ubmc.services.eventlog import gap
from ubmc.services.eventlog.gap import Position

STREAM = "EVENTS"
CONSUMER = "eventlog"
MAX_MESSAGES = 4096
MAX_BYTES = 4 * 1024 * 1024  # the server cuts this into blocks of a quarter: what corruption can take is small
DUPLICATE_SECONDS = 120.0
ACK_SECONDS = 3.0
BATCH = 64
BATCH_BYTES = 512 * 1024  # below the limit of a subscription (kit/link.py), above the largest message
PULL_SECONDS = 10.0
API_SECONDS = 2.0
GRACE_SECONDS = 0.5

_STREAM_NAME_IN_USE = 10058
_NANO = 1_000_000_000
_ACK = b"+ACK"
_TERM = b"+TERM"
_ACK_PREFIX = "$JS.ACK."
_PULL_IS_OVER = frozenset({"404", "408"})
# With 409 the reason counts: these two say that the pull is over too, others that something is wrong.
_REASONED = "409"
_OVER_REASONS = ("batch completed", "message size exceeds maxbytes")

# Limits, and the oldest go: a work queue, which could refuse new events instead, forbids every other consumer, and a
# fleet hub is to mirror this stream. So an event that we have not read yet may go when we cannot write for long; but
# never silently: we miss its number and write into the log how many are gone (`gap`).
STREAM_CONFIG: dict[str, object] = {
    "name": STREAM,
    "subjects": [subjects.EVENTS],
    "retention": "limits",
    "storage": "file",
    "discard": "old",
    "max_msgs": MAX_MESSAGES,
    "max_bytes": MAX_BYTES,
    "num_replicas": 1,
    "duplicate_window": int(DUPLICATE_SECONDS * _NANO),
}
CONSUMER_CONFIG: dict[str, object] = {
    "name": CONSUMER,
    "durable_name": CONSUMER,
    "deliver_policy": "all",
    "replay_policy": "instant",
    "ack_policy": "explicit",
    "ack_wait": int(ACK_SECONDS * _NANO),
    "max_deliver": -1,
    "max_ack_pending": BATCH,
    "max_waiting": 64,
}


class StreamLost(Exception):  # noqa: N818  something to begin anew after, not an error
    """The stream cannot be followed now: bus or JetStream are away."""


async def ensure(bus: Bus) -> dict[str, Any]:
    """Create or update stream and consumer; both may be gone after any restart of the server.

    Returns:
        What the server says about the consumer.

    Raises:
        StreamLost: the bus or JetStream is away, or refuses.
    """
    return (await _ensure(bus))[1]


async def _ensure(bus: Bus) -> tuple[dict[str, Any], dict[str, Any]]:
    """As `ensure`; what the server says about the stream and about the consumer."""
    created = await _api(bus, f"STREAM.CREATE.{STREAM}", STREAM_CONFIG)
    if created.get("error", {}).get("err_code") == _STREAM_NAME_IN_USE:  # with another configuration
        created = await _api(bus, f"STREAM.UPDATE.{STREAM}", STREAM_CONFIG)
    _check(created)
    consumer = {"stream_name": STREAM, "config": CONSUMER_CONFIG}
    return created, _check(await _api(bus, f"CONSUMER.CREATE.{STREAM}.{CONSUMER}", consumer))


class Inbox:
    """Takes events out of the stream, in order.

    Within `async with`: `begin`, then `next` and `done` in turn; after `StreamLost` begin again.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._subscription: Subscription | None = None
        self._subject = ""
        self._arrived: list[Msg] = []
        self._changed = asyncio.Event()
        self._asked = 0
        self._asked_until = 0.0
        self._lost = ""
        self._last_done = 0

    async def __aenter__(self) -> Self:
        self._bus.link.on_disconnect.append(self._disconnected)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bus.link.on_disconnect.remove(self._disconnected)
        await self._unsubscribe()

    async def begin(self, known: Position | None = None) -> Position:
        """Begin to follow the stream.

        Args:
            known: up to where it was read, if that is known.

        Returns:
            Behind which event it goes on.

        Raises:
            StreamLost: the bus or JetStream is away, or refuses.
        """
        await self._unsubscribe()
        self._arrived.clear()
        self._asked = 0
        self._lost = ""
        made, consumer = await _ensure(self._bus)
        self._subject = f"{subjects.inbox(self._bus.process)}.{CONSUMER}-{secrets.token_hex(8)}"
        try:
            self._subscription = await self._bus.link.subscribe(self._subject, self._receive)
        except UbmcError as error:
            raise StreamLost(error.message) from error
        if consumer["num_ack_pending"] and consumer["delivered"]["stream_seq"] > self._last_done:
            # Somebody received these and did not say that they are stored. New ones must not overtake them.
            await self._wait(ACK_SECONDS + GRACE_SECONDS)
        if self._lost:
            raise StreamLost(self._lost)
        return gap.begin(known, made["created"], made["state"]["last_seq"], consumer["ack_floor"]["stream_seq"])

    async def next(self) -> list[Msg]:
        """The next events, at least one; waits for as long as it takes.

        Raises:
            StreamLost: nothing more will come. What arrived before was returned before.
        """
        while not self._arrived:
            if self._lost:
                raise StreamLost(self._lost)
            if self._asked <= 0:
                await self._pull()
            await self._wait(self._asked_until - time.monotonic())
            if time.monotonic() >= self._asked_until:
                self._lost = self._lost or "the event stream is silent"
        batch, self._arrived = self._arrived, []
        return batch

    async def done(self, stored: Iterable[Msg], refused: Iterable[Msg] = ()) -> None:
        """Say that these are on disk, and that those need never come again.

        Raises:
            StreamLost: it could not be said; they will come again.
        """
        try:
            for msg in stored:
                await self._bus.link.publish(msg.reply, _ACK)
                self._last_done = max(self._last_done, sequence(msg))
            for msg in refused:
                await self._bus.link.publish(msg.reply, _TERM)
        except UbmcError as error:
            raise StreamLost(error.message) from error

    async def _unsubscribe(self) -> None:
        if self._subscription is not None:
            await self._bus.link.unsubscribe(self._subscription)
            self._subscription = None

    async def _pull(self) -> None:
        request = {"batch": BATCH, "max_bytes": BATCH_BYTES, "expires": int(PULL_SECONDS * _NANO)}
        self._asked = BATCH
        self._asked_until = time.monotonic() + PULL_SECONDS + API_SECONDS
        try:
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}"
            await self._bus.link.publish(subject, orjson.dumps(request), self._subject)
        except UbmcError as error:
            raise StreamLost(error.message) from error

    async def _wait(self, seconds: float) -> None:
        """Until something changes, for `seconds` at most."""
        self._changed.clear()
        if self._lost or self._arrived:
            return
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _receive(self, msg: Msg) -> None:
        if msg.reply.startswith(_ACK_PREFIX):
            self._arrived.append(msg)
            self._asked -= 1
        else:
            headers = msg.headers or {}
            status, reason = headers.get("Status", ""), headers.get("Description", "")
            over = status == _REASONED and reason.lower().startswith(_OVER_REASONS)
            if over or status in _PULL_IS_OVER:
                self._asked = 0
            else:
                self._lost = f"JetStream says {status} {reason}"
        self._changed.set()

    def _disconnected(self) -> None:
        self._lost = "the bus is lost"
        self._changed.set()


def sequence(msg: Msg) -> int:
    """The stream sequence in `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`."""
    parts = msg.reply.split(".")
    return int(parts[-4])


async def _api(bus: Bus, name: str, request: Mapping[str, object]) -> dict[str, Any]:
    call = Call(time.monotonic() + API_SECONDS, Trace.new())
    try:
        answer = await bus.request(f"$JS.API.{name}", orjson.dumps(request), call, "JetStream")
        content: dict[str, Any] = orjson.loads(answer)
    except (UbmcError, orjson.JSONDecodeError) as error:
        raise StreamLost(str(error)) from error
    return content


def _check(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise StreamLost(f"JetStream refuses: {answer['error'].get('description', '')}")
    return answer
