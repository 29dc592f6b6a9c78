"""Sensors that are GPIO lines: presence, intrusion, an alarm output."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from ubmc.hw.gpio.port import InputLine, Lines
from ubmc.hw.sensors.channels import GpioChannel
from ubmc.hw.sensors.port import Outcome, SensorBus
from ubmc.kit.errors import NotFound, UbmcError, Unavailable

_DEADLINE_SECONDS = 10.0


class GpioBus(SensorBus):
    """Lines that are read as sensors: 1 while active, else 0. A line is kept open, and opened again after a failure."""

    def __init__(self, name: str, channels: Sequence[GpioChannel], lines: Lines) -> None:
        """Nothing is opened yet.

        Args:
            name: of the wire.
            channels: of its sensors.
            lines: opens lines; closed with this.
        """
        self._name = name
        self._channels = {channel.sensor: channel for channel in channels}
        self._lines = lines
        self._open: dict[str, InputLine] = {}
        self._turn = asyncio.Lock()
        self._round: asyncio.Task[dict[str, Outcome]] | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """The name of the wire."""
        return self._name

    @property
    def sensors(self) -> Sequence[str]:
        """The names of its sensors."""
        return tuple(self._channels)

    async def read(self, sensors: Sequence[str]) -> Mapping[str, Outcome]:
        """Read these lines. Raises `Unavailable` when a line hangs, or this is closed."""
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                await self._turn.acquire()
                # Who goes away does not tear a request for a line in two; the next one waits for its end.
                self._round = asyncio.create_task(self._read(tuple(sensors)))
                self._round.add_done_callback(lambda _: self._turn.release())
                return await asyncio.shield(self._round)
        except TimeoutError:
            raise Unavailable(f"{self._name} does not answer: a GPIO line hangs") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise self._is_closed() from None
            raise

    async def _read(self, sensors: Sequence[str]) -> dict[str, Outcome]:
        if self._closed:
            raise self._is_closed()
        return {sensor: await self._outcome(sensor) for sensor in sensors}

    def _is_closed(self) -> Unavailable:
        return Unavailable(f"{self._name} is closed")

    async def _outcome(self, sensor: str) -> Outcome:
        channel = self._channels.get(sensor)
        if channel is None:
            return NotFound(f'there is no sensor "{sensor}" here')
        try:
            line = self._open.get(sensor)
            if line is None:
                line = self._open[sensor] = await self._lines.input(channel.line, active_low=channel.active_low)
            return float(await line.get())
        except UbmcError as error:
            if (broken := self._open.pop(sensor, None)) is not None:
                with contextlib.suppress(UbmcError):
                    await broken.close()
            return error

    async def close(self) -> None:
        """Give the lines back; does not wait for a read that hangs."""
        self._closed = True
        if self._round is not None:
            self._round.cancel()
        self._open.clear()
        await self._lines.close()
