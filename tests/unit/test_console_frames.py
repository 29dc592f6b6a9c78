"""The frames of consoles, commands typed at a terminal, and what SSH is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.kit.errors import Invalid, NotFound
from ubmc.protocols import console
from ubmc.protocols.console import Break, Decoder, End, Frame, Hello, Input, Missed, Output, Release, State, SysRq, Take
from ubmc.protocols.escape import Command, Escape
from ubmc.services.sshsrv.asking import Asked, asked
from ubmc.v1alpha1.console_pb import ConsoleWriting

U64 = st.integers(min_value=0, max_value=(1 << 64) - 1)
TEXT = st.text(max_size=20)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Output, U64, st.binary(max_size=200)),
    st.builds(Missed, U64, U64),
    st.builds(console.Written, U64, U64),
    st.builds(State, st.booleans(), TEXT, st.booleans(), TEXT),
    st.builds(End, TEXT, TEXT),
    st.builds(Input, st.binary(max_size=200)),
    st.builds(Break, st.integers(min_value=0, max_value=2000)),
    st.builds(SysRq, st.sampled_from("abz059")),
    st.builds(Take, st.booleans()),
    st.just(Release()),
    st.just(Hello("host.0", "e", 1, 0, 9, "gap", may_write=True, writing=False, writer="ann", connected=True)),
)


def test_the_bytes_of_frames() -> None:
    assert console.encode(Output(0x0102, b"hi")).hex() == "0000000b" + "02" + "0000000000000102" + "6869"
    assert console.message(Input(b"hi")).hex() == "816869"
    assert console.message(Break(250)).hex() == "8200fa"
    assert console.message(SysRq("b")).hex() == "8362"
    assert console.message(Take(over=True)).hex() == "8401"
    assert console.message(Release()).hex() == "85"
    assert console.message(Missed(1, 2)).hex() == "03" + "0000000000000001" + "0000000000000002"
    assert console.message(End("session", "x")) == b'\x06{"reason":"session","message":"x"}'


@given(st.lists(FRAMES, max_size=10), st.integers(min_value=1, max_value=50))
def test_frames_come_out_of_a_stream_as_they_went_in(frames: list[Frame], size: int) -> None:
    data = b"".join(map(console.encode, frames))
    decoder = Decoder()
    found = [frame for at in range(0, len(data), size) for frame in decoder.feed(data[at : at + size])]
    assert found == frames


@given(st.binary(max_size=300))
def test_anything_else_is_refused(data: bytes) -> None:
    try:
        for frame in Decoder().feed(data):
            assert console.parse(console.message(frame)) == frame
    except Invalid:
        return


@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"\x77abc", b"\x02short", b"\x01{}", b"\x01[]", b"\x82\xff\xff", b"\x83B", b"\x83", b"\x85x"]
)
def test_what_is_no_frame(body: bytes) -> None:
    with pytest.raises(Invalid):
        console.parse(body)


def test_a_frame_that_is_too_long_or_of_a_newer_release() -> None:
    with pytest.raises(Invalid, match="1 to 65536"):
        list(Decoder().feed(b"\x00\x01\x00\x01"))
    assert console.parse(b'\x06{"reason":"stopping","message":"m","later":1}') == End("stopping", "m")
    assert [len(each.data) for each in console.inputs(b"x" * 40_000)] == [16384, 16384, 7232]


def typed(escape: Escape, *parts: bytes) -> list[bytes | Command | str]:
    found: list[bytes | Command | str] = []
    for part in parts:
        for each in escape.feed(part):
            if isinstance(each, bytes) and found and isinstance(last := found[-1], bytes):
                found[-1] = last + each
            else:
                found.append(each)
    return [each for each in found if each != b""]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_commands_are_taken_only_at_the_beginning_of_a_line(size: int) -> None:
    text = b"~?a~.b\r~Bx~\r~~y\r~Shz\n~q~t\r~."
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    assert typed(Escape("~"), *parts) == [
        Command.HELP, b"a~.b\r", Command.BREAK, b"x~\r~y\r", "h", b"z\n~q~t\r", Command.LEAVE,
    ]  # fmt: skip
    assert typed(Escape(""), *parts) == [text]


def test_what_a_person_is_told_of_a_change() -> None:
    idle = State(writing=False, writer="", connected=True)
    mine = State(writing=True, writer="ann", connected=True)
    taken = State(writing=False, writer="bob", connected=True, reason="bob has taken over")
    dead = State(writing=True, writer="ann", connected=False, reason="unplugged")
    told = [(idle, mine), (mine, taken), (mine, idle), (mine, dead), (dead, mine), (taken, idle), (idle, taken)]
    assert [console.changes(*each) for each in told] == [
        "you write", "you read: bob has taken over", "you read: released", "the line is lost: unplugged",
        "the line works again", "", "bob has taken over",
    ]  # fmt: skip


def test_what_an_ssh_session_asks_for() -> None:
    consoles = ("host.0", "host.1")
    assert asked("", consoles, 10) == Asked("host.0", ConsoleWriting.IF_FREE, 10)
    assert asked("host.1 --read-only", consoles, 0) == Asked("host.1", ConsoleWriting.UNSPECIFIED, 0)
    assert asked("--take-over --replay 99", consoles, 0) == Asked("host.0", ConsoleWriting.TAKE_OVER, 99)
    for command, wrong in (
        ("host.0 host.1", "'host.0' and 'host.1'"),
        ("nonsense --foo", "no option '--foo'"),
        ("--replay x", "--replay needs a number"),
        ("--replay", "--replay needs a number"),
        ('"', "cannot be read"),
    ):
        with pytest.raises(Invalid, match=f"(?s){wrong}.*usage"):
            asked(command, consoles, 0)
    for none in ("host.7", "sh -c id"):
        with pytest.raises((NotFound, Invalid)):
            asked(none, consoles, 0)
    with pytest.raises(NotFound, match="none"):
        asked("", (), 0)
