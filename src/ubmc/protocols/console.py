"""What a door and the owner of a serial console say to each other: frames.

A frame is one byte for its kind and a payload. On a byte stream four bytes go before it, big-endian: how long kind and
payload are together. On a WebSocket it is one binary message, without a length. Numbers are unsigned and big-endian.

From the owner:
  01 HELLO    JSON; always first, once: see `Hello`
  02 OUTPUT   u64 offset of the first byte; bytes that the host wrote
  03 MISSED   u64 from, u64 to: bytes of the host that this reader does not get: it was too slow, or they are gone
  04 STATE    JSON: who writes now, and whether the line works: see `State`
  05 WRITTEN  u64, u64: so many bytes of this attachment's INPUT are done with, and so many of them were dropped: the
              line did not work, or it was not the writer (any more)
  06 END      JSON {"reason", "message"}; nothing follows
To the owner:
  81 INPUT    bytes for the host; only from the writer, else they are dropped: WRITTEN says so, and STATE comes
  82 BREAK    u16 milliseconds; 0: the usual quarter of a second
  83 SYSRQ    one ASCII letter or digit
  84 TAKE     u8: be the writer; 0: if nobody is, 1: take over
  85 RELEASE  be the writer no longer
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import ClassVar, Self

import orjson

from ubmc.kit.errors import Invalid

SUBPROTOCOL = "ubmc.console.v1"
"""The name by which a WebSocket asks for this."""

LONGEST_DATA = 16 * 1024
"""The most bytes in one OUTPUT; and the most that should be sent in one INPUT."""

LONGEST_FRAME = 64 * 1024
_LENGTH = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_TWO_U64 = struct.Struct(">QQ")
_U16 = struct.Struct(">H")
_LONGEST_BREAK = 2000


@dataclass(frozen=True, slots=True)
class _Told:
    """A frame whose payload is a JSON object of its fields."""

    def payload(self) -> bytes:
        """Without the kind."""
        return orjson.dumps({each.name: getattr(self, each.name) for each in fields(self)})

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """From what `payload` gave; of a newer release there may be more in it."""
        content = orjson.loads(payload)
        if not isinstance(content, dict):
            raise Invalid("the frame has no JSON object")
        names = [each.name for each in fields(cls)]
        return cls(**{name: content[name] for name in names if name in content})


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes that the host wrote."""

    kind: ClassVar[int] = 0x02
    offset: int
    """Of the first of them."""
    data: bytes

    def payload(self) -> bytes:
        """Without the kind."""
        return _U64.pack(self.offset) + self.data

    @staticmethod
    def parse(payload: bytes) -> Output:
        """From what `payload` gave."""
        return Output(_U64.unpack_from(payload)[0], payload[_U64.size :])


@dataclass(frozen=True, slots=True)
class Missed:
    """Bytes of the host that the reader does not get."""

    kind: ClassVar[int] = 0x03
    start: int
    end: int

    def payload(self) -> bytes:
        """Without the kind."""
        return _TWO_U64.pack(self.start, self.end)

    @staticmethod
    def parse(payload: bytes) -> Missed:
        """From what `payload` gave."""
        return Missed(*_TWO_U64.unpack(payload))


@dataclass(frozen=True, slots=True)
class Written:
    """How many bytes of INPUT are done with since this attachment began."""

    kind: ClassVar[int] = 0x05
    total: int
    dropped: int = 0
    """Of them: the line did not work, or this attachment did not write, so the host does not get them."""

    def payload(self) -> bytes:
        """Without the kind."""
        return _TWO_U64.pack(self.total, self.dropped)

    @staticmethod
    def parse(payload: bytes) -> Written:
        """From what `payload` gave."""
        return Written(*_TWO_U64.unpack(payload))


@dataclass(frozen=True, slots=True)
class Hello(_Told):
    """How the console is at the moment of attaching."""

    kind: ClassVar[int] = 0x01
    name: str
    epoch: str
    """The offsets count within this. To resume after a disconnect, ask for this and the offset behind the last byte."""
    start: int
    """The offset of the first byte that will come."""
    oldest: int
    """The offset of the oldest byte that is kept."""
    end: int
    """The offset that the next byte of the host will have."""
    resumed: str
    """`live`: from now on. `replay`: from some bytes before. `exact`: from the offset that was asked for. `gap`: some
    bytes behind it are gone; a MISSED follows. `unknown`: the epoch is another one, so nobody knows what was missed."""
    may_write: bool
    """Whether this person may be the writer at all."""
    writing: bool
    """Whether this attachment is the writer."""
    writer: str
    """Who is the writer; empty if nobody is."""
    connected: bool
    """Whether the line works."""
    reason: str = ""
    """Why it does not."""


@dataclass(frozen=True, slots=True)
class State(_Told):
    """How the console is now."""

    kind: ClassVar[int] = 0x04
    writing: bool
    """Whether this attachment is the writer."""
    writer: str
    """Who is the writer; empty if nobody is."""
    connected: bool
    """Whether the line works."""
    reason: str = ""
    """Why it does not, or why this attachment does not write any more: for people."""


