"""Many OpenMetrics texts into one, each sample marked with its process. Pure.

OpenMetrics wants all samples of a family together, so families of the same name are joined.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?P<labels>(?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?(?P<rest> .*)')
_EOF = "# EOF"


def merge(texts: Mapping[str, str]) -> str:
    """One text of the texts by process."""
    families: dict[str, list[str]] = {}
    described: dict[str, list[str]] = {}
    for process, text in sorted(texts.items()):
        family = ""
        for line in text.split("\n"):
            if line == _EOF or not line:
                continue
            if line.startswith("#"):
                family = [*line.split(" ", 3), "", ""][2]
                notes = described.setdefault(family, [])
                if line not in notes:
                    notes.append(line)
                continue
            families.setdefault(family, []).append(_mark(line, process))
    lines: list[str] = []
    for family, notes in described.items():
        lines += notes + families.get(family, [])
    return "\n".join([*lines, _EOF, ""])


def _mark(sample: str, process: str) -> str:
    match = _SAMPLE.fullmatch(sample)
    if match is None:
        return sample
    labels = f'process="{process}"' + (f",{match['labels']}" if match["labels"] else "")
    return f"{match[1]}{{{labels}}}{match['rest']}"
