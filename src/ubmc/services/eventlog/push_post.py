"""One POST to a destination that a user named, and the guard in front of it.

The name is resolved here and the request goes to the very address that was checked, so that a name which points
elsewhere the second time changes nothing (DNS rebinding). Certificates are verified for the name. Redirects are not
followed, and no proxy of the environment is used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import httpx

from ubmc.kit import outgoing
from ubmc.kit.errors import Refused, TimedOut, UbmcError, Unavailable

POST_SECONDS = 10.0
_PORTS = {"https": 443, "http": 80}
_MOST_ADDRESSES = 4
_MOST_ANSWER_BYTES = 16 * 1024
_GOOD = range(200, 300)


class Destination:
    """Where the events of one subscription go. Use `close` last."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        verify: bool,
        allow_local: Callable[[], bool],
        authorities: Callable[[], str],
    ) -> None:
        """Nothing is connected yet.

        Args:
            url: by `https` or `http`, with a host; checked before.
            headers: to send with every request.
            verify: whether its certificate must be trusted.
            allow_local: whether loopback and link-local addresses may be talked to.
            authorities: further authorities that are trusted, as PEM; empty for none.
        """
        parts = urlsplit(url)
        self._scheme, self._host = parts.scheme, parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._authority = parts.netloc
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = dict(headers)
        self._verify = verify
        self._allow_local = allow_local
        self._authorities = authorities
        self._client: httpx.AsyncClient | None = None
        self._used = False

    async def post(self, body: bytes) -> None:
        """Deliver; returns when the destination has said that it took it.

        Raises:
            Refused: its address is none that may be talked to.
            Unavailable: it cannot be reached, is not who it should be, or did not take it.
            TimedOut: it took too long.
        """
        try:
            async with asyncio.timeout(POST_SECONDS):
                await self._post(body)
        except TimeoutError as error:
            raise TimedOut(f"{self._host} did not take the events within {POST_SECONDS:.0f} s") from error

    async def close(self) -> None:
        """End the connection."""
        client, self._client, self._used = self._client, None, False
        if client is not None:
            await client.aclose()

    async def _post(self, body: bytes) -> None:
        problem: UbmcError | None = None
        for address in await self._addresses():
            try:
                status = await self._post_again(address, body)
            except httpx.ConnectError as error:
                problem = Unavailable(f"{self._host} ({address}) cannot be reached: {_reason(error)}")
                continue
            except httpx.HTTPError as error:
                raise Unavailable(f"{self._host} ({address}) did not answer: {_reason(error)}") from error
            if status not in _GOOD:
                raise Unavailable(f"{self._host} did not take the events: it answered {status}")
            return
        raise problem or Unavailable(f"{self._host} has no address")

    async def _post_again(self, address: str, body: bytes) -> int:
        """Post, and once more at once if the connection was an old one that the destination had left."""
        try:
            return await self._post_to(address, body)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            if not self._used:
                raise
            await self.close()
            return await self._post_to(address, body)

    async def _addresses(self) -> list[str]:
        """The addresses that may be talked to, at most four. Raises `Refused` if there are only others."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=1)
        except (OSError, UnicodeError) as error:
            raise Unavailable(f"{self._host} has no address: {error}") from error
        good: list[str] = []
        refusal: Refused | None = None
        for *_, place in found:
            address = str(place[0])
            try:
                outgoing.check_address(address, allow_local=self._allow_local())
                good.append(address)
            except Refused as error:
                refusal = error
        if not good and refusal is not None:
            raise refusal
        return list(dict.fromkeys(good))[:_MOST_ADDRESSES]

    async def _post_to(self, address: str, body: bytes) -> int:
        client = await self._connected()
        place = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
        headers = {
            **self._headers,
            "Host": self._authority,
            "Content-Type": "application/json;charset=utf-8",
            "OData-Version": "4.0",
        }
        url = f"{self._scheme}://{place}:{self._port}{self._target}"
        extensions = {"sni_hostname": self._host}
        async with client.stream("POST", url, content=body, headers=headers, extensions=extensions) as answer:
            size = 0
            async for part in answer.aiter_raw():
                size += len(part)
                if size > _MOST_ANSWER_BYTES:
                    break  # what it says does not matter; the connection ends with it
            self._used = True
            return answer.status_code

    async def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            context = await asyncio.to_thread(self._context) if self._scheme == "https" else False
            self._client = httpx.AsyncClient(
                verify=context,
                trust_env=False,
                follow_redirects=False,
                timeout=POST_SECONDS,
                limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60.0),
                headers={"User-Agent": "u-bmc", "Accept": "*/*"},
            )
        return self._client

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif authorities := self._authorities():
            context.load_verify_locations(cadata=authorities)
        return context


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
