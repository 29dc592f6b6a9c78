"""Being told when a file grows: inotify(7), which the standard library has not."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
from pathlib import Path

_IN_MODIFY = 0x2
_EVENT_BYTES = 4096


class Modified:
    """Sets `event` whenever the file was written to; made in the loop that waits for it. Close it."""

    def __init__(self, path: Path) -> None:
        """Begin to look. Raises OSError."""
        self.event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1 failed")
        if libc.inotify_add_watch(self._descriptor, os.fsencode(path), ctypes.c_uint32(_IN_MODIFY)) < 0:
            number = ctypes.get_errno()
            os.close(self._descriptor)
            raise OSError(number, os.strerror(number), str(path))
        self._loop.add_reader(self._descriptor, self._happened)

    def _happened(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, _EVENT_BYTES)
        self.event.set()

    def close(self) -> None:
        """Look no longer."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
