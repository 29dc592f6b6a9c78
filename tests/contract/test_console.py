"""The contract of `ubmc.hw.console.port.Line`, which every driver of a serial line keeps."""

from __future__ import annotations

import asyncio
import os
import termios
from pathlib import Path
from typing import Any

import pytest
from tests.contract.console_rigs import KINDS, Rig, rig_of

from ubmc.hw.console.port import FlowControl, Line, LineSettings, Opened, Resume
from ubmc.hw.console.termios2 import speed
from ubmc.hw.console.tty import TtyLine
from ubmc.kit.errors import Busy, Invalid, Unavailable

SETTINGS = LineSettings()
DEADLINE_SECONDS = 20.0
every_kind = pytest.mark.parametrize("kind", KINDS)


async def opened(line: Line, resume: Resume | None = None) -> Opened:
    """Open it, as soon as that can be done."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                return await line.open(SETTINGS, resume)
            except (Unavailable, Busy):
                await asyncio.sleep(0.02)


async def read(line: Line, count: int, place: int | None = None) -> bytes:
    """So many bytes, the first of which has this number."""
    found = b""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(found) < count:
            chunk = await line.read()
            assert chunk.data
            assert place is None or chunk.place == place
            place = chunk.place + len(chunk.data)
            found += chunk.data
    assert len(found) == count
    return found


async def quiet(line: Line, at: Opened) -> int:
    """Read what is there already; the number of the next byte."""
    if at.end > at.place:
        await read(line, at.end - at.place, at.place)
    return at.end


@every_kind
async def test_bytes_go_and_come_as_they_are_and_in_order(kind: str, tmp_path: Path) -> None:
    async with rig_of(kind, tmp_path) as rig:
        line = rig.line()
        place = await quiet(line, await opened(line))
        data = bytes(range(256)) * 40 + os.urandom(6000)
        writing = asyncio.create_task(line.write(data))
        assert await read(line, len(data), place) == data
        await writing
        await line.close()


@every_kind
async def test_what_is_kept_is_read_again_and_what_was_not_read_is_read_later(kind: str, tmp_path: Path) -> None:
    async with rig_of(kind, tmp_path) as rig:
        line = rig.line()
        before = await opened(line)
        place = await quiet(line, before)
        await line.write(b"first")
        assert await read(line, 5, place) == b"first"
        await line.write(b"second")
        await asyncio.sleep(0.3)
        await line.close()
        again = rig.line()
        after = await opened(again, Resume(before.identity, place + 5))
        if rig.keeps:
            assert (after.identity, after.place) == (before.identity, place + 5)
            assert await read(again, 6, place + 5) == b"second"
            await again.close()
            whole = await opened(again, Resume("another one", 3))
            assert whole.place == before.place
            assert (await read(again, whole.end - whole.place, whole.place)).endswith(b"firstsecond")
        else:
            assert after == Opened("", 0, 0)
        await again.close()


@every_kind
async def test_a_line_that_is_lost_says_so_and_another_can_be_opened(kind: str, tmp_path: Path) -> None:
    async with rig_of(kind, tmp_path) as rig:
        line = rig.line()
        identity = (await opened(line)).identity
        await rig.lose()
        with pytest.raises(Unavailable):
            async with asyncio.timeout(DEADLINE_SECONDS):
                while True:
                    await line.read()
        await line.close()
        with pytest.raises(Unavailable) as caught:
            await line.open(SETTINGS)
        assert len(caught.value.message) > 10
        await rig.find()
        found = await opened(line, Resume(identity, 1 << 40))
        await quiet(line, found)
        await line.write(b"back")
        assert (await read(line, 4)) == b"back"
        await line.close()


@every_kind
async def test_who_reads_a_line_that_is_closed_is_told(kind: str, tmp_path: Path) -> None:
    async with rig_of(kind, tmp_path) as rig:
        line = rig.line()
        await quiet(line, await opened(line))
        reading = asyncio.create_task(line.read())
        await asyncio.sleep(0.05)
        await line.close()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(reading, 5)
        await line.close()
        for refused in (line.read(), line.write(b"x")):
            with pytest.raises(Unavailable):
                await refused


@every_kind
async def test_a_break_is_sent(kind: str, tmp_path: Path) -> None:
    async with rig_of(kind, tmp_path) as rig:
        line = rig.line()
        assert line.abilities.sends_break
        await quiet(line, await opened(line))
        await line.send_break(0.01)
        found = b""
        while rig.breaks not in found:
            found += (await asyncio.wait_for(line.read(), DEADLINE_SECONDS)).data
        await line.close()
        with pytest.raises(Unavailable):
            await rig_lost(rig, line)


async def rig_lost(rig: Rig, line: Line) -> None:
    await rig.lose()
    await line.send_break(0.01)


@pytest.mark.parametrize("kind", [each for each in KINDS if each != "qemu"])  # whose reader is told apart by nothing
async def test_a_line_has_one_user(kind: str, tmp_path: Path) -> None:
    async with rig_of(kind, tmp_path) as rig:
        line, second = rig.line(), rig.line()
        await quiet(line, await opened(line))
        with pytest.raises(Busy) as caught:
            await second.open(SETTINGS)
        assert "free" in caught.value.message or "fuser" in caught.value.message
        await line.write(b"mine")
        assert await read(line, 4) == b"mine"
        await line.close()
        await opened(second)
        await second.close()


@every_kind
async def test_only_a_wire_has_a_baud_rate_and_flow_control(kind: str, tmp_path: Path) -> None:
    async with rig_of(kind, tmp_path) as rig:
        line = rig.line()
        abilities = line.abilities
        assert abilities.baud_rate == (kind == "tty")
        assert FlowControl.NONE in abilities.flow_controls
        await opened(line)
        for flow in abilities.flow_controls:
            await line.configure(LineSettings(19200, flow))
        await line.configure(LineSettings(31250))  # that of MIDI, which no table has
        if abilities.baud_rate:
            with pytest.raises((Invalid, Unavailable)):
                await line.configure(LineSettings(0))
        await line.close()


class WithoutWires:
    """What termios says of a UART that has neither RTS nor CTS: the bit is not taken, and that is no error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._said = termios.tcgetattr
        monkeypatch.setattr(termios, "tcgetattr", self)

    def __call__(self, descriptor: int) -> list[Any]:
        attributes = self._said(descriptor)
        attributes[2] &= ~termios.CRTSCTS
        return attributes


@pytest.mark.parametrize("refused", [LineSettings(0), LineSettings(9600, FlowControl.RTS_CTS)])
async def test_what_a_wire_cannot_do_leaves_it_as_it_was(
    refused: LineSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig_of("tty", tmp_path):
        line = TtyLine(tmp_path / "tty")
        await opened(line)
        await line.configure(LineSettings(19200, FlowControl.XON_XOFF))
        WithoutWires(monkeypatch)
        with pytest.raises(Invalid, match=r"RTS and CTS|0 is no baud rate"):
            await line.configure(refused)
        assert speed(line._descriptor) == 19200
        assert termios.tcgetattr(line._descriptor)[0] & termios.IXON
        await line.close()
