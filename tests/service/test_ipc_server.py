"""The embedded nats-server: found, fed, walled, and the whole matrix of permissions tried on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from ubmc.boards.load import load_board
from ubmc.compose.processes import process_specs
from ubmc.kit.errors import Unavailable
from ubmc.kit.keys import BusKey
from ubmc.kit.schema import load
from ubmc.services.ipc.permissions import Permissions, matrix
from ubmc.services.ipc.server import ENVIRONMENT, NatsServer, find_binary

OPEN = Permissions(frozenset({"a.>"}), frozenset({"a.>"}))


def script(folder: Path, text: str) -> Path:
    path = folder / "nats-server"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


def test_the_installed_one_is_found() -> None:
    assert os.access(find_binary(), os.X_OK)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo nats-server: v2.10.27", "at least 2.12"),
        ("echo nats-server: v1.99.0", "at least 2.12"),
        ("echo hello", "at least 2.12"),
        ("exit 1", "not a nats-server"),
    ],
)
def test_one_that_is_too_old_or_something_else(
    text: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(script(tmp_path, text)))
    with pytest.raises(Unavailable, match=why):
        find_binary()


@pytest.mark.parametrize("path", ["/nonexistent/nats-server", "/etc/hostname"])
def test_one_that_cannot_be_run(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, path)
    with pytest.raises(Unavailable, match=f"cannot be run.*{ENVIRONMENT}"):
        find_binary()


def test_a_newer_one_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(tmp_path, "echo nats-server: v3.0.1")
    monkeypatch.setenv(ENVIRONMENT, str(path))
    assert find_binary() == path


@contextlib.asynccontextmanager
async def running(state: Path, rights: Mapping[str, Permissions]) -> AsyncIterator[NatsServer]:
    server = NatsServer(state, rights)
    server.start()
    try:
        yield server
    finally:
        await asyncio.to_thread(server.stop, 5)
        server.close()


class Raw:
    """The client library as it is, with a key; what the server forbids is kept."""

    def __init__(self, key: BusKey | None) -> None:
        self.client = Client()
        self.key = key
        self.refused: list[str] = []
        self.got: list[Msg] = []

    async def connect(self, port: int) -> None:
        async def error(cause: Exception) -> None:
            if found := re.search(r'permissions violation for (\w+) (?:to )?"([^"]+)"', str(cause), re.IGNORECASE):
                self.refused.append(found[2].lower())

        options = {}
        if self.key is not None:
            self.client._public_nkey = self.key.public
            options["signature_cb"] = self.key.sign
        try:
            async with asyncio.timeout(30):
                await self.client.connect(f"nats://127.0.0.1:{port}", error_cb=error, allow_reconnect=False, **options)  # type: ignore[arg-type]
        except BaseException:
            if self.client._transport is not None:
                self.client._transport.close()  # type: ignore[no-untyped-call]
            raise

    async def keep(self, msg: Msg) -> None:
        self.got.append(msg)


async def admitted(server: NatsServer, name: str) -> Raw:
    """Somebody who speaks for a process."""
    key = BusKey()
    server.admit(name, key.public)
    async with asyncio.timeout(30):
        while not server.settle():
            await asyncio.sleep(0.005)
        while True:
            raw = Raw(key)
            try:
                await raw.connect(server.port)
            except (nats.errors.Error, OSError):
                await asyncio.sleep(0.02)
                continue
            return raw


async def test_who_has_no_key_or_another_one_gets_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, {"a": OPEN}) as server:
        good = await admitted(server, "a")
        for key in (None, BusKey()):
            with pytest.raises((nats.errors.Error, OSError)):
                await Raw(key).connect(server.port)
        await good.client.close()


async def test_a_new_key_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """A process that was restarted has a new key; whoever stole the old one has nothing."""
    async with running(tmp_path, {"a": OPEN}) as server:
        old = await admitted(server, "a")
        new = await admitted(server, "a")
        with pytest.raises((nats.errors.Error, OSError)):
            await Raw(old.key).connect(server.port)
        async with asyncio.timeout(30):
            while old.client.is_connected:
                await asyncio.sleep(0.01)
        assert new.client.is_connected
        await new.client.close()
        await old.client.close()


async def test_port_and_keys_survive_a_restart_and_nothing_secret_is_on_disk(tmp_path: Path) -> None:
    async with running(tmp_path, {"a": OPEN}) as server:
        first = await admitted(server, "a")
        port = server.port
        os.kill(server.pid or 0, signal.SIGKILL)
        assert server.reap() == -signal.SIGKILL
        server.start()
        assert server.port == port
        again = Raw(first.key)
        async with asyncio.timeout(30):
            while not again.client.is_connected:
                with contextlib.suppress(nats.errors.Error, OSError):
                    await again.connect(port)
        await again.client.close()
        await first.client.close()
        assert first.key is not None
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert first.key.public not in path.read_text(errors="replace"), path


async def test_it_listens_on_loopback_alone_and_inherits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "x")
    async with running(tmp_path, {"a": OPEN}) as server:
        raw = await admitted(server, "a")
        proc = Path("/proc") / str(server.pid)
        inodes = {os.readlink(entry)[8:-1] for entry in (proc / "fd").iterdir() if "socket" in os.readlink(entry)}
        listening = []
        for table in ("tcp", "tcp6", "udp", "udp6"):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[9] in inodes and fields[3] in {"0A", "07"}:
                    listening.append(fields[1])
        assert listening == [f"0100007F:{server.port:04X}"]
        assert b"SECRET_OF_OURS" not in (proc / "environ").read_bytes()
        await raw.client.close()


async def test_a_stop_is_bounded(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, {"a": OPEN})
    pid = server.start()
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    await asyncio.to_thread(server.stop, 0.3)
    assert time.monotonic() - began < 3
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    server.stop(1)
    server.close()


# --- the matrix ---------------------------------------------------------------------------------------------------


def concrete(rule: str) -> str:
    """A subject that falls under a rule."""
    return rule.replace("*", "x1").replace(">", "x1.x2")


def allowed(subject: str, rules: Iterable[str]) -> bool:
    """NATS's matching, written anew for the test."""
    for rule in rules:
        pattern = re.escape(rule).replace(r"\*", "[^.]+")
        pattern = pattern[: -len(">")] + ".+" if rule.endswith(">") else pattern
        if re.fullmatch(pattern, subject):
            return True
    return False


