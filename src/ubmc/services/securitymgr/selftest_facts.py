"""Gathering what the security self-test judges: from the kernel, the state directory and other services.

The kernel's view is taken from /proc, so it is what is, not what was meant. Everything that blocks runs in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import datetime as dt
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ubmc.kit import walls
from ubmc.kit.bus import Bus
from ubmc.kit.errors import UbmcError
from ubmc.services.securitymgr import renewal
from ubmc.services.securitymgr.selftest import Facts, Process
from ubmc.services.securitymgr.store import Kept
from ubmc.v1alpha1.account_pb import AccountPolicy, GetAccountPolicyRequest
from ubmc.v1alpha1.account_rpc import AccountService
from ubmc.v1alpha1.system_pb import GetHealthRequest, ServiceState
from ubmc.v1alpha1.system_rpc import SystemService
from ubmc.v1alpha1.user_pb import ListUsersRequest
from ubmc.v1alpha1.user_rpc import UserService

ASK_SECONDS = 3.0
PROBE_SECONDS = 2.0
MOST_USERS = 1000
MOST_NAMED = 8
_OURS = ("ubmc-", "nats-server")
_TIME_ERROR = 5  # the state of a clock that nobody disciplines (adjtimex(2))
_REDIRECTS = (301, 302, 307, 308)
_LISTENS, _UNCONNECTED = "0A", "07"  # st in /proc/net/tcp and /proc/net/udp
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the owner and the operator have decided, as far as the self-test compares it with what is."""

    state: Path | None = None
    """The state directory; None if there is nothing to look at."""
    private: tuple[Path, ...] = ()
    """Folders in it whose files are for their owner only."""
    device_key: Path | None = None
    device_key_sealed: bool = False
    listen: tuple[tuple[str, int], ...] = ()
    ipmi: tuple[str, ...] | None = None
    """Those of them where IPMI listens; None if nobody has told."""
    redirect: tuple[tuple[str, int], ...] = ()
    proxies: tuple[str, ...] = ()
    doors: frozenset[int] = frozenset()
    """The users of processes that may listen there."""
    inside: frozenset[int] = frozenset()
    """The users of all others, which may listen on loopback if they are the bus, else nowhere."""
    bus: int | None = None
    """The user of the bus."""
    why_not_separate: str = "this process does not know as whom the others run"
    version: str = ""


async def gather(bus: Bus, around: Surroundings, kept: Kept, audit: tuple[bool | None, bool | None]) -> Facts:
    """Everything that can be found out; `audit` is whether the trail is whole, and whether it follows."""
    local, accounts, unclaimed, unready, redirects = await asyncio.gather(
        asyncio.to_thread(_look, around), _accounts(bus), _unclaimed(bus), _unready(bus), _redirects(around.redirect)
    )
    now = dt.datetime.now(dt.UTC)
    certificate = kept.certificate
    begin = certificate.not_before if certificate is not None else None
    return Facts(
        first_password_kept=local.first_password,
        unclaimed=unclaimed,
        accounts=accounts,
        policy=kept.policy,
        proxies=around.proxies,
        strangers=local.strangers,
        ipmi=around.ipmi,
        redirects=redirects,
        certificate_days=renewal.days_left(certificate, now) if certificate is not None else None,
        certificate_begun=begin is None or begin.to_datetime() <= now,
        own_key=bool(kept.key) and certificate is not None,
        processes=local.processes,
        why_not_separate=around.why_not_separate,
        landlock_version=local.landlock,
        enclosed=local.enclosed,
        open_files=local.open_files,
        device_key_mode=local.key_mode,
        device_key_sealed=around.device_key_sealed,
        version=around.version,
        audit_intact=audit[0],
        audit_follows=audit[1],
        clock_synchronised=local.clock,
        unready=unready,
    )


# --- other services -------------------------------------------------------------------------------------------------


async def _accounts(bus: Bus) -> AccountPolicy | None:
    with contextlib.suppress(UbmcError):
        request = GetAccountPolicyRequest()
        return (await bus.ask(AccountService.GetAccountPolicy, request, timeout=ASK_SECONDS)).policy
    return None


async def _unclaimed(bus: Bus) -> tuple[str, ...] | None:
    with contextlib.suppress(UbmcError):  # whoever asks may not be allowed to see accounts
        answer = await bus.ask(UserService.ListUsers, ListUsersRequest(page_size=MOST_USERS), timeout=ASK_SECONDS)
        return tuple(user.name for user in answer.users if user.must_change_password)
    return None


async def _unready(bus: Bus) -> tuple[str, ...] | None:
    with contextlib.suppress(UbmcError):
        answer = await bus.ask(SystemService.GetHealth, GetHealthRequest(), timeout=ASK_SECONDS)
        return tuple(each.name for each in answer.services if each.state is not ServiceState.READY)
    return None


