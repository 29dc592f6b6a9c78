"""The walls around one process: a user of its own, no privileges but those named, and only the files it needs.

Entered by a freshly forked child, which has one thread; there is no way back. A user of its own needs root. Landlock
(kernel 5.13 and newer) needs nobody's permission, so it holds for a plain user too: it limits which files can be
opened, keeps a process from tracing or signalling those outside, and is inherited by every process that is made
inside. Sources: landlock(7), capabilities(7), include/uapi/linux/landlock.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION_3 = 0x20080522
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1, 2
_FIRST_WITH_SCOPES = 6


class Capability(IntEnum):
    """What of root's power a process may keep (capabilities(7))."""

    CHOWN = 0
    DAC_OVERRIDE = 1
    FOWNER = 3
    FSETID = 4
    KILL = 5
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    NET_BIND_SERVICE = 10


class Access(IntFlag):
    """What can be done to files (LANDLOCK_ACCESS_FS_*)."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ = Access.EXECUTE | Access.READ_FILE | Access.READ_DIR
_DEVICES = Access.MAKE_CHAR | Access.MAKE_BLOCK
WRITE = Access(0xFFFF) & ~READ & ~_DEVICES
_OF_A_FILE = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV
# The last right that each version of the interface knows; later versions added none for files.
_LAST_OF_ABI = {1: Access.MAKE_SYM, 2: Access.REFER, 3: Access.TRUNCATE, 4: Access.TRUNCATE}


@dataclass(frozen=True, slots=True)
class Walls:
    """What one process is allowed."""

    uid: int | None = None
    """Who it becomes; None: it stays who it is."""
    gid: int | None = None
    capabilities: frozenset[Capability] = frozenset()
    """What it keeps of root's power, and what it starts inherits. Means nothing if it stays who it is."""
    writable: tuple[Path, ...] = ()
    """Files and folders that it may read and change. What does not exist is left out."""
    readable: tuple[Path, ...] = ()
    """Files and folders that it may read and run."""
    files: bool = True
    """Whether only these files can be opened; no for a process that starts what its owner brings."""
    alone: bool = True
    """Whether it may signal only what it started itself."""


def enter(walls: Walls) -> None:
    """Put this process behind its walls; call it once, with one thread, before anything else is done.

    Raises:
        OSError: a wall cannot be put up; the process must not go on.
    """
    libc = _libc()
    parent, death = os.getppid(), _death_signal(libc)
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    if walls.uid is not None:
        _become(libc, walls.uid, walls.uid if walls.gid is None else walls.gid, walls.capabilities)
    if walls.files:
        _enclose(libc, walls)
    if death:  # the kernel forgets it with every change of who a process is (prctl(2))
        _prctl(libc, _PR_SET_PDEATHSIG, death)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(outcome: int, what: str) -> int:
    if outcome < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return outcome


