"""The machine's side of its socket: connections that are wires, controls or watchers of a plant.

It knows neither asyncio nor selectors: whoever hosts it tells it which descriptor is readable. Answers go straight into
the kernel's buffer, which is the bound: a reader so slow that it is full is dropped.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any, Protocol

from ubmc.hw.sim.plant import Plant
from ubmc.hw.sim.protocol import (
    LONGEST_REQUEST_BYTES,
    decode,
    encode,
    encode_error,
    level_byte,
)
from ubmc.hw.sim.requests import Requests
from ubmc.hw.sim.serial_role import SerialRole
from ubmc.hw.sim.wires import Change, Side
from ubmc.kit.errors import Busy, Exhausted, Invalid, UbmcError

_LOG = logging.getLogger("ubmc.sim")
MOST_LINKS = 128
GREETING_SECONDS = 5.0
_SERIAL = "serial line"  # no line has a name with a space


class Reactor(Protocol):
    """Who watches descriptors; an asyncio loop is one."""

    def add_reader(self, fd: int, callback: Callable[[], None], /) -> object:
        """Call back whenever `fd` is readable."""

    def remove_reader(self, fd: int, /) -> object:
        """Do not any more."""


class World(Protocol):
    """Who keeps a plant's time."""

    @property
    def plant(self) -> Plant:
        """The plant; its time is that of the last `catch_up`."""

    def catch_up(self) -> None:
        """Let the plant's time be now."""

    def acted(self) -> None:
        """Something was done to the plant: its next event may be another one."""

    def end(self) -> None:
        """The machine is to end."""


class Link:
    """One connection; `role` is what it has become."""

    def __init__(self, sock: socket.socket, drop: Callable[[Link], None], born: float) -> None:
        self.sock = sock
        self.born = born
        self.greeted = False
        self.role: Role | None = None
        self.closed = False
        self._drop = drop

    def send(self, data: bytes) -> None:
        """Send all of it now, or drop the connection."""
        if self.closed:
            return
        try:
            sent = self.sock.send(data)
        except OSError:
            sent = -1
        if sent != len(data):
            self._drop(self)

    def drop(self) -> None:
        """Close it."""
        self._drop(self)


class Role(Protocol):
    """What a connection is."""

    def receive(self, data: bytes) -> None:
        """Bytes came. Raises an error of ours to have the connection told and closed."""

    def end(self) -> None:
        """The connection is gone."""


class OutputRole:
    """The connection is a wire that the client drives."""

    def __init__(self, link: Link, world: World, line: str, *, active_low: bool, ended: Callable[[], None]) -> None:
        self._link = link
        self._world = world
        self._line = line
        self._active_low = active_low
        self._ended = ended

    def receive(self, data: bytes) -> None:
        """Levels."""
        if data.strip(b"01"):
            raise Invalid(f"output {self._line!r} takes the bytes 0 and 1 only")
        for byte in data:
            self._world.plant.drive(self._line, active=(byte == ord("1")) != self._active_low)
        self._world.acted()
        try:
            self._link.sock.send(data)
        except OSError:
            _LOG.debug("nobody reads the echo of output %s", self._line)

    def end(self) -> None:
        """The wire keeps its level."""
        self._ended()


class InputRole:
    """The connection is a wire that the client reads."""

    def __init__(self, link: Link, plant: Plant, line: str, *, active_low: bool) -> None:
        self._link = link
        self._line = line
        self._active_low = active_low
        self._stop = plant.listen(self._follow)

    def receive(self, data: bytes) -> None:
        """Nothing may come."""
        raise Invalid(f"input {self._line!r} takes no bytes")

    def end(self) -> None:
        """Stop telling."""
        self._stop()

    def _follow(self, change: Change) -> None:
        if change.name == self._line:
            self._link.send(level_byte(active=bool(change.value) != self._active_low))


class WatchRole:
    """The connection is told every change."""

    def __init__(self, link: Link, plant: Plant) -> None:
        self._link = link
        self._stop = plant.listen(self._follow)

    def receive(self, data: bytes) -> None:
        """Nothing may come."""
        raise Invalid("a watcher sends nothing")

    def end(self) -> None:
        """Stop telling."""
        self._stop()

    def _follow(self, change: Change) -> None:
        told = {"at_seconds": change.at_seconds, "name": change.name, "value": change.value}
        self._link.send(encode({"change": told}))


