"""Setting the duty of a simulated fan without a loop, a driver or an open connection: what the guardian does."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any

from ubmc.hw.sim.protocol import LONGEST_ANSWER_BYTES, decode_answer, encode
from ubmc.kit.errors import UbmcError

DEADLINE_SECONDS = 0.3
_AGAIN_SECONDS = 0.005
KIND = "sim"


def _connect(sock: socket.socket, path: str, deadline: float) -> None:
    """Connect; waits for a machine that has more callers than it can take in at once (EAGAIN, connect(2))."""
    while True:
        try:
            sock.connect(path)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_SECONDS)
        else:
            return


def apply(place: Mapping[str, Any], percent: float) -> None:
    """Set the duty and read it back; blocks for 0.3 s at most.

    Args:
        place: `socket`, the path of the machine's socket, and `fan`, its name there.
        percent: 0 to 100.

    Raises:
        OSError: the machine cannot be reached, or the fan does not obey.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    question = encode({"control": {"do": "fan", "fan": place["fan"], "percent": percent}})
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(DEADLINE_SECONDS)
        _connect(sock, str(place["socket"]), deadline)
        sock.sendall(question)
        heard = b""
        while not heard.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0.0:
                raise TimeoutError(f"{place['fan']}: the simulated machine does not answer")
            sock.settimeout(left)
            data = sock.recv(LONGEST_ANSWER_BYTES)
            if not data or len(heard) > LONGEST_ANSWER_BYTES:
                raise ConnectionError(f"{place['fan']}: the simulated machine hung up")
            heard += data
    try:
        now = decode_answer(heard).get("percent")
    except UbmcError as error:
        raise OSError(f"{place['fan']}: {error.message}") from error
    if not isinstance(now, int | float) or abs(now - percent) > 0.5:
        raise OSError(f"{place['fan']}: it was told {percent} percent and has {now}")
