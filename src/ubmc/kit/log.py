"""Logs: one line an entry, for people or as JSON, to standard error. Control characters never reach a terminal raw."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import socket
import stat
from typing import Any

import orjson

from ubmc.kit import tracing

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What was given as `extra`, and the trace that the line belongs to."""
    fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    trace = tracing.current.get()
    if trace is not None:
        fields.setdefault("trace_id", trace.trace_id)
    return fields


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class HumanFormatter(logging.Formatter):
    """`21:30:01 WARNING powermgr: text (key=value ...)`, a traceback on further lines."""

    def format(self, record: logging.LogRecord) -> str:
        """One entry."""
        when = dt.datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        fields = " ".join(f"{name}={_plain(str(value))}" for name, value in _fields(record).items())
        name = record.name.removeprefix("ubmc.")
        line = f"{when} {record.levelname} {name}: {_plain(record.getMessage())}" + (f" ({fields})" if fields else "")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One entry."""
        when = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {
            "time": when,
            "level": record.levelname.lower(),
            "part": record.name.removeprefix("ubmc."),
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


class StderrHandler(logging.Handler):
    """Writes to standard error and never waits: a reader that has stalled loses lines, and holds up nothing."""

    def __init__(self) -> None:
        """Open standard error a second time, without blocking; where that cannot be (a socket), use it as it is."""
        super().__init__()
        self._socket: socket.socket | None = None
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            self.descriptor = os.open("/proc/self/fd/2", flags)
        except OSError:
            self.descriptor = os.dup(2)
            if stat.S_ISSOCK(os.fstat(self.descriptor).st_mode):
                self._socket = socket.socket(fileno=self.descriptor)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one entry, or lose it."""
        try:
            data = (self.format(record) + "\n").encode(errors="backslashreplace")
            if self._socket is not None:
                self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            else:
                os.write(self.descriptor, data)
        except OSError:
            return
        except Exception:  # noqa: BLE001  as the library does it
            self.handleError(record)

    def close(self) -> None:
        """Give the descriptor back."""
        with contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.close()
            else:
                os.close(self.descriptor)
        super().close()


def descriptors() -> frozenset[int]:
    """What logging needs beside the standard streams."""
    return frozenset(each.descriptor for each in logging.getLogger().handlers if isinstance(each, StderrHandler))


def configure(*, json: bool, level: str) -> None:
    """Send all logs to standard error from now on; `level` is debug, info, warning or error."""
    handler = StderrHandler()
    handler.setFormatter(JsonFormatter() if json else HumanFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("ubmc").setLevel(level.upper())
    logging.captureWarnings(capture=True)