def changes(before: Hello | State, now: State) -> str:
    """What a person at a terminal is told when the state of the console has changed; empty for nothing."""
    if now.connected != before.connected:
        return "the line works again" if now.connected else f"the line is lost: {now.reason}"
    if now.writing != before.writing:
        return "you write" if now.writing else f"you read: {now.reason or 'released'}"
    return now.reason if now.reason != before.reason else ""


@dataclass(frozen=True, slots=True)
class End(_Told):
    """The attachment is over."""

    kind: ClassVar[int] = 0x06
    reason: str
    """`session`: it has ended; `stopping`: the service is, come again; `broken`: what came was no frames; `full`: there
    is no place, or somebody else needed it."""
    message: str
    """For people."""


@dataclass(frozen=True, slots=True)
class Input:
    """Bytes for the host."""

    kind: ClassVar[int] = 0x81
    data: bytes

    def payload(self) -> bytes:
        """Without the kind."""
        return self.data

    @staticmethod
    def parse(payload: bytes) -> Input:
        """From what `payload` gave."""
        return Input(payload)


@dataclass(frozen=True, slots=True)
class Break:
    """A BREAK for the host."""

    kind: ClassVar[int] = 0x82
    milliseconds: int = 0
    """At most 2000; 0: the usual quarter of a second."""

    def payload(self) -> bytes:
        """Without the kind."""
        return _U16.pack(self.milliseconds)

    @staticmethod
    def parse(payload: bytes) -> Break:
        """From what `payload` gave."""
        (milliseconds,) = _U16.unpack(payload)
        if milliseconds > _LONGEST_BREAK:
            raise Invalid(f"a BREAK takes at most {_LONGEST_BREAK} milliseconds")
        return Break(milliseconds)


@dataclass(frozen=True, slots=True)
class SysRq:
    """A magic SysRq for a host that runs Linux."""

    kind: ClassVar[int] = 0x83
    key: str

    def payload(self) -> bytes:
        """Without the kind."""
        return self.key.encode("ascii")

    @staticmethod
    def parse(payload: bytes) -> SysRq:
        """From what `payload` gave."""
        key = payload.decode("ascii")
        if len(key) != 1 or not key.isalnum() or key != key.lower():
            raise Invalid("a SysRq is one small letter or digit")
        return SysRq(key)


@dataclass(frozen=True, slots=True)
class Take:
    """Be the writer."""

    kind: ClassVar[int] = 0x84
    over: bool = False
    """From whoever is it."""

    def payload(self) -> bytes:
        """Without the kind."""
        return bytes([self.over])

    @staticmethod
    def parse(payload: bytes) -> Take:
        """From what `payload` gave."""
        (over,) = payload
        return Take(over != 0)


@dataclass(frozen=True, slots=True)
class Release:
    """Be the writer no longer."""

    kind: ClassVar[int] = 0x85

    def payload(self) -> bytes:
        """Nothing."""
        return b""

    @staticmethod
    def parse(payload: bytes) -> Release:
        """From what `payload` gave."""
        if payload:
            raise Invalid("RELEASE has no payload")
        return Release()


FromOwner = Hello | Output | Missed | State | Written | End
ToOwner = Input | Break | SysRq | Take | Release
Frame = FromOwner | ToOwner
FRAMES: dict[int, type[Frame]] = {
    each.kind: each
    for each in (
        Hello,
        Output,
        Missed,
        State,
        Written,
        End,
        Input,
        Break,
        SysRq,
        Take,
        Release,
    )  # by what is on the wire
}


def message(frame: Frame) -> bytes:
    """The frame as one message: kind and payload."""
    return bytes([frame.kind]) + frame.payload()


def parse(body: bytes) -> Frame:
    """The frame of one message.

    Raises:
        Invalid: it is none.
    """
    try:
        return FRAMES[body[0]].parse(body[1:])
    except (KeyError, IndexError):
        raise Invalid("there is no frame of this kind") from None
    except (struct.error, ValueError, TypeError):
        raise Invalid("the frame cannot be read") from None


def encode(frame: Frame) -> bytes:
    """The frame for a byte stream: length, kind and payload."""
    return wrap(message(frame))


def inputs(data: bytes) -> Iterator[Input]:
    """As many INPUT frames as the bytes need."""
    for at in range(0, len(data), LONGEST_DATA):
        yield Input(data[at : at + LONGEST_DATA])


def wrap(body: bytes) -> bytes:
    """A message for a byte stream, whatever is in it."""
    return _LENGTH.pack(len(body)) + body


class Splitter:
    """Messages out of a byte stream, however it is cut."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are whole now. What is left when the stream ends was cut off.

        Raises:
            Invalid: these are no messages; the stream is of no use any more.
        """
        self._rest += data
        while len(self._rest) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._rest)
            if not 0 < length <= LONGEST_FRAME:
                raise Invalid(f"a frame has 1 to {LONGEST_FRAME} bytes")
            end = _LENGTH.size + length
            if len(self._rest) < end:
                return
            body = bytes(self._rest[_LENGTH.size : end])
            del self._rest[:end]
            yield body


class Decoder:
    """Frames out of a byte stream, however it is cut."""

    def __init__(self) -> None:
        self._splitter = Splitter()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now; see `Splitter.feed`. Raises `Invalid`."""
        return map(parse, self._splitter.feed(data))
