"""The guardian as a process of its own: whatever happens to an owner, its lines are inactive within a second.

The line is one end of a socket pair, on which the bytes `1` and `0` are levels, as the simulated machine has them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from ubmc.hw.gpio.port import How
from ubmc.kit.channel import Channel, Message
from ubmc.kit.errors import Unavailable
from ubmc.kit.guard import Guard
from ubmc.services.operator.fork import fork_child
from ubmc.services.operator.guardian import run_guardian
from ubmc.services.operator.guardian_link import GuardianLink
from ubmc.services.operator.loop import Loop

LIMIT_SECONDS = 1.0  # the safety promise


class Line:
    """One output line, from the side of the hardware."""

    def __init__(self) -> None:
        self.hardware, self.driver = socket.socketpair()
        self.hardware.setblocking(False)
        self.driver.setblocking(False)
        self.levels = ""
        self.closed = False

    def look(self) -> str:
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self.hardware.recv(65536)
                if not data:
                    self.closed = True
                    break
                self.levels += data.decode()
        return self.levels

    def until(self, end: str, seconds: float = LIMIT_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not self.look().endswith(end):
            assert time.monotonic() < deadline, f"not {end} within {seconds} s, but {self.levels!r}"
            time.sleep(0.005)

    def until_closed(self) -> None:
        """Nobody holds it any more."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not self.closed:
            assert time.monotonic() < deadline, "a descriptor leaked"
            time.sleep(0.005)
            self.look()

    def close(self) -> None:
        self.hardware.close()
        self.driver.close()


def owner_body(line: int, name: str, mode: str) -> object:
    """What an owner does: hand over, keep the line, press, and beat."""

    async def work(control: Channel) -> None:
        guard, asked = Guard(), asyncio.Event()

        def hear() -> None:
            with contextlib.suppress(BlockingIOError, EOFError):
                message = control.receive()
                if message is not None and message.kind == "guardian":
                    guard.connect(Channel.adopt(message.descriptors[0]))
                elif message is not None:
                    asked.set()

        asyncio.get_running_loop().add_reader(control.fileno(), hear)
        await guard.hand_over()
        guard.keep(name, "write", os.dup(line))
        beating = asyncio.create_task(guard.beat_forever())
        os.write(line, b"1")
        control.send("pressed")
        await asked.wait()
        if mode == "leave":
            guard.leave()
            control.send("left")
        beating.cancel()
        await asyncio.Event().wait()

    def body(control: Channel) -> None:
        asyncio.run(work(control))

    return body


@dataclass
class Nest:
    """A guardian, its owners and lines."""

    loop: Loop = field(default_factory=Loop)
    owners: dict[str, tuple[int, Channel]] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.link = GuardianLink(self.loop, (), self.introduce)

    def introduce(self) -> None:
        for name, (_pid, channel) in self.owners.items():
            self.link.introduce(name.partition("#")[0], channel)

    @property
    def guardian(self) -> int:
        assert self.link._process is not None
        return self.link._process.pid

    def line(self) -> Line:
        self.lines.append(Line())
        return self.lines[-1]

    def owner(self, line: Line, name: str = "safety", mode: str = "") -> int:
        """Start an owner; returns when it presses."""
        body = owner_body(line.driver.fileno(), f"line of {name}", mode)
        pid, channel = fork_child("owner", body, {line.driver.fileno()})  # type: ignore[arg-type]
        self.owners[name] = (pid, channel)
        self.link.introduce(name.partition("#")[0], channel)
        self.heard(name, "pressed")
        line.until("1", 5)
        return pid

    def heard(self, name: str, kind: str) -> Message:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                message = self.owners[name][1].receive()
                assert message is not None
                assert message.kind == kind
                return message
            time.sleep(0.005)
        raise AssertionError(kind)

    def turn(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.loop.later(0.02, lambda: None)
            self.loop.turn()


@pytest.fixture
def nest() -> Iterator[Nest]:
    made = Nest()
    made.link.start()
    yield made
    for pid, channel in made.owners.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        channel.close()
    made.link.end(5)
    made.loop.close()
    for line in made.lines:
        line.close()


def test_a_killed_owner(nest: Nest) -> None:
    line = nest.line()
    os.kill(nest.owner(line), signal.SIGKILL)
    line.until("10")


def test_a_stopped_owner(nest: Nest) -> None:
    line = nest.line()
    os.kill(nest.owner(line), signal.SIGSTOP)
    line.until("10")


def test_an_owner_whose_loop_hangs(nest: Nest) -> None:
    line = nest.line()
    nest.owner(line, mode="hang")
    nest.owners["safety"][1].send("hang")
    line.until("10")


def test_a_live_owner_is_left_alone(nest: Nest) -> None:
    line = nest.line()
    nest.owner(line)
    time.sleep(1.5)
    assert line.look() == "1"


def test_the_death_of_the_operator_ends_all(nest: Nest) -> None:
    line = nest.line()
    nest.owner(line)
    process = nest.link._process
    assert process is not None
    nest.loop.forget(process.channel)
    process.channel.close()
    line.until("10")
    pid, status = 0, 0
    deadline = time.monotonic() + 3
    while not pid and time.monotonic() < deadline:
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    assert (pid, status) == (process.pid, 0)
    nest.loop.drop(process.pidfd)
    nest.link._process = None


def test_signals_of_a_terminal_do_not_end_it(nest: Nest) -> None:
    line = nest.line()
    pid = nest.owner(line)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(nest.guardian, number)
    time.sleep(0.3)
    os.kill(pid, signal.SIGKILL)
    line.until("10")
    assert os.getsid(nest.guardian) == nest.guardian != os.getsid(0)


def test_to_leave_is_to_be_inactive_and_forgotten(nest: Nest) -> None:
    line = nest.line()
    pid = nest.owner(line, mode="leave")
    nest.owners["safety"][1].send("leave")
    nest.heard("safety", "left")
    line.until("10")
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)
    assert line.look() == "10"
    line.driver.close()
    line.until_closed()  # the line could be requested anew


