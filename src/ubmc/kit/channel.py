"""The channel between the operator and one of its children: datagrams of JSON, with descriptors when needed.

A pair of SOCK_SEQPACKET sockets: messages keep their borders, descriptors can travel along, and the end of either
side is seen at once by the other.
"""

from __future__ import annotations

import array
import os
import socket
from dataclasses import dataclass
from typing import Any

import orjson

MAX_MESSAGE = 128 * 1024  # below the usual send buffer of 208 KiB
MAX_DESCRIPTORS = 16


@dataclass(frozen=True, slots=True)
class Message:
    """What came: the `kind`, its fields, and descriptors that the receiver now owns."""

    kind: str
    fields: dict[str, Any]
    descriptors: tuple[int, ...] = ()


class Channel:
    """One end. It does not block: what cannot be sent at once is refused."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end

    @staticmethod
    def pair() -> tuple[Channel, Channel]:
        """Two ends of a new channel."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return Channel(one), Channel(other)

    @staticmethod
    def adopt(descriptor: int) -> Channel:
        """The end that came as a descriptor."""
        return Channel(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        """The descriptor, for selectors."""
        return self._socket.fileno()

    def send(self, kind: str, *descriptors: int, **fields: Any) -> bool:
        """Send a message; False when the other side is gone or does not read."""
        data = orjson.dumps({"kind": kind, **fields})
        ancillary = []
        if descriptors:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        try:
            self._socket.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
        except OSError:
            return False
        return True

    def receive(self) -> Message | None:
        """The next message that is there.

        Raises:
            BlockingIOError: there is none now.
            EOFError: the other side is gone.
        """
        space = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
        try:
            data, ancillary, _flags, _address = self._socket.recvmsg(MAX_MESSAGE, space, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            raise
        except OSError as error:
            raise EOFError from error
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        if not data:
            raise EOFError
        try:
            fields = orjson.loads(data)
            return Message(str(fields.pop("kind")), fields, tuple(descriptors))
        except (ValueError, AttributeError, KeyError, TypeError):
            for descriptor in descriptors:
                os.close(descriptor)
            return None

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
