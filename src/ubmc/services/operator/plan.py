"""What the operator runs, as data: the processes, the bus, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ubmc.hw.fans.port import Recipe
from ubmc.hw.watchdog.port import Watchdog
from ubmc.kit.channel import Channel


class BusServer(Protocol):
    """The bus, as far as the operator is concerned."""

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""

    def start(self) -> int:
        """Start it; its process id."""

    def reap(self) -> int:
        """The exit code, when it has ended."""

    def admit(self, process: str, key: str) -> None:
        """Let this key speak for the process, once `settle` says True."""

    def settle(self) -> bool:
        """Whether the server knows all keys."""

    def stop(self, seconds: float) -> None:
        """End it."""

    def close(self) -> None:
        """Give everything back."""


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """One process of the tree, in the order in which they are started."""

    name: str
    services: tuple[str, ...]
    body: Callable[[Channel], None]
    guarded: bool = False  # has lines that the guardian keeps
    cools: bool = False  # drives fans that the guardian takes over
    signs: bool = False  # its key signs principals
    commands: bool = False  # speaks for the operator on the bus: may ask for a restart, tells what happened to services
    keeps_private: bool = False  # gets the private descriptors of the plan


Apply = Callable[[Recipe, float], None]
"""Sets the duty of a fan in percent and reads it back; blocks, raises `Unavailable` or `OSError`."""


@dataclass(frozen=True, slots=True)
class SafeFans:
    """How the guardian makes fans safe."""

    apply: Apply
    recipes: tuple[Recipe, ...] = ()
    """Known before anybody drives them: they go to fail-safe if nobody ever does."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the operator runs."""

    children: tuple[ChildPlan, ...]
    bus: BusServer
    uid: int  # whose process the bus is
    said: Callable[[str, Mapping[str, Any]], None]  # what children say that is meant for people
    ready: Callable[[], None]  # called once, when every service is ready
    watchdog: Watchdog | None = None
    watchdog_seconds: float = 30.0
    shared: frozenset[int] = frozenset()  # descriptors that every child keeps; of all others it gets none
    private: frozenset[int] = frozenset()  # descriptors that a child keeps if its plan says so
    fans: SafeFans | None = None  # None: nothing is cooled
