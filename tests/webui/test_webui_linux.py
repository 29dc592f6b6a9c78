"""A Linux guest's console by SSH, WebSocket and serial over LAN at once, and a login typed in the page.

OpenSSH, a WebSocket library, ipmitool and Chromium are the clients. All of them are measured by what QEMU itself has
recorded of the serial port.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e.test_console import Socket
from tests.harness.login_guest import PASSWORD, PROMPT, USER, login_board
from tests.harness.program import Program, until
from tests.webui.webui_house import Board, Opener, shots
from websockets.exceptions import ConnectionClosed

from ubmc.protocols import console as frames

pytestmark = [pytest.mark.e2e, pytest.mark.qemu]

API = "/api/v1alpha1"
CONSOLE = f"{API}/hosts/host.0/console"
BOOT_SECONDS = 120.0
SEE_SECONDS = 30.0
FIRST, LAST = b"Linux version 6.", PROMPT.encode()
LOG_BYTES = 8 * 1024
"""A kernel says more than that."""


class Viewer:
    """What one client has shown, gathered by a thread.

    Args:
        name: for people.
        read: waits for more; empty at the end.
    """

    def __init__(self, name: str, read: Callable[[], bytes]) -> None:
        self.name = name
        self._read = read
        self._shown = bytearray()
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._follow, name=name, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while data := self._read():
            with self._more:
                self._shown += data
                self._more.notify_all()

    @property
    def shown(self) -> bytes:
        """All of it."""
        with self._more:
            return bytes(self._shown)

    def see(self, text: bytes, begin: int = 0, seconds: float = SEE_SECONDS) -> int:
        """Wait until this was shown behind a place; the place behind it."""
        with self._more:
            found = self._more.wait_for(lambda: self._shown.find(text, begin) >= 0, seconds)
            assert found, f"{self.name} has not shown {text!r} within {seconds} s, but {bytes(self._shown[-2000:])!r}"
            return self._shown.find(text, begin) + len(text)

    def join(self) -> None:
        """Its client has ended."""
        self._thread.join(10)
        assert not self._thread.is_alive(), f"{self.name} does not end"


def fed_by(descriptor: int) -> Callable[[], bytes]:
    """Read from a pipe or a pseudo-terminal."""

    def read() -> bytes:
        try:
            return os.read(descriptor, 64 * 1024)
        except OSError:  # of a pseudo-terminal whose program has ended
            return b""

    return read


@contextmanager
def by_ssh(board: Board, folder: Path) -> Iterator[Viewer]:
    """OpenSSH with a key of the administrator; it reads only."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    file = folder / "key"
    file.touch(0o600)
    key.write_private_key(file)
    board.call("POST", f"{API}/users/admin/ssh-keys", {"publicKey": key.export_public_key().decode()})
    told = ("-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    where = ("-i", str(file), "-p", port(board.program, "SSH"), "admin@127.0.0.1", "host.0 --read-only")
    with (
        (folder / "ssh.log").open("wb") as log,
        subprocess.Popen(
            ("ssh", *told, *where), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
        ) as process,
    ):
        assert process.stdout is not None
        viewer = Viewer("ssh", fed_by(process.stdout.fileno()))
        try:
            yield viewer
        finally:
            process.terminate()
            viewer.join()


@contextmanager
def by_websocket(board: Board) -> Iterator[Viewer]:
    """A WebSocket that reads only."""

    def read() -> bytes:
        try:
            return bytes(socket.next(frames.Output, BOOT_SECONDS).data)
        except ConnectionClosed:
            return b""

    with Socket(board.program) as socket:
        viewer = Viewer("websocket", read)
        yield viewer
    viewer.join()


@dataclass
class Terminal:
    """Where ipmitool runs."""

    viewer: Viewer
    master: int
    process: subprocess.Popen[bytes]

    def type(self, data: bytes) -> None:
        """Type."""
        os.write(self.master, data)


@contextmanager
def by_sol(board: Board, folder: Path) -> Iterator[Terminal]:
    """`ipmitool sol activate` at a terminal; it writes as long as nobody takes over."""
    secret = folder / "secret"
    secret.touch(0o600)
    secret.write_text(board.call("POST", f"{API}/users/admin:resetIpmiSecret", {})["secret"])
    login = ("-p", port(board.program, "IPMI"), "-U", "admin", "-f", str(secret), "-L", "OPERATOR", "-e", "~")
    command = ("ipmitool", "-I", "lanplus", "-H", "127.0.0.1", *login, "sol", "activate")
    master, slave = os.openpty()
    tty.setraw(slave)  # before the program does, so that nothing is echoed or changed meanwhile
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True) as process:
        os.close(slave)
        viewer = Viewer("ipmitool", fed_by(master))
        try:
            yield Terminal(viewer, master, process)
        finally:
            process.terminate()
            viewer.join()
            os.close(master)


