"""Rules about assets: each is in something else, and what says that it is there shows states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ubmc.boards.check_cooling import check_presence
from ubmc.boards.check_sensors import measured
from ubmc.boards.rows import Data, tables, text, violation
from ubmc.kit.errors import Violation


def _check_presence(data: Data) -> Iterator[Violation]:
    known = measured(data)
    for index, asset in tables(data, "assets"):
        yield from check_presence(("assets", index), asset, known)


def _check_parents(data: Data) -> Iterator[Violation]:
    parents = {
        name: parent
        for _, asset in tables(data, "assets")
        if (name := text(asset, "name")) is not None and (parent := text(asset, "parent")) is not None
    }
    for index, asset in tables(data, "assets"):
        name = text(asset, "name")
        seen: list[str] = []
        outer = parents.get(name or "")
        while outer is not None and outer not in seen:
            seen.append(outer)
            outer = parents.get(outer)
        if name in seen:
            yield violation(
                ("assets", index, "parent"), "loop", f"{name} is in itself: {' in '.join([name or '', *seen])}"
            )


ASSET_RULES: Sequence[Callable[[Data], Iterator[Violation]]] = (_check_presence, _check_parents)
