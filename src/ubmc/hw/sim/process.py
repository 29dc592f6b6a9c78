"""Finding, starting and ending the process that hosts the simulated machine.

The lock in the machine's directory decides who the machine is: as many as like may call `ensure_running` at once, one
machine comes of it. Everything blocks (up to the timeouts); from an event loop, call it in a worker thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ubmc.hw.sim.home import EXIT_BUSY, IDENTITY_NAME, LOCK_NAME, LOG_NAME, start_ticks
from ubmc.hw.sim.protocol import LONGEST_ANSWER_BYTES, decode_answer, encode, socket_path
from ubmc.kit.errors import Exhausted, TimedOut, Unavailable

_LOG = logging.getLogger("ubmc.sim")
_POLL_SECONDS = 0.02
# What the machine needs of our environment, which may hold secrets and is readable for as long as the machine lives.
_ENVIRONMENT = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME"})


@dataclass(frozen=True, slots=True)
class Machine:
    """A live machine: its process (by id and start time), its instance, and whether it ran before we asked."""

    pid: int
    start_ticks: int
    instance: str
    adopted: bool


def request(directory: Path, control: dict[str, object], *, timeout_seconds: float = 2.0) -> dict[str, object]:
    """Ask the machine for something and wait for the answer.

    Raises:
        Unavailable: no machine answers.
        UbmcError: what the machine said.
    """
    return _ask(directory, control, timeout_seconds)[0]


def ensure_running(
    directory: Path,
    *,
    speed: float = 1.0,
    seed: int = 0,
    front_wired: bool = False,
    machine: str = "standard",
    timeout_seconds: float = 15.0,
) -> Machine:
    """Adopt the machine of this directory, or start it.

    Args:
        directory: made if it is not there (mode 0700).
        speed: plant seconds per real second; only for a machine that is started.
        seed: of what varies; likewise.
        front_wired: the front power button is in parallel to the BMC's line; likewise.
        machine: its name in `ubmc.hw.sim.catalogue`; one that runs is adopted even if it is another, with a warning.
        timeout_seconds: how long all of this may take.

    Raises:
        Invalid: the directory's path is too long for a socket.
        Unavailable: it cannot be started; says why and where its log is.
        TimedOut: it runs or starts, but does not answer.
    """
    socket_path(directory)
    deadline = time.monotonic() + timeout_seconds
    options = ["--speed", str(speed), "--seed", str(seed), "--machine", machine]
    options += ["--front-wired"] if front_wired else []
    started = False
    while True:
        with contextlib.suppress(Unavailable):
            return _identify(directory, deadline, machine, adopted=not started)
        if time.monotonic() >= deadline:
            raise TimedOut(f"the machine in {directory} does not answer; its log is {directory / LOG_NAME}")
        if not is_running(directory):
            started = _start(directory, options, deadline) or started
        time.sleep(_POLL_SECONDS)


def is_running(directory: Path) -> bool:
    """Whether a machine process holds the directory's lock, be it able to answer or not."""
    try:
        fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared: two who look at the same time do not take each other for a machine.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def end(directory: Path, *, timeout_seconds: float = 5.0) -> bool:
    """End the machine of this directory; what it was doing is gone. Returns whether there was one.

    It is asked first; one that does not answer is killed, by pidfd and only if its start time is the one written down.

    Raises:
        TimedOut: it is still there.
    """
    if not is_running(directory):
        return False
    deadline = time.monotonic() + timeout_seconds
    with contextlib.ExitStack() as stack:
        pidfd = _open_pidfd(directory)
        if pidfd is not None:
            stack.callback(os.close, pidfd)
        try:
            request(directory, {"do": "end"}, timeout_seconds=timeout_seconds / 2)
        except Unavailable:
            if pidfd is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        if pidfd is not None:
            select.select([pidfd], [], [], max(deadline - time.monotonic(), 0.0))
    while is_running(directory):
        if time.monotonic() >= deadline:
            raise TimedOut(f"the machine in {directory} did not end; its log is {directory / LOG_NAME}")
        time.sleep(_POLL_SECONDS)
    return True


def _start(directory: Path, options: list[str], deadline: float) -> bool:
    """Start one; False if somebody else was quicker."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # -P: no modules from whatever directory we happen to be in.
    command = [sys.executable, "-P", "-m", "ubmc.hw.sim.machine", str(directory.absolute()), "--detach", *options]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name in _ENVIRONMENT},
            timeout=max(deadline - time.monotonic(), 0.1),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimedOut(f"the machine in {directory} did not come up; its log is {directory / LOG_NAME}") from None
    except OSError as error:
        raise Unavailable(f"the machine in {directory} cannot be started: {error}") from error
    if done.returncode == EXIT_BUSY:
        return False
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise Unavailable(f"the machine in {directory} does not start: {said or 'see ' + str(directory / LOG_NAME)}")
    return True


def _identify(directory: Path, deadline: float, machine: str, *, adopted: bool) -> Machine:
    left = max(deadline - time.monotonic(), 0.1)
    answer, pid = _ask(directory, {"do": "state"}, min(left, 2.0))
    state = answer.get("state")
    if not isinstance(state, dict):
        raise Unavailable(f"what listens in {directory} is no machine of ours")
    if (runs := state.get("machine")) != machine:
        _LOG.warning(
            "the simulated machine that runs is not the one of the board; it is kept as it is. "
            "To have the other, stop the BMC, end the machine with 'ubmc machine end', and start the BMC again",
            extra={"runs": runs or "one of an older release", "wanted": machine, "directory": str(directory)},
        )
    try:
        return Machine(pid, start_ticks(pid), str(state.get("instance")), adopted)
    except OSError as error:
        raise Unavailable(f"the machine in {directory} has just ended") from error


def _ask(directory: Path, control: dict[str, object], timeout_seconds: float) -> tuple[dict[str, object], int]:
    """The answer, and the process that gave it (SO_PEERCRED)."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(timeout_seconds)
            sock.connect(str(socket_path(directory)))
            pid, _, _ = struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            sock.sendall(encode({"control": control}))
            line = b""
            while not line.endswith(b"\n"):
                if len(line) > LONGEST_ANSWER_BYTES:
                    raise Exhausted("the machine's answer is too long")
                if not (data := sock.recv(LONGEST_ANSWER_BYTES)):
                    raise Unavailable(f"the machine in {directory} ended while answering")
                line += data
    except OSError as error:
        raise Unavailable(f"no machine answers in {directory}: {error}") from error
    return decode_answer(line), pid


def _open_pidfd(directory: Path) -> int | None:
    """A descriptor of the machine's process, as written down; None if that process is not there any more."""
    try:
        identity = json.loads((directory / IDENTITY_NAME).read_text(encoding="ascii"))
        pid, ticks = int(identity["pid"]), int(identity["start_ticks"])
        pidfd = os.pidfd_open(pid)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        if start_ticks(pid) == ticks:
            return pidfd
    except OSError:
        pass
    os.close(pidfd)
    return None
