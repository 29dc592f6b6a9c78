"""A console over WebSocket: one attachment, in frames of `ubmc.protocols.console`. It needs an event loop."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from ubmc.client.trust import SystemTrust, Trust, not_trusted, split_url, tls_context, why_not_trusted
from ubmc.kit.errors import ERRORS, FACES, Exhausted, Internal, UbmcError, Unauthenticated, Unavailable
from ubmc.protocols import console as frames

OPEN_SECONDS = 10.0
PING_SECONDS = 15.0
_MOST_BYTES = 1 << 20
_OWN_CODES = 4000


class ConsoleLink:
    """An attachment; close it, or use it in `async with`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Detach."""
        await self._socket.close()

    async def received(self) -> AsyncGenerator[frames.Frame, None]:
        """What comes, until the attachment ends.

        Raises:
            UbmcError: why it ended; `Unavailable` where attaching again may help.
        """
        while True:
            try:
                message = await self._socket.recv(decode=False)
            except ConnectionClosed as error:
                raise self._ended(error) from error
            yield frames.parse(bytes(message))

    async def send(self, frame: frames.ToOwner) -> None:
        """Send a frame; waits while the BMC does not read. Raises as `received`."""
        try:
            await self._socket.send(frames.message(frame))
        except ConnectionClosed as error:
            raise self._ended(error) from error

    @staticmethod
    def _ended(error: ConnectionClosed) -> UbmcError:
        code = error.rcvd.code if error.rcvd is not None else 0
        reason = error.rcvd.reason if error.rcvd is not None and error.rcvd.reason else ""
        if code == _OWN_CODES + FACES[Unauthenticated.name].http:
            return Unauthenticated(reason or "the session has ended; log in again")
        if code == _OWN_CODES + FACES[Exhausted.name].http:
            return Exhausted(reason or "there is no place at this console")
        return Unavailable(reason or "the connection to the BMC is lost")


async def attach(
    url: str,
    token: str,
    name: str,
    *,
    trust: Trust | None = None,
    write: bool = True,
    take_over: bool = False,
    replay_bytes: int = 0,
    resume: tuple[str, int] | None = None,
) -> ConsoleLink:
    """Attach to a console.

    Args:
        url: `https://host[:port]`.
        token: of a session.
        name: of the host, `host.0`.
        trust: whom to believe to be the BMC; system trust unless told otherwise.
        write: be the writer, if nobody else is.
        take_over: be the writer in any case.
        replay_bytes: begin so many bytes before the end.
        resume: go on at this offset of this epoch instead.

    Raises:
        NotTrusted: the certificate is not trusted.
        UbmcError: what the BMC answered; `Unavailable` if it did not.
    """
    plain, _, _ = split_url(url)
    query = {"write": "true" if write else "false", "takeOver": "true" if take_over else "false"}
    query |= {"epoch": resume[0], "from": str(resume[1])} if resume else {"replay": str(replay_bytes)}
    where = f"wss{plain.removeprefix('https')}/api/v1alpha1/hosts/{quote(name, safe='')}/console:attach"
    try:
        socket = await connect(
            f"{where}?{urlencode(query)}",
            ssl=tls_context(trust or SystemTrust()),
            additional_headers={"authorization": f"Bearer {token}"},
            subprotocols=[Subprotocol(frames.SUBPROTOCOL)],
            compression=None,
            max_size=_MOST_BYTES,
            open_timeout=OPEN_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            proxy=None,  # the token goes to the BMC and nowhere else
        )
    except InvalidStatus as error:
        raise _refusal(error) from error
    except (OSError, InvalidHandshake) as error:  # TimeoutError is one
        if (reason := why_not_trusted(error)) is not None:
            raise not_trusted(plain, reason) from None
        raise Unavailable(f"cannot reach {plain}: {str(error) or 'no answer'}; is the BMC running?") from error
    return ConsoleLink(socket)


def _refusal(error: InvalidStatus) -> UbmcError:
    """What the BMC answered instead of opening the WebSocket."""
    names = {face.connect: name for name, face in FACES.items()}
    try:
        content = json.loads(error.response.body or b"")
        return ERRORS[names[content["code"]]](str(content["message"]))
    except (ValueError, KeyError, TypeError):
        return Internal(f"the BMC answered with status {error.response.status_code}")
