"""A kept connection to the simulated machine on which one question after the other is asked."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from ubmc.hw.sim.dial import Dial
from ubmc.hw.sim.protocol import LONGEST_ANSWER_BYTES, decode_answer, encode
from ubmc.kit.errors import Exhausted, Internal, Invalid, Unavailable

ANSWER_SECONDS = 0.5


class Session:
    """Asks on one connection, which is made when it is needed and made anew when it is lost."""

    def __init__(self, dial: Dial, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Ask whoever `dial` reaches; each question takes at most `answer_seconds`, its turn included."""
        self._dial = dial
        self._answer_seconds = answer_seconds
        self._sock: socket.socket | None = None
        self._turn = asyncio.Lock()
        self._closed = False

    async def ask(self, control: dict[str, Any]) -> dict[str, Any]:
        """Ask, and wait for the answer. What is asked may be done twice, if the connection is lost on the way.

        Raises:
            Unavailable: the machine does not answer, or is of another release than this program.
            UbmcError: what the machine said.
        """
        try:
            async with asyncio.timeout(self._answer_seconds), self._turn:
                line = await self._exchange(encode({"control": control}))
        except TimeoutError:
            raise Unavailable(f"the simulated machine did not answer within {self._answer_seconds:g} s") from None
        try:
            return decode_answer(line)
        except (Invalid, Internal) as error:
            raise Unavailable(
                f"the simulated machine that runs does not understand ({error.message}); if it is of another release, "
                "stop the BMC and end the machine with 'ubmc machine end'"
            ) from error

    async def close(self) -> None:
        """Hang up, for good; who waits for an answer is told so."""
        self._closed = True
        if self._turn.locked() and self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)  # a socket that the loop watches must not be closed here
        else:
            self._hang_up()

    def rest(self) -> None:
        """Hang up until the next question, unless one is being asked."""
        if not self._turn.locked():
            self._hang_up()

    async def _exchange(self, question: bytes) -> bytes:
        kept = self._sock is not None
        try:
            return await self._try(question)
        except Unavailable:
            if not kept:
                raise
        return await self._try(question)  # it may be another machine by now

    async def _try(self, question: bytes) -> bytes:
        self._check_open()
        loop = asyncio.get_running_loop()
        whole = False
        try:
            if self._sock is None:
                self._sock = await self._dial()
                self._check_open()
            await loop.sock_sendall(self._sock, question)
            heard = b""
            while not heard.endswith(b"\n"):
                if len(heard) > LONGEST_ANSWER_BYTES:
                    raise Exhausted("the simulated machine's answer is too long")
                if not (data := await loop.sock_recv(self._sock, LONGEST_ANSWER_BYTES)):
                    raise Unavailable("the simulated machine went away")
                heard += data
            whole = True
        except OSError as error:
            raise Unavailable(f"the simulated machine does not answer: {error}") from error
        finally:
            if not whole:  # an answer that comes later would be taken for that of another question
                self._hang_up()
        return heard

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the connection to the simulated machine was given back")

    def _hang_up(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
