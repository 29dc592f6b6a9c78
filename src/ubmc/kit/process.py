"""What runs in every child of the operator: one event loop, one place on the bus, a few supervised services.

The child makes its own keys, tells the operator the public halves, and waits for `go`. From then on it reports every
change of a service's state. When the channel to the operator ends, the operator is dead and the child ends too.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ubmc.kit import tracing
from ubmc.kit.bus import Bus
from ubmc.kit.channel import Channel, Message
from ubmc.kit.errors import UbmcError
from ubmc.kit.guard import CoolingGuard, Guard
from ubmc.kit.keys import BusKey, PrincipalSigner
from ubmc.kit.link import Endpoint
from ubmc.kit.metrics import Metrics
from ubmc.kit.schema import Schema
from ubmc.kit.service import Service, rpc
from ubmc.kit.supervise import Backoff
from ubmc.v1alpha1.internal_pb import GetProcessMetricsRequest, GetProcessMetricsResponse
from ubmc.v1alpha1.internal_rpc import ProcessService

log = logging.getLogger("ubmc.process")

TRIM_SECONDS = 4.0  # after the start
STOP_SECONDS = 2.0  # for each service; the operator waits for 6 s in all
LAST_SECONDS = 0.5  # for what is left of a process when all its services have ended
ORPHAN_SECONDS = 0.8  # to end after the operator died


class State(Enum):
    """How a service is; the names are those of `ServiceState` in the schema."""

    STARTING = "STARTING"
    READY = "READY"
    FAILED = "FAILED"
    DEGRADED = "DEGRADED"
    STOPPED = "STOPPED"


@dataclass(slots=True)
class Place:
    """What a child gives to the services in it."""

    process: str
    bus: Bus
    signer: PrincipalSigner
    guard: Guard
    channel: Channel
    schema: Schema
    health: list[dict[str, Any]] = field(default_factory=list)
    """The state of all services of all processes, as the operator last told it."""
    health_news: list[dict[str, Any]] = field(default_factory=list)
    """Changes of health that nobody has told yet, with their numbers."""
    health_changed: asyncio.Event = field(default_factory=asyncio.Event)
    cooling: CoolingGuard = field(default_factory=CoolingGuard)


Factory = Callable[[Place], Sequence[Service]]


class ProcessFace(Service):
    """What every process answers about itself; part of the frame, so nobody supervises it."""

    name = "process"

    def __init__(self, process: str, metrics: Metrics) -> None:
        """Make it for one process."""
        self._process = process
        self._metrics = metrics

    @rpc(ProcessService.GetProcessMetrics)
    async def get_metrics(self, _request: GetProcessMetricsRequest) -> GetProcessMetricsResponse:
        """The metrics of this process."""
        return GetProcessMetricsResponse(process=self._process, text=self._metrics.text())


class Child:
    """One process: its services and their supervision."""

    def __init__(self, name: str, channel: Channel, schema: Schema, factory: Factory, otlp: str = "") -> None:
        self._name = name
        self._channel = channel
        self._schema = schema
        self._factory = factory
        self._otlp = otlp
        self._ready: set[str] = set()
        self._ready_changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._go = asyncio.Event()
        self._metrics = Metrics()

    async def run(self) -> None:
        """Everything, from the keys to the end."""
        loop = asyncio.get_running_loop()
        key = BusKey()
        signer = PrincipalSigner()
        self._place = Place(
            self._name, Bus(self._name, self._schema, key, self._metrics), signer, Guard(), self._channel, self._schema
        )
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # the operator decides
        loop.add_reader(self._channel.fileno(), self._receive)
        loop.call_later(TRIM_SECONDS, _trim)
        if self._otlp:
            tracing.exporter.start(self._otlp, self._name)
        self._channel.send("hello", bus_key=key.public, principal_key=signer.public.hex())
        try:
            await self._supervise()
        finally:
            loop.remove_reader(self._channel.fileno())
            await self._place.bus.close()
            self._place.guard.close()
            self._place.cooling.close()
            tracing.exporter.stop()

    async def _supervise(self) -> None:
        services = tuple(self._factory(self._place))
        face = asyncio.create_task(self._place.bus.answerer.serve(ProcessFace(self._name, self._metrics)))
        tasks: dict[str, asyncio.Task[None]] = {}
        for service in services:
            service.bus = self._place.bus
            tasks[service.name] = asyncio.create_task(self._keep(service), name=service.name)
        await self._stop.wait()
        for service in reversed(services):
            task = tasks[service.name]
            task.cancel()
            _done, late = await asyncio.wait((task,), timeout=STOP_SECONDS)
            if late:
                log.error("a service does not stop", extra={"service": service.name})
        face.cancel()

    async def _keep(self, service: Service) -> None:
        """Run a service, again and again."""
        backoff = Backoff()
        self._report(service, State.STARTING, backoff)
        if service.needs_bus:
            await self._go.wait()
        while not set(service.after) <= self._ready:
            self._ready_changed.clear()
            await self._ready_changed.wait()
        while True:
            backoff.started(time.monotonic())
            self._metrics.service_starts.labels(service.name).inc()
            reason = await self._once(service, backoff)
            if reason is None:
                self._report(service, State.STOPPED, backoff)
                return
            delay = backoff.failed(time.monotonic())
            state = State.DEGRADED if backoff.degraded else State.FAILED
            self._report(service, state, backoff, reason)
            await asyncio.sleep(delay)
            self._report(service, State.STARTING, backoff, reason)

    async def _once(self, service: Service, backoff: Backoff) -> str | None:
        """Run a service once; the reason why it failed, None when it was done."""
        try:
            await service.run(lambda: self._report(service, State.READY, backoff))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                self._report(service, State.STOPPED, backoff)
                raise
            # A stray one, out of some library: without this the service would be gone without a word.
            log.error("a service was cancelled from within", extra={"service": service.name})
            return "cancelled from within"
        except UbmcError as error:
            log.error("a service failed", extra={"service": service.name, "error": error.message})
            return error.message
        except Exception as error:
            log.exception("a service failed by a bug", extra={"service": service.name})
            return f"{type(error).__name__}: {error}"
        return None

    def _report(self, service: Service, state: State, backoff: Backoff, reason: str = "") -> None:
        self._channel.send(
            "service", name=service.name, state=state.value, restarts=backoff.restarts, reason=reason[:500]
        )

    # --- what the operator says ---------------------------------------------------------------------------------

    def _receive(self) -> None:
        try:
            while True:
                message = self._channel.receive()
                if message is not None:
                    self._obey(message)
        except BlockingIOError:
            return
        except EOFError:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            log.warning("the operator is gone")
            asyncio.get_running_loop().call_later(ORPHAN_SECONDS, os._exit, 1)
            self._stop.set()

    def _obey(self, message: Message) -> None:
        fields = message.fields
        if message.kind == "go":
            self._place.bus.verifier.trust(bytes.fromhex(key) for key in fields["principal_keys"])
            if not self._go.is_set():
                self._place.bus.start(Endpoint(int(fields["port"]), int(fields["uid"])))
                self._go.set()
        elif message.kind == "keys":
            self._place.bus.verifier.trust(bytes.fromhex(key) for key in fields["principal_keys"])
        elif message.kind == "health":
            self._place.health = list(fields["services"])
            self._place.health_news = list(fields["news"])
            self._place.health_changed.set()
            self._ready = {entry["name"] for entry in self._place.health if entry["state"] == State.READY.value}
            self._ready_changed.set()
        elif message.kind == "guardian" and message.descriptors:
            self._place.guard.connect(Channel.adopt(message.descriptors[0]))
        elif message.kind == "cooling" and message.descriptors:
            self._place.cooling.connect(Channel.adopt(message.descriptors[0]))
        else:
            for descriptor in message.descriptors:
                with contextlib.suppress(OSError):
                    os.close(descriptor)


def _trim() -> None:
    """Give back what was needed only to start: garbage, and what the C library keeps for later."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # not every C library has it
        ctypes.CDLL(None).malloc_trim(0)


def run_child(name: str, channel: Channel, schema: Schema, factory: Factory, otlp: str = "") -> None:
    """The body of a forked child; returns when it was told to stop."""
    tracing.after_fork()

    async def main() -> None:
        await Child(name, channel, schema, factory, otlp).run()
        # asyncio's own end waits for whatever hangs in a task or a thread; the alarm ends it.
        signal.setitimer(signal.ITIMER_REAL, LAST_SECONDS)

    asyncio.run(main())
