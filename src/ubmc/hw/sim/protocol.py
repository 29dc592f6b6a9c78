"""What machine and clients say to each other on the socket: JSON lines, and single bytes once a connection is a line.

A connection begins with one JSON line from the client, answered by one JSON line:
  {"line": NAME, "direction": "output", "active_low": false}   the connection is the wire now: the client writes b"0"
      or b"1", the machine echoes each byte when the level has been taken. A second holder is refused with `busy` while
      any duplicate of the descriptor is open. Closing the last one keeps the level, as on hardware.
  {"line": NAME, "direction": "input", "active_low": false}    the machine sends b"0" or b"1" at once
      and on each change.
  {"control": {"do": ...}}      a request; more may follow on the same connection, each answered by one line.
  {"watch": true}               answered by the whole state, then one line {"change": ...} for each change.
Answers are {"ok": true, ...} or {"error": WORD, "message": TEXT} with the words of `ubmc.kit.errors`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ubmc.kit.errors import ERRORS, Internal, Invalid, UbmcError

SOCKET_NAME = "sim.sock"
# Bytes of `sun_path` in unix(7), its closing zero included.
_SUN_PATH_BYTES = 108
LONGEST_REQUEST_BYTES = 16 * 1024
LONGEST_ANSWER_BYTES = 64 * 1024
MOST_NAMES = 200  # of sensors in one request; for more, all of a bus
CONSOLE_CHUNK_BYTES = 16 * 1024


def socket_path(directory: Path) -> Path:
    """Where the machine of this directory listens.

    Raises:
        Invalid: the path does not fit into a unix socket address.
    """
    path = directory.absolute() / SOCKET_NAME
    length = len(os.fsencode(path))
    if length >= _SUN_PATH_BYTES:
        raise Invalid(
            f"the path of the machine's socket has {length} bytes and unix sockets allow {_SUN_PATH_BYTES - 1}: "
            f"choose a shorter state directory than {directory}"
        )
    return path


def encode(message: dict[str, Any]) -> bytes:
    """One JSON line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def encode_error(error: UbmcError) -> bytes:
    """The JSON line of a refusal."""
    return encode({"error": error.name, "message": error.message})


def decode(line: bytes) -> dict[str, Any]:
    """A JSON line as an object. Raises `Invalid`."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise Invalid("a JSON object on one line was expected") from None
    if not isinstance(message, dict):
        raise Invalid("a JSON object was expected")
    return message


def decode_answer(line: bytes) -> dict[str, Any]:
    """An answer of the machine, or the error that it is. Raises what the machine said, or `Invalid`."""
    answer = decode(line)
    if "error" in answer:
        raise ERRORS.get(str(answer["error"]), Internal)(str(answer.get("message", "the machine gave no reason")))
    return answer


def level_byte(*, active: bool) -> bytes:
    """A level as it crosses the socket."""
    return b"1" if active else b"0"
