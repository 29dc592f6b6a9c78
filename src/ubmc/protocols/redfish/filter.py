"""The `$filter` of DSP0266: comparisons of properties, with `and`, `or`, `not` and parentheses.

    Filter = Status/Health eq 'OK' and (Reading gt 50 or not ReadingType eq 'Temperature')

It is read by recursive descent into a function of a body. Depth and length are bounded.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ubmc.protocols.redfish.messages import Message, RedfishError

Test = Callable[[Mapping[str, Any]], bool]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'(?:[^']|'')*')
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?)(?![A-Za-z0-9_])
      | (?P<word>[@A-Za-z_][A-Za-z0-9_@./]*)
      | (?P<paren>[()])
    )""",
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_DEEPEST = 16
_LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Filter:
    """What a filter stands for: a test of a body."""

    test: Test
    names: frozenset[str]
    """The properties that it looks at: `Status/Health`."""

    def __call__(self, body: Mapping[str, Any]) -> bool:
        """Whether a body passes."""
        return self.test(body)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


class _Reader:
    """One text, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._at = 0
        self.names: set[str] = set()

    def _split(self, text: str) -> list[_Token]:
        tokens, position = [], 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = _TOKEN.match(stripped, position)
            if match is None or match.lastgroup is None:
                raise self.wrong()
            tokens.append(_Token(match.lastgroup, match[match.lastgroup]))
            position = match.end()
        return tokens

    def wrong(self) -> RedfishError:
        return RedfishError(400, Message("QueryParameterValueFormatError", (self._text[:100], "$filter")))

    def take(self) -> _Token:
        if self._at >= len(self._tokens):
            raise self.wrong()
        self._at += 1
        return self._tokens[self._at - 1]

    def next_is(self, kind: str, text: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == _Token(kind, text):
            self._at += 1
            return True
        return False

    @property
    def done(self) -> bool:
        return self._at >= len(self._tokens)


def parse_filter(text: str) -> Filter:
    """The test that a filter stands for. Raises `RedfishError` (400) when it cannot be read."""
    if len(text) > _LONGEST:
        raise RedfishError(400, Message("QueryParameterValueError", ("$filter",)))
    reader = _Reader(text)
    found = _either(reader, 0)
    if not reader.done:
        raise reader.wrong()
    return Filter(found, frozenset(reader.names))


def _either(reader: _Reader, depth: int) -> Test:
    parts = [_both(reader, depth)]
    while reader.next_is("word", "or"):
        parts.append(_both(reader, depth))
    return parts[0] if len(parts) == 1 else lambda body: any(part(body) for part in parts)


def _both(reader: _Reader, depth: int) -> Test:
    parts = [_one(reader, depth)]
    while reader.next_is("word", "and"):
        parts.append(_one(reader, depth))
    return parts[0] if len(parts) == 1 else lambda body: all(part(body) for part in parts)


def _one(reader: _Reader, depth: int) -> Test:
    if depth > _DEEPEST:
        raise reader.wrong()
    if reader.next_is("word", "not"):
        inner = _one(reader, depth + 1)
        return lambda body: not inner(body)
    if reader.next_is("paren", "("):
        inner = _either(reader, depth + 1)
        if not reader.next_is("paren", ")"):
            raise reader.wrong()
        return inner
    return _comparison(reader)


def _comparison(reader: _Reader) -> Test:
    left, verb, right = _operand(reader), reader.take(), _operand(reader)
    compare = _COMPARE.get(verb.text) if verb.kind == "word" else None
    if compare is None:
        raise reader.wrong()

    def test(body: Mapping[str, Any]) -> bool:
        one, other = left(body), right(body)
        try:
            return bool(compare(one, other))
        except TypeError:  # texts and numbers have no order, and null has none with anything
            return False

    return test


def _operand(reader: _Reader) -> Callable[[Mapping[str, Any]], Any]:
    token = reader.take()
    match token.kind:
        case "string":
            text = token.text[1:-1].replace("''", "'")
            return lambda _body: text
        case "number":
            number = float(token.text) if "." in token.text else int(token.text)
            return lambda _body: number
        case "word" if token.text in _WORDS:
            word = _WORDS[token.text]
            return lambda _body: word
        case "word":
            reader.names.add(token.text)
            path = token.text.split("/")
            return lambda body: _value(body, path)
        case _:
            raise reader.wrong()


def _value(body: Any, path: list[str]) -> Any:
    """The property at a path; null where it is not."""
    for name in path:
        if not isinstance(body, dict) or name not in body:
            return None
        body = body[name]
    return body
