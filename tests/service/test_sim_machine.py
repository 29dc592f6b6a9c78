"""The simulated machine as a process: one per directory, outliving everybody, dangerous like hardware."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ubmc.hw.power.buttons import ButtonBoard, ButtonPower, Wire
from ubmc.hw.power.port import Action, Level
from ubmc.hw.sim import process, recipe
from ubmc.hw.sim.control import Control
from ubmc.hw.sim.dial import unix_dial
from ubmc.hw.sim.fans import SimFan
from ubmc.hw.sim.lines import SimLines
from ubmc.hw.sim.protocol import socket_path
from ubmc.hw.sim.sensors import SimSensors
from ubmc.kit.errors import Busy, Invalid, Unavailable

BUTTON = "power-button-0"
SPEED = 10.0
MOST_MIB = 15


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "machine"
    yield path
    process.end(path)


def state(directory: Path) -> dict[str, Any]:
    found = process.request(directory, {"do": "state"})["state"]
    assert isinstance(found, dict)
    return found


def until(condition: Callable[[], bool], what: str, timeout_seconds: float = 45.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not seen: {what}"
        time.sleep(0.02)


def stage(directory: Path) -> str:
    return str(state(directory)["hosts"]["host.0"]["stage"])


def program(directory: Path, script: str) -> str:
    """A program with a `line(name)` that opens an output."""
    head = f"""
        import json, os, socket, sys, time
        def line(name):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect({str(directory / "sim.sock")!r})
            sock.sendall(json.dumps({{"line": name, "direction": "output"}}).encode() + b"\\n")
            answer = json.loads(sock.makefile().readline())
            assert answer["ok"], answer
            return sock
    """
    return textwrap.dedent(head) + textwrap.dedent(script)


def client(directory: Path, script: str, *pass_fds: int) -> subprocess.Popen[bytes]:
    """A process of its own that runs such a program."""
    code = program(directory, script)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, pass_fds=pass_fds)


@contextlib.contextmanager
def connected(directory: Path, count: int) -> Iterator[None]:
    """Others hold connections meanwhile."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(str(socket_path(directory)))
            sock.sendall(b'{"watch":true}\n')
        yield


