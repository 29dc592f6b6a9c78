"""Attributes of the kernel's sysfs: numbers as text, one in a file.

Files are opened for each read and closed again: a driver that is bound again makes new files under the old names, and
an old descriptor then answers ENODEV for ever.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ubmc.kit.errors import Unavailable

SYSFS = Path("/sys")
_PAGE = 4096  # an attribute has at most a page (Documentation/filesystems/sysfs.rst)
# Plain decimal, as show() functions write it; float() would take "nan", "1_0" and digits of other scripts too.
_NUMBER = re.compile(rb"[ \t\r\n]*([+-]?\d{1,20}(?:\.\d{1,20})?)[ \t\r\n\0]*")


def parse_number(content: bytes) -> float:
    """The number that an attribute says.

    Raises:
        ValueError: it says none.
    """
    found = _NUMBER.fullmatch(content)
    if found is None:
        shown = content[:40].decode("ascii", "backslashreplace").strip()
        raise ValueError(f'"{shown}" is no number')
    return float(found[1])


def read(path: Path) -> bytes:
    """What an attribute says now. Raises `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _PAGE)
    finally:
        os.close(fd)


def read_text(path: Path) -> str:
    """The text of an attribute, without blanks around it; whatever bytes it has. Raises `OSError`."""
    return read(path).decode("utf-8", "backslashreplace").strip(" \t\r\n\0")


def text_or_none(path: Path) -> str | None:
    """The text of an attribute; None if there is none or it cannot be read."""
    try:
        return read_text(path)
    except OSError:
        return None


def read_number(path: Path) -> float:
    """The number of an attribute.

    Raises:
        OSError: it cannot be read, or it says no number (EBADMSG).
    """
    content = read(path)
    try:
        return parse_number(content)
    except ValueError as error:
        raise OSError(errno.EBADMSG, f"it says {error}" if content else "it is empty", str(path)) from error


def write(path: Path, text: str) -> None:
    """Write an attribute in one go. Raises `OSError`; an attribute that is not there is not made."""
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode("ascii"))
    finally:
        os.close(fd)


def why(error: OSError) -> str:
    """What the kernel said, and what a person can do about it if that is known."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"no permission for {error.filename or 'it'}; run as root, or give this user access"
    if error.errno == errno.ENODATA:
        return f"{error.strerror} (the input is switched off, or nothing is connected)"
    return error.strerror or str(error)


def members(folder: Path, prefix: str) -> Iterator[Path]:
    """The entries of a class folder by their number: hwmon2 before hwmon10. None if there is no folder."""
    try:
        found = [path for path in folder.iterdir() if re.fullmatch(re.escape(prefix) + r"\d+", path.name)]
    except OSError:
        return
    yield from sorted(found, key=lambda path: int(path.name.removeprefix(prefix)))


def device_path(folder: Path) -> str:
    """The path of the device behind a class folder."""
    device = folder / "device"
    return os.path.realpath(device if device.exists() else folder)


def on_path(path: str, part: str) -> bool:
    """Whether some whole names are on a path, one after the other: `i2c-3/3-0048`."""
    return f"/{part.strip('/')}/" in f"{path}/"


Identity = tuple[object, ...]


def identity(folder: Path) -> Identity:
    """What tells a class folder from another one that has its name later. Raises `OSError`."""
    status = folder.stat()
    # The kernel gives a new folder a new inode; where inodes are used again, the time of the change differs.
    inode = (status.st_dev, status.st_ino, status.st_ctime_ns)
    return (_link(folder), _link(folder / "device"), *inode, text_or_none(folder / "name"))


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def unavailable(what: str, error: OSError) -> Unavailable:
    """The error that says what could not be done and why."""
    return Unavailable(f"{what}: {why(error)}")
