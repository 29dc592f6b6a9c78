"""Telling systemd how we are (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names."""

from __future__ import annotations

import contextlib
import os
import socket


class Notifier:
    """Says READY, STOPPING and WATCHDOG; does nothing where nobody listens."""

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def _send(self, text: str) -> None:
        if self._address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
                end.setblocking(False)  # whoever does not listen must not hold up the operator
                end.sendto(text.encode(), self._address)

    def ready(self) -> None:
        """Every service is ready."""
        self._send("READY=1")

    def alive(self) -> None:
        """Operator and guardian make progress."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """A stop has begun."""
        self._send("STOPPING=1")
