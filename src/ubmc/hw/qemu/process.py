"""The process that is the virtual machine: started so that it outlives us, found again, ended only by descriptor.

The one thing to know: the truth about "is there a machine" is a lock, not a file's contents. We take a flock on
`machine.lock` and hand the locked descriptor to QEMU at the moment it is started; then we close ours. The kernel keeps
the lock exactly as long as that process lives, so whatever kills us and whenever it does:

- before the start the lock falls with us, and there is no machine;
- after it the lock is QEMU's, a second start is refused, and the holder is found by `machine.json`, or, if we died
  before that was written, by looking which process has the lock's file open as descriptor `LOCK_FD`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import select
import shutil
import signal
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ubmc.hw.qemu.files import last_line, write_durably
from ubmc.hw.qemu.machine import Accelerator, Layout, choose_accelerator
from ubmc.kit.errors import Exists, Unavailable

log = logging.getLogger("ubmc.qemu")

_PRIVATE = 0o2710
"""At most so open is the folder of a machine: its group may pass, to reach the one socket that is shared."""

# The number under which QEMU has the lock open. High, so that no program has something else there by chance.
LOCK_FD = 217
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Record:
    """Which process a machine is. A pid alone is reused; pid, start time and boot together are not."""

    pid: int
    started: int  # clock ticks since boot: field 22 of /proc/PID/stat, proc(5)
    boot: str
    uuid: str


class Process:
    """A living (or just ended) machine, held by a pidfd. Whoever made it closes it; that ends nothing."""

    def __init__(self, pid: int, pidfd: int, *, adopted: bool) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.adopted = adopted

    def ended(self, timeout_seconds: float = 0.0) -> bool:
        """Whether it has ended, after blocking at most so long."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(int(timeout_seconds * 1000)))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def reap(self) -> None:
        """Take its exit status if it is our child, so that no zombie stays."""
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.pidfd)


