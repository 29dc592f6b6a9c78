"""Connecting to the simulated machine from an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ubmc.hw.sim.protocol import LONGEST_ANSWER_BYTES, decode_answer, encode, socket_path
from ubmc.kit.errors import Exhausted, Unavailable

# Gives a connected, non-blocking socket; raises Unavailable.
Dial = Callable[[], Awaitable[socket.socket]]
ANSWER_SECONDS = 2.0


def unix_dial(directory: Path) -> Dial:
    """How to connect to the machine process of a directory. Raises `Invalid` when its path is too long."""
    path = str(socket_path(directory))

    async def dial() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.get_running_loop().sock_connect(sock, path)
        except OSError as error:
            sock.close()
            raise Unavailable(f"no simulated machine answers at {path}: {error}") from error
        except BaseException:
            sock.close()
            raise
        return sock

    return dial


async def greet(dial: Dial, message: dict[str, Any]) -> tuple[socket.socket, dict[str, Any], bytes]:
    """Connect and say the first line.

    Returns:
        The socket, which the caller closes; the answer; and what came after the answer.

    Raises:
        Unavailable: the machine is not there or does not answer.
        UbmcError: what the machine said.
    """
    sock = await dial()
    try:
        line, rest = await exchange(sock, message)
        return sock, decode_answer(line), rest
    except BaseException:
        sock.close()
        raise


async def exchange(sock: socket.socket, message: dict[str, Any]) -> tuple[bytes, bytes]:
    """Say a line and hear a line; also returns what came after it. Raises `Unavailable`."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            with contextlib.suppress(ConnectionError):  # it may have said why before it closed
                await loop.sock_sendall(sock, encode(message))
            heard = b""
            while b"\n" not in heard:
                if len(heard) > LONGEST_ANSWER_BYTES:
                    raise Exhausted("the simulated machine's answer is too long")
                if not (data := await loop.sock_recv(sock, LONGEST_ANSWER_BYTES)):
                    raise Unavailable("the simulated machine went away")
                heard += data
    except OSError as error:  # TimeoutError is one
        raise Unavailable(f"the simulated machine does not answer: {error}") from error
    line, _, rest = heard.partition(b"\n")
    return line, rest