class RequestRole:
    """The connection sends JSON lines: at first anything, later controls only."""

    def __init__(self, server: Server, link: Link) -> None:
        self._server = server
        self._link = link
        self._rest = b""

    def receive(self, data: bytes) -> None:
        """Answer every whole line."""
        self._rest += data
        link = self._link
        while link.role is self and not link.closed and b"\n" in self._rest:
            line, _, self._rest = self._rest.partition(b"\n")
            if len(line) > LONGEST_REQUEST_BYTES:
                raise Exhausted(f"a request has at most {LONGEST_REQUEST_BYTES} bytes")
            try:
                self._server.answer(link, decode(line))
            except UbmcError as error:
                if not link.greeted:
                    raise
                link.send(encode_error(error))
        if len(self._rest) > LONGEST_REQUEST_BYTES:
            raise Exhausted(f"a request has at most {LONGEST_REQUEST_BYTES} bytes")
        if link.role is not self and link.role is not None and self._rest:
            rest, self._rest = self._rest, b""
            link.role.receive(rest)

    def end(self) -> None:
        """Nothing is held."""


class Server:
    """All connections of one machine."""

    def __init__(self, world: World, reactor: Reactor, *, instance: str) -> None:
        self._world = world
        self._reactor = reactor
        self._links: dict[Link, None] = {}
        self._holders: set[str] = set()
        self._instance = instance
        self._requests = Requests(world.plant, instance, world.end)

    def adopt(self, sock: socket.socket, now: float) -> None:
        """Serve a new connection; the socket is ours from here on."""
        sock.setblocking(False)
        link = Link(sock, self._drop, now)
        if len(self._links) >= MOST_LINKS:
            link.send(encode_error(Exhausted(f"the machine serves at most {MOST_LINKS} connections")))
            sock.close()
            return
        link.role = RequestRole(self, link)
        self._links[link] = None
        self._reactor.add_reader(sock.fileno(), lambda: self._readable(link))

    def expire(self, now: float) -> float | None:
        """Drop who connected and said nothing; returns when to look again, None if there is nobody to look at."""
        waiting = [link for link in self._links if not link.greeted]
        for link in waiting:
            if link.born + GREETING_SECONDS <= now:
                self._drop(link)
        return min((link.born + GREETING_SECONDS for link in waiting if not link.closed), default=None)

    def close(self) -> None:
        """Drop everybody."""
        for link in tuple(self._links):
            self._drop(link)

    def answer(self, link: Link, message: dict[str, Any]) -> None:
        """Answer one JSON line; it may turn the connection into something else."""
        first = not link.greeted
        if isinstance(control := message.get("control"), dict):
            link.greeted = True
            result = self._requests.answer(control)
            self._world.acted()
            if result is not None:
                link.send(encode({"ok": True, **result}))
        elif first and isinstance(line := message.get("line"), str):
            self._become_line(link, line, message.get("direction"), active_low=bool(message.get("active_low")))
            link.greeted = True
        elif first and message.get("console") is True:
            self._become_serial(link, message.get("from"))
            link.greeted = True
        elif first and message.get("watch") is True:
            link.greeted = True
            link.role = WatchRole(link, self._world.plant)
            link.send(encode({"ok": True, **self._requests.state({})}))
        else:
            raise Invalid("say line and direction, console, control, or watch")

    def _become_line(self, link: Link, line: str, direction: object, *, active_low: bool) -> None:
        plant = self._world.plant
        active = plant.read(line) != active_low
        if direction == "input":
            link.role = InputRole(link, plant, line, active_low=active_low)
            link.send(encode({"ok": True}) + level_byte(active=active))
        elif direction == "output":
            if plant.lines[line] is not Side.BMC:
                raise Invalid(f"line {line!r} is driven by the machine: request it as input")
            if line in self._holders:
                raise Busy(f"line {line!r} is held by somebody else; it is free when the last holder closes it")
            self._holders.add(line)
            ended = self._holders.discard
            link.role = OutputRole(link, self._world, line, active_low=active_low, ended=lambda: ended(line))
            link.send(encode({"ok": True, "active": active}))
        else:
            raise Invalid("direction is input or output")

    def _become_serial(self, link: Link, place: object) -> None:
        if place is not None and (isinstance(place, bool) or not isinstance(place, int) or place < 0):
            raise Invalid("from is the place of a byte, counted from 0, or null")
        if _SERIAL in self._holders:
            raise Busy("the serial line is held by somebody else; it is free when the holder closes it")
        self._holders.add(_SERIAL)
        ended = self._holders.discard
        role = SerialRole(link, self._world, place, ended=lambda: ended(_SERIAL))
        link.role = role
        link.send(encode({"ok": True, "instance": self._instance, "place": role.place, "end": role.end_place}))
        role.push()

    def _readable(self, link: Link) -> None:
        try:
            data = link.sock.recv(LONGEST_REQUEST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or link.role is None:
            self._drop(link)
            return
        self._world.catch_up()
        try:
            link.role.receive(data)
        except UbmcError as error:
            link.send(encode_error(error))
            self._drop(link)

    def _drop(self, link: Link) -> None:
        if link.closed:
            return
        link.closed = True
        self._links.pop(link, None)
        self._reactor.remove_reader(link.sock.fileno())
        link.sock.close()
        if link.role is not None:
            link.role.end()
