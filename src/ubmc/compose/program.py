"""What is to be run: the board, the owner's wishes, the state directory."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ubmc.boards.load import Board
from ubmc.boards.owner import OwnerSpec
from ubmc.layout import Layout


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


def version() -> str:
    """The version of this program."""
    return importlib.metadata.version("ubmc")


def machine_folder(state: Path) -> Path:
    """Where simulated and virtual machines live."""
    return Layout(state).machine


def safety_folder(state: Path) -> Path:
    """Where the safety process keeps its few settings."""
    return Layout(state).safety
