"""The protocol between a virtual machine and its BMC: QEMU's `ipmi-bmc-extern`, OpenIPMI's `lanserv/README.vm`.

Frames on a byte stream: an IPMI message ends with A0h, a control command with A1h; these two bytes and AAh are escaped
inside as AAh and the byte with bit 4 set. The numbers are those of QEMU's `hw/ipmi/ipmi_bmc_extern.c`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

VERSION = 1
LONGEST = 512
"""Bytes of a frame; IPMI over KCS has at most 255 and each may be escaped."""

_END_MESSAGE = 0xA0
_END_COMMAND = 0xA1
_ESCAPE = 0xAA
_BIT = 0x10
_SHORTEST = 4  # sequence, network function, command, checksum


class Control(IntEnum):
    """Control commands; those from 0x04 on mean different things in the two directions."""

    VERSION = 0xFF
    NO_ATTENTION = 0x00
    ATTENTION = 0x01
    ATTENTION_IRQ = 0x02
    POWER_OFF = 0x03
    RESET = 0x04
    ENABLE_IRQ = 0x05
    DISABLE_IRQ = 0x06
    SEND_NMI = 0x07
    CAPABILITIES = 0x08
    GRACEFUL_SHUTDOWN = 0x09


class VmRequest(NamedTuple):
    """A request of the guest."""

    sequence: int
    netfn: int
    lun: int
    command: int
    data: bytes


class VmCommand(NamedTuple):
    """A control command of the virtual machine."""

    command: int
    data: bytes


def encode(body: bytes, end: int) -> bytes:
    """A frame: escaped, and ended."""
    made = bytearray()
    for byte in body:
        if byte in (_END_MESSAGE, _END_COMMAND, _ESCAPE):
            made += bytes((_ESCAPE, byte | _BIT))
        else:
            made.append(byte)
    made.append(end)
    return bytes(made)


def control(command: Control, data: bytes = b"") -> bytes:
    """A control command to the virtual machine."""
    return encode(bytes((command,)) + data, _END_COMMAND)


def respond(request: VmRequest, answer: bytes) -> bytes:
    """The frame of a response: completion code and data of `answer`, and the checksum that makes the sum zero."""
    body = bytes((request.sequence, (request.netfn | 1) << 2 | request.lun, request.command)) + answer
    return encode(body + bytes((-sum(body) & 0xFF,)), _END_MESSAGE)


def request(sequence: int, netfn: int, command: int, data: bytes = b"", *, lun: int = 0) -> bytes:
    """The frame of a request, as the virtual machine makes it."""
    body = bytes((sequence, netfn << 2 | lun, command)) + data
    return encode(body + bytes((-sum(body) & 0xFF,)), _END_MESSAGE)


class Decoder:
    """Frames out of a byte stream, however it is cut; what is damaged is left out."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._escaped = False
        self._bad = False

    def feed(self, data: bytes) -> Iterator[VmRequest | VmCommand]:
        """The frames that are whole now."""
        for byte in data:
            if byte in (_END_MESSAGE, _END_COMMAND):
                frame = None if self._bad or self._escaped else _parse(bytes(self._body), byte)
                self._body.clear()
                self._escaped = self._bad = False
                if frame is not None:
                    yield frame
            elif byte == _ESCAPE:
                self._bad |= self._escaped
                self._escaped = True
            else:
                self._body.append(byte & ~_BIT & 0xFF if self._escaped else byte)
                self._escaped = False
                if len(self._body) > LONGEST:
                    self._body.clear()
                    self._bad = True


def _parse(body: bytes, end: int) -> VmRequest | VmCommand | None:
    if end == _END_COMMAND:
        return VmCommand(body[0], body[1:]) if body else None
    if len(body) < _SHORTEST or sum(body) & 0xFF or body[1] & 0x04:  # bit 2: a response
        return None
    return VmRequest(body[0], body[1] >> 2, body[1] & 3, body[2], body[3:-1])
