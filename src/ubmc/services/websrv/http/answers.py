"""The answers that the listener gives by itself, before any application sees the request.

Bodies have the JSON form of Connect errors, so that a client finds the same shape whoever answered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType


class RequestError(Exception):
    """A request breaks a limit or a rule: the status to answer with, and the `limit` to count."""

    def __init__(self, status: int, limit: str) -> None:
        super().__init__(limit)
        self.status = status
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Answer:
    """A constant answer: its status and its JSON body."""

    status: int
    body: bytes

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers in ASGI form, without those that belong to one version of HTTP."""
        return [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self.body))]

    def http1(self) -> bytes:
        """The whole answer as HTTP/1.1 bytes; it ends the connection."""
        head = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n".encode()
        lines = b"".join(b"%s: %s\r\n" % pair for pair in self.headers)
        return head + lines + b"connection: close\r\n\r\n" + self.body


def _answer(status: int, code: str, message: str) -> tuple[int, Answer]:
    return status, Answer(status, json.dumps({"code": code, "message": message}).encode())


ANSWERS = MappingProxyType(
    dict(
        (
            _answer(400, "invalid_argument", "this is not a valid HTTP request"),
            _answer(408, "deadline_exceeded", "the request took too long to arrive"),
            _answer(413, "resource_exhausted", "the request body is too large"),
            _answer(431, "resource_exhausted", "the request headers are too many or too large"),
            _answer(500, "internal", "internal error"),
            _answer(501, "unimplemented", "there is no such method"),
        )
    )
)
