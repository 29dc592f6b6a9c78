"""What all wires whose reads block have in common: a thread, and rounds in which some of their sensors are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol, TypeVar

from ubmc.hw.sensors.port import Outcome, SensorBus
from ubmc.hw.sysfs import unavailable
from ubmc.hw.worker import Worker
from ubmc.kit.errors import NotFound, UbmcError


class Named(Protocol):
    """A channel of any kind."""

    @property
    def sensor(self) -> str:
        """The name of the sensor, as in the board file."""


ChannelT = TypeVar("ChannelT", bound=Named)
ChannelT_contra = TypeVar("ChannelT_contra", bound=Named, contravariant=True)


class Source(Protocol[ChannelT_contra]):
    """How the channels of one kind are read."""

    def round(self) -> AbstractContextManager[Callable[[ChannelT_contra], float]]:
        """What reads channels, for this round alone; it blocks, and raises `UbmcError` or `OSError`."""


class Wire(SensorBus):
    """Sensors that are read one after the other on one thread."""

    def __init__(
        self,
        name: str,
        channels: Sequence[ChannelT],
        source: Source[ChannelT],
        *,
        deadline_seconds: float = 10.0,
    ) -> None:
        """Nothing is opened yet.

        Args:
            name: of the wire.
            channels: of its sensors.
            source: how they are read.
            deadline_seconds: the longest that `read` waits; who calls it will have less patience.
        """
        self._name = name
        self._sensors = tuple(channel.sensor for channel in channels)
        by_name = {channel.sensor: channel for channel in channels}
        self._round: Callable[[Sequence[str], Callable[[], bool]], dict[str, Outcome]]
        self._round = partial(_round, by_name, source)
        self._deadline_seconds = deadline_seconds
        self._worker = Worker(name)

    @property
    def name(self) -> str:
        """The name of the wire."""
        return self._name

    @property
    def sensors(self) -> Sequence[str]:
        """The names of its sensors."""
        return self._sensors

    async def read(self, sensors: Sequence[str]) -> Mapping[str, Outcome]:
        """Read these sensors. Raises `Unavailable` when the wire hangs, or is closed."""
        wanted = tuple(sensors)
        return await self._worker.call(lambda left: self._round(wanted, left), within_seconds=self._deadline_seconds)

    async def close(self) -> None:
        """Give the wire back; does not wait for a read that hangs."""
        self._worker.close()


def _round(
    channels: Mapping[str, ChannelT], source: Source[ChannelT], sensors: Sequence[str], left: Callable[[], bool]
) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    with source.round() as read:
        for sensor in sensors:
            if left():
                break  # nobody waits any more, but others do for the wire
            channel = channels.get(sensor)
            outcomes[sensor] = (
                NotFound(f'there is no sensor "{sensor}" here') if channel is None else _try(read, channel)
            )
    return outcomes


def _try(read: Callable[[ChannelT], float], channel: ChannelT) -> Outcome:
    try:
        return read(channel)
    except UbmcError as error:
        return error
    except OSError as error:
        return unavailable(channel.sensor, error)
