"""The guardian's fan half, as a process of its own, against a fake sysfs tree and against the twin in its process.

Whatever happens to who drives the fans, every fan that can be written has its safe duty within three seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ubmc.hw.fans import recipes
from ubmc.hw.fans.port import Recipe
from ubmc.hw.sim import process as machines
from ubmc.hw.sim.protocol import socket_path
from ubmc.kit.channel import Channel
from ubmc.kit.errors import Unavailable
from ubmc.kit.guard import CoolingGuard
from ubmc.services.operator import guardian_fans
from ubmc.services.operator.fork import fork_child
from ubmc.services.operator.guardian import EXIT_UNSAFE, run_guardian
from ubmc.services.operator.guardian_link import GuardianLink
from ubmc.services.operator.loop import Loop
from ubmc.services.operator.plan import SafeFans

LIMIT_SECONDS = 3.0  # the safety promise
LOW, SAFE = 30.0, 80.0


class Tree:
    """A directory that stands for sysfs: a file for each fan, with its duty; some can be broken."""

    def __init__(self, path: Path, fans: int = 3) -> None:
        self.path = path
        self.fans = [f"fan.{number}" for number in range(fans)]
        for fan in self.fans:
            (path / fan).write_text(str(LOW))

    def recipe(self, fan: str) -> Recipe:
        return Recipe(fan, "file", {"path": str(self.path / fan)}, SAFE)

    def duties(self) -> dict[str, float]:
        return {fan: self.duty(fan) for fan in self.fans}

    def duty(self, fan: str) -> float:
        text = (self.path / fan).read_text()
        return float(text) if text else -1.0

    def set(self, fan: str, percent: float) -> None:
        draft = self.path / f"{fan}.draft-{os.getpid()}"
        draft.write_text(str(percent))
        draft.replace(self.path / fan)


def apply(recipe: Recipe, percent: float) -> None:
    """Write the file of a fan; `<fan>.hangs` beside it makes the write hang, `<fan>.fails` makes it fail."""
    path = Path(recipe.place["path"])
    while path.with_name(f"{recipe.name}.hangs").exists():
        time.sleep(0.01)
    if path.with_name(f"{recipe.name}.fails").exists():
        raise Unavailable("the hardware does not obey")
    draft = path.with_name(f"{recipe.name}.draft-{os.getpid()}")
    draft.write_text(str(percent))
    draft.replace(path)


def driver_body(tree: Tree, names: list[Recipe], mode: str) -> Callable[[Channel], None]:
    """What drives fans: hand over, write, beat; `stuck` goes on living and beats no more."""

    async def work(control: Channel) -> None:
        guard, asked = CoolingGuard(), asyncio.Event()

        def hear() -> None:
            with contextlib.suppress(BlockingIOError, EOFError):
                message = control.receive()
                if message is not None and message.kind == "cooling":
                    guard.connect(Channel.adopt(message.descriptors[0]))
                elif message is not None:
                    asked.set()

        asyncio.get_running_loop().add_reader(control.fileno(), hear)
        for recipe in names:
            guard.keep(recipe.name, {"kind": recipe.kind, "place": recipe.place, "failsafe_percent": SAFE})
        control.send("freed" if await guard.hand_over() else "alone")
        while True:
            if guard.taken():
                control.send("taken")
                await guard.hand_over()
            if mode == "leave" and asked.is_set():
                guard.leave()
                control.send("left")
                mode_over = asyncio.Event()
                await mode_over.wait()
            if mode != "stuck" or not asked.is_set():
                for fan in tree.fans:
                    tree.set(fan, LOW)
                guard.beat()
            await asyncio.sleep(0.1)

    def body(control: Channel) -> None:
        asyncio.run(work(control))

    return body


@dataclass
class Nest:
    """A guardian and who drives fans."""

    tree: Tree
    statically: bool = False
    loop: Loop = field(default_factory=Loop)
    drivers: list[tuple[int, Channel]] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = tuple(self.tree.recipe(fan) for fan in self.tree.fans) if self.statically else ()
        self.link = GuardianLink(self.loop, (), self.introduce, SafeFans(apply, known))

    def introduce(self) -> None:
        for _pid, channel in self.drivers:
            self.link.introduce_cooling(channel)

    @property
    def guardian(self) -> int:
        assert self.link._process is not None
        return self.link._process.pid

    def driver(self, mode: str = "") -> tuple[int, Channel]:
        body = driver_body(self.tree, [self.tree.recipe(fan) for fan in self.tree.fans], mode)
        self.drivers.append(fork_child("driver", body))
        self.link.introduce_cooling(self.drivers[-1][1])
        self.heard("freed")
        self.until(lambda: set(self.tree.duties().values()) == {LOW})
        return self.drivers[-1]

    def heard(self, kind: str, seconds: float = 45.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                message = self.drivers[-1][1].receive()
                assert message is not None
                assert message.kind == kind
                return
            self.turn(0.01)
        raise AssertionError(f"nobody said {kind}")

    def until(self, what: Callable[[], object], seconds: float = 45.0) -> float:
        began = time.monotonic()
        while not what():
            assert time.monotonic() - began < seconds, self.tree.duties()
            self.turn(0.01)
        return time.monotonic() - began

    def turn(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.loop.later(0.005, lambda: None)
            self.loop.turn()

    def safe(self, percent: float = SAFE, fans: list[str] | None = None) -> Callable[[], bool]:
        return lambda: all(self.tree.duty(fan) == percent for fan in fans or self.tree.fans)

    def close(self) -> None:
        for pid, channel in self.drivers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
            channel.close()
        for left in self.tree.path.glob("*.hangs"):
            left.unlink()
        self.link.end(5)
        self.loop.close()


@pytest.fixture
def nest(tmp_path: Path) -> Iterator[Nest]:
    made = Nest(Tree(tmp_path))
    made.link.start()
    yield made
    made.close()


def test_a_killed_driver_leaves_safe_fans(nest: Nest) -> None:
    pid, _ = nest.driver()
    os.kill(pid, signal.SIGKILL)
    assert nest.until(nest.safe(), LIMIT_SECONDS) < 1.5, "its end is seen at once"


def test_a_stopped_driver_leaves_safe_fans_and_takes_them_over_again_when_it_goes_on(nest: Nest) -> None:
    pid, _ = nest.driver()
    os.kill(pid, signal.SIGSTOP)
    nest.until(nest.safe(), LIMIT_SECONDS)
    nest.turn(0.5)
    assert nest.safe()()
    os.kill(pid, signal.SIGCONT)
    nest.heard("taken")
    nest.until(nest.safe(LOW))
    nest.turn(2.5)
    assert nest.safe(LOW)(), "the guardian keeps its hands off while cycles are completed"


def test_a_driver_that_lives_but_completes_no_cycle(nest: Nest) -> None:
    _, channel = nest.driver("stuck")
    channel.send("stop")
    nest.until(nest.safe(), LIMIT_SECONDS)


def test_a_fan_that_cannot_be_written_makes_the_rest_give_all(nest: Nest) -> None:
    pid, _ = nest.driver()
    (nest.tree.path / "fan.1.fails").touch()
    os.kill(pid, signal.SIGKILL)
    nest.until(nest.safe(100.0, ["fan.0", "fan.2"]), LIMIT_SECONDS)
    assert nest.tree.duty("fan.1") == LOW
    (nest.tree.path / "fan.1.fails").unlink()
    nest.until(nest.safe())


def test_a_fan_that_hangs_holds_up_no_other_fan_and_no_line(nest: Nest, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    line_owner, theirs = Channel.pair()
    assert nest.link._process is not None
    nest.link._process.channel.send("owner", theirs.fileno(), name="safety")
    line_owner.send("keep", writing, name="button", how="write")
    os.close(writing)
    theirs.close()
    pid, _ = nest.driver()
    (nest.tree.path / "fan.1.hangs").touch()
    os.kill(pid, signal.SIGKILL)
    line_owner.close()
    began = time.monotonic()
    assert os.read(reading, 1) == b"0"
    assert time.monotonic() - began < 0.5, "the line waited for a fan"
    nest.until(nest.safe(100.0, ["fan.0", "fan.2"]), LIMIT_SECONDS)
    (nest.tree.path / "fan.1.hangs").unlink()
    nest.until(nest.safe())
    os.close(reading)


def test_one_that_leaves_in_order_leaves_safe_fans(nest: Nest) -> None:
    _, channel = nest.driver("leave")
    channel.send("leave")
    nest.heard("left")
    nest.until(nest.safe(), LIMIT_SECONDS)


def test_a_new_driver_takes_over_from_the_guardian(nest: Nest) -> None:
    pid, _ = nest.driver()
    os.kill(pid, signal.SIGKILL)
    nest.until(nest.safe(), LIMIT_SECONDS)
    nest.driver()
    nest.turn(2.5)
    assert nest.safe(LOW)()


def test_a_guardian_that_died_is_told_the_fans_again(nest: Nest) -> None:
    pid, _ = nest.driver()
    before = nest.guardian
    os.kill(before, signal.SIGKILL)
    nest.until(lambda: nest.link._process is not None and nest.guardian != before)
    nest.turn(0.5)
    assert nest.safe(LOW)()
    os.kill(pid, signal.SIGKILL)
    nest.until(nest.safe(), LIMIT_SECONDS)


def test_a_driver_that_slept_while_a_new_guardian_took_the_fans_asks_for_them(tmp_path: Path) -> None:
    nest = Nest(Tree(tmp_path), statically=True)
    nest.link.start()
    try:
        pid, _ = nest.driver()
        before = nest.guardian
        os.kill(pid, signal.SIGSTOP)
        os.kill(before, signal.SIGKILL)
        nest.until(lambda: nest.link._process is not None and nest.guardian != before)
        nest.until(nest.safe(), LIMIT_SECONDS + 0.5)
        os.kill(pid, signal.SIGCONT)
        nest.heard("taken")
        nest.until(nest.safe(LOW))
        os.kill(pid, signal.SIGKILL)
        assert nest.until(nest.safe(), LIMIT_SECONDS) < 1.5, "its end is seen at once"
    finally:
        nest.close()


def test_what_somebody_else_sets_meanwhile_is_set_back(nest: Nest, monkeypatch: pytest.MonkeyPatch) -> None:
    pid, _ = nest.driver()
    os.kill(pid, signal.SIGKILL)
    nest.until(nest.safe(), LIMIT_SECONDS)
    nest.tree.set("fan.0", 0.0)
    nest.until(nest.safe(), guardian_fans.REPEAT_SECONDS + 1.0)


def test_if_nobody_ever_drives_them_fans_that_are_known_become_safe(tmp_path: Path) -> None:
    made = Nest(Tree(tmp_path), statically=True)
    made.link.start()
    try:
        made.until(made.safe(), LIMIT_SECONDS)
    finally:
        made.close()


@pytest.mark.parametrize("broken", [False, True])
def test_at_the_end_of_everything_it_says_whether_all_is_safe(tmp_path: Path, broken: bool) -> None:
    tree = Tree(tmp_path)
    made = Nest(tree)
    made.link.start()
    pid, _ = made.driver()
    if broken:
        (tree.path / "fan.2.fails").touch()
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    assert made.link.end(6) is not broken
    assert time.monotonic() - began < 4.0
    assert made.safe(100.0 if broken else SAFE, ["fan.0", "fan.1"])()
    os.kill(pid, signal.SIGCONT)
    made.close()


def test_the_death_of_the_operator_makes_fans_safe(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    safe = SafeFans(apply, tuple(tree.recipe(fan) for fan in tree.fans))
    pid, control = fork_child("guardian", lambda channel: run_guardian(channel, safe), outlives=True)
    control.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert set(tree.duties().values()) == {SAFE}
    (tmp_path / "fan.0.fails").touch()
    pid, control = fork_child("guardian", lambda channel: run_guardian(channel, safe), outlives=True)
    control.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == EXIT_UNSAFE


def test_against_the_twin_in_its_own_process(tmp_path: Path) -> None:
    machine = machines.ensure_running(tmp_path)
    assert machine is not None
    place = {"socket": str(socket_path(tmp_path)), "fan": "fan.0"}
    recipe = Recipe("fan.0", "sim", place, SAFE)
    loop = Loop()
    link = GuardianLink(loop, (), lambda: None, SafeFans(recipes.apply))
    link.start()
    tree = Tree(tmp_path, fans=0)
    pid, channel = fork_child("driver", driver_body(tree, [recipe], ""))
    link.introduce_cooling(channel)

    def duty() -> float:
        state = machines.request(tmp_path, {"do": "state"})["state"]
        assert isinstance(state, dict)
        return float(state["fans"]["fan.0"]["duty"])

    try:
        deadline = time.monotonic() + 5
        while True:
            with contextlib.suppress(BlockingIOError):
                message = channel.receive()
                assert message is not None
                assert message.kind == "freed"
                break
            assert time.monotonic() < deadline
            time.sleep(0.01)
        recipes.apply(recipe, LOW)
        assert duty() == LOW
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        while duty() != SAFE:
            assert time.monotonic() - began < LIMIT_SECONDS
            time.sleep(0.02)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        channel.close()
        assert link.end(5)
        loop.close()
        machines.end(tmp_path)
