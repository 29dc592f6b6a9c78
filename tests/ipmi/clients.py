"""Other people's IPMI clients: ipmitool, FreeIPMI and pyghmi, and how to run one of their commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

CLIENT_SECONDS = 90.0
ESCAPE = "~"
"""With which the commands of `console` begin."""
PINGS = ("rmcpping", "ipmiping")
NEEDS = {"ipmitool": "ipmitool", "ipmi-raw": "freeipmi-tools"}
_PYGHMI = Path(__file__).with_name("pyghmi_client.py")
_LEVELS = {"USER": "USER", "OPERATOR": "OPERATOR", "ADMINISTRATOR": "ADMIN"}


@dataclass(frozen=True, slots=True)
class Login:
    """Who a client is, and where the BMC is."""

    port: int
    user: str
    secret: str
    folder: Path
    """For password files and caches."""
    suite: int | None = 17
    """The cipher suite; None: the client finds one by itself."""
    level: str = "ADMINISTRATOR"
    interface: str = "lanplus"
    alone: str = ""
    """An address with port 623, for clients that know no other port; empty: there is none."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a client said."""

    code: int
    text: str


def need_clients() -> None:
    """Skip where they are missing."""
    for program, package in NEEDS.items():
        if shutil.which(program, path=_path()) is None:
            pytest.skip(f"{program} is missing: apt-get install {package}")


def run(login: Login, command: Sequence[str], typed: str = "") -> Said:
    """Run a command: `ipmitool ...`, `pyghmi ...`, or a tool of FreeIPMI."""
    program, *arguments = command
    if program == "ipmitool":
        return _run(["ipmitool", *_ipmitool(login), *arguments], typed)
    if program in PINGS:
        return _run([program, "-c", "2", "-v", login.alone], typed)
    if program == "pyghmi":
        return _run([str(_judges_python()), str(_PYGHMI), str(login.port), login.user, login.secret, *arguments], typed)
    return _run([program, *_freeipmi(login), *arguments], typed)


def console(login: Login, program: str) -> list[str]:
    """The command of a client that shows the serial line: `ipmitool` or `ipmiconsole`."""
    if program == "ipmitool":
        return ["ipmitool", *_ipmitool(login), "-e", ESCAPE, "sol", "activate"]
    told = [program, "-h", login.alone, "-u", login.user, "-p", login.secret, "-l", _LEVELS[login.level]]
    return [*told, "-I", str(login.suite), "-e", ESCAPE]


def _ipmitool(login: Login) -> list[str]:
    secret = login.folder / f"{login.user}.secret"
    secret.write_text(login.secret)
    secret.chmod(0o600)
    told = ["-I", login.interface, "-H", "127.0.0.1", "-p", str(login.port), "-U", login.user, "-f", str(secret)]
    told += ["-L", login.level, "-N", "2", "-R", "4"]
    return told if login.suite is None else [*told, "-C", str(login.suite)]


def _freeipmi(login: Login) -> list[str]:
    told = ["-D", "LAN_2_0", "-h", f"127.0.0.1:{login.port}", "-u", login.user, "-p", login.secret]
    told += ["-l", _LEVELS[login.level]]
    return told if login.suite is None else [*told, "-I", str(login.suite)]


def _judges_python() -> Path:
    from tests.redfish import judges

    return judges.installed() / "python"


def _run(command: Sequence[str], typed: str) -> Said:
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            input=typed,
            timeout=CLIENT_SECONDS,
            env=os.environ | {"PATH": _path(), "TZ": "UTC"},
        )
    except subprocess.TimeoutExpired as error:
        return Said(-1, f"not within {CLIENT_SECONDS} s: {error.stdout!r}")
    return Said(done.returncode, done.stdout + done.stderr)


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
