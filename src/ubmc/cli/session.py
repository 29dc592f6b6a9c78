"""The stored session: `~/.config/ubmc/session.json`, or under `XDG_CONFIG_HOME`.

It holds a secret, so it is made readable for its owner only, replaced as a whole, and not used if others could read it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ubmc.client.trust import CaFile, Insecure, Pinned, SystemTrust, Trust
from ubmc.kit.errors import Invalid, Refused, Unavailable

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Stored:
    """Which BMC, as whom, and whom to trust."""

    url: str
    user: str
    trust: Trust
    token: str = field(repr=False)


def path() -> Path:
    """Where the session is stored."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(home) if Path(home).is_absolute() else Path.home() / ".config"
    return folder / "ubmc" / "session.json"


def load() -> Stored | None:
    """The stored session; None if there is none.

    Raises:
        Refused: others can read the file, or it is none of ours.
        Unavailable: it cannot be read.
    """
    place = path()
    try:
        with place.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(64 << 10)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"cannot read {place}: {error.strerror}") from error
    if mode & 0o077:
        raise Refused(f"others can read {place}, so its token may be known; run: rm {place}, and log in again")
    try:
        return _decode(json.loads(content))
    except (ValueError, KeyError, TypeError, Invalid) as error:
        raise Refused(f"{place} cannot be understood; run: rm {place}, and log in again") from error


def save(stored: Stored) -> None:
    """Store the session in place of the one there was.

    Raises:
        Unavailable: it cannot be written.
    """
    place = path()
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=".session-")  # mkstemp makes it 0600
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(_encode(stored), file, indent=2)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(place)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        raise Unavailable(f"cannot write {place}: {error.strerror}") from error


def forget() -> None:
    """Remove the stored session, if there is one.

    Raises:
        Unavailable: it cannot be removed.
    """
    try:
        path().unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot remove {path()}: {error.strerror}") from error


def _encode(stored: Stored) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "url": stored.url,
        "user": stored.user,
        "token": stored.token,
        "trust": _encode_trust(stored.trust),
    }


def _encode_trust(trust: Trust) -> dict[str, str]:
    match trust:
        case SystemTrust():
            return {"kind": "system"}
        case CaFile(file):
            return {"kind": "cacert", "value": str(file)}
        case Pinned():
            return {"kind": "fingerprint", "value": str(trust)}
        case Insecure():
            return {"kind": "insecure"}


def _decode(content: Any) -> Stored:
    if content["version"] != _VERSION:
        raise ValueError(content["version"])
    url, user, token = content["url"], content["user"], content["token"]
    if not all(isinstance(text, str) for text in (url, user, token)):
        raise TypeError(type(url))
    return Stored(url=url, user=user, trust=_decode_trust(content["trust"]), token=token)


def _decode_trust(content: Mapping[str, Any]) -> Trust:
    match content["kind"]:
        case "system":
            return SystemTrust()
        case "cacert":
            return CaFile(Path(content["value"]))
        case "fingerprint":
            return Pinned.parse(content["value"])
        case "insecure":
            return Insecure()
    raise ValueError(content["kind"])
