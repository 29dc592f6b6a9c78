"""The channel between operator and child."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ubmc.kit.channel import MAX_MESSAGE, Channel


@pytest.fixture
def ends() -> list[Channel]:
    return list(Channel.pair())


def close(*ends: Channel) -> None:
    for end in ends:
        end.close()


def test_messages_keep_their_borders(ends: list[Channel]) -> None:
    one, other = ends
    assert one.send("first", number=1, text="é\n")
    assert one.send("second")
    first, second = other.receive(), other.receive()
    assert first is not None
    assert second is not None
    assert (first.kind, first.fields, first.descriptors) == ("first", {"number": 1, "text": "é\n"}, ())
    assert second.kind == "second"
    with pytest.raises(BlockingIOError):
        other.receive()
    close(one, other)


def test_descriptors_travel_and_are_not_inherited(ends: list[Channel]) -> None:
    one, other = ends
    reader, writer = os.pipe()
    one.send("line", writer, name="x")
    os.close(writer)
    message = other.receive()
    assert message is not None
    (descriptor,) = message.descriptors
    assert not os.get_inheritable(descriptor)
    os.write(descriptor, b"hello")
    assert os.read(reader, 10) == b"hello"
    os.close(descriptor)
    os.close(reader)
    close(one, other)


def test_the_end_of_one_side_is_seen_by_the_other(ends: list[Channel]) -> None:
    one, other = ends
    one.send("last")
    one.close()
    message = other.receive()
    assert message is not None
    assert message.kind == "last"
    with pytest.raises(EOFError):
        other.receive()
    assert not other.send("anybody?")
    other.close()


def test_whoever_does_not_read_blocks_nobody(ends: list[Channel]) -> None:
    one, other = ends
    sent = 0
    while one.send("much", data="x" * 1000):
        sent += 1
        assert sent < 10_000
    for _ in range(sent):
        assert other.receive() is not None
    assert one.send("again")
    close(one, other)


@pytest.mark.parametrize("data", [b"x", b"[]", b"1", b'{"a": 1}', b'{"kind": ', b"\xff"])
def test_nonsense_is_nothing_and_its_descriptors_are_closed(data: bytes, ends: list[Channel]) -> None:
    one, other = ends
    before = len(list(Path("/proc/self/fd").iterdir()))
    socket.send_fds(one._socket, [data], [0, 1])
    assert other.receive() is None
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    close(one, other)


def test_the_largest_message(ends: list[Channel]) -> None:
    one, other = ends
    overhead = len(b'{"kind":"big","data":""}')
    assert one.send("big", data="x" * (MAX_MESSAGE - overhead))
    message = other.receive()
    assert message is not None
    assert len(message.fields["data"]) == MAX_MESSAGE - overhead
    one.send("big", data="x" * MAX_MESSAGE)
    assert other.receive() is None
    close(one, other)
