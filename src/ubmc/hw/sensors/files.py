"""Sensors that are a number in a file of their own: `online` of a supply, `state` of a contact."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from ubmc.hw import sysfs
from ubmc.hw.sensors.channels import FileChannel
from ubmc.hw.sensors.wire import Wire


class FileBus(Wire):
    """Sensors that are read from files, one after the other."""

    def __init__(self, name: str, channels: Sequence[FileChannel]) -> None:
        """Nothing is opened yet.

        Args:
            name: of the wire.
            channels: of its sensors.
        """
        super().__init__(name, channels, _Files())


class _Files:
    @contextlib.contextmanager
    def round(self) -> Iterator[Callable[[FileChannel], float]]:
        yield lambda channel: sysfs.read_number(channel.path)
