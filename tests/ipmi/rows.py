"""Rows of the matrix: what a client is told to do, what it must say, and what must be true by another door then."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.harness.program import until
from tests.ipmi.board import Board

TRUTH_SECONDS = 15.0
Truth = Callable[[Board], object]
Wanted = str | Callable[[Board], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Row:
    """One command of a client."""

    command: str
    says: Wanted | Sequence[str] = ()
    """Regular expressions, all of which must be found in what it says; or what makes them of the truth."""
    truth: Truth | None = None
    """Looks at the other door until it gives something true."""
    before: Callable[[Board], object] | None = None
    fails: bool | None = False
    """It must end with another code than 0; None: the code tells nothing."""
    never: Sequence[str] = ()
    """What it must not say."""
    typed: str = ""
    patience: float = 0.0
    """So long it is told again until it says what it must: what it is about takes a moment."""
    login: dict[str, Any] = field(default_factory=dict)
    """Of another user, another level, another suite."""
    needs: str = ""
    """What the board must have for it; see `Board.lacks`."""

    def wanted(self, board: Board) -> Sequence[str]:
        """The expressions."""
        if callable(self.says):
            return self.says(board)
        return [self.says] if isinstance(self.says, str) else self.says


def check(board: Board, rows: Iterable[Row], **login: Any) -> None:
    """Run rows in their order, and fail with what was wrong with each that was not as it must be.

    Rows that need what the board lacks are left out; `qemu_rows` has others instead of them.
    """
    found = []
    for row in rows:
        if row.needs in board.lacks:
            continue
        fault = _fault(board, row, login)
        if fault:
            found.append(f"{row.command}\n    {fault}")
    assert not found, "\n".join(found)


def _fault(board: Board, row: Row, login: dict[str, Any]) -> str:
    if row.before is not None:
        row.before(board)
    deadline = time.monotonic() + row.patience
    while (fault := _said_fault(board, row, login)) and time.monotonic() < deadline:
        time.sleep(0.2)
    if not fault and row.truth is not None:
        truth = row.truth
        try:
            until(lambda: truth(board), TRUTH_SECONDS, "the other door says so too")
        except AssertionError as error:
            return f"is not true: {error}"
    return fault


def _said_fault(board: Board, row: Row, login: dict[str, Any]) -> str:
    said = board.say(row.command, row.typed, **(login | row.login))
    if row.fails is not None and (said.code != 0) != row.fails:
        return f"ended with {said.code}: {said.text[-600:]}"
    for expression in row.wanted(board):
        if not re.search(expression, said.text, re.MULTILINE):
            return f"does not say {expression!r}: {said.text[-1500:]}"
    for expression in row.never:
        if re.search(expression, said.text, re.MULTILINE):
            return f"says {expression!r}: {said.text[-1500:]}"
    return ""
