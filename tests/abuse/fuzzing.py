"""Seeded fuzzing in a plain loop: good inputs, mangled, into a parser that may only answer or refuse.

A failure names the input; the same seed brings it back.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

import pytest

from ubmc.kit.errors import Internal, UbmcError

INPUTS = 100_000
SOAK = 10
"""So many times as many in `make soak`."""
LONGEST_SECONDS = 0.5
"""CPU time of one input; all are below 64 KiB, so that more means that it grows faster than its input."""

TURNS = [
    pytest.param(1, id="quick"),
    pytest.param(SOAK, id="soak", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
]
TOKENS = (
    b"", b"\0", b"\xff", b"\xc3\x28", b"%", b"%2f", b"%00", b"%ff", b"..", b"/", b"//", b":", b"::", b";", b",", b"=",
    b"&", b"?", b"#", b"@", b"**", b'"', b"\\", b"'", b"{", b"}", b"[", b"]", b"[]", b"{}", b"null", b"true", b"-1",
    b"0", b"1e999", b"9" * 20, b"9" * 400, b"-9223372036854775809", b"0.1", b"NaN", b"\\ud800", b"\\u0000", b"\r\n",
    b"\n", b"\t", b" ", b"\xe2\x80\xae", b"x" * 300, b"[" * 300, b'{"a":' * 100, b"<script>", b"2024-13-01T00:00:00Z",
    b"9999999999s", b"\xf0\x9f\x92\xa9",
)  # fmt: skip


class Mangler:
    """Makes bad inputs of good ones.

    Args:
        seed: the same seed gives the same inputs.
        tokens: what is put in besides single bytes.
    """

    def __init__(self, seed: int, tokens: Sequence[bytes] = TOKENS) -> None:
        self.dice = random.Random(seed)
        self._tokens = tokens

    def mangle(self, good: bytes, other: bytes = b"") -> bytes:
        """Change `good` in one to four places; parts of `other` may come in."""
        dice, data = self.dice, good
        for _ in range(1 + int(dice.random() * 4)):
            at = int(dice.random() * (len(data) + 1))
            kind = int(dice.random() * 6)
            if kind == 0:
                data = data[:at] + self._tokens[int(dice.random() * len(self._tokens))] + data[at:]
            elif kind == 1:
                data = data[:at] + bytes((int(dice.random() * 256),)) + data[at + 1 :]
            elif kind == 2:
                data = data[:at] + data[at + 1 + int(dice.random() * 8) :]
            elif kind == 3:
                data = data[:at] + data[at - int(dice.random() * 40) :] if at else data
            elif kind == 4:
                begin = int(dice.random() * (len(other) + 1))
                data = data[:at] + other[begin : begin + 40] + data[at:]
            elif dice.random() < 0.1:
                data = data[:at]
        return data


def fuzz(feed: Callable[[bytes], object], good: Sequence[bytes], count: int, *, seed: int = 1) -> int:
    """Feed `count` mangled inputs; how many were refused.

    Only errors that tell the sender what is wrong may come out, and each must come soon.
    """
    mangler = Mangler(seed)
    dice = mangler.dice
    refused, slowest, worst = 0, 0.0, b""
    for turn in range(count):
        data = mangler.mangle(good[turn % len(good)], good[int(dice.random() * len(good))])
        began = time.thread_time()
        try:
            feed(data)
        except UbmcError as error:
            if isinstance(error, Internal) or not error.message:
                pytest.fail(f"{error!r} for {data!r}")
            refused += 1
        except Exception as error:
            error.add_note(f"the input was {data!r}")
            raise
        took = time.thread_time() - began
        if took > slowest:
            slowest, worst = took, data
    assert slowest < LONGEST_SECONDS, f"{slowest:.2f} s for {worst!r}"
    return refused
