"""The listener without TLS: it sends people to the HTTPS door and answers ACME challenges, and does nothing else.

Parsing is h11's. A connection has one request, a small bound and a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from urllib.parse import quote

import h11

from ubmc.kit.addresses import address_key

CHALLENGES = "/.well-known/acme-challenge/"
HEAD_BYTES = 8192
REQUEST_SECONDS = 10.0
CONNECTIONS, CONNECTIONS_PER_ADDRESS = 64, 8
_SAFE = "/-._~!$&'()*+,;=:@%?"


class RedirectListener:
    """Port 80, when the owner wants it.

    Args:
        challenges: gives the open ACME challenges: answers by token.
        https_port: gives the port of the HTTPS door.
    """

    def __init__(self, challenges: Callable[[], Mapping[str, str]], https_port: Callable[[], int]) -> None:
        self._challenges = challenges
        self._https_port = https_port
        self._open: dict[str, int] = {}
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; returns the bound address.

        Raises:
            OSError: the address cannot be bound.
        """
        self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_BYTES)
        bound = self._server.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    async def stop(self) -> None:
        """Take no more connections; open ones end by their deadline."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        key = address_key(str(peer[0])) if peer else ""
        count = self._open.get(key, 0)
        if count >= CONNECTIONS_PER_ADDRESS or sum(self._open.values()) >= CONNECTIONS:
            writer.transport.abort()
            return
        self._open[key] = count + 1
        try:
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(REQUEST_SECONDS):
                    await self._answer(reader, writer)
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        try:
            while True:
                event = connection.next_event()
                if isinstance(event, h11.Request):
                    break
                if event is not h11.NEED_DATA:
                    return
                connection.receive_data(await reader.read(HEAD_BYTES))
            status, headers, body = self._content(event)
        except h11.RemoteProtocolError as error:
            status, headers, body = error.error_status_hint, [], b""
            if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
                return
        headers += [("content-length", str(len(body))), ("connection", "close"), ("cache-control", "no-store")]
        head = h11.Response(status_code=status, headers=headers)
        for part in (head, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(connection.send(part) or b"")
        await writer.drain()

    def _content(self, request: h11.Request) -> tuple[int, list[tuple[str, str]], bytes]:
        path = request.target.decode("ascii", "replace")
        if path.startswith(CHALLENGES):
            answer = self._challenges().get(path.removeprefix(CHALLENGES))
            if answer is None:
                return 404, [], b""
            return 200, [("content-type", "application/octet-stream")], answer.encode("ascii")
        hosts = [value.decode("ascii", "replace") for name, value in request.headers if name == b"host"]
        host = _host(hosts[0]) if len(hosts) == 1 else ""
        if not host or not path.startswith("/"):
            return 400, [], b""
        port = self._https_port()
        where = host if port == 443 else f"{host}:{port}"
        return 308, [("location", f"https://{where}{quote(path, safe=_SAFE)}")], b""


def _host(value: str) -> str:
    """The host without its port, if it has the form of one; nothing else goes into a Location."""
    host = value.rpartition(":")[0] if value.count(":") == 1 or "]:" in value else value
    bare = host.removeprefix("[").removesuffix("]")
    good = bare and len(bare) <= 253 and all(each.isalnum() or each in ".-:" for each in bare) and bare.isascii()
    return host if good else ""