def boot_id() -> str:
    """The kernel's random name of this boot of the machine that we run on."""
    return (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()


def pick_accelerator(wanted: Accelerator) -> Accelerator:
    """TCG or KVM on this machine. Raises `Refused` as `choose_accelerator` does."""
    flags: set[str] = set()
    with contextlib.suppress(OSError), (_PROC / "cpuinfo").open(encoding="ascii", errors="replace") as lines:
        flags.update(*(line.partition(":")[2].split() for line in lines if line.startswith("flags")))
    return choose_accelerator(wanted, flags, kvm_writable=os.access("/dev/kvm", os.W_OK))


def locate(binary: str) -> str:
    """The absolute path of QEMU's program.

    Raises:
        Unavailable: it is not installed.
    """
    found = shutil.which(binary)
    if found is None:
        raise Unavailable(f"{binary} is not installed; on Debian and Ubuntu: apt install qemu-system-x86")
    return str(Path(found).absolute())


def has_network_rom(binary: str) -> bool:
    """Whether the option ROM (iPXE) that boots from a virtio network card is where QEMU looks (`-L help`)."""
    with contextlib.suppress(Unavailable):
        prefix = Path(locate(binary)).parent.parent
        return any((prefix / folder / "efi-virtio.rom").is_file() for folder in ("share/qemu", "lib/ipxe/qemu"))
    return False


def find(layout: Layout) -> Process | None:
    """The machine that lives in this directory, if any.

    Raises:
        Unavailable: something holds the lock and we cannot see what: another user's machine, or one just starting.
    """
    try:
        lock = os.open(layout.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{layout.lock} cannot be opened: {error.strerror}") from error
    try:
        if _locked(lock):
            return None
        process = _by_record(layout) or _by_descriptor(os.fstat(lock))
        if process is not None:
            return process
        if _locked(lock):  # it ended while we looked
            return None
        raise Unavailable(f"{layout.lock} is locked by a process that we cannot see; who holds it: fuser {layout.lock}")
    finally:
        os.close(lock)


def recorded(layout: Layout) -> tuple[Process, str] | None:
    """The machine of the record, if it lives, and what no other machine is called; touches no lock, so misses some."""
    process = _by_record(layout)
    if process is None:
        return None
    record = Record(**json.loads(layout.record.read_text("utf-8")))
    return process, f"{record.boot}-{record.pid}-{record.started}"


def start(layout: Layout, argv: Sequence[str], identity: uuid.UUID) -> Process:
    """Start the machine, in a session of its own. `argv[0]` is the absolute path of the program.

    Returns as soon as the process is there; whether it likes its arguments shows in its end and in `qemu.log`.

    Raises:
        Exists: there is a machine in this directory already.
        Unavailable: it cannot be started.
    """
    try:
        layout.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if layout.directory.stat().st_mode & ~_PRIVATE & 0o7777:
            layout.directory.chmod(0o700)  # its sockets ask nobody for a password
        lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"{layout.directory} cannot be used: {error.strerror}") from error
    try:
        if not _locked(lock):
            raise Exists(f"a machine runs already in {layout.directory}")
        for stale in (*layout.sockets, *layout.logs, layout.serial_input):
            stale.unlink(missing_ok=True)
        os.mkfifo(layout.serial_input, 0o600)
        os.close(os.open(layout.serial_log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        pid = _spawn(layout, argv, lock)
        pidfd = os.pidfd_open(pid)  # our own child that nobody has waited for: the number is its own until we reap it
    except OSError as error:
        raise Unavailable(f"{argv[0]} cannot be started: {error.strerror}") from error
    finally:
        os.close(lock)
    process = Process(pid, pidfd, adopted=False)
    try:
        record = Record(pid, _started(pid), boot_id(), str(identity))
        write_durably(layout.record, json.dumps(asdict(record)).encode())
    except OSError as error:
        # The lock finds it without the record, just not as fast.
        log.warning("the machine's record cannot be written", extra={"path": str(layout.record), "error": str(error)})
    return process


def end(layout: Layout, grace_seconds: float = 2.0) -> bool:
    """End the machine in this directory, blocking; whether there was one.

    SIGTERM lets QEMU flush its images and go, whatever its guest does; SIGKILL follows after the grace.

    Raises:
        Unavailable: it does not end (it hangs in the kernel), or it cannot be seen.
    """
    process = find(layout)
    if process is None:
        return False
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            process.signal(number)
            if process.ended(grace_seconds):
                process.reap()
                forget(layout)
                return True
        raise Unavailable(f"process {process.pid} does not end, not even by SIGKILL; it waits for a device")
    finally:
        process.close()


def forget(layout: Layout) -> None:
    """Remove what an ended machine has left: its record and its sockets."""
    for path in (layout.record, *layout.sockets, layout.serial_input):
        with contextlib.suppress(OSError):
            path.unlink()


def complaint(layout: Layout) -> str:
    """Why QEMU ended, as far as it said so."""
    return last_line(layout.qemu_log) or "it said nothing"


def _locked(fd: int) -> bool:
    """Take the lock if it is free. It falls when the last copy of this descriptor is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        raise
    return True


def _spawn(layout: Layout, argv: Sequence[str], lock: int) -> int:
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(layout.qemu_log), append, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
        (os.POSIX_SPAWN_DUP2, lock, LOCK_FD),
    ]
    keep = ("PATH", "HOME", "TMPDIR")
    environment = {name: os.environ[name] for name in keep if name in os.environ} | {"LC_ALL": "C"}
    return os.posix_spawn(
        argv[0],
        list(argv),
        environment,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD),
    )


def _started(pid: int) -> int:
    stat = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    # The second field is the program's name in brackets, and may hold anything.
    return int(stat.rpartition(")")[2].split()[19])


def _by_record(layout: Layout) -> Process | None:
    try:
        record = Record(**json.loads(layout.record.read_text("utf-8")))
        pidfd = os.pidfd_open(record.pid)
    except (OSError, ValueError, TypeError):
        return None
    # The pidfd first: if the number was given to somebody else before, its start time tells.
    with contextlib.suppress(OSError, ValueError, IndexError):
        if record.boot == boot_id() and _started(record.pid) == record.started:
            return Process(record.pid, pidfd, adopted=True)
    os.close(pidfd)
    return None


def _by_descriptor(lock: os.stat_result) -> Process | None:
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or not _holds(entry.name, lock):
            continue
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(int(entry.name))
            if _holds(entry.name, lock):
                return Process(int(entry.name), pidfd, adopted=True)
            os.close(pidfd)
    return None


def _holds(pid: str, lock: os.stat_result) -> bool:
    try:
        held = (_PROC / pid / "fd" / str(LOCK_FD)).stat()
    except OSError:
        return False
    return os.path.samestat(held, lock)
