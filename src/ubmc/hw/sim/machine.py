"""`python -m ubmc.hw.sim.machine DIR`: the simulated machine as a process of its own, in real time.

It is the hardware: its state lives in its memory alone, it survives the death of everything else, ignores Ctrl-C and
hang-ups, and ends only when told to (control request `end`, or SIGTERM, which is like scrapping it). A lock in DIR
makes sure that there is one. Kept lean on purpose: a selector, no asyncio.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import logging
import os
import selectors
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from ubmc.hw.sim.catalogue import MACHINES, machine_named
from ubmc.hw.sim.home import EXIT_BUSY, IDENTITY_NAME, LOCK_NAME, LOG_NAME, start_ticks
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.hw.sim.protocol import socket_path
from ubmc.hw.sim.server import Server
from ubmc.kit.errors import Busy, UbmcError

_LOG = logging.getLogger("ubmc.sim")
READY = b"r"
_MOST_LOG_BYTES = 1024 * 1024
_LONGEST_WAIT_SECONDS = 3600.0
# So often the climate is brought up to date while nobody looks, or the next who does would wait for it.
_CLIMATE_SECONDS = 60.0  # of the plant
_LEAST_CLIMATE_WAIT_SECONDS = 0.5
_LOCK_TRIES = 5


class Selector:
    """The few things that the server wants of an event loop, on a selector."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def add_reader(self, fd: int, callback: Callable[[], None], /) -> None:
        """Call back whenever `fd` is readable."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def remove_reader(self, fd: int, /) -> None:
        """Do not any more."""
        self._selector.unregister(fd)

    def wait(self, seconds: float) -> None:
        """Call back who has something to read, or return after `seconds`."""
        for key, _ in self._selector.select(min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)):
            # An earlier callback of this round may have closed this one, and given its number away.
            if self._selector.get_map().get(key.fd) is key:
                key.data()

    def close(self) -> None:
        """Give the selector back."""
        self._selector.close()


class RealTime:
    """A plant whose time is real time, `speed` times as fast."""

    def __init__(self, plant: Plant, speed: float) -> None:
        self.plant = plant
        self.ending = False
        self._speed = speed
        self._born = time.monotonic()

    def catch_up(self) -> None:
        """Let the plant's time be now."""
        self.plant.advance((time.monotonic() - self._born) * self._speed)
        self.plant.inside.catch_up()

    def acted(self) -> None:
        """Nothing to do: the loop asks for the next event each time round."""

    def end(self) -> None:
        """End after this round."""
        self.ending = True

    def wait_seconds(self) -> float:
        """Real seconds until the plant does something by itself."""
        climate = max(_CLIMATE_SECONDS / self._speed, _LEAST_CLIMATE_WAIT_SECONDS)
        due = self.plant.next_event_seconds()
        if due is None:
            return climate
        return min(due / self._speed - (time.monotonic() - self._born), climate)


def serve(listener: socket.socket, world: RealTime, instance: str) -> None:
    """Serve until told to end."""
    reactor = Selector()
    server = Server(world, reactor, instance=instance)
    wake, waker = socket.socketpair()
    wake.setblocking(False)
    waker.setblocking(False)
    before = signal.set_wakeup_fd(waker.fileno())

    def accept() -> None:
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            server.adopt(sock, time.monotonic())

    def woken() -> None:
        with contextlib.suppress(BlockingIOError):
            wake.recv(64)

    reactor.add_reader(listener.fileno(), accept)
    reactor.add_reader(wake.fileno(), woken)
    try:
        while not world.ending:
            world.catch_up()
            seconds = world.wait_seconds()
            if (greeting := server.expire(time.monotonic())) is not None:
                seconds = min(seconds, greeting - time.monotonic())
            reactor.wait(seconds)
    finally:
        signal.set_wakeup_fd(before)
        server.close()
        reactor.close()
        wake.close()
        waker.close()


