"""What machine and clients say to each other on the socket: JSON lines, and single bytes once a connection is a line.

A connection begins with one JSON line from the client, answered by one JSON line:
  {"line": NAME, "direction": "output", "active_low": false}   the connection is the wire now: the client writes b"0"
      or b"1", the machine echoes each byte when the level has been taken. A second holder is refused with `busy` while
      any duplicate of the descriptor is open. Closing the last one keeps the level, as on hardware.
  {"line": NAME, "direction": "input", "active_low": false}    the machine sends b"0" or b"1" at once
      and on each change.
  {"console": true, "from": PLACE}      the connection is the serial line of the host now. The machine answers with its
      `instance`, the `place` where it begins (the oldest byte that it has, if PLACE is null or gone) and the `end`.
      Then come frames of `serial_output`; those of `serial_input`, `serial_ack` and `serial_break` are sent.
      What nobody has acknowledged is kept within the ring. A second holder is refused with `busy`.
  {"control": {"do": ...}}      a request; more may follow on the same connection, each answered by one line.
  {"watch": true}               answered by the whole state, then one line {"change": ...} for each change.
Answers are {"ok": true, ...} or {"error": WORD, "message": TEXT} with the words of `ubmc.kit.errors`.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
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

SERIAL_WINDOW_BYTES = 64 * 1024  # so much may be under way without an acknowledgement,
SERIAL_WINDOW_FRAMES = 32  # in so many frames
SERIAL_CHUNK_BYTES = 8 * 1024
_INPUT, _ACK, _BREAK = b"I", b"A", b"B"
_OUTPUT_HEAD = struct.Struct(">QI")
_INPUT_HEAD = struct.Struct(">cQ")


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


def serial_output(place: int, data: bytes) -> bytes:
    """Bytes of the host, as the machine sends them: their place and length go before."""
    return _OUTPUT_HEAD.pack(place, len(data)) + data


def serial_outputs(rest: bytearray) -> Iterator[tuple[int, bytes]]:
    """The frames of the machine that are whole, taken out of `rest`: place and bytes."""
    while len(rest) >= _OUTPUT_HEAD.size:
        place, length = _OUTPUT_HEAD.unpack_from(rest)
        end = _OUTPUT_HEAD.size + length
        if len(rest) < end:
            return
        data = bytes(rest[_OUTPUT_HEAD.size : end])
        del rest[:end]
        yield place, data


def serial_input(data: bytes) -> bytes:
    """Bytes for the host."""
    return _INPUT_HEAD.pack(_INPUT, len(data)) + data


def serial_break() -> bytes:
    """A BREAK for the host."""
    return _INPUT_HEAD.pack(_BREAK, 0)


def serial_ack(place: int) -> bytes:
    """All bytes before this place have been read."""
    return _INPUT_HEAD.pack(_ACK, place)


def serial_inputs(rest: bytearray) -> Iterator[bytes | int | None]:
    """The frames of the client that are whole, taken out of `rest`: bytes; the place of an ack; None for a BREAK.

    Raises:
        Invalid: there is no such frame.
    """
    while len(rest) >= _INPUT_HEAD.size:
        kind, number = _INPUT_HEAD.unpack_from(rest)
        if kind not in (_INPUT, _ACK, _BREAK) or (kind == _INPUT and number > SERIAL_CHUNK_BYTES):
            raise Invalid(
                f"a serial line takes input of at most {SERIAL_CHUNK_BYTES} bytes, acknowledgements and BREAK"
            )
        end = _INPUT_HEAD.size + (number if kind == _INPUT else 0)
        if len(rest) < end:
            return
        data = bytes(rest[_INPUT_HEAD.size : end])
        del rest[:end]
        yield data if kind == _INPUT else number if kind == _ACK else None
