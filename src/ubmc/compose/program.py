"""What is to be run: the board, the owner's wishes, the state directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ubmc.boards.load import Board
from ubmc.boards.owner import GuestPolicy, OwnerSpec
from ubmc.boards.spec import QemuSpec
from ubmc.kit.release import version
from ubmc.layout import Layout

__all__ = ["Program", "fitted", "machine_folder", "safety_folder", "version"]


@dataclass(frozen=True, slots=True)
class Program:
    """What is to be run, and for whom."""

    board: Board
    owner: OwnerSpec
    state: Path
    first_password: Callable[[], str | None]
    said: Callable[[str, Mapping[str, Any]], None]
    ready: Callable[[], None]
    private: frozenset[int] = frozenset()
    """Descriptors that only the managers may keep."""


def fitted(board: Board, owner: OwnerSpec) -> Board:
    """The board with what the owner's wishes add to it: the IPMI interface of its virtual machines."""
    if not owner.ipmi.listen or owner.ipmi.in_band is GuestPolicy.OFF:
        return board
    hosts = tuple(
        host.model_copy(update={"power": host.power.model_copy(update={"ipmi": True})})
        if isinstance(host.power, QemuSpec)
        else host
        for host in board.spec.hosts
    )
    return replace(board, spec=board.spec.model_copy(update={"hosts": hosts}))


def machine_folder(state: Path) -> Path:
    """Where simulated and virtual machines live."""
    return Layout(state).machine


def safety_folder(state: Path) -> Path:
    """Where the safety process keeps its few settings."""
    return Layout(state).safety
