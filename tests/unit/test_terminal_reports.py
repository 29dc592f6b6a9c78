"""What a terminal says by itself is told from what somebody types."""

from __future__ import annotations

import asyncio
import socket

import pytest

from ubmc.kit.bytelink import ByteLink
from ubmc.protocols import console as frames
from ubmc.protocols.terminal_reports import only_reports
from ubmc.services.websrv.console import _from_client
from ubmc.services.websrv.http.asgi import Disconnected

REPORTS = (
    b"\x1b[?1;2c",  # xterm.js to ESC [ c
    b"\x1b[>0;276;0c",
    b"\x1b[=1;0c",
    b"\x1b[0n",
    b"\x1b[?10n",
    b"\x1b[24;80R",
    b"\x1b[?24;80;1R",
    b"\x1b[?2004;2$y",
    b"\x1b[4;1$y",
    b"\x1b[8;24;80t",
    b"\x1b[2;1;1;128;128;1;0x",
    b"\x1b[?0u",
    b"\x1b[I\x1b[O",
    b"\x1b/Z",
    b"\x1bP1$r0m\x1b\\",
    b"\x1bP>|xterm.js(5.5.0)\x1b\\",
    b"\x1bP!|00000000\x1b\\",
    b"\x1b]11;rgb:0000/0000/0000\x1b\\",
    b"\x1b]10;rgb:ffff/ffff/ffff\x07",
)
TYPED = (
    b"",
    b"a",
    b"\r",
    b"\x1b",
    b"\x1b[A",  # cursor up
    b"\x1b[1;5C",  # Ctrl and cursor right
    b"\x1bOP",  # F1
    b"\x1b[15~",
    b"\x1b[200~pasted\x1b[201~",
    b"\x1b[<0;10;10M",  # the mouse
    b"\x1bc",
    b"\x1b[24;80Rx",
    b"x\x1b[24;80R",
    b"\x1b]11;rgb:0000/0000/0000\x07\r",
)


@pytest.mark.parametrize("data", [*REPORTS, b"".join(REPORTS)], ids=repr)
def test_what_a_terminal_answers_is_no_typing(data: bytes) -> None:
    assert only_reports(data)


@pytest.mark.parametrize("data", TYPED, ids=repr)
def test_what_somebody_types_is(data: bytes) -> None:
    assert not only_reports(data)


@pytest.mark.parametrize(
    ("frame", "counts"),
    [
        (frames.Input(b"".join(REPORTS)), False),
        (frames.Input(b"l"), True),
        (frames.Take(), True),
        (frames.Break(), True),
    ],
    ids=repr,
)
async def test_a_host_that_asks_a_terminal_keeps_no_session(frame: frames.ToOwner, counts: bool) -> None:
    ours, theirs = socket.socketpair()
    link = ByteLink(*await asyncio.open_connection(sock=ours))
    told: list[dict[str, object]] = [
        {"type": "websocket.receive", "bytes": frames.message(frame)},
        {"type": "websocket.disconnect"},
    ]

    async def receive() -> dict[str, object]:
        return told.pop(0)

    typed = asyncio.Event()
    with theirs:
        async with link:
            with pytest.raises(Disconnected):
                await _from_client(link, receive, typed)
            assert theirs.recv(65536) == frames.encode(frame), "the host gets it all the same"
    assert typed.is_set() is counts