async def _redirects(addresses: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """Listeners that answer plain HTTP with anything but a redirect, or not at all."""
    wrong = []
    for host, port in addresses:
        where = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                code = await _ask_plainly(where, port)
        except (OSError, ValueError, TimeoutError) as error:
            wrong.append(f"{host}:{port} ({type(error).__name__})")
            continue
        if code not in _REDIRECTS:
            wrong.append(f"{host}:{port} (status {code})")
    return tuple(wrong)


async def _ask_plainly(host: str, port: int) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET /api/v1alpha1/system HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return int((await reader.readline()).split()[1])
    except IndexError as error:
        raise ValueError("no status line") from error
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


# --- this machine ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Local:
    first_password: bool | None = None
    strangers: tuple[str, ...] | None = None
    processes: tuple[Process, ...] = ()
    landlock: int = 0
    enclosed: bool | None = None
    open_files: tuple[str, ...] | None = None
    key_mode: int | None = None
    clock: bool | None = None


def _look(around: Surroundings) -> _Local:
    udp = _known(lambda: [*_sockets("udp", _UNCONNECTED), *_sockets("udp6", _UNCONNECTED)])
    return _Local(
        first_password=_known(lambda: _in(around.state, lambda folder: (folder / "first-password").exists())),
        strangers=_known(lambda: _strangers(around, udp or [])) if not around.why_not_separate else None,
        processes=_known(lambda: tuple(_processes(os.getppid()))) or (),
        landlock=_known(walls.landlock_version) or 0,
        enclosed=_known(walls.enclosed),
        open_files=_known(lambda: tuple(_open_files(around))[:MOST_NAMED]) if around.state is not None else None,
        key_mode=_known(lambda: _in(around.device_key, lambda key: stat.S_IMODE(key.stat().st_mode))),
        clock=_known(_clock_synchronised),
    )


def _in(path: Path | None, look: Callable[[Path], T]) -> T | None:
    return None if path is None else look(path)


def _known(look: Callable[[], T | None]) -> T | None:
    """What a look finds; None if it is not allowed, or there is nothing to see."""
    try:
        return look()
    except (OSError, ValueError):
        return None


def _processes(parent: int) -> Iterable[Process]:
    """The processes of the BMC: what the operator, our parent, has started (proc(5))."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError, KeyError, ValueError):
            lines = (folder / "status").read_text(errors="replace").splitlines()
            status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
            if int(status["PPid"]) != parent or not status["Name"].startswith(_OURS):
                continue
            yield Process(
                name=status["Name"],
                uid=int(status["Uid"].split()[1]),
                no_new_privileges=status["NoNewPrivs"] == "1",
                capabilities=int(status["CapEff"], 16),
                core_bytes=_core_limit(folder),
            )


def _core_limit(folder: Path) -> int | None:
    try:
        lines = (folder / "limits").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("Max core file size"):
            hard = line.split()[5]
            return int(hard) if hard.isdecimal() else -1
    return None


def _sockets(kind: str, state: str) -> list[tuple[str, int, int]]:
    """Address (in hexadecimal, as the kernel writes it), port and user of the sockets in a state (proc(5))."""
    file = Path("/proc/net") / kind
    if not file.exists():
        return []
    found = []
    for line in file.read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == state:
            address, _, port = fields[1].partition(":")
            found.append((address, int(port, 16), int(fields[7])))
    return found


_LOOPBACK = ("0100007F", "00000000000000000000000001000000")


def _strangers(around: Surroundings, udp: Iterable[tuple[str, int, int]]) -> tuple[str, ...]:
    wanted = {port for _host, port in (*around.listen, *around.redirect)}
    anywhere = 0 in wanted  # the kernel has chosen
    found = []
    for address, port, uid in (*_sockets("tcp", _LISTENS), *_sockets("tcp6", _LISTENS)):
        inside = uid in around.inside and not (uid == around.bus and address in _LOOPBACK)
        if inside or (uid in around.doors and port not in wanted and not anywhere):
            found.append(f"TCP port {port} (user {uid})")
    for _address, port, uid in udp:
        if uid in around.doors and port not in wanted and not anywhere:
            found.append(f"UDP port {port} (user {uid})")
    return tuple(found)


def _open_files(around: Surroundings) -> Iterable[str]:
    """Files for one process alone that others could read, and a state directory that others could list."""
    assert around.state is not None
    if around.state.stat().st_mode & 0o066:
        yield str(around.state)
    for folder in around.private:
        if folder.stat().st_mode & 0o077:
            yield str(folder)
        if not os.access(folder, os.R_OK | os.X_OK):
            continue  # another process's
        for path in folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                mode = path.lstat().st_mode
                if not stat.S_ISLNK(mode) and mode & 0o077:
                    yield str(path)


def _clock_synchronised() -> bool | None:
    """Whether somebody disciplines the clock of this machine (adjtimex(2), asked without changing anything)."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(512)  # struct timex; its first field, modes, is 0: change nothing
    state: int = libc.adjtimex(buffer)
    return None if state < 0 else state != _TIME_ERROR
