"""Recording what a host writes, in a file that never grows over its limit, without what must not be kept.

Two files: the one that is written, and the one before. Together they hold between half of the limit and all of it.
Lines are held back until they are whole, so that a pattern finds what it is to take out; a blocking write of a few KiB
goes to a thread, one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from ubmc.kit.errors import Invalid, Violation

log = logging.getLogger("ubmc.consolesrv")

REPLACED = b"[redacted]"
LONGEST_LINE = 512
MOST_WAITING = 1024 * 1024
FLUSH_SECONDS = 1.0
_LITERALS = re.compile(r"\\.|\[\^?\]?[^\]]*\]")
"""What stands for one character in a pattern: an escaped one, or a class."""
_REPEATED = re.compile(r"[*+})][*+{]")
_REPEATS = re.compile(r"[*+{]")
MOST_REPEATS = 2
"""With so many a piece of a line takes a fifth of a second at the very worst; with three, a minute."""


class Redactor:
    """Takes out of lines what patterns match; pure."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = compiled(patterns)
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The lines that are whole now, redacted. A line is looked at in pieces of 512 bytes."""
        whole, end, rest = (self._rest + data).rpartition(b"\n")
        done = self._clean(whole + end)
        if len(rest) > LONGEST_LINE:
            done, rest = done + self._clean(rest), b""
        self._rest = rest
        return done

    def flush(self) -> bytes:
        """What is left, redacted."""
        rest, self._rest = self._rest, b""
        return self._clean(rest)

    def _clean(self, text: bytes) -> bytes:
        if not self._patterns:
            return text
        lines = text.splitlines(keepends=True)
        pieces = (line[at : at + LONGEST_LINE] for line in lines for at in range(0, len(line), LONGEST_LINE))
        return b"".join(map(self._clean_line, pieces))

    def _clean_line(self, line: bytes) -> bytes:
        for pattern in self._patterns:
            line = pattern.sub(REPLACED, line)
        return line


def compiled(patterns: Iterable[str]) -> list[re.Pattern[bytes]]:
    """The patterns, ready for use.

    Raises:
        Invalid: one is no regular expression, or one that can take for ever.
    """
    made = []
    for index, pattern in enumerate(patterns):
        field = f"console.settings.redactions[{index}]"
        plain = _LITERALS.sub("x", pattern)
        if _REPEATED.search(plain) or len(_REPEATS.findall(plain)) > MOST_REPEATS:
            raise _wrong(
                field,
                f"{pattern!r} can take for ever: repeat neither group nor repetition; use *, + and {{}} twice at most",
            )
        try:
            made.append(re.compile(pattern.encode()))
        except re.error as error:
            raise _wrong(field, f"{pattern!r} is no regular expression: {error}") from None
    return made


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", violations=[Violation(field, "pattern", message)])


class Recorder:
    """Writes the recording of one console, between `start` and `stop`."""

    def __init__(self, path: Path, limit_bytes: int, patterns: Iterable[str]) -> None:
        self._path = path
        self._limit = limit_bytes
        self._redactor = Redactor(patterns)
        self._waiting = bytearray()
        self._filled = asyncio.Event()
        self._lost = 0
        self._writing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self.problem = ""
        """Why nothing is written; empty while all is well."""

    @property
    def older(self) -> Path:
        """The file before."""
        return self._path.with_name(f"{self._path.name}.1")

    @property
    def size(self) -> int:
        """How many bytes both files have."""
        return sum(_size(path) for path in (self.older, self._path))

    def start(self) -> None:
        """Begin to record, unless that is done already."""
        if self._writing is None:
            self.note(f"recording begins at {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}")
            self._writing = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Record no longer; what there is so far is written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.cancel()
            await asyncio.wait({writing})

    def change(self, limit_bytes: int, patterns: Iterable[str]) -> None:
        """Record in another way from now on."""
        self._put(self._redactor.flush())
        self._limit = limit_bytes
        self._redactor = Redactor(patterns)

    def note(self, text: str) -> None:
        """Say something about the recording itself in it, whether one is made now or not."""
        self._put(self._redactor.flush() + f"\r\n[u-bmc: {text}]\r\n".encode())

    def feed(self, data: bytes) -> None:
        """The host wrote."""
        if self._writing is not None:
            self._put(self._redactor.feed(data))

    def _put(self, data: bytes) -> None:
        room = MOST_WAITING - len(self._waiting)
        self._lost += max(len(data) - room, 0)
        self._waiting += data[:room]
        if self._waiting:
            self._filled.set()

    async def _run(self) -> None:
        """Write, about once a second, until cancelled; then write what is left."""
        try:
            while True:
                await self._filled.wait()
                await asyncio.sleep(FLUSH_SECONDS)
                await asyncio.shield(self._write())  # a thread goes on anyway, and what comes next waits for it
        finally:
            self._put(self._redactor.flush())
            await asyncio.shield(self._write())

    async def _write(self) -> None:
        async with self._turn:
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        data, lost = bytes(self._waiting), self._lost
        self._waiting.clear()
        self._lost = 0
        self._filled.clear()
        if lost:
            data += f"\r\n[u-bmc: {lost} bytes could not be recorded]\r\n".encode()
        try:
            await asyncio.to_thread(self._append, data)
        except OSError as error:
            if not self.problem:
                log.error("a console is not recorded", extra={"path": str(self._path), "error": str(error)})
            self.problem = error.strerror or str(error)
            return
        if self.problem:
            log.info("a console is recorded again", extra={"path": str(self._path)})
        self.problem = ""

    def _append(self, data: bytes) -> None:
        half = max(self._limit // 2, 1)
        for at in range(0, len(data), half):
            part = data[at : at + half]
            if _size(self._path) + len(part) > half:
                with contextlib.suppress(FileNotFoundError):
                    self._path.replace(self.older)
            if _size(self.older) > half:  # the limit was larger when it was written
                self.older.unlink()
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(part)

    def read(self, offset: int, limit_bytes: int) -> bytes:
        """Bytes of both files as one, from `offset` on. Blocks for a moment. Raises OSError."""
        data = b""
        for path in (self.older, self._path):
            size = _size(path)
            if offset < size and len(data) < limit_bytes:
                with path.open("rb") as file:
                    file.seek(offset)
                    data += file.read(limit_bytes - len(data))
            offset = max(offset - size, 0)
        return data

    def delete(self) -> None:
        """Throw both files away. Raises OSError."""
        self._waiting.clear()
        for path in (self.older, self._path):
            path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