def test_a_new_owner_takes_over_and_old_duplicates_are_closed(nest: Nest) -> None:
    old, new, other = nest.line(), nest.line(), nest.line()
    nest.owner(other, "cooling")
    first = nest.owner(old)
    nest.owner(new, "safety#2")  # the same name for the guardian, while the first hangs somewhere
    old.until("10")
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    old.driver.close()
    old.look()
    assert old.closed
    assert new.look() == "1"
    assert other.look() == "1", "the lines of others are not touched"
    os.kill(nest.owners["safety#2"][0], signal.SIGKILL)
    new.until("10")


def test_a_guardian_that_died_gets_all_lines_again(nest: Nest) -> None:
    line = nest.line()
    pid = nest.owner(line)
    before = nest.guardian
    os.kill(before, signal.SIGKILL)
    nest.turn(1.0)
    assert nest.guardian != before
    assert line.look() == "1"
    os.kill(pid, signal.SIGKILL)
    line.until("10")


def test_a_guardian_that_dies_again_and_again_is_not_started_in_a_busy_loop(nest: Nest) -> None:
    seen = {nest.guardian}
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        if nest.link._process is not None:
            with contextlib.suppress(ProcessLookupError):
                seen.add(nest.guardian)
                os.kill(nest.guardian, signal.SIGKILL)
        nest.turn(0.02)
    nest.turn(4.0)
    assert 2 <= len(seen) <= 5
    assert nest.link._process is not None


def direct(line: int, *, how: str = "write") -> tuple[int, Channel, Channel]:
    """A guardian with one owner, played by the test itself."""
    pid, control = fork_child("guardian", run_guardian, outlives=True)
    ours, theirs = Channel.pair()
    control.send("owner", theirs.fileno(), name="safety")
    theirs.close()
    ours.send("keep", line, name="button", how=how)
    return pid, control, ours


def said(control: Channel, seconds: float) -> list[Message]:
    """What the guardian says within this time, beats left out."""
    found: list[Message] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            message = control.receive()
            assert message is not None
            if message.kind != "beat":
                found.append(message)
            continue
        time.sleep(0.005)
    return found


@pytest.mark.parametrize("death", ["silent", "gone"])
def test_a_line_that_fails_is_tried_again_and_reported_once(death: str) -> None:
    line = Line()
    with contextlib.suppress(BlockingIOError):
        while True:
            line.driver.send(b"1" * 65536)  # the hardware does not take anything
    pid, control, owner = direct(line.driver.fileno())
    if death == "gone":
        owner.close()
    line.driver.close()
    reports = said(control, 1.6)
    assert [report.fields["what"] for report in reports] == [f"is {death}"]
    assert reports[0].fields["lines"] == ["button"]
    line.until("0", 1.0)  # now that the bytes are taken
    control.send("quit")
    assert os.waitpid(pid, 0)[1] == 0
    owner.close()
    control.close()
    line.close()


def test_nonsense_of_an_owner_does_not_end_it() -> None:
    line = Line()
    pid, control, owner = direct(line.driver.fileno(), how="magic")
    owner.send("keep", line.driver.fileno(), how="write")
    owner.send("nonsense", line.driver.fileno())
    owner._socket.send(b"{")
    owner.send("keep", line.driver.fileno(), name="button", how=How.WRITE.value)
    owner.close()
    line.until("0")
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    line.driver.close()
    line.until_closed()
    control.send("quit")
    assert os.waitpid(pid, 0)[1] == 0
    control.close()
    line.close()


def test_at_the_end_a_failing_line_gets_a_second_and_no_more() -> None:
    line = Line()
    with contextlib.suppress(BlockingIOError):
        while True:
            line.driver.send(b"1" * 65536)
    pid, control, owner = direct(line.driver.fileno())
    time.sleep(0.2)
    began = time.monotonic()
    control.send("quit")
    assert os.waitpid(pid, 0)[1] == 0
    assert 0.8 < time.monotonic() - began < 4.0
    owner.close()
    control.close()
    line.close()


async def test_without_a_guardian_nothing_is_driven() -> None:
    guard = Guard()
    with pytest.raises(Unavailable, match="does not answer"):
        await guard.hand_over()
    guard.close()


async def test_a_hand_over_survives_the_death_of_the_guardian() -> None:
    guard = Guard()
    ours, theirs = Channel.pair()
    guard.connect(ours)
    asking = asyncio.create_task(guard.hand_over())
    await asyncio.sleep(0.1)
    theirs.close()
    with pytest.raises(Unavailable):
        await asking
    ours, theirs = Channel.pair()
    guard.connect(ours)
    asking = asyncio.create_task(guard.hand_over())
    await asyncio.sleep(0.1)
    newer, theirs_newer = Channel.pair()
    guard.connect(newer)
    with pytest.raises(Unavailable):
        await asking
    guard.close()
    theirs.close()
    theirs_newer.close()