def _prctl(libc: ctypes.CDLL, option: int, *values: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    _checked(libc.prctl(option, *padded), f"prctl {option}")


def _death_signal(libc: ctypes.CDLL) -> int:
    found = ctypes.c_int(0)
    _checked(libc.prctl(_PR_GET_PDEATHSIG, ctypes.byref(found), 0, 0, 0), "prctl")
    return found.value


# --- who it is ------------------------------------------------------------------------------------------------------


def _become(libc: ctypes.CDLL, uid: int, gid: int, capabilities: Iterable[Capability]) -> None:
    permitted = int(_status("CapPrm"), 16)
    kept = [capability for capability in capabilities if permitted >> capability & 1]  # what we have not, nobody gets
    for number in range(_last_capability() + 1):
        if number not in kept:
            _prctl(libc, _PR_CAPBSET_DROP, number)
    if kept:
        _prctl(libc, _PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _set_capabilities(libc, kept)
    for capability in kept:
        _prctl(libc, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)
    _prctl(libc, _PR_SET_DUMPABLE, 0)  # nobody but root looks into its memory


def _last_capability() -> int:
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def _set_capabilities(libc: ctypes.CDLL, kept: Iterable[Capability]) -> None:
    mask = sum(1 << capability for capability in kept)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    # effective, permitted and inheritable, first of the lower 32 capabilities, then of the others
    sets = struct.pack("=6I", *[mask & 0xFFFFFFFF] * 3, *[mask >> 32] * 3)
    _checked(libc.capset(header, sets), "capset")


# --- what it can open -----------------------------------------------------------------------------------------------


def landlock_version() -> int:
    """The version of Landlock's interface that this kernel offers; 0 without, or where it is forbidden."""
    libc = _libc()
    version: int = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    if version < 0 and ctypes.get_errno() not in {errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}:
        _checked(version, "landlock")
    return max(version, 0)


def rights(version: int) -> Access:
    """All that this version of Landlock can forbid."""
    last = _LAST_OF_ABI.get(version, Access.IOCTL_DEV) if version > 0 else Access(0)
    return Access((int(last) << 1) - 1) if last else last


def _enclose(libc: ctypes.CDLL, walls: Walls) -> None:
    version = landlock_version()
    if not version:
        return
    known = rights(version)
    scopes = _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL if walls.alone and version >= _FIRST_WITH_SCOPES else 0
    attributes = struct.pack("=QQQ", known, 0, scopes)
    size = 8 if version < 4 else 16 if version < _FIRST_WITH_SCOPES else 24
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    ruleset = libc.syscall(_CREATE_RULESET, buffer, ctypes.c_size_t(size), ctypes.c_uint32(0))
    _checked(ruleset, "landlock_create_ruleset")
    try:
        for path in walls.readable:
            _allow(libc, ruleset, path, READ & known)
        for path in walls.writable:
            _allow(libc, ruleset, path, (READ | WRITE) & known)
        _checked(libc.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, access: Access) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _OF_A_FILE
        rule = struct.pack("=Qi", access, descriptor)
        buffer = ctypes.create_string_buffer(rule, len(rule))
        outcome = libc.syscall(_ADD_RULE, ruleset, ctypes.c_int(_PATH_BENEATH), buffer, ctypes.c_uint32(0))
        _checked(outcome, f"landlock_add_rule {path}")
    finally:
        os.close(descriptor)


def enclosed() -> bool:
    """Whether Landlock really forbids this process what no wall of ours allows: to list the root of the file system."""
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except PermissionError:
        return True
    return False


# --- where code and system live -------------------------------------------------------------------------------------

_SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/etc", "/proc", "/sys", "/dev/urandom", "/dev/random",
    "/dev/zero", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf",
)  # fmt: skip


def code() -> tuple[Path, ...]:
    """Where this program, its interpreter and its libraries are."""
    package = Path(__file__).resolve().parents[2]
    here = Path.cwd()
    found = [Path(sys.prefix), Path(sys.base_prefix), package]
    # `python -m` puts the current folder first, which is nobody's code unless the program lies there.
    found += [path for entry in sys.path if (path := Path(entry)).is_absolute() and path != here]
    return tuple(dict.fromkeys(path for path in found if path != Path("/") and path.exists()))


def system() -> tuple[Path, ...]:
    """What every process reads of the system: libraries, names, certificates of authorities, itself."""
    return tuple(Path(each) for each in _SYSTEM)


# --- whether others can get there -----------------------------------------------------------------------------------


def unreachable(paths: Iterable[Path], through: Iterable[Path] = ()) -> tuple[Path, ...]:
    """Folders and files that a user with no rights of its own cannot pass, on the way to these paths or at their end.

    Args:
        paths: what has to be read; judged both as written and with all links followed.
        through: folders that have to be passed only.
    """
    found: dict[Path, None] = {}
    for path in paths:
        for each in (path.absolute(), path.resolve()):
            found.update(dict.fromkeys(_closed(each)))
    for folder in through:
        found.update(dict.fromkeys(_closed(folder.resolve() / "x")))
    return tuple(found)


def _closed(path: Path) -> list[Path]:
    closed = [folder for folder in reversed(path.parents) if not _mode(folder, stat.S_IXOTH)]
    if path.exists() and not _mode(path, stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)):
        closed.append(path)
    return closed


def _mode(path: Path, wanted: int) -> bool:
    try:
        return path.stat().st_mode & wanted == wanted
    except FileNotFoundError:
        return True
    except PermissionError:
        return False


_NEEDED = (
    Capability.CHOWN, Capability.DAC_OVERRIDE, Capability.FOWNER, Capability.FSETID, Capability.KILL, Capability.SETGID,
    Capability.SETUID, Capability.SETPCAP,
)  # fmt: skip


def can_become(uids: Iterable[int]) -> str:
    """Why this process cannot start others as these users, for people; empty if it can."""
    if os.geteuid() != 0:
        return "it runs as a plain user; run it as root"
    effective = int(_status("CapEff"), 16)
    if missing := [capability.name for capability in _NEEDED if not effective >> capability & 1]:
        return f"root lacks {', '.join('CAP_' + name for name in missing)} here"
    spans = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    if not all(any(first <= uid < first + count for first, _outside, count in spans) for uid in uids):
        return "this user namespace has not the users that are needed"
    return ""


def _status(key: str) -> str:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return value.strip()
    raise KeyError(key)


def give(path: Path, uid: int, gid: int) -> None:
    """Make a user the owner of a folder and all that is in it, following no link out of it. As root.

    What else has a name (a hard link) elsewhere is left alone: whoever made it may not own it.
    """
    os.chown(path, uid, gid, follow_symlinks=False)
    for _folder, names, files, descriptor in os.fwalk(path, follow_symlinks=False):
        for name in (*names, *files):
            with contextlib.suppress(FileNotFoundError):
                facts = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISDIR(facts.st_mode) or facts.st_nlink == 1:
                    os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)


def set_mode(path: Path, mode: int) -> None:
    """Change the mode of a file or folder, never of what a link in its place points to.

    Raises:
        OSError: it is not there, is a link, or is not ours to change.
    """
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_ISLNK(os.fstat(descriptor).st_mode):
            raise OSError(errno.ELOOP, f"{path} is a link")
        Path(f"/proc/self/fd/{descriptor}").chmod(mode)
    finally:
        os.close(descriptor)