def port(program: Program, what: str) -> str:
    """Where it says that a door is."""
    found = re.search(rf"^  {what} +\S+ port (\d+)$", program.output, re.MULTILINE)
    assert found is not None, program.output
    return found[1]


@pytest.fixture(scope="module")
def board(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A virtual machine that is off, with all doors open."""
    del browser  # it skips if there is none
    for program, package in (("ssh", "openssh-client"), ("ipmitool", "ipmitool")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing: apt-get install {package}")
    folder = tmp_path_factory.mktemp("linux")
    doors = ("--ssh", "127.0.0.1:0", "--ipmi", "127.0.0.1:0")
    with Program(folder / "s", *doors, board=str(login_board(folder))) as running:
        yield Board(running)


@dataclass
class Audience:
    """All who look on but the page, and what QEMU has recorded."""

    ssh: Viewer
    websocket: Viewer
    sol: Terminal
    state: Path

    def same(self, first: bytes, last: bytes, seconds: float = SEE_SECONDS) -> bytes:
        """All have shown the same between two marks as the guest has said, byte for byte; that."""
        shown = b""
        for viewer in (self.ssh, self.websocket, self.sol.viewer):
            begin = viewer.see(first, seconds=seconds)
            end = viewer.see(last, begin, seconds)
            (record,) = self.state.rglob("serial.out")
            said = record.read_bytes()
            truth = said[said.index(first) + len(first) :]
            shown = viewer.shown[begin:end]
            assert shown == truth[: len(shown)], viewer.name
        return shown


@pytest.fixture
def audience(board: Board, tmp_path: Path) -> Iterator[Audience]:
    """They come before the machine is on, ipmitool first, so that it writes."""

    def there() -> bool:
        attachments = board.call("GET", CONSOLE)["console"]["attachments"]
        return {each["door"] for each in attachments} == {"sol", "ssh", "websocket"}

    with by_sol(board, tmp_path) as sol:
        sol.viewer.see(b"[SOL Session operational")
        sol.viewer.see(b"the line does not work")
        with by_ssh(board, tmp_path) as ssh, by_websocket(board) as websocket:
            until(there, SEE_SECONDS, "all three are attached")
            yield Audience(ssh, websocket, sol, board.program.state)


def log_in(page: Page) -> None:
    """Take over, and type what somebody types, once it is asked for."""
    screen = page.locator(".xterm-rows")
    expect(page.get_by_text("admin writes")).to_be_visible()
    page.get_by_role("button", name="Take over").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Take over").click()
    expect(page.get_by_text("You write")).to_be_visible()
    page.locator("[data-terminal]").click()
    for asked, answer in (
        (PROMPT.strip(), USER),
        ("Password:", PASSWORD),
        ("~ #", "echo page $((6 * 7)) on $(uname -sn)"),
    ):
        expect(screen).to_contain_text(asked)
        page.keyboard.type(f"{answer}\n")
    expect(screen).to_contain_text("page 42 on Linux guest")


def downloaded(page: Page, file: Path) -> str:
    """All that the terminal in the page has kept."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download what is shown").click()
    waiting.value.save_as(file)
    return file.read_text()


def test_a_boot_is_seen_by_all_at_once_and_a_login_is_typed_in_the_page(
    open_page: Opener, board: Board, audience: Audience, tmp_path: Path
) -> None:
    page = open_page("Operator", "/console")
    expect(page.get_by_text("The line does not work now")).to_be_visible()
    assert board.program.power("ON").status_code == 200
    log = audience.same(FIRST, LAST, BOOT_SECONDS)
    assert len(log) > LOG_BYTES
    log_in(page)
    audience.sol.viewer.see(b"[u-bmc: a-operator writes to this console")
    answered = audience.same(USER.encode() + b"\r\n", b"page 42 on Linux guest\r\n")
    assert PASSWORD.encode() not in answered
    assert log.decode().replace("\r", "").expandtabs() in downloaded(page, tmp_path / "console.txt")
    shots(page, "console-linux")
    page.get_by_role("button", name="Stop writing").click()
    audience.sol.viewer.see(b"[u-bmc: what you type goes to the console]\r\n")
    audience.sol.type(b"echo terminal $((6 * 7))\r")
    audience.same(b"echo terminal", b"terminal 42\r\n")
    expect(page.locator(".xterm-rows")).to_contain_text("terminal 42")
    audience.sol.type(b"\r~.")
    assert audience.sol.process.wait(SEE_SECONDS) == 0
