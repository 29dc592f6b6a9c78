"""Finds what no other tool does: work left for later, paths of one machine, addresses in lock files, long files."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# A file of more lines asks to be split long before; here it must be. Generated files have no limit.
MOST_LINES = 600
VENDORED = ("schema/google/", "schema/buf/")
GENERATED = ("src/ubmc/v1alpha1/",)
# Marks as they are written: behind the sign of a comment, or before a colon or a name in parentheses.
MARKS = "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX"))


@dataclass(frozen=True)
class Rule:
    """What no line of the files may say."""

    told: str
    pattern: re.Pattern[str]
    only: str = ""
    without: tuple[str, ...] = ()


RULES = (
    Rule(
        "work left for later belongs into docs/roadmap.md",
        re.compile(rf"(#|//|-|\*)\s*({MARKS})\b|\b({MARKS})(:|\()"),
        without=("docs/roadmap.md",),
    ),
    Rule(
        "a path of one machine",
        re.compile(r"(?<![\w.}])/(root|work|opt/pypi|home/\w+)/\w|/tmp/br[i]ef"),
    ),
    Rule(
        "the address of a package registry", re.compile(r"\b(py" + r"pi\.org|pythonhosted\.org|registry\.npm" + r"js)")
    ),
    Rule(
        "a lock file holds no address", re.compile(r"://|^\s*--?(i|index|extra-index|find|trusted)\b"), "requirements/"
    ),
)


def tracked() -> list[str]:
    """The files of the project that are ours: those that git has or would take, but those of others."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    return sorted(name for name in listed.split("\0") if name and not name.startswith(VENDORED))


def faults(name: str, text: str) -> Iterator[str]:
    """What is wrong with one file: a line for each, as `file:line: what`."""
    lines = text.splitlines()
    rules = [rule for rule in RULES if name.startswith(rule.only) and name not in rule.without]
    for number, line in enumerate(lines, start=1):
        yield from (f"{name}:{number}: {rule.told}" for rule in rules if rule.pattern.search(line))
    if name.endswith(".py") and not name.startswith(GENERATED) and len(lines) > MOST_LINES:
        yield f"{name}: {len(lines)} lines; a file has at most {MOST_LINES}, better 400"


def main() -> None:
    """Prints the faults and exits 1 if there is one."""
    found: list[str] = []
    names = [name for name in tracked() if (ROOT / name).is_file()]
    for name in names:
        try:
            found += faults(name, (ROOT / name).read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue  # a picture has no lines
    if found:
        sys.exit("\n".join(found))
    print(f"{len(names)} files are fine")


if __name__ == "__main__":
    main()
