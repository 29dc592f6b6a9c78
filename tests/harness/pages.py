"""Reads the documents: pages, links, anchors, blocks, and the commands in shell examples.

Shell examples stand in blocks marked `console`, with commands behind `$ `, or in scripts marked `sh`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs" / "README.md"
PAGES = tuple(sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("targets/**/*.md")]))

FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"(?<!`)`(?P<code>[^`\n]+)`(?!`)")
CURL = frozenset({"curl", "bmc", "my"})  # and the aliases for it in examples
CURL_WITH_VALUE = frozenset(
    {"-H", "--header", "--cacert", "-X", "--request", "--json", "-d", "--data", "-o", "-w", "-m", "--max-time", "-u"}
    | {"-b", "-c", "--cert", "--key"}
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: Path
    info: str
    body: str


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def prose(page: Path) -> str:
    return FENCE.sub("", text(page))


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    for found in FENCE.finditer(text(page)):
        yield Block(page, found["info"].strip(), found["body"])


def codes(page: Path) -> list[str]:
    return [found["code"] for found in CODE.finditer(prose(page))]


def commands(page: Path) -> Iterator[str]:
    """The commands of all shell examples; each may have several lines."""
    for block in blocks(page):
        body = block.body.replace("\\\n", " ")
        if block.info == "console":
            yield from (line[2:] for line in body.splitlines() if line.startswith("$ "))
        elif block.info == "sh":
            yield from statements(body)


def statements(body: str) -> Iterator[str]:
    """The statements of a script; one goes on while a quote is open."""
    statement = ""
    for line in body.splitlines():
        statement += line + "\n"
        try:
            shlex.split(statement, comments=True)
        except ValueError:
            continue
        yield statement
        statement = ""
    assert not statement, f"a quote is not closed: {statement}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page as GitHub makes them of headings."""
    titles = re.findall(r"^#{1,6} +(.+?)\s*$", prose(page), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    return {re.sub(r"[^\w\- ]", "", title.replace("`", "").lower()).replace(" ", "-") for title in plain}


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Relative links: as written, the file, the anchor."""
    for found in LINK.finditer(CODE.sub("", prose(page))):
        target = found["target"]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        yield target, ((page.parent / path).resolve() if path else page), anchor


def substitutions(line: str) -> tuple[str, list[str]]:
    """A line of shell without its `$( )`, and what stands in them."""
    outer, inner, depth, begin = "", [], 0, 0
    for place, char in enumerate(line):
        if depth:
            depth += (char == "(") - (char == ")")
            if not depth:
                inner.append(line[begin:place])
        elif char == "(" and line[:place].endswith("$"):
            depth, begin = 1, place + 1
            outer = outer[:-1] + "SUBSTITUTED"
        else:
            outer += char
    return outer, inner


def simple_commands(line: str) -> Iterator[list[str]]:
    """The words of every command in a line of shell, also of those in `$( )`."""
    outer, inner = substitutions(line)
    for each in inner:
        yield from simple_commands(each)
    lexer = shlex.shlex(outer, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word and set(word) <= set("|&;"):
            yield words
            words = []
        else:
            words.append(word)
    yield words


@dataclass(slots=True)
class Curl:
    """One call of curl."""

    url: str = ""
    verb: str = ""
    body: str | None = None

    @classmethod
    def parse(cls, words: list[str]) -> Curl:
        call = cls()
        rest = iter(words[1:])
        for word in rest:
            value = next(rest) if word in CURL_WITH_VALUE else ""
            if word in {"-X", "--request"}:
                call.verb = value
            elif word in {"--json", "-d", "--data"}:
                call.body = value
            elif not word.startswith("-"):
                call.url = word
        call.verb = call.verb or ("GET" if call.body is None else "POST")
        return call


def curls(page: Path) -> Iterator[Curl]:
    for line in commands(page):
        for words in simple_commands(line):
            if words and words[0] in CURL:
                yield Curl.parse(words)
