"""HTTP/1.1 as bytes, as much of it as a load generator needs: whole requests, and where an answer ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"


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
        ValueError: it is no answer, or one without a length, which a load generator cannot time.
    """
    end = data.find(_HEAD_END)
    if end < 0:
        return None
    if not data.startswith(b"HTTP/1.1 "):
        raise ValueError(f"this is no answer: {data[:60]!r}")
    head = data[: end + 2].lower()
    at = head.find(_LENGTH)
    if at < 0:
        raise ValueError(f"an answer without content-length: {data[:end]!r}")
    at += len(_LENGTH)
    length = int(head[at : head.index(b"\r", at)])
    begin = end + len(_HEAD_END)
    if len(data) < begin + length:
        return None
    return Answer(int(data[9:12]), data[begin : begin + length], begin + length)