@pytest.mark.parametrize("name", ["safety", "managers", "websrv"])
async def test_everything_that_another_process_may_is_refused(name: str, tmp_path: Path) -> None:
    schema = load()
    rights = matrix(process_specs(load_board("sim")), schema)
    others = {concrete(rule) for each in rights.values() for rule in each.publish | each.subscribe}
    others |= {
        f"{kind}.{method.token.short}.{method.token.method}" for method in schema.methods for kind in ("rpc", "peer")
    }
    others |= {
        "$JS.API.STREAM.DELETE.EVENTS",
        "$JS.API.STREAM.PURGE.EVENTS",
        "$SYS.REQ.SERVER.PING",
        "event.x.y.z",
        "x",
    }
    async with running(tmp_path, rights) as server:
        raw = await admitted(server, name)
        mine = rights[name]
        for subject in sorted(others):
            await raw.client.publish(subject, b"")
        await raw.client.flush(5)
        await asyncio.sleep(0.1)
        expected = {each for each in others if not allowed(each, mine.publish)}
        assert len(expected) > 30
        assert set(raw.refused) == {each.lower() for each in expected}
        raw.refused.clear()
        wide = {
            ">",
            "*",
            "*.>",
            "rpc.>",
            "peer.>",
            "event.>",
            "signal.>",
            "stream.>",
            "$JS.>",
            "$SYS.>",
            "_INBOX_managers.>",
        }
        for subject in sorted(others | wide):
            await raw.client.subscribe(subject, cb=raw.keep)
        await raw.client.flush(5)
        await asyncio.sleep(0.1)
        expected = {each for each in others | wide if not allowed(each, mine.subscribe)}
        assert set(raw.refused) == {each.lower() for each in expected}
        await raw.client.close()


async def test_nobody_reads_the_answers_to_others(tmp_path: Path) -> None:
    rights = matrix(process_specs(load_board("sim")), load())
    async with running(tmp_path, rights) as server:
        managers, door = await admitted(server, "managers"), await admitted(server, "websrv")
        await door.client.subscribe("_INBOX_websrv.a", cb=door.keep)
        await door.client.subscribe("_INBOX_managers.a", cb=door.keep)
        await managers.client.subscribe("_INBOX_managers.a", cb=managers.keep)
        await asyncio.sleep(0)
        await door.client.flush(5)
        await managers.client.publish("_INBOX_managers.a", b"secret")
        await managers.client.publish("_INBOX_websrv.a", b"answer")
        await managers.client.flush(5)
        await asyncio.sleep(0.1)
        assert [msg.data for msg in door.got] == [b"answer"]
        await door.client.close()
        await managers.client.close()
