"""Who has the state directory. It imports next to nothing, so a second u-bmc is refused before it loads anything."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ubmc.kit.errors import Busy, Unavailable

LOCK_SECONDS = 3.0
_FILE_NAME = "lock"


@contextlib.contextmanager
def locked(state: Path) -> Iterator[int]:
    """Hold the state directory for the time of the block; gives the descriptor of the lock, for the children to keep.

    Raises:
        Busy: another u-bmc holds it, or what is left of one has not ended yet.
        Unavailable: the file of the lock cannot be opened.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state / _FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"cannot lock the state directory {state}: {error.strerror}") from error
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy(f"another u-bmc runs on {state}; end it, or give this one another --state") from None
                time.sleep(0.05)
        yield descriptor
    finally:
        os.close(descriptor)


def ever_locked(state: Path) -> bool:
    """Whether a u-bmc has ever run on this state directory.

    Raises:
        Unavailable: it cannot be looked into.
    """
    try:
        return (state / _FILE_NAME).exists()
    except OSError as error:
        raise Unavailable(f"cannot look into the state directory {state}: {error.strerror}") from error
