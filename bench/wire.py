"""HTTP/1.1 as bytes, as much of it as a load generator needs: whole requests, and where an answer ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_HEAD_END = b"\r\n\r\n"
_CRLF = b"\r\n"
_LENGTH = b"\r\ncontent-length:"
_CHUNKED = b"\r\ntransfer-encoding: chunked"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is complete."""

    status: int
    body: bytes
    size: int
    """Bytes of head and body."""


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """A whole request."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method != "GET":
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + _HEAD_END + body


def parse(data: bytes) -> Answer | None:
    """The answer at the beginning of `data`; None while a part of it is missing.

    Raises:
        ValueError: it is no answer, or one whose end only the end of the connection would tell.
    """
    end = data.find(_HEAD_END)
    if end < 0:
        return None
    if not data.startswith(b"HTTP/1.1 "):
        raise ValueError(f"this is no answer: {data[:60]!r}")
    head = data[: end + 2].lower()
    status, begin = int(data[9:12]), end + len(_HEAD_END)
    at = head.find(_LENGTH)
    if at < 0:
        if _CHUNKED not in head:
            raise ValueError(f"an answer without a length: {data[:end]!r}")
        return _parse_chunks(data, status, begin)
    at += len(_LENGTH)
    length = int(head[at : head.index(b"\r", at)])
    if len(data) < begin + length:
        return None
    return Answer(status, data[begin : begin + length], begin + length)


def _parse_chunks(data: bytes, status: int, at: int) -> Answer | None:
    """RFC 9112 section 7.1; without trailers, which are not sent to who does not ask for them."""
    body = b""
    while (line_end := data.find(_CRLF, at)) >= 0:
        length = int(data[at:line_end].partition(b";")[0], 16)
        begin = line_end + len(_CRLF)
        at = begin + length + len(_CRLF)
        if len(data) < at:
            return None
        if not length:
            return Answer(status, body, at)
        body += data[begin : begin + length]
    return None
