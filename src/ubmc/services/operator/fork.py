"""Making a child by fork, from a parent that runs neither an event loop nor threads.

The child inherits the warm imports, so it starts in milliseconds and shares most of its memory. It gets a session of
its own (the terminal's Ctrl-C is the operator's business), dies with the operator, can gain no privileges and leaves
no core dump behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Container, Iterable

from ubmc.kit.channel import Channel
from ubmc.kit.log import descriptors

log = logging.getLogger("ubmc.operator")

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_NO_NEW_PRIVS = 38
# glibc raises this threshold to the largest block that was ever freed (mallopt(3)). Fixed at its default, the 19 MiB of
# a password hash go back when it is made, and of the 256 KiB that asyncio takes for every TLS connection only the pages
# that are used become resident.
_M_MMAP_THRESHOLD = -3
_MMAP_THRESHOLD_BYTES = 128 * 1024
_MANAGED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


def fork_child(
    name: str, body: Callable[[Channel], None], keep: Iterable[int] = (), *, outlives: bool = False
) -> tuple[int, Channel]:
    """Fork a child that runs `body` with its end of a channel; its process id and our end.

    Args:
        name: what the process is called in `ps`.
        body: what it does; when it returns or raises, the child ends.
        keep: descriptors of ours that the child may keep beside the standard streams; all others are closed in it.
        outlives: the child is told of our death by the end of its channel instead of being killed.
    """
    ours, theirs = Channel.pair()
    _flush()
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        raise
    if pid:
        theirs.close()
        return pid, ours
    code = 1
    try:
        ours.close()
        _become_child(name, parent, {0, 1, 2, theirs.fileno(), *descriptors(), *keep}, outlives=outlives)
        body(theirs)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        log.exception("a process failed by a bug", extra={"child": name})
    finally:
        try:
            _flush()
        finally:
            os._exit(code)


def watchable(pid: int, channel: Channel) -> int:
    """A descriptor that tells when the child ends; a child that cannot be watched is ended.

    Raises:
        OSError: there is no descriptor left.
    """
    try:
        return os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)  # it is our child and not reaped, so the number is still its own
        os.waitpid(pid, 0)
        channel.close()
        raise


def _flush() -> None:
    """Write out what is buffered, so that it is not written twice; nobody may be listening any more."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _become_child(name: str, parent: int, keep: Container[int], *, outlives: bool) -> None:
    signal.set_wakeup_fd(-1)
    for number in _MANAGED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.setsid()
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208  numbers, not paths
        if int(entry) not in keep:
            with contextlib.suppress(OSError):  # the one of the listing itself
                os.close(int(entry))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NAME, f"ubmc-{name}".encode()[:15])
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if not outlives:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def warm_up() -> None:
    """Call once before the first fork: what is there now stays shared, and what a child needs once goes back."""
    with contextlib.suppress(AttributeError):  # not every C library has it
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
    # Each entry that a child would replace here is a name whose page it would make its own, 0.6 MiB of them.
    sys._clear_type_cache()  # noqa: SLF001  there is no other way, and it is documented
    gc.freeze()
