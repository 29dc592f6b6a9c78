"""What the security self-test finds out: each thing as it should be, and as it should not."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.harness.program import until

from ubmc.services.securitymgr import selftest_facts as facts
from ubmc.services.securitymgr.selftest_facts import Surroundings


@asynccontextmanager
async def answering(text: bytes) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(text)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 308 Permanent Redirect\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\n\r\n", "status 200"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
        (b"SSH-2.0\r\n", "ValueError"),
        (b"", "ValueError"),
    ],
)
async def test_a_plain_listener_that_does_not_redirect_is_named(answer: bytes, said: str | None) -> None:
    async with answering(answer) as port:
        found = await facts._redirects([("0.0.0.0", port)])
    assert found == (() if said is None else (f"0.0.0.0:{port} ({said})",))


async def test_a_plain_listener_that_is_not_there_is_named() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert "ConnectionRefused" in (await facts._redirects([("127.0.0.1", port)]))[0]


def test_a_listener_that_nobody_asked_for_is_named() -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp.bind(("127.0.0.1", 0))
        port, datagrams = tcp.getsockname()[1], udp.getsockname()[1]
        me, other = os.getuid(), os.getuid() + 1
        sockets = facts._sockets("udp", facts._UNCONNECTED)
        door = Surroundings(doors=frozenset({me}))
        assert f"TCP port {port} (user {me})" in facts._strangers(door, sockets)
        assert f"UDP port {datagrams} (user {me})" in facts._strangers(door, sockets)
        listed = replace(door, listen=(("127.0.0.1", port),), redirect=(("127.0.0.1", datagrams),))
        assert not [each for each in facts._strangers(listed, sockets) if f"port {port} " in each]
        assert not [each for each in facts._strangers(listed, sockets) if f"port {datagrams} " in each]
        inside = replace(listed, doors=frozenset(), inside=frozenset({me}))
        assert f"TCP port {port} (user {me})" in facts._strangers(inside, sockets), "an inner process listens nowhere"
        bus = replace(inside, bus=me)
        assert f"TCP port {port} (user {me})" not in facts._strangers(bus, sockets), "but the bus, on loopback"
        assert facts._strangers(Surroundings(doors=frozenset({other})), sockets) == ()


def test_files_that_others_can_read_are_named(tmp_path: Path) -> None:
    state, private = tmp_path / "state", tmp_path / "state" / "managers"
    private.mkdir(parents=True)
    state.chmod(0o711)
    private.chmod(0o700)
    file = private / "precious.db"
    file.write_text("x")
    file.chmod(0o600)
    (private / "link").symlink_to(file)
    around = Surroundings(state=state, private=(private,))
    assert list(facts._open_files(around)) == []
    file.chmod(0o640)
    assert list(facts._open_files(around)) == [str(file)]
    file.chmod(0o600)
    private.chmod(0o750)
    assert list(facts._open_files(around)) == [str(private)]
    private.chmod(0o700)
    state.chmod(0o755)
    assert list(facts._open_files(around)) == [str(state)]


def test_processes_are_those_of_the_operator() -> None:
    assert list(facts._processes(1 << 30)) == []
    code = (
        "import ctypes, resource; ctypes.CDLL(None).prctl(15, b'ubmc-test');"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); input()"
    )
    ours, theirs = os.pipe()
    pid = os.posix_spawn(
        "/proc/self/exe", ["python", "-c", code], dict(os.environ), file_actions=[(os.POSIX_SPAWN_DUP2, ours, 0)]
    )
    try:
        found = until(
            lambda: [each for each in facts._processes(os.getpid()) if (each.name, each.core_bytes) == ("ubmc-test", 0)]
        )
        assert found[0].uid == os.geteuid()
        assert not found[0].no_new_privileges
    finally:
        os.close(theirs)
        os.close(ours)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
