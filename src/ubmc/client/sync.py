"""The client itself: calls and watches over `httpx`.

A call that changes something carries an idempotency key, the same for every try, so that it can be tried again when
nobody knows whether the first was done.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self
from uuid import uuid4

import httpx

from ubmc.client.trust import SystemTrust, Trust, not_trusted, split_url, tls_context, why_not_trusted
from ubmc.client.wire import (
    MOST_BYTES,
    STREAM_TYPE,
    UNARY_TYPE,
    Frames,
    check_answer,
    decode_answer,
    envelope,
    headers,
    is_read,
)
from ubmc.kit.errors import Exhausted, Internal, TimedOut, UbmcError, Unavailable
from ubmc.rpc import Req, Res, ServerStream, Unary

_RETRY_AFTER = 0.25
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0
_CONNECT_SECONDS = 10.0


def _keep_alive() -> list[tuple[int, int, int]]:
    """Socket options that find a peer which vanished without a word, within about half a minute."""
    wanted = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    for name, value in wanted.items():
        if hasattr(socket, name):  # not on every operating system
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


class Client:
    """A connection to one BMC; close it, or use it in `with`. Threads may share it."""

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        trust: Trust | None = None,
        timeout_seconds: float = 30.0,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: `https://host[:port]`.
            token: the token of a session; without it only public calls are allowed.
            trust: whom to believe to be the BMC; system trust unless told otherwise.
            timeout_seconds: how long a call may take, if it is not told otherwise.
            pause: waits that many seconds; for tests.

        Raises:
            Invalid: the URL or the CA file is wrong.
        """
        self.url, _, _ = split_url(url)
        self.token = token
        self.trust: Trust = trust or SystemTrust()
        self._timeout = timeout_seconds
        self._pause = pause
        transport = httpx.HTTPTransport(verify=tls_context(self.trust), trust_env=False, socket_options=_keep_alive())
        # Neither proxies nor .netrc: the token goes to the BMC and nowhere else.
        self._http = httpx.Client(transport=transport, trust_env=False, base_url=self.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def ask(self, method: Unary[Req, Res], request: Req, *, timeout_seconds: float | None = None, key: str = "") -> Res:
        """Make one call.

        It is tried a second time if the BMC was not available: a read is always safe, a write because of its key.

        Args:
            method: what to call.
            request: the request.
            timeout_seconds: how long it may take, both tries together.
            key: the idempotency key of a call that changes something; a fresh one unless given.

        Raises:
            NotTrusted: the certificate is not trusted; nothing was sent.
            UbmcError: what the BMC answered; Unavailable or TimedOut if it did not.
        """
        deadline = time.monotonic() + (self._timeout if timeout_seconds is None else timeout_seconds)
        sent_key = "" if is_read(method) else key or uuid4().hex
        body = request.to_binary()
        try:
            return decode_answer(method, self._post(method, body, deadline, sent_key))
        except Unavailable:
            if time.monotonic() + _RETRY_AFTER >= deadline:
                raise
        self._pause(_RETRY_AFTER)
        return decode_answer(method, self._post(method, body, deadline, sent_key))

    def _post(self, method: Unary[Req, Res], body: bytes, deadline: float, key: str) -> bytes:
        left = _left(deadline)
        head = headers(token=self.token, content_type=UNARY_TYPE, timeout_seconds=left, key=key)
        with self._exchange(method.path, head, body, left) as response:
            content = _read(response, deadline)
            check_answer(response.status_code, response.headers.get("content-type", ""), UNARY_TYPE, content)
            return content

    def watch(
        self,
        method: ServerStream[Req, Res],
        request: Req,
        *,
        deadline_seconds: float | None = None,
        patience_seconds: float = 60.0,
    ) -> Generator[Res, None, None]:
        """Follow a stream; goes on by itself, behind the last cursor received, when the connection breaks.

        Args:
            method: what to follow.
            request: the request; its `cursor` may say where to begin.
            deadline_seconds: how long to follow; for ever unless given.
            patience_seconds: how long to try to come back after a break; 0 means not at all.

        Yields:
            The messages of the stream, until the BMC ends it.

        Raises:
            NotTrusted: the certificate is not trusted; nothing was sent.
            TimedOut: the deadline has come.
            UbmcError: what the BMC answered; Unavailable if it could not be reached in time.
        """
        deadline = None if deadline_seconds is None else time.monotonic() + deadline_seconds
        cursor = ""
        broken_at: float | None = None
        wait = _FIRST_WAIT
        while True:
            try:
                for message in self._follow(method, request, deadline):
                    broken_at, wait = None, _FIRST_WAIT
                    cursor = getattr(message, "cursor", "")
                    yield message
                return
            except Unavailable:
                now = time.monotonic()
                broken_at = now if broken_at is None else broken_at
                if not cursor or now - broken_at + wait > patience_seconds:
                    raise
            if deadline is not None:
                wait = min(wait, _left(deadline))
            self._pause(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the load, keeps no secret
            wait = min(wait * 2, _LONGEST_WAIT)
            request = request.__replace__(cursor=cursor)

    def _follow(self, method: ServerStream[Req, Res], request: Req, deadline: float | None) -> Iterator[Res]:
        left = None if deadline is None else _left(deadline)
        head = headers(token=self.token, content_type=STREAM_TYPE, timeout_seconds=left)
        frames = Frames()
        with self._exchange(method.path, head, envelope(request.to_binary()), left) as response:
            kind = response.headers.get("content-type", "")
            if response.status_code != 200 or not kind.startswith(STREAM_TYPE):
                content = _read(response, deadline)
                check_answer(response.status_code, kind, STREAM_TYPE, content)
            for data in response.iter_raw():
                for body in frames.feed(data):
                    yield decode_answer(method, body)
                if deadline is not None:
                    _left(deadline)
        if not frames.ended:
            raise Unavailable("the stream broke off")

    @contextmanager
    def _exchange(self, path: str, head: dict[str, str], body: bytes, left: float | None) -> Iterator[httpx.Response]:
        connect = _CONNECT_SECONDS if left is None else min(left, _CONNECT_SECONDS)
        timeout = httpx.Timeout(left, connect=connect)
        try:
            with self._http.stream("POST", path, headers=head, content=body, timeout=timeout) as response:
                yield response
        except httpx.HTTPError as error:
            raise self._failure(error) from error

    def _failure(self, error: httpx.HTTPError) -> UbmcError:
        if (reason := why_not_trusted(error)) is not None:
            return not_trusted(self.url, reason)
        match error:
            case httpx.ConnectTimeout() | httpx.ConnectError():
                return Unavailable(f"cannot reach {self.url}: {str(error) or 'no answer'}; is the BMC running?")
            case httpx.TimeoutException():
                return TimedOut("the BMC did not answer in time; whether it was done is unknown")
            case httpx.TransportError():
                return Unavailable(f"the connection to {self.url} broke; whether it was done is unknown")
        return Internal(f"{self.url} does not speak HTTP as it should")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimedOut("the time is up; whether it was done is unknown")
    return left


def _read(response: httpx.Response, deadline: float | None) -> bytes:
    """The whole body, within its bounds of size and time."""
    body = bytearray()
    for data in response.iter_raw():
        body += data
        if len(body) > MOST_BYTES:
            raise Exhausted(f"the answer is larger than {MOST_BYTES >> 20} MiB")
        if deadline is not None:
            _left(deadline)
    return bytes(body)
