"""The guardian's fan half: makes fans safe when nobody drives them any more.

A write to a fan may hang in the kernel for good. So fans are written by a child that is forked for it, one thread for
each fan, and is killed after a deadline; the guardian itself never waits. Lines come first, whatever fans do.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from ubmc.hw.fans.port import Recipe
from ubmc.kit import guard
from ubmc.kit.channel import Channel, Message
from ubmc.kit.errors import UbmcError
from ubmc.kit.log import descriptors
from ubmc.services.operator.plan import Apply, SafeFans

log = logging.getLogger("ubmc.guardian")

FULL = 100.0
WRITE_SECONDS = 0.5  # for all fans of an attempt, at the same time
REPEAT_SECONDS = 5.0  # somebody or something may have set them again
RETRY_SECONDS = 0.2
MAX_STUCK = 3  # so many children may hang in the kernel before fans that hang are left alone
PIPE_BYTES = 65536
IN_ORDER = frozenset({"has left", "ends"})
"""Why fans are taken over when nothing is wrong."""


@dataclass(slots=True)
class _Writer:
    """A child that writes fans."""

    pid: int
    pipe: int
    ends: float
    wanted: Mapping[str, float]
    done: set[str] = field(default_factory=set)
    rest: bytes = b""


class FanKeeper:
    """Keeps the recipes, hears who drives the fans, and takes them when that one is gone or silent.

    Args:
        safe: what is known before anybody said a word.
        say: tells the operator what happened: to whom, what, and which fans.
        now: the monotonic time.
    """

    def __init__(self, safe: SafeFans, say: Callable[[str, str, list[str]], None], now: float) -> None:
        self._apply: Apply = safe.apply
        self._say = say
        self._recipes = {recipe.name: recipe for recipe in safe.recipes}
        self._holder: Channel | None = None  # whose fans they are
        self._asking: Channel | None = None  # who gets them as soon as what is being written is written
        self._heard = now
        self._in_charge = False
        self._why = "has not begun"
        self._done: dict[str, float] = {}  # the duty that a fan has for sure, since we took it
        self._failing: dict[str, str] = {}
        self._hung: set[str] = set()
        self._writer: _Writer | None = None
        self._stuck: list[int] = []
        self._next = 0.0

    @property
    def safe(self) -> bool:
        """Whether every fan is known to have its safe duty."""
        return all(self._done.get(name) == duty for name, duty in self._wanted().items())

    # --- who drives ---------------------------------------------------------------------------------------------

    def hear(self, channel: Channel, message: Message, now: float) -> None:
        """What a process says that drives fans, or wants to."""
        if message.kind == guard.HELLO:
            self._asking = channel
            self._answer(now)
            return
        if self._holder is None and not self._in_charge:
            self._holder = channel  # we were restarted
        if channel is not self._holder:
            if self._holder is None and channel is not self._asking:
                channel.send(guard.TAKEN)  # it believes that it drives them, and has to ask for them
            return  # or an earlier one that still lives somehow
        if message.kind == guard.FAN:
            self._learn(message)
        elif message.kind == guard.LEAVE:
            self._take("has left", now)
            self._holder = None
        if not self._in_charge:
            self._heard = now

    def lose(self, channel: Channel, now: float) -> None:
        """The channel of a process has ended."""
        if channel is self._asking:
            self._asking = None
        if channel is self._holder:
            self._take("is gone", now)
            self._holder = None

    def _learn(self, message: Message) -> None:
        fields = message.fields
        try:
            name, recipe = str(fields["name"]), dict(fields["recipe"])
            place, percent = dict(recipe["place"]), float(recipe["failsafe_percent"])
            self._recipes[name] = Recipe(name, str(recipe["kind"]), place, percent)
        except (KeyError, ValueError, TypeError):
            log.error("a fan is handed over that nobody understands", extra={"fan": str(fields.get("name"))})

    def _answer(self, now: float) -> None:
        """Let who asks for the fans drive them; nothing of ours is written from here on.

        What is being written is written first: who asks may be just as broken as who was silent.
        """
        if self._asking is None or self._writer is not None:
            return
        self._holder, self._heard, self._asking = self._asking, now, None
        self._in_charge = False
        self._done.clear()
        self._failing.clear()
        self._hung.clear()
        self._holder.send(guard.FREE)

    def _take(self, why: str, now: float) -> None:
        if self._in_charge:
            return
        self._in_charge, self._why, self._next = True, why, now
        self._done.clear()
        if self._holder is not None and why == "is silent":
            self._holder.send(guard.TAKEN)
        self._work(now)  # first the fans, then the words
        if self._recipes:
            level = logging.INFO if why in IN_ORDER else logging.WARNING
            log.log(level, "who drives the fans %s: they go to fail-safe", why, extra={"fans": list(self._recipes)})
            self._say("cooling", why, list(self._recipes))

    # --- time ---------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Look at everything that time brings."""
        self._reap()
        if not self._in_charge and now - self._heard > guard.COOLING_SILENCE_SECONDS:
            self._take("is silent" if self._holder is not None else "has not begun", now)
        if self._writer is not None:
            self._collect(self._writer, now)
        self._answer(now)
        if self._in_charge:
            self._work(now)

    def end(self, deadline: float) -> bool:
        """Leave every fan at its safe duty; whether all have it. Blocks until the deadline at most."""
        now = time.monotonic()
        self._asking = None
        if self._in_charge and not self.safe:
            self._next = now
        self._take("ends", now)
        while not self.safe and time.monotonic() < deadline:
            self.tick(time.monotonic())
            time.sleep(0.01)
        if self._writer is not None:
            self._end_writer(self._writer)
        return self.safe

    # --- writing ------------------------------------------------------------------------------------------------

    def _wanted(self) -> dict[str, float]:
        """The safe duty of every fan: where one cannot be written, the rest has to do its work."""
        if self._failing:
            return dict.fromkeys(self._recipes, FULL)
        return {name: recipe.failsafe_percent for name, recipe in self._recipes.items()}

    def _work(self, now: float) -> None:
        """Begin to write what is not as it should be; after a while also what was."""
        if self._writer is not None or not self._recipes:
            return
        wanted = self._wanted()
        due = {name: duty for name, duty in wanted.items() if self._done.get(name) != duty}
        if not due and now >= self._next:
            due = wanted
        elif due and now < self._next and set(due) <= set(self._failing):
            return  # what failed just now has a little time
        if len(self._stuck) >= MAX_STUCK:
            due = {name: duty for name, duty in due.items() if name not in self._hung}
        if due:
            self._begin(due, now)

    def _begin(self, wanted: Mapping[str, float], now: float) -> None:
        try:
            reader, writer = os.pipe()
        except OSError:
            self._next = now + RETRY_SECONDS
            return
        try:
            pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            self._next = now + RETRY_SECONDS
            return
        if pid == 0:
            try:
                _write_all(writer, [(self._recipes[name], duty) for name, duty in wanted.items()], self._apply)
            finally:
                os._exit(0)
        os.close(writer)
        os.set_blocking(reader, False)
        self._writer = _Writer(pid, reader, now + WRITE_SECONDS, wanted)

    def _collect(self, writer: _Writer, now: float) -> None:
        """Hear what the child says; in the end what it did not say has failed."""
        ended = False
        with contextlib.suppress(BlockingIOError):
            while not ended:
                data = os.read(writer.pipe, PIPE_BYTES)
                writer.rest += data
                ended = not data
        *lines, writer.rest = writer.rest.split(b"\n")
        for line in lines:
            name, error = orjson.loads(line)
            writer.done.add(name)
            self._learn_outcome(name, writer.wanted[name], error)
        if set(writer.wanted) <= writer.done or ended or now >= writer.ends:
            for name in set(writer.wanted) - writer.done:
                self._hung.add(name)
                self._learn_outcome(name, writer.wanted[name], f"no answer within {WRITE_SECONDS} s")
            self._end_writer(writer)
            self._next = now + (RETRY_SECONDS if self._failing else REPEAT_SECONDS)

    def _learn_outcome(self, name: str, duty: float, error: str) -> None:
        if error:
            self._done.pop(name, None)
            if name not in self._failing:
                log.error("a fan cannot be made safe: the rest gives all", extra={"fan": name, "error": error})
            self._failing[name] = error
            return
        self._done[name] = duty
        self._hung.discard(name)
        if self._failing.pop(name, None) is not None:
            log.info("a fan is safe at last", extra={"fan": name})

    def _end_writer(self, writer: _Writer) -> None:
        os.close(writer.pipe)
        os.kill(writer.pid, signal.SIGKILL)  # our child and not reaped: the number is still its own
        self._stuck.append(writer.pid)
        self._writer = None
        self._reap()

    def _reap(self) -> None:
        self._stuck = [pid for pid in self._stuck if os.waitpid(pid, os.WNOHANG) == (0, 0)]


def _write_all(pipe: int, work: Sequence[tuple[Recipe, float]], apply: Apply) -> None:
    """The body of the child: all fans at the same time; for each a line that says how it went."""
    keep = {0, 1, 2, pipe, *descriptors()}
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208  numbers, not paths
        if int(entry) not in keep:
            with contextlib.suppress(OSError):  # the one of the listing itself
                os.close(int(entry))

    def write(recipe: Recipe, duty: float) -> None:
        error = ""
        try:
            apply(recipe, duty)
        except UbmcError as failure:
            error = failure.message or "it failed"
        except Exception as failure:  # noqa: BLE001  whatever it is: this fan is not safe
            error = f"{type(failure).__name__}: {failure}"
        os.write(pipe, orjson.dumps([recipe.name, error]) + b"\n")

    threads = [threading.Thread(target=write, args=each, daemon=True) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
