"""A whole process tree of tiny services, for `test_operator_tree`.

Run as `python -m tests.service.tree_program STATE [OPTION=VALUE ...]`.

What happens is written to STATE/log, a line each, with the monotonic time in front.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ubmc.kit import schema, supervise
from ubmc.kit.channel import Channel
from ubmc.kit.process import Place, ProcessFace, run_child
from ubmc.kit.service import Service
from ubmc.services.ipc.permissions import ProcessSpec, matrix
from ubmc.services.ipc.server import NatsServer
from ubmc.services.operator import tree
from ubmc.services.operator.plan import ChildPlan, Plan

STATE = Path(sys.argv[1])
OPTIONS = dict(each.split("=") for each in sys.argv[2:])


def note(text: str) -> None:
    descriptor = os.open(STATE / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{time.monotonic():.3f} {text}\n".encode())
    os.close(descriptor)


class Tiny(Service):
    """Says what happens to it."""

    def __init__(self, place: Place) -> None:
        self.place = place

    async def setup(self) -> None:
        note(f"{self.name} setup {os.getpid()}")

    async def work(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, lambda: self.place.channel.send("restart"))
        loop.add_signal_handler(signal.SIGUSR2, lambda: self.place.channel.send("told", seq=10_000))
        self.bus.link.on_disconnect.append(lambda: note(f"{self.name} bus lost"))
        while True:
            await self.bus.link.connected.wait()
            note(f"{self.name} bus there")
            while self.bus.link.connected.is_set():
                self.place.health_changed.clear()
                states = {entry["name"]: entry["state"] for entry in self.place.health}
                news = [f"{each['name']}:{each['state']}" for each in self.place.health_news]
                note(f"{self.name} sees {sorted(states.items())} news {news}")
                waiting = asyncio.ensure_future(self.place.health_changed.wait())
                await asyncio.wait((waiting,), timeout=0.1)
                waiting.cancel()

    async def teardown(self) -> None:
        note(f"{self.name} teardown")


class First(Tiny):
    name = "first"


class Second(Tiny):
    name = "second"
    after = ("first",)


def tough(channel: Channel) -> None:
    """Never ends by itself."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel.send("service", name="tough", state="READY", restarts=0, reason="")
    note(f"tough setup {os.getpid()}")
    while True:
        time.sleep(60)


def crash(channel: Channel) -> None:
    """Says nonsense and ends."""
    note(f"crash setup {os.getpid()}")
    for kind in ("hello", "service", "told", "restart", "say"):
        channel.send(kind)
        channel.send(kind, 0, name=7, state=[], seq="x", bus_key=None)
    channel._socket.send(b"\xff")
    os._exit(3)


class Dog:
    """A watchdog of a file that stays open."""

    def open(self, timeout_seconds: float) -> float:
        self._file = (STATE / "watchdog").open("w")
        note(f"dog open {timeout_seconds}")
        return timeout_seconds

    def feed(self) -> None:
        note("dog fed")

    def disarm(self) -> None:
        note("dog disarmed")
        self._file.close()

    def leave_armed(self) -> None:
        raise AssertionError


def child(name: str, *services: type[Tiny]) -> ChildPlan:
    def body(channel: Channel) -> None:
        run_child(name, channel, schema.load(), lambda place: [each(place) for each in services])

    return ChildPlan(
        name, tuple(each.name for each in services), body, commands=name == "two", keeps_private=name == "two"
    )


def bare(name: str, body: Callable[[Channel], None]) -> ChildPlan:
    return ChildPlan(name, (name,), body)


def said(what: str, fields: Mapping[str, Any]) -> None:
    note(f"said {what} {fields}")


def main() -> None:
    for name, value in OPTIONS.items():
        if hasattr(tree, name):
            setattr(tree, name, float(value))
    supervise.FIRST_SECONDS = float(OPTIONS.get("FIRST_SECONDS", "0.5"))
    extra = {"tough": bare("tough", tough), "crash": bare("crash", crash)}
    children = [child("one", First), child("two", Second)]
    children += [extra[name] for name in OPTIONS.get("with", "").split(",") if name]
    specs = [ProcessSpec("one", (First, ProcessFace)), ProcessSpec("two", (Second, ProcessFace))]
    lock = os.open(STATE / "lock", os.O_WRONLY | os.O_CREAT)
    private = os.open(STATE / "private", os.O_WRONLY | os.O_CREAT)
    os.open(STATE / "stray", os.O_WRONLY | os.O_CREAT)
    rights = matrix(specs, schema.load())
    tree.run_tree(
        Plan(
            children=tuple(children),
            bus=NatsServer(STATE, rights),
            uid=os.getuid(),
            said=said,
            ready=partial(note, "ready"),
            watchdog=Dog(),
            watchdog_seconds=30.0,
            shared=frozenset({lock}),
            private=frozenset({private}),
        )
    )
    note("the end")


if __name__ == "__main__":
    main()
