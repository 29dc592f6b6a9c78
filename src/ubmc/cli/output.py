"""Where results go: JSON of the schema for programs, aligned text for people, chosen once by `--json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from protobuf import Message

from ubmc.cli.terminal import emit, paint, wants_colour
from ubmc.cli.text import Column, sheet, table


@dataclass(frozen=True, slots=True)
class Output:
    """Prints results, flushed at once so that a pipe sees them."""

    as_json: bool

    def show(self, message: Message[Any], shown: Sequence[Column], part: object) -> None:
        """One thing: the whole answer as JSON, or `part` of it as lines of title and value."""
        if self.as_json:
            self.document(message)
        else:
            self._rows(sheet(shown, part))

    def list(self, message: Message[Any], shown: Sequence[Column], parts: Iterable[Any]) -> None:
        """Many things: the whole answer as JSON, or a table."""
        if self.as_json:
            self.document(message)
        else:
            self._rows(table(shown, parts))

    def say(self, message: Message[Any], text: str) -> None:
        """What was done: the whole answer as JSON, or a sentence, printable already."""
        if self.as_json:
            self.document(message)
        else:
            emit(text)

    def document(self, message: Message[Any] | dict[str, Any]) -> None:
        """One JSON document, indented, in ASCII: what a terminal would obey is escaped."""
        content = message if isinstance(message, dict) else _content(message)
        emit(json.dumps(content, indent=2))

    def line(self, message: Message[Any], words: Sequence[str]) -> None:
        """One message of a stream: a line of JSON, or of words."""
        if self.as_json:
            emit(json.dumps(_content(message), separators=(",", ":")))
        else:
            self._rows([words])

    def text(self, text: str) -> None:
        """Text for people, printable already."""
        emit(text)

    def _rows(self, rows: Iterable[Sequence[str]]) -> None:
        colour = wants_colour()
        for row in rows:
            emit("  ".join(map(paint, row) if colour else row).rstrip(), colour=colour)


def _content(message: Message[Any]) -> Any:
    """As REST writes it, with what is empty or zero too: a program finds `sensors` also where there are none."""
    return json.loads(message.to_json(always_emit_implicit=True))