def test_many_who_want_a_machine_get_one(directory: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        machines = list(pool.map(lambda _: process.ensure_running(directory), range(4)))
    assert len({(machine.pid, machine.instance) for machine in machines}) == 1
    assert process.ensure_running(directory).adopted
    assert stat.S_IMODE((directory / "sim.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    again = subprocess.run(
        [sys.executable, "-m", "ubmc.hw.sim.machine", str(directory)], capture_output=True, timeout=20, check=False
    )
    assert again.returncode == 3
    assert b"runs in" in again.stderr


def test_it_lives_in_a_session_of_its_own_and_hears_no_interrupt(directory: Path) -> None:
    machine = process.ensure_running(directory)
    assert os.getsid(machine.pid) not in {os.getsid(0), os.getpid()}
    assert os.getpgid(machine.pid) != os.getpgid(0)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        os.kill(machine.pid, number)
    assert process.ensure_running(directory) == process.Machine(
        machine.pid, machine.start_ticks, machine.instance, adopted=True
    )
    os.kill(machine.pid, signal.SIGTERM)
    until(lambda: not process.is_running(directory), "the end of the machine")
    assert not (directory / "sim.sock").exists()


def test_it_outlives_the_process_that_started_it(directory: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ubmc.hw.sim import process;"
        "print(process.ensure_running(Path(sys.argv[1])).pid, flush=True);"
        "import os, signal; os.killpg(0, signal.SIGKILL)"
    )
    starter = subprocess.run(
        [sys.executable, "-c", code, str(directory)],
        capture_output=True,
        start_new_session=True,
        timeout=20,
        check=False,
    )
    assert starter.returncode == -signal.SIGKILL
    assert process.ensure_running(directory).pid == int(starter.stdout)


def test_it_inherits_no_secrets_and_no_foreign_modules(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UBMC_ADMIN_PASSWORD", "secret")
    (tmp_path / "selectors.py").write_text("raise SystemExit('a module of the current directory was loaded')")
    monkeypatch.chdir(tmp_path)
    machine = process.ensure_running(directory)
    environment = Path(f"/proc/{machine.pid}/environ").read_bytes().split(b"\0")
    assert not [entry for entry in environment if entry.startswith(b"UBMC")]
    assert Path(f"/proc/{machine.pid}/cwd").resolve() == Path("/")


def test_it_is_lean(directory: Path) -> None:
    machine = process.ensure_running(directory)
    rollup = Path(f"/proc/{machine.pid}/smaps_rollup").read_text(encoding="ascii")
    kib = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    assert kib < MOST_MIB * 1024


def test_end_is_final_and_can_be_repeated(directory: Path) -> None:
    assert not process.end(directory)
    first = process.ensure_running(directory)
    assert process.end(directory)
    assert not process.end(directory)
    with pytest.raises(Unavailable):
        process.request(directory, {"do": "state"})
    second = process.ensure_running(directory)
    assert not second.adopted
    assert second.instance != first.instance


def test_a_machine_that_hangs_is_ended_too(directory: Path) -> None:
    machine = process.ensure_running(directory)
    os.kill(machine.pid, signal.SIGSTOP)
    assert process.end(directory, timeout_seconds=1.0)
    assert not process.is_running(directory)


def test_a_killed_machine_leaves_nothing_in_the_way(directory: Path) -> None:
    machine = process.ensure_running(directory)
    os.kill(machine.pid, signal.SIGKILL)
    until(lambda: not process.is_running(directory), "the end of the machine")
    assert (directory / "sim.sock").exists()
    assert process.ensure_running(directory).instance != machine.instance


def test_a_path_that_is_too_long_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="choose a shorter state directory"):
        process.ensure_running(tmp_path / ("x" * 100))


def test_who_dies_in_mid_press_leaves_the_line_active_and_the_host_is_cut(directory: Path) -> None:
    process.ensure_running(directory, speed=SPEED)
    process.request(directory, {"do": "fault", "name": "hang-off", "on": True})
    with client(directory, f"s = line({BUTTON!r}); s.send(b'1'); time.sleep(0.03); s.send(b'0'); print('ok')") as press:
        press.wait(10)
    until(lambda: stage(directory) == "up", "the operating system")
    with client(
        directory, f"s = line({BUTTON!r}); s.send(b'1'); s.recv(1); print(1, flush=True); time.sleep(60)"
    ) as it:
        assert it.stdout is not None
        it.stdout.readline()
        it.kill()
        it.wait(10)
    assert state(directory)["lines"][BUTTON] is True
    until(lambda: stage(directory) == "off", "the forced off")
    assert state(directory)["lines"][BUTTON] is True


def test_a_duplicate_kept_by_another_process_ends_the_press_and_keeps_the_line(directory: Path) -> None:
    process.ensure_running(directory)

    ours, theirs = socket.socketpair()
    with theirs:
        script = f"""
            s = line({BUTTON!r})
            s.send(b"1")
            s.recv(1)
            socket.send_fds(socket.socket(fileno={theirs.fileno()}), [b"x"], [s.fileno()])
            time.sleep(60)
        """
        owner = client(directory, script, theirs.fileno())
    with ours, owner:
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        owner.kill()
        owner.wait(10)
        assert state(directory)["lines"][BUTTON] is True
        os.write(fds[0], b"0")
        until(lambda: state(directory)["lines"][BUTTON] is False, "the end of the press")

        async def take() -> None:
            lines = SimLines(unix_dial(directory))
            with pytest.raises(Busy, match=BUTTON):
                await lines.output(BUTTON)
            os.close(fds[0])
            async with asyncio.timeout(30):
                while True:
                    with contextlib.suppress(Busy):
                        await lines.output(BUTTON)
                        break
            await lines.close()

        asyncio.run(take())


def test_a_driver_finds_a_new_machine_and_knows_it_is_another(directory: Path) -> None:
    first = process.ensure_running(directory, speed=SPEED)
    board = ButtonBoard(button=Wire(BUTTON), good=Wire("power-good-0"), press_seconds=0.03, debounce_seconds=0.0)

    async def main() -> None:
        control = Control(unix_dial(directory))
        power = ButtonPower(SimLines(unix_dial(directory)), board, mains_epoch=control.mains_epoch)
        for release in await power.open():
            os.close(release.fd)
        sights = power.watch()
        assert (await anext(sights)).level is Level.OFF
        await power.do(Action.ON)
        async with asyncio.timeout(30):
            assert (await anext(sights)).level is Level.ON
            assert await power.mains_epoch() == f"{first.instance}:0"
            os.kill(first.pid, signal.SIGKILL)
            assert (await anext(sights)).level is Level.UNKNOWN
            assert await power.mains_epoch() is None
            second = await asyncio.to_thread(process.ensure_running, directory)
            assert (await anext(sights)).level is Level.OFF
            assert await power.mains_epoch() == f"{second.instance}:0"
        await power.close()

    asyncio.run(main())


def test_time_passes_by_itself_and_the_console_fills(directory: Path) -> None:
    process.ensure_running(directory, speed=SPEED, front_wired=True)
    process.request(directory, {"do": "press", "button": "front-power-button", "seconds": 0.5})
    until(lambda: stage(directory) == "up", "the operating system")
    answer = process.request(directory, {"do": "console"})
    assert str(answer["text"]).endswith("login: ")


def test_it_is_the_machine_that_was_asked_for_and_an_adopted_one_stays_what_it_is(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = process.ensure_running(directory, machine="large")
    assert state(directory)["machine"] == "large"
    assert not caplog.records
    second = process.ensure_running(directory, machine="standard")
    assert (second.pid, second.adopted) == (first.pid, True)
    assert state(directory)["machine"] == "large"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "ubmc machine end" in caplog.text
    assert caplog.records[0].__dict__["runs"] == "large"


def test_sensors_and_fans_of_the_process_are_read_and_set_without_a_loop_too(directory: Path) -> None:
    process.ensure_running(directory)

    async def main() -> None:
        fan = SimFan("fan.0", "fan.0", unix_dial(directory), socket=socket_path(directory), failsafe_percent=70.0)
        bus = SimSensors("sim-fans", {"duty": "fan0_duty", "speed": "fan0_rpm"}, unix_dial(directory))
        await fan.set(45.0)
        assert (await bus.read(["duty"]))["duty"] == 45.0
        made = fan.recipe()
        with connected(directory, 80):
            recipe.apply(made.place, made.failsafe_percent)
            assert await fan.get() == 70.0
        await Control(unix_dial(directory)).inject("fan-unwritable", "fan.0")
        with pytest.raises(OSError, match="does not take"):
            recipe.apply(made.place, 100.0)
        await bus.close()
        await fan.close()

    asyncio.run(main())


def test_a_recipe_has_a_deadline(directory: Path) -> None:
    machine = process.ensure_running(directory)
    place = {"socket": str(socket_path(directory)), "fan": "fan.0"}
    os.kill(machine.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            recipe.apply(place, 100.0)
        assert time.monotonic() - began < 0.3 + 1.0
    finally:
        os.kill(machine.pid, signal.SIGCONT)
    process.end(directory)
    with pytest.raises(OSError, match=r"sim\.sock|refused|No such"):
        recipe.apply(place, 100.0)


def test_it_rests_when_nobody_asks(directory: Path) -> None:
    machine = process.ensure_running(directory, machine="large")

    def switches() -> int:
        lines = Path(f"/proc/{machine.pid}/status").read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))

    before = switches()
    time.sleep(2.0)
    assert switches() - before <= 4
