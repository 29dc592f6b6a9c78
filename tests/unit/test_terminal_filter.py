"""What a host may do to a terminal, and what not, however its bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.protocols.terminal_filter import _HARMLESS, _PART, LONGEST, TerminalFilter

HOSTILE = {
    "clipboard": b"\x1b]52;c;c3RvbGVu\x07",
    "clipboard, ended by ST": b"\x1b]52;c;c3RvbGVu\x1b\\",
    "title": b"\x1b]0;owned\x07",
    "report of the title": b"\x1b[21t",
    "link": b"\x1b]8;;https://evil.example\x1b\\",
    "question for the device": b"\x1b[c\x1b[>c\x1b[=c\x1b[5n\x1b[6n\x1bZ\x1b[>q\x1b[?1$p",
    "answerback": b"\x05",
    "device control string": b'\x1bP$q"p\x1b\\\x1bP+q544e\x1b\\',
    "private message, application command": b"\x1b^pm\x1b\\\x1b_app\x1b\\\x1bXsos\x1b\\",
    "mouse, paste, focus": b"\x1b[?1000h\x1b[?1006h\x1b[?2004h\x1b[?1004h",
    "one-byte controls": "\x9b21t\x9d0;x\x90q".encode(),
    "printing": b"\x1b[5i\x1b[?5i",
    "key reports": b"\x1b[>4;2m\x1b[?1049;1000h",
    "reset": b"\x1bc\x1b[!p",
}
HARMLESS = (
    b"\x1b[1;31mred\x1b[0m\r\n\x1b[2J\x1b[H\x1b[10;20Hx\x1b[K\x1b[?25l\x1b[?1049h\x1b[?7h\x1b7\x1b8\x1b(0\x1b(B\x1bM"
    b"\x1b[38;2;1;2;3mcolour\x1b[38:5:9m\ttab \x07\x08 \xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xa9\x1b[2;24r\x1b=\x1b>"
)
sizes = pytest.mark.parametrize("size", [1, 3, 1000])


def shown(data: bytes, size: int = 1 << 20) -> bytes:
    made = TerminalFilter()
    return b"".join(made.feed(data[at : at + size]) for at in range(0, len(data), size))


@sizes
@pytest.mark.parametrize("what", HOSTILE)
def test_nothing_reaches_out_of_the_screen(what: str, size: int) -> None:
    left = shown(b"before " + HOSTILE[what] + b" behind", size)
    assert b"\x1b" not in left
    assert not set(left.decode()) & {chr(code) for code in (*range(7), *range(0x80, 0xA0))}
    assert left.startswith(b"before ")
    assert left.endswith(b" behind")


@sizes
def test_what_draws_on_the_screen_passes(size: int) -> None:
    assert shown(HARMLESS, size) == HARMLESS


@sizes
@pytest.mark.parametrize(
    "cut_off", [b"\x1b]0;never ended\nnext line", b"\x1b]0;x\x1b[1mnext line", b"\x1bP\x18next line"]
)
def test_a_string_that_never_ends_hides_nothing_behind_it(cut_off: bytes, size: int) -> None:
    assert shown(cut_off, size).endswith(b"next line")


def test_a_sequence_without_an_end_does_not_fill_memory() -> None:
    made = TerminalFilter()
    for _ in range(100):
        assert made.feed(b"\x1b]52;" + b"A" * LONGEST) == b""
        assert len(made._rest) <= LONGEST
    assert made.feed(b"A\x07text") == b"text"


def test_what_is_no_utf_8_is_replaced() -> None:
    assert shown(b"a\xffb\x9bc", 1).decode() == "a\ufffdb\ufffdc"


@given(st.lists(st.sampled_from([*HOSTILE.values(), HARMLESS, b"\x1b", b"[", b"]", b"\n", b"x", b"\xc2"]), max_size=12))
def test_how_it_is_cut_changes_nothing_and_once_is_enough(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    once = shown(whole)
    assert shown(whole, 1) == once
    assert all(_HARMLESS.fullmatch(found[0]) for found in _PART.finditer(once.decode()))
