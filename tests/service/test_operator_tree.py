"""The process tree as a whole: real processes, a real nats-server, real signals."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SILENCE_SECONDS = 20.0


class World:
    """One running tree."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(state / "notify"))
        self.notify.setblocking(False)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, ready: bool = True) -> None:
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.state / "notify")}
        with (self.state / "stderr").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.service.tree_program", str(self.state), *options],
                env=environment,
                stderr=log,
                start_new_session=True,
            )
        if ready:
            self.until(r"ready$")
            for name in ("first", "second"):
                self.until(rf"{name} sees .*'second', 'READY'")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def lines(self, pattern: str = "") -> list[tuple[float, str]]:
        """What happened, with its time."""
        with contextlib.suppress(FileNotFoundError):
            split = [line.split(" ", 1) for line in (self.state / "log").read_text().splitlines()]
            return [(float(when), what) for when, what in split if re.search(pattern, what)]
        return []

    def wait(self, what: Callable[[], object], seconds: float = SILENCE_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, (self.state / "stderr").read_text()[-3000:]
            time.sleep(0.01)

    def until(self, pattern: str, count: int = 1, seconds: float = SILENCE_SECONDS) -> float:
        """When something happened for the `count`th time."""
        self.wait(lambda: len(self.lines(pattern)) >= count, seconds)
        return self.lines(pattern)[count - 1][0]

    def signal(self, number: signal.Signals) -> float:
        os.kill(self.pid, number)
        return time.monotonic()

    def ended(self, seconds: float = SILENCE_SECONDS) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def children(self) -> dict[str, int]:
        """The children of the operator that live, by name."""
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                stat = (entry / "stat").read_text()
                head, _, tail = stat.rpartition(")")
                if entry.name.isdecimal() and int(tail.split()[1]) == self.pid and tail.split()[0] != "Z":
                    found[head.partition("(")[2].removeprefix("ubmc-")] = int(entry.name)
        return found

    def told(self) -> list[str]:
        """What systemd was told."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.notify.recv(1024).decode())
        return found

    def close(self) -> None:
        left = self.children() if self.process is not None and self.process.poll() is None else {}
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)
        for pid in left.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.notify.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def alive(pid: int) -> bool:
    """Whether there is such a process, and it is no mere entry of the process table."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_starts_in_order_and_stops_in_reverse(world: World) -> None:
    world.start("FEED_SECONDS=0.05")
    assert set(world.children()) == {"guardian", "nats-server", "one", "two"}
    told = world.told()
    assert told.count("READY=1") == 1
    world.until("dog fed", 3)
    world.wait(lambda: "WATCHDOG=1" in world.told())
    left = world.children()
    began = world.signal(signal.SIGTERM)
    assert world.ended() == 0
    assert time.monotonic() - began < 5
    happened = [what.split()[0:2] for _, what in world.lines(r"setup|teardown|ready|the end|dog open|dog disarmed")]
    assert happened == [
        ["dog", "open"],
        ["first", "setup"],
        ["second", "setup"],
        ["ready"],
        ["second", "teardown"],
        ["first", "teardown"],
        ["dog", "disarmed"],
        ["the", "end"],
    ]
    assert not [name for name, pid in left.items() if alive(pid)]


def test_a_systemd_that_does_not_listen_holds_up_nobody(world: World) -> None:
    world.start("FEED_SECONDS=0.01")
    count = len(world.lines("dog fed"))
    world.until("dog fed", count + 100, 5)


def test_systemd_hears_of_a_stop(world: World) -> None:
    world.start()
    world.told()
    world.signal(signal.SIGINT)
    assert world.ended() == 0
    assert [each for each in world.told() if each != "WATCHDOG=1"] == ["STOPPING=1"]


def test_a_second_signal_does_not_wait(world: World) -> None:
    world.start("with=tough", "GRACE_SECONDS=30")
    world.signal(signal.SIGINT)
    time.sleep(0.5)
    assert world.process is not None
    assert world.process.poll() is None
    world.signal(signal.SIGINT)
    assert world.ended(5) == 0


def test_one_that_does_not_stop_is_killed_after_its_grace(world: World) -> None:
    world.start("with=tough", "GRACE_SECONDS=0.7")
    began = world.signal(signal.SIGTERM)
    assert world.ended(10) == 0
    assert world.lines("second teardown")[0][0] - began > 0.6, "the tough one is stopped first"
    assert "does not stop and is killed" in (world.state / "stderr").read_text()


def test_when_the_operator_is_killed_all_end_within_a_second(world: World) -> None:
    world.start()
    children = world.children()
    guardian = children.pop("guardian")
    began = world.signal(signal.SIGKILL)
    while any(alive(pid) for pid in children.values()):
        assert time.monotonic() - began < 1.0
        time.sleep(0.01)
    world.wait(lambda: not alive(guardian), 3)


def test_a_killed_server_is_back_within_a_second_and_everybody_with_it(world: World) -> None:
    world.start()
    for count in range(1, 3):
        began = time.monotonic()
        before = world.children()["nats-server"]
        os.kill(before, signal.SIGKILL)
        for name in ("first", "second"):
            assert world.until(f"{name} bus there", count + 1) - began < (1.0 if count == 1 else 3.0)
            assert len(world.lines(f"{name} bus lost")) == count
        assert world.children()["nats-server"] != before
    world.until(r"second sees .*'ipc', 'READY'.*news .*'ipc:READY'")
    assert world.lines(r"(first|second) teardown") == []


def test_a_killed_process_is_started_again_and_no_other(world: World) -> None:
    world.start()
    before = world.children()
    os.kill(before["one"], signal.SIGKILL)
    world.until("first setup", 2, 3)
    world.until(r"second sees .*'first', 'READY'.*news \[.*'first:FAILED', .*'first:READY'")
    after = world.children()
    assert after["one"] != before["one"]
    assert {**after, "one": 0} == {**before, "one": 0}


def test_news_are_kept_until_they_were_told_even_over_the_death_of_the_teller(world: World) -> None:
    world.start()
    os.kill(world.children()["one"], signal.SIGKILL)
    world.until(r"second sees .*news \[.*'first:FAILED'.*'first:READY'")
    os.kill(world.children()["two"], signal.SIGKILL)
    world.until("second setup", 2)
    world.until(r"second sees .*'first:FAILED'.*'first:READY'.*'second:FAILED'.*'second:READY'")
    os.kill(world.children()["one"], signal.SIGUSR2)  # who does not speak for the operator cannot make it forget
    time.sleep(0.3)
    assert "first:FAILED" in world.lines("second sees")[-1][1]
    os.kill(world.children()["two"], signal.SIGUSR2)
    time.sleep(0.3)
    os.kill(world.children()["two"], signal.SIGKILL)
    world.until("second setup", 3)
    world.until(r"second sees .*news \['second:FAILED', 'second:READY'\]")


def test_whatever_a_child_says_the_operator_stays_and_degrades_it(world: World) -> None:
    world.start("with=crash", "FIRST_SECONDS=0.05", ready=False)
    world.until("crash setup", 6)
    world.until(r"first sees .*'crash', 'DEGRADED'")
    times = [when for when, _ in world.lines("crash setup")]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    for nominal, gap in zip((0.05, 0.1, 0.2, 0.4, 0.8), gaps, strict=False):
        assert nominal * 0.79 <= gap <= nominal * 1.2 + 0.5
    news = world.lines("first sees")[-1][1].partition("news ")[2]
    assert news.count("crash:FAILED") == 1, "a service that fails again and again is news once"
    assert news.count("crash:DEGRADED") == 1
    assert not world.lines("ready$")
    assert "READY=1" not in world.told()
    assert world.lines("said") == []
    assert "says what nobody understands" in (world.state / "stderr").read_text()
    world.signal(signal.SIGTERM)
    assert world.ended() == 0


def test_all_services_can_be_restarted_by_whoever_speaks_for_the_operator(world: World) -> None:
    world.start()
    before = world.children()
    os.kill(before["one"], signal.SIGUSR1)
    time.sleep(0.3)
    assert world.children() == before
    world.told()
    os.kill(before["two"], signal.SIGUSR1)
    world.until("first setup", 2)
    world.until("second setup", 2)
    after = world.children()
    assert (after["nats-server"], after["guardian"]) == (before["nats-server"], before["guardian"])
    assert after["one"] != before["one"]
    assert after["two"] != before["two"]
    assert [what.split()[0] for _, what in world.lines("teardown")] == ["second", "first"]
    assert "STOPPING=1" not in world.told(), "systemd must not think that we end"
    assert world.lines("FAILED") == []


def test_a_stop_during_a_restart_is_a_stop(world: World) -> None:
    world.start("with=tough", "GRACE_SECONDS=1.5")
    os.kill(world.children()["two"], signal.SIGUSR1)
    time.sleep(0.5)
    world.signal(signal.SIGTERM)
    assert world.ended(10) == 0
    assert len(world.lines("first setup")) == 1


def test_a_guardian_that_makes_no_progress_starves_the_watchdog(world: World) -> None:
    world.start("FEED_SECONDS=0.05", "GUARDIAN_PATIENCE_SECONDS=1.0")
    guardian = world.children()["guardian"]
    os.kill(guardian, signal.SIGSTOP)
    began = time.monotonic()
    time.sleep(2.0)
    fed = [when for when, _ in world.lines("dog fed")]
    assert fed[-1] - began < 1.6
    world.told()
    os.kill(guardian, signal.SIGCONT)
    world.until("dog fed", len(fed) + 3, 3)
    world.wait(lambda: "WATCHDOG=1" in world.told())


def test_a_killed_guardian_is_started_again(world: World) -> None:
    world.start()
    before = world.children()
    os.kill(before["guardian"], signal.SIGKILL)
    world.wait(lambda: world.children().get("guardian") not in (None, before["guardian"]), 1.0)
    assert {**world.children(), "guardian": 0} == {**before, "guardian": 0}


def descriptors(pid: int) -> list[str]:
    return sorted(str(entry.readlink()) for entry in (Path("/proc") / str(pid) / "fd").iterdir())


def test_children_keep_no_descriptor_but_what_their_plan_says(world: World) -> None:
    world.start()
    for name, pid in world.children().items():
        if name == "nats-server":
            continue
        files = [each for each in descriptors(pid) if each.startswith((str(world.state), "/memfd"))]
        kept = {"lock", "private"} if name == "two" else {"lock"}
        assert {each.rpartition("/")[2] for each in files} - {"log", "stderr"} == kept, name
        own = [each for each in descriptors(pid) if each.startswith(("socket", "anon_inode:[pidfd]"))]
        assert len(own) <= 6, f"{name}: {own}"
        assert not any("pidfd" in each for each in own), name
    server = descriptors(world.children()["nats-server"])
    assert not any(each.endswith(("/private", "/stray", "/watchdog", "/lock")) for each in server)


def test_the_operator_has_one_thread_and_children_are_walled(world: World) -> None:
    world.start()
    assert len(list((Path("/proc") / str(world.pid) / "task").iterdir())) == 1
    for name, pid in world.children().items():
        status = (Path("/proc") / str(pid) / "status").read_text()
        limits = (Path("/proc") / str(pid) / "limits").read_text()
        if name != "nats-server":
            assert re.search(r"NoNewPrivs:\s+1", status), name
            assert re.search(r"Max core file size\s+0\s+0", limits), name
        assert os.getsid(pid) == pid, name


def test_a_server_that_cannot_be_started_does_not_end_the_operator(world: World) -> None:
    world.start()
    assert world.process is not None
    before = world.children()["nats-server"]
    os.kill(before, signal.SIGSTOP)
    time.sleep(0.2)
    os.kill(before, signal.SIGKILL)
    for name in ("first", "second"):
        world.until(f"{name} bus there", 2)
    assert world.process.poll() is None
