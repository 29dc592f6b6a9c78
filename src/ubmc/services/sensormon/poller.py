"""Reading the sensors of one wire, round after round. Each wire has its own poller, so a stuck one delays no other.

Rounds keep their time: the next one is due an interval after the last one was due. A wire that is slower than its
interval skips rounds; nothing queues up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ubmc.hw.sensors.port import Outcome, SensorBus
from ubmc.kit.errors import TimedOut, UbmcError, Unavailable
from ubmc.services.sensormon.plan import Options, SensorPlan
from ubmc.services.sensormon.table import Table

log = logging.getLogger("ubmc.sensormon")

OpenBus = Callable[[], SensorBus]
"""Makes the driver of a wire; must not block. May raise `UbmcError` or `OSError`; then it is tried again."""

_SLACK_SECONDS = 0.01
_FIRST_RETRY_SECONDS = 1.0
_CLOSE_SECONDS = 0.5


@dataclass(slots=True)
class Turn:
    """When a sensor is read next."""

    plan: SensorPlan
    due: float
    failures: int = 0

    def done(self, now: float, *, failed: bool, retry_seconds: float) -> None:
        """It was read: from its last due time on, skipping what was missed; slower while it fails."""
        interval = self.plan.interval_seconds
        self.failures = self.failures + 1 if failed else 0
        if failed:
            slowest = max(retry_seconds, interval)
            doubled = min(_FIRST_RETRY_SECONDS, interval) * 2.0 ** min(self.failures - 1, 16)
            interval = min(doubled, slowest)
        self.skip(now, interval)

    def skip(self, now: float, interval: float | None = None) -> None:
        """The next due time after `now`."""
        step = interval or self.plan.interval_seconds
        self.due += step * max(1, math.floor((now - self.due) / step) + 1)


class Poller:
    """The sensors of one wire.

    Args:
        name: of the wire.
        plans: its sensors.
        open_bus: makes the driver.
        table: where outcomes go.
        options: how long to wait.
    """

    def __init__(
        self, name: str, plans: Sequence[SensorPlan], open_bus: OpenBus, table: Table, options: Options
    ) -> None:
        self._name = name
        self._plans = plans
        self._open = open_bus
        self._table = table
        self._options = options
        self._bus: SensorBus | None = None
        self._failing_since: float | None = None
        self._trouble = ""  # what was logged last

    async def run(self) -> None:
        """Read until cancelled."""
        loop = asyncio.get_running_loop()
        turns = [Turn(plan, loop.time()) for plan in self._plans]
        try:
            while True:
                await asyncio.sleep(max(0.0, min(turn.due for turn in turns) - loop.time()))
                await self._round(turns)
        finally:
            await self._close()

    async def _round(self, turns: Sequence[Turn]) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        batch = []
        for turn in turns:
            if turn.due > now + _SLACK_SECONDS:
                continue
            if self._table.can_be_read(turn.plan.name, now):
                batch.append(turn)
            else:
                turn.failures = 0
                turn.skip(now)
        if not batch:
            return
        outcomes = await self._read([turn.plan.name for turn in batch])
        now = loop.time()
        self._table.take(outcomes, now)
        for turn in batch:
            failed = isinstance(outcomes[turn.plan.name], UbmcError)
            turn.done(now, failed=failed, retry_seconds=self._options.retry_seconds)

    async def _read(self, names: Sequence[str]) -> Mapping[str, Outcome]:
        try:
            async with asyncio.timeout(self._options.round_seconds):
                if self._bus is None:
                    self._bus = self._open()
                found = await self._bus.read(names)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._failed(names, Unavailable(f"the driver of {self._name} gave up"))
        except TimeoutError:
            seconds = f"{self._options.round_seconds:g} s"
            return self._failed(names, TimedOut(f"{self._name} did not answer within {seconds}"))
        except UbmcError as error:
            return self._failed(names, error)
        except OSError as error:
            return self._failed(names, Unavailable(f"{self._name}: {error.strerror or error}"))
        except Exception as error:  # noqa: BLE001  a bug of one driver must not take the other wires with it
            return self._failed(names, Unavailable(f"the driver of {self._name} has a bug"), error)
        self._failing_since = None
        if self._trouble:
            log.info("a wire of sensors can be read again", extra={"bus": self._name})
            self._trouble = ""
        missing = Unavailable(f"{self._name} said nothing of it")
        return {name: found.get(name, missing) for name in names}

    def _failed(self, names: Sequence[str], error: UbmcError, bug: Exception | None = None) -> Mapping[str, Outcome]:
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
        lasts = now - self._failing_since >= self._options.quality_debounce_seconds  # it may just be coming up
        if error.message != self._trouble and (lasts or bug is not None):
            log.warning(
                "a wire of sensors cannot be read", extra={"bus": self._name, "error": error.message}, exc_info=bug
            )
            self._trouble = error.message
        return dict.fromkeys(names, error)

    async def _close(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            with contextlib.suppress(TimeoutError, OSError, UbmcError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await bus.close()
