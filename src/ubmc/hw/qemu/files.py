"""Small files of a machine: written so that they are whole after a loss of power, and logs kept within a bound."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # fallocate(2)


def write_durably(path: Path, content: bytes) -> None:
    """Replace the file in one step, on the disk before we return. The directory is made, for its owner only.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)
    draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def bound_log(path: Path, limit_bytes: int) -> None:
    """Move a log that has grown over the limit to `<name>.1` and begin anew, while its writer goes on writing.

    The writer must append (O_APPEND). What it writes between copy and cut is lost; that is at most a line or two.

    Raises:
        OSError: it cannot be written.
    """
    try:
        if path.stat().st_size <= limit_bytes:
            return
    except FileNotFoundError:
        return
    old = path.with_name(f"{path.name}.1")
    with path.open("rb") as source, old.open("wb") as target:
        source.seek(-limit_bytes, os.SEEK_END)
        shutil.copyfileobj(source, target)
    os.truncate(path, 0)


def free_head(path: Path, keep_bytes: int) -> None:
    """Give back the space of all but the last bytes of a log, while its writer goes on writing.

    The file keeps its length and the bytes that are left keep their places, so nobody who reads it loses any; the head
    reads as zeros, and is what `SEEK_DATA` skips.

    Raises:
        OSError: it cannot be done; on a file system that cannot (EOPNOTSUPP) the log grows.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        found = os.fstat(fd)
        head = found.st_size - keep_bytes
        if head <= 0 or found.st_blocks * 512 <= 2 * keep_bytes:
            return
        libc = ctypes.CDLL(None, use_errno=True)
        punch = getattr(libc, "fallocate64", None) or libc.fallocate  # off_t has 32 bits in the latter on 32-bit glibc
        punch.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        if punch(fd, _KEEP_SIZE | _PUNCH_HOLE, 0, head) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(fd)


def last_line(path: Path) -> str:
    """The last line of a log that is not empty, at most 300 characters; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4096))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")