def take_lock(directory: Path) -> int:
    """The descriptor whose lock says that the machine of this directory is us.

    Raises:
        Busy: there is one already.
    """
    fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_LOCK_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        time.sleep(0.01)  # somebody who only looks whether there is a machine has it for a moment
    os.close(fd)
    raise Busy(f"a machine runs in {directory} already; end it first, or use another directory")


def write_identity(directory: Path, instance: str) -> None:
    """Write down who the machine is, for those who find it hung."""
    text = json.dumps({"pid": os.getpid(), "start_ticks": start_ticks(os.getpid()), "instance": instance})
    draft = directory / f"{IDENTITY_NAME}.new"
    draft.write_text(text + "\n", encoding="ascii")
    draft.replace(directory / IDENTITY_NAME)


def run(directory: Path, settings: Settings, speed: float, ready: Callable[[], None]) -> None:
    """Be the machine of this directory until told to end.

    Raises:
        Busy: there is one already.
        Invalid: the path is too long for a socket.
    """
    path = socket_path(directory)
    os.umask(0o077)
    directory.mkdir(parents=True, exist_ok=True)
    lock = take_lock(directory)
    try:
        world = RealTime(Plant(settings), speed)

        def terminate(_number: int, _frame: FrameType | None) -> None:
            world.end()

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, terminate)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])  # whoever started us may have blocked some
        instance = os.urandom(6).hex()
        path.unlink(missing_ok=True)  # we hold the lock: whoever made it is gone
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
            # A folder with the setgid bit is shared with its group on purpose. A socket is executable else.
            os.umask(0o117 if directory.stat().st_mode & stat.S_ISGID else 0o177)
            listener.bind(str(path))
            os.umask(0o077)
            listener.listen(256)
            write_identity(directory, instance)
            _LOG.info("simulated machine %s runs in %s, process %d", instance, directory, os.getpid())
            ready()
            serve(listener, world, instance)
            path.unlink(missing_ok=True)
        _LOG.info("simulated machine %s ended", instance)
    finally:
        os.close(lock)


def detach(directory: Path) -> int:
    """Become a process of an own session with nobody to wait for us.

    Returns, in the new process, the descriptor to which `READY` is to be written. The old process does not return: it
    exits with 0 once the new one is ready, and otherwise with the new one's exit status.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        if os.read(reader, 1) == READY:
            os._exit(0)
        _, status = os.waitpid(child, 0)
        os._exit(max(os.waitstatus_to_exitcode(status), 1))
    os.close(reader)
    os.setsid()
    os.chdir("/")
    log = directory / LOG_NAME
    fresh = log.exists() and log.stat().st_size > _MOST_LOG_BYTES
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if fresh else 0), 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(null)
    os.close(out)
    return writer


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m ubmc.hw.sim.machine", description="a simulated machine")
    parser.add_argument("directory", type=Path, metavar="DIR", help="where its socket, lock and log are")
    parser.add_argument("--detach", action="store_true", help="return once it is ready and let it run")
    parser.add_argument("--speed", type=float, default=1.0, help="plant seconds per real second")
    parser.add_argument("--seed", type=int, default=0, help="of what varies")
    parser.add_argument("--machine", choices=sorted(MACHINES), default="standard", help="what it is made of")
    parser.add_argument("--front-wired", action="store_true", help="front button in parallel to the BMC's line")
    args = parser.parse_args()
    if not 0.01 <= args.speed <= 1000.0:
        parser.error("--speed is between 0.01 and 1000")
    directory: Path = args.directory.absolute()
    writer = -1
    if args.detach:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        writer = detach(directory)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")

    def ready() -> None:
        if writer >= 0:
            os.write(writer, READY)
            os.close(writer)

    settings = Settings(seed=args.seed, front_wired=args.front_wired, machine=machine_named(args.machine))
    try:
        run(directory, settings, args.speed, ready)
    except Busy as error:
        _LOG.warning("%s", error.message)
        return EXIT_BUSY
    except UbmcError as error:
        _LOG.error("%s", error.message)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
