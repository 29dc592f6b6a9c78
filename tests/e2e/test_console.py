"""The console of the simulated board by WebSocket, SSH and the command line, at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
import pytest
from tests.harness.program import ADMIN_PASSWORD, Program, until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ubmc.hw.sim.parts.shell import pattern
from ubmc.protocols import console as frames

PROTOCOL = "ubmc.console.v1"
T = TypeVar("T")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("console")
    board = folder / "board.toml"
    # The host boots five times as fast.
    text = Path("targets/sim/board.toml").read_text().replace("[lines]\n", "[lines]\nspeed = 5.0\n", 1)
    assert "speed = 5.0" in text
    board.write_text(text)
    with Program(folder / "s", "--ssh", "127.0.0.1:0", board=str(board)) as program:
        program.login()
        yield program


def ssh_port(program: Program) -> int:
    """Where it says that SSH listens."""
    found = re.search(r"^  SSH +\S+ port (\d+)$", program.output, re.MULTILINE)
    assert found is not None, program.output
    return int(found[1])


class Loop:
    """An event loop in a thread of its own, for calls from other threads.

    All that is done with a TLS connection is done in that one thread. Blocking clients read in one and write in
    another, and what is written while OpenSSL takes a session ticket in, just after the handshake, goes into a buffer
    that it then throws away: of a hundred requests one is never sent.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """End it, once all have been told who wait for something there."""

        async def rest() -> None:
            me = asyncio.current_task()
            if others := [task for task in asyncio.all_tasks() if task is not me]:
                await asyncio.wait(others, timeout=10)

        self.run(rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Socket:
    """A WebSocket on the console, by a library of other people's."""

    def __init__(self, program: Program, query: str = "replay=0", *, token: str | None = None, **headers: str) -> None:
        context = ssl.create_default_context(cafile=str(program.state / "tls" / "server.pem"))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        token = program.token if token is None else token
        origin = headers.pop("origin", None)
        extra = {**headers, **({"authorization": f"Bearer {token}"} if token else {})}
        url = f"wss{program.url.removeprefix('https')}/api/v1alpha1/hosts/host.0/console:attach?{query}"
        with contextlib.ExitStack() as stack:
            self._loop = Loop()
            stack.callback(self._loop.close)
            opening = connect(
                url, ssl=context, subprotocols=[PROTOCOL], additional_headers=extra, origin=origin,  # type: ignore[list-item, arg-type]
                compression=None, max_size=1 << 20, proxy=None, open_timeout=30,
            )  # fmt: skip
            self._connection: ClientConnection = self._loop.run(opening.__aenter__())
            stack.callback(lambda: self._loop.run(self._connection.close()))
            self._stack = stack.pop_all()
        self.text = b""
        self.epoch = ""
        self.place = 0

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def receive(self, seconds: float) -> str | bytes:
        async def one() -> str | bytes:
            async with asyncio.timeout(seconds):
                return await self._connection.recv()

        return self._loop.run(one())

    def next(self, kind: type[Any], seconds: float = 45.0) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            message = self.receive(max(deadline - time.monotonic(), 0.01))
            assert isinstance(message, bytes)
            frame = frames.parse(message)
            if isinstance(frame, frames.Hello):
                self.epoch, self.place = frame.epoch, frame.start
            if isinstance(frame, frames.Output):
                assert frame.offset == self.place
                self.place += len(frame.data)
                self.text += frame.data
            if isinstance(frame, kind):
                return frame

    def see(self, text: bytes, seconds: float = 45.0) -> bytes:
        while text not in self.text:
            self.next(frames.Output, seconds)
        before, _, self.text = self.text.partition(text) if text else (b"", b"", self.text)
        return before

    def send(self, frame: frames.ToOwner) -> None:
        self._loop.run(self._connection.send(frames.message(frame)))

    def type(self, data: bytes) -> None:
        for frame in frames.inputs(data):
            self.send(frame)


class Terminal:
    """`ubmc console host.0` at a terminal."""

    def __init__(self, program: Program, *arguments: str, token: str = "") -> None:
        self.master, slave = pty.openpty()
        environment = {
            **os.environ,
            "UBMC_URL": program.url,
            "UBMC_TOKEN": token or program.token,
            "UBMC_CACERT": "",
            "UBMC_FINGERPRINT": program.fingerprint,
            "XDG_CONFIG_HOME": str(program.state),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ubmc", "console", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
        )
        os.close(slave)
        os.set_blocking(self.master, False)
        self.text = b""

    def see(self, text: bytes, seconds: float = 45.0) -> bytes:
        def seen() -> bool:
            with contextlib.suppress(BlockingIOError, OSError):
                self.text += os.read(self.master, 65536)
            return text in self.text

        try:
            until(seen, seconds)
        except AssertionError:
            raise AssertionError(f"{text!r} was not seen within {seconds} s, but {self.text[-2000:]!r}") from None
        before, _, self.text = self.text.partition(text) if text else (b"", b"", self.text)
        return before

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def leave(self) -> int:
        self.type(b"\r~.")
        try:
            return self.process.wait(10)
        finally:
            os.close(self.master)


def restart_host(program: Program) -> None:
    """Have it boot, whatever it does now."""
    if program.host()["state"] == "HOST_STATE_OFF":
        assert program.power("ON").status_code == 200
    else:
        assert program.power("FORCE_RESTART").status_code == 200


def test_a_boot_is_seen_by_websocket_ssh_and_terminal_at_once_and_one_of_them_logs_in(program: Program) -> None:
    async def by_ssh() -> None:
        async with asyncssh.connect(
            "127.0.0.1", ssh_port(program), username="admin", password=ADMIN_PASSWORD, known_hosts=None,
            client_keys=None, agent_path=None, config=None,
        ) as connection:  # fmt: skip
            process = await connection.create_process("host.0 --read-only", encoding=None)
            async with asyncio.timeout(30):
                await process.stderr.readuntil(b"you read]")
                ready.set()
                await process.stdout.readuntil(b"[10] CPU init")
                await process.stdout.readuntil(b"simulated login: ")
                await process.stdout.readuntil(b"typed by one\r\n")

    async def everybody() -> None:
        ssh = asyncio.create_task(by_ssh())
        await asyncio.wait((ssh, asyncio.create_task(ready.wait())), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(ssh, asyncio.to_thread(the_others))

    def the_others() -> None:
        with Socket(program) as socket:
            assert socket.next(frames.Hello).connected
            terminal = Terminal(program, "host.0", "--replay", "0")
            terminal.see(b"you write; ~? for help")
            terminal.type(b"~?")
            terminal.see(b"[ubmc: ~.  end\r\n  ~B  send a BREAK\r\n")  # one notice of several lines
            terminal.see(b"(only at the beginning of a line)]\r\n")
            restart_host(program)
            for viewer in (socket, terminal):
                viewer.see(b"[10] CPU init")
                viewer.see(b"simulated login: ")
            for expected, answer in ((b"", b"root\r"), (b"Password: ", b"x\r"), (b"# ", b"echo typed by one\r")):
                terminal.see(expected)
                terminal.type(answer)
            socket.see(b"typed by one\r\n")
            terminal.see(b"typed by one\r\n")
            assert terminal.leave() == 0

    ready = asyncio.Event()
    asyncio.run(everybody())
    told = {each["messageId"] for each in program.events()}
    assert {"Console.Attached", "Console.Written", "Console.Seen", "Console.Detached"} <= told

    def audited() -> bool:
        answer = program.request("GET", "/api/v1alpha1/audit-records?newestFirst=true&pageSize=100")
        return {"Console.Attached", "Console.Written"} <= {each["action"] for each in answer.json()["records"]}

    until(audited, 30, "who came and who typed is in the audit trail")


def test_a_mebibyte_goes_both_ways_by_websocket(program: Program) -> None:
    with Socket(program, "write=true&takeOver=true") as socket:
        restart_host(program)
        for expected, answer in (
            (b"simulated login: ", b"root\r"),
            (b"Password: ", b"x\r"),
            (b"# ", b"send 1048576 400000\r"),
            (b"400000\r\n", b""),
        ):
            socket.see(expected)
            socket.type(answer)
        assert socket.see(b"\r\nsent 1048576 bytes") == pattern(0, 1048576)
        socket.see(b"# ")
        socket.type(b"raw 1048576\r")
        socket.see(b"raw 1048576\r\n")
        data = os.urandom(1048576)
        socket.type(data)
        while len(socket.text) < len(data):
            socket.next(frames.Output)
        assert socket.text[: len(data)] == data


def test_a_kill_of_the_console_service_costs_no_byte(program: Program) -> None:
    with Socket(program, "write=true&takeOver=true") as socket:
        restart_host(program)
        for expected, answer in (
            (b"simulated login: ", b"root\r"),
            (b"Password: ", b"x\r"),
            (b"# ", b"send 900000 60000\r"),
            (b"60000\r\n", b""),
        ):
            socket.see(expected)
            socket.type(answer)
        os.kill(program.processes()["consolesrv"], signal.SIGKILL)
        with pytest.raises(ConnectionClosed) as caught:
            socket.see(b"\r\nsent ")
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
        text, place, epoch = socket.text, socket.place, socket.epoch

    def again() -> Socket | None:
        time.sleep(0.2)  # a crowd of connections of one address is thinned out
        with contextlib.suppress(InvalidStatus):
            return Socket(program, f"from={place}&epoch={epoch}")
        return None

    with until(again, 30, "the service is back") as socket:
        assert socket.next(frames.Hello).resumed == "exact"
        assert text + socket.see(b"\r\nsent 900000 bytes") == pattern(0, 900000)


def test_who_may_not_is_refused_and_no_foreign_page_gets_in(program: Program) -> None:
    for status, query, headers in (
        (401, "", {"token": ""}),
        (401, "", {"token": "wrong"}),
        (403, "", {"origin": "https://evil.example"}),
        (403, "", {"origin": "null"}),
        (403, "", {"origin": program.url.replace("https", "http")}),
        (400, "what=1", {}),
        (400, "from=x", {}),
    ):
        with pytest.raises(InvalidStatus) as caught:
            Socket(program, query, **headers)
        assert caught.value.response.status_code == status, (status, query, headers)
        assert b'"code"' in caught.value.response.body
    body = {"user": {"name": "rita", "role": "ReadOnly"}, "password": "rita is only reading"}
    assert program.request("POST", "/api/v1alpha1/users", body).status_code == 200
    answer = program.request(
        "POST", "/api/v1alpha1/sessions:login", {"user": "rita", "password": body["password"]}, token=""
    )
    rita = answer.json()["token"]
    with pytest.raises(InvalidStatus) as caught:
        Socket(program, "write=true", token=rita)
    assert caught.value.response.status_code == 403
    of_rita = "/api/v1alpha1/audit-records?pageSize=1000&user=rita"

    def trail() -> list[tuple[str, str]]:
        return [(each["action"], each["outcome"]) for each in program.request("GET", of_rita).json()["records"]]

    refused = ("ConsoleService.WriteConsole", "denied")
    until(lambda: refused in trail(), 30, "who wanted to write is in the audit trail")
    terminal = Terminal(program, "host.0", token=rita)
    terminal.see(b"nobody writes, you read; ~? for help")
    assert terminal.leave() == 0
    until(lambda: ("Console.Attached", "ok") in trail(), 30, "who only looked is, too")
    assert trail().count(refused) == 1, "and nothing that they did not want"
    with Socket(program, token=rita) as socket:
        assert not socket.next(frames.Hello).may_write
        assert program.request("POST", "/api/v1alpha1/sessions:logout", {}, token=rita).status_code == 200
        with pytest.raises(ConnectionClosed) as closed:
            socket.next(frames.End)
            socket.receive(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


def test_a_page_of_ours_attaches_with_its_cookie(program: Program) -> None:
    login = {"user": "admin", "password": ADMIN_PASSWORD}
    with program.client(headers={"x-session-cookie": "1"}) as client:
        answer = client.post("/api/v1alpha1/sessions:login", json=login)
    cookie = "; ".join(f"{name}={value}" for name, value in answer.cookies.items())
    with Socket(program, token="", origin=program.url, cookie=cookie) as socket:
        assert socket.next(frames.Hello).may_write
    with pytest.raises(ConnectionClosed) as caught, Socket(program, token="", origin=program.url) as socket:
        socket.next(frames.Hello)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4401  # which a page can read, other than a status


def test_the_command_line_shows_and_sets_and_the_terminal_is_given_back(program: Program, tmp_path: Path) -> None:
    environment = {
        **os.environ, "UBMC_URL": program.url, "UBMC_TOKEN": program.token, "UBMC_FINGERPRINT": program.fingerprint,
        "XDG_CONFIG_HOME": str(tmp_path),
    }  # fmt: skip

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ubmc", "console", *words]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=30, check=False, input=""
        )

    assert "host.0" in run("list").stdout
    assert "connected" in run("show").stdout
    changed = run("set", "--replay-bytes", "524288", "--record", "--redact", "token=[a-z]+")
    assert (changed.returncode, "524288" in changed.stdout) == (0, True)
    refused = run("set", "--baud-rate", "9600")
    assert (refused.returncode, "virtual" in refused.stderr) == (5, True)
    assert run("break", "host.0").returncode == 0
    assert "SysRq h was sent" in run("sysrq", "h").stdout
    restart_host(program)
    until(lambda: "CPU init" in run("recording").stdout, 30, "the recording")
    assert run("recording", "--delete").returncode == 0
    assert run("host.9").returncode == 4
    master, slave = pty.openpty()
    import termios

    before = termios.tcgetattr(slave)
    process = subprocess.Popen(
        [sys.executable, "-m", "ubmc", "console", "host.0"], stdin=slave, stdout=slave, stderr=slave, env=environment
    )
    try:
        until(lambda: termios.tcgetattr(slave) != before, why="raw mode")
        process.terminate()
        process.wait(10)
        assert termios.tcgetattr(slave) == before
    finally:
        process.kill()
        process.wait(5)
        os.close(master)
        os.close(slave)


def test_who_gives_way_to_somebody_is_told_and_does_not_come_again_by_itself(program: Program) -> None:
    """Nine times one account: the oldest readers give way, a terminal and a WebSocket."""
    terminal = Terminal(program, "host.0", "--read-only")
    terminal.see(b"console of host.0")
    with contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(9):
            sockets.append(stack.enter_context(Socket(program)))
            sockets[-1].next(frames.Hello)
        assert terminal.process.wait(10) != 0
        terminal.see(b"admin needed a place")
        with pytest.raises(ConnectionClosed) as closed:
            sockets[0].next(frames.End)
            sockets[0].receive(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4429
        restart_host(program)
        for socket in sockets[1:]:
            socket.see(b"CPU init")
    os.close(terminal.master)
