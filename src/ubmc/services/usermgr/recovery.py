"""Getting in again by the device itself: a request that stands once in a file of the state directory.

Whoever can write there as the user of the BMC has the device in hands, so that is all the proof there is. The file
holds the hash of the new password, never the password. It is taken when usermgr starts, and looked for while it runs;
what came of it stands in a second file, for the command that wrote the first one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ubmc.kit.errors import Invalid, Refused, Unavailable

REQUEST = "recover-account.json"
RESULT = "recover-account.result"
POLL_SECONDS = 1.0
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Recovery:
    """Somebody on the device wants to get in again."""

    name: str
    password: str = field(repr=False)
    """The argon2id hash of the new password."""
    remove_second_factor: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(8))


def write(folder: Path, request: Recovery) -> None:
    """Leave a request; it takes the place of one that nobody has taken yet.

    Raises:
        Unavailable: the file cannot be written.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            (folder / RESULT).unlink()
        _replace(folder / REQUEST, json.dumps(asdict(request)))
    except OSError as error:
        raise Unavailable(f"the request cannot be written into {folder}: {error.strerror}") from error


def take(folder: Path) -> Recovery | None:
    """The request that stands there, which is removed by that; None if there is none.

    Raises:
        Refused: it was not written by us or by root, or others can write it.
        Invalid: it cannot be read.
    """
    path = folder / REQUEST
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise Refused(f"{path} is no request of ours: {error.strerror}") from error
    try:
        facts = os.fstat(descriptor)
        content = os.read(descriptor, _LONGEST) if stat.S_ISREG(facts.st_mode) else b""
    finally:
        os.close(descriptor)
    path.unlink(missing_ok=True)
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid not in (0, os.geteuid()) or facts.st_mode & 0o077:
        raise Refused(f"{path} is not a file that only this user can read and write")
    try:
        values = json.loads(content)
        return Recovery(
            str(values["name"]), str(values["password"]), bool(values["remove_second_factor"]), str(values["id"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid(f"{path} cannot be read") from error


def answer(folder: Path, request: Recovery, problem: str) -> None:
    """Say what came of a request; an empty `problem` means that it was done. Raises `OSError`."""
    _replace(folder / RESULT, json.dumps({"id": request.id, "problem": problem}))


def outcome(folder: Path, request: Recovery) -> str | None:
    """What came of a request: the problem, empty when it was done; None while nobody has taken it."""
    try:
        values = json.loads((folder / RESULT).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(values, dict) or values.get("id") != request.id:
        return None
    with contextlib.suppress(OSError):
        (folder / RESULT).unlink()
    return str(values.get("problem", ""))


def _replace(path: Path, text: str) -> None:
    """Write a file that only the owner of its folder can read, whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        if os.geteuid() == 0:  # the BMC may run as a user of its own
            owner = path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.fsync(descriptor)
    draft.rename(path)
