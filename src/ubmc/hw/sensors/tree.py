"""Reads of a class folder of sysfs whose number may change under us: hwmon chips and IIO devices.

Where an input is, is looked up at its first read. It is looked up again when the folder is another one than it was (it
was renumbered, or its driver was bound again), which is seen once a round, and when a read fails.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from ubmc.hw import sysfs
from ubmc.hw.sensors.wire import Named
from ubmc.kit.errors import UbmcError

_LOG = logging.getLogger("ubmc.sensors")

ChannelT = TypeVar("ChannelT", bound=Named)
KeyT = TypeVar("KeyT", bound=Hashable)


class Spot(Protocol):
    """Where an input is, and how its text becomes a value."""

    def read(self) -> float:
        """The value now. Raises `OSError` and `UbmcError`."""


@dataclass(slots=True)
class _Folder:
    path: Path
    identity: sysfs.Identity
    spots: dict[str, Spot] = field(default_factory=dict)


class TreeSource(Generic[ChannelT, KeyT]):
    """Reads channels that are found in folders."""

    def __init__(
        self,
        key: Callable[[ChannelT], KeyT],
        find: Callable[[KeyT], Path],
        locate: Callable[[ChannelT, Path], Spot],
    ) -> None:
        """Nothing is looked up yet.

        Args:
            key: what tells the folder of a channel from others.
            find: looks for the folder; raises `Unavailable`.
            locate: looks for the input in it; raises `NotFound`.
        """
        self._key = key
        self._find = find
        self._locate = locate
        self._folders: dict[KeyT, _Folder] = {}

    @contextlib.contextmanager
    def round(self) -> Iterator[Callable[[ChannelT], float]]:
        """A round: every folder is looked at once."""
        seen: dict[KeyT, _Folder | UbmcError] = {}

        def read(channel: ChannelT) -> float:
            key = self._key(channel)
            if key not in seen:
                seen[key] = self._look(key)
            folder = seen[key]
            if isinstance(folder, UbmcError):
                raise folder
            try:
                return self._spot(channel, folder).read()
            except OSError:
                folder.spots.pop(channel.sensor, None)
                seen[key] = found = self._look(key)
                if found is folder:
                    raise  # it is no other: what the read said is what there is to tell
            if isinstance(found, UbmcError):
                raise found
            return self._spot(channel, found).read()

        yield read

    def _spot(self, channel: ChannelT, folder: _Folder) -> Spot:
        spot = folder.spots.get(channel.sensor)
        if spot is None:
            spot = folder.spots[channel.sensor] = self._locate(channel, folder.path)
        return spot

    def _look(self, key: KeyT) -> _Folder | UbmcError:
        """The folder that is known, if it is still the same, or else the one that is found."""
        known = self._folders.get(key)
        with contextlib.suppress(OSError):
            if known is not None and sysfs.identity(known.path) == known.identity:
                return known
        self._folders.pop(key, None)
        try:
            path = self._find(key)
            folder = _Folder(path, sysfs.identity(path))
        except UbmcError as error:
            return error
        except OSError as error:
            return sysfs.unavailable(str(key), error)  # it went between the two looks
        _LOG.info("%s is %s", key, path.name, extra={"chip": str(key)})
        self._folders[key] = folder
        return folder
