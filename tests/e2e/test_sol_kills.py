"""Serial over LAN through the death of the console service: a mebibyte both ways, and each missing byte is named."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.program import until
from tests.harness.terminal import Terminal
from tests.ipmi.board import Board, running
from tests.ipmi.clients import console, need_clients
from tests.ipmi.matrix import CONSOLES

from ubmc.hw.sim.parts.shell import pattern

pytestmark = pytest.mark.e2e

MEBIBYTE = 1 << 20
ROW = 64
"""Of the pattern; no two are the same."""
AHEAD = 4096
"""So much is typed that has not come back: ipmiconsole gives up at 8 KiB, and 2 KiB may be taken for come back."""
QUIET_SECONDS = 2.0
KILLS = (MEBIBYTE // 4, MEBIBYTE * 3 // 4)
NOTE = re.compile(rb"\r\n\[u-bmc: ([^\]]*)\]\r\n")
UNKNOWN = re.compile(r"it is not known whether the last (\d+) bytes that you typed have arrived")
LOST = re.compile(r"(\d+) bytes that you typed are lost")
MISSED = re.compile(r"(\d+) bytes of the console were missed")
ENDED = re.compile(
    rb"(?:~B \[send break\]\n|\[generate break\]\r\n)?"  # what the client says itself
    rb"\r\n\r\nended by BREAK after (\d+) bytes, CRC-32 ([0-9a-f]{8})"
)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    need_clients()
    folder = tmp_path_factory.mktemp("sol")
    file = folder / "board.toml"
    # The host boots five times as fast.
    text = Path("targets/sim/board.toml").read_text().replace("[lines]\n", "[lines]\nspeed = 5.0\n", 1)
    assert "speed = 5.0" in text
    file.write_text(text)
    with running(folder, board=str(file)) as found:
        found.power("ON")
        yield found


class Account:
    """What was shown, without the notes, and what the notes say."""

    def __init__(self) -> None:
        self._raw = b""
        self.text = b""
        self.notes: list[str] = []

    def feed(self, data: bytes) -> None:
        """More was shown. The last bytes may be the beginning of a note, and stay."""
        self._raw += data
        while (found := NOTE.search(self._raw)) is not None:
            self.text += self._raw[: found.start()]
            self._raw = self._raw[found.end() :]
            self.notes.append(found[1].decode())
        begun = self._raw.rfind(b"\r\n[", -1024)
        keep = len(self._raw) - begun if begun >= 0 else 2
        self.text += self._raw[:-keep]
        self._raw = self._raw[-keep:]

    def end(self) -> bytes:
        """All that was shown."""
        return self.text + self._raw

    def told(self, expression: re.Pattern[str]) -> int:
        """The sum of the numbers in notes of a kind."""
        return sum(int(found[1]) for note in self.notes if (found := expression.fullmatch(note.partition(":")[0])))

    @property
    def answered(self) -> int:
        """Of what was typed, how much has come back or may never come back."""
        return len(self.end()) + self.told(UNKNOWN) + self.told(LOST)


def check_order(text: bytes, whole: bytes) -> None:
    """The text must be the whole, with parts left out perhaps: nothing else, nothing twice, nothing moved."""
    at = place = 0
    while at < len(text):
        same = 1 if text[at] == whole[place] else 0
        if text[at : at + ROW] == whole[place : place + ROW]:
            same = ROW
        at, place = at + same, place + same
        if not same:
            place = whole.find(text[at : at + ROW], place)
            assert place >= 0, f"at {at} is what was not typed there: {text[at - 100 : at + 100]!r}"


def kill_consolesrv(board: Board) -> None:
    before = board.program.processes()["consolesrv"]
    os.kill(before, signal.SIGKILL)
    until(lambda: board.program.processes().get("consolesrv", before) != before, 30.0, "consolesrv is back")


async def log_in(terminal: Terminal) -> None:
    terminal.type(b"\r")
    for prompt, answer in ((b"login: ", b"root\r"), (b"Password: ", b"x\r"), (b"# ", b"raw\r"), (b"raw\r\n", b"")):
        await terminal.see(prompt, 60)
        terminal.type(answer)


async def echoed(terminal: Terminal, board: Board, data: bytes) -> Account:
    """Type all of it at the speed at which it comes back, while consolesrv is killed again and again."""
    shown, typed, kills = Account(), 0, list(KILLS)
    killing: list[asyncio.Task[None]] = []
    async with asyncio.timeout(150):
        while shown.answered < len(data):
            part = data[typed : max(typed, min(shown.answered + AHEAD, len(data)))]
            terminal.type(part)
            typed += len(part)
            if kills and shown.answered >= kills[0]:
                del kills[0]
                killing.append(asyncio.create_task(asyncio.to_thread(kill_consolesrv, board)))
            try:
                shown.feed(await terminal.some())
            except TimeoutError:
                await asyncio.gather(*killing)
                raise AssertionError(
                    f"{len(shown.text)} of {typed} bytes came back, and then none: {shown.notes}"
                ) from None
        await asyncio.gather(*killing)
        with contextlib.suppress(TimeoutError):  # what was unknown may come yet
            while True:
                shown.feed(await terminal.some(QUIET_SECONDS))
    assert not kills
    return shown


@pytest.mark.parametrize("client", CONSOLES)
async def test_a_mebibyte_goes_both_ways_through_kills_of_consolesrv(board: Board, client: str) -> None:
    """What is typed is echoed. The host says itself what has come; the rest of it is what the notes say."""
    if client == "ipmiconsole" and not board.login.alone:
        pytest.skip("ipmiconsole speaks to port 623 only, which needs root")
    data = pattern(0, MEBIBYTE)  # it ends with the end of a line, after which escape sequences are seen
    async with Terminal(*console(board.login, client)) as terminal:
        await terminal.see(CONSOLES[client])
        await terminal.see(b"\n")
        await log_in(terminal)
        shown = await echoed(terminal, board, data)
        terminal.type(b"~B")
        async with asyncio.timeout(30):
            while (ended := ENDED.search(shown.end())) is None:
                shown.feed(await terminal.some())
        terminal.type(b"exit\r")
        await terminal.see(b"login: ")
    text, came = shown.end()[: ended.start()], int(ended[1])
    check_order(text, data)
    lost, unknown, missed = shown.told(LOST), shown.told(UNKNOWN), shown.told(MISSED)
    assert len(text) == came - missed, shown.notes
    assert lost <= len(data) - came <= lost + unknown, shown.notes
    if not missed:
        assert zlib.crc32(text) == int(ended[2], 16)
