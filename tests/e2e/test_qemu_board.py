"""A real QEMU virtual machine as the host: real firmware, its serial line, its power events, its adoption."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.program import KILLS_PEERS, Program, until
from tests.harness.qemu_board import qemu_board
from tests.harness.truth import SecondQmp

from ubmc.hw.qemu.machine import Layout
from ubmc.hw.qemu.process import find

pytestmark = [pytest.mark.e2e, pytest.mark.qemu, KILLS_PEERS]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path / "state", board=str(qemu_board(tmp_path))) as made:
        made.login()
        yield made


def firmware(program: Program) -> str:
    """What the firmware said about itself."""
    folder = program.state / "machine" / "host.0"
    return "".join(log.read_text(errors="replace") for log in sorted(folder.glob("*.log")))


def machine_pid(program: Program) -> int:
    found = find(Layout(program.state / "machine" / "host.0"))
    assert found is not None
    return found.pid


def test_real_firmware_boots_and_power_is_real(program: Program) -> None:
    assert program.host()["state"] == "HOST_STATE_OFF"
    assert program.power("ON").status_code == 200
    program.wait_state("ON", 40)
    until(lambda: "SeaBIOS (version" in firmware(program), 20, "the firmware speaks")
    qmp = SecondQmp(program.state)
    try:
        assert qmp.status() == "running"
        assert program.power("FORCE_RESTART").status_code == 200
        until(lambda: qmp.status() == "running" and [e for e in qmp.events if e["event"] == "RESET"], 10)
        program.wait_state("ON")
        assert program.power("NMI").status_code == 200
    finally:
        qmp.close()
    assert program.power("FORCE_OFF").status_code == 200
    program.wait_state("OFF")
    until(lambda: find(Layout(program.state / "machine" / "host.0")) is None, 10)


def test_running_machine_is_found_again_and_not_disturbed(program: Program) -> None:
    assert program.power("ON").status_code == 200
    program.wait_state("ON", 40)
    pid = machine_pid(program)
    assert program.stop() == 0
    assert "ubmc machine end" in program.output
    time.sleep(0.2)
    program.start()
    program.login()
    program.wait_state("ON")
    assert machine_pid(program) == pid
    program.kill()
    time.sleep(0.5)
    program.start()
    program.login()
    program.wait_state("ON")
    assert machine_pid(program) == pid


def test_crash_and_silence_are_shown_as_they_are(program: Program) -> None:
    assert program.power("ON").status_code == 200
    program.wait_state("ON", 40)
    pid = machine_pid(program)
    os.kill(pid, signal.SIGSTOP)
    until(lambda: program.host()["state"] == "HOST_STATE_UNKNOWN", 30, "a silent machine is unknown")
    refused = program.power("ON")
    assert refused.status_code == 409
    os.kill(pid, signal.SIGCONT)
    program.wait_state("ON", 30)
    os.kill(pid, signal.SIGKILL)
    program.wait_state("OFF", 20)
    until(lambda: [e for e in program.events() if e["arguments"].get("kind") == "HOST_NEWS_KIND_CRASHED"], 5)
    assert program.power("ON").status_code == 200
    program.wait_state("ON", 40)


def test_ephemeral_ends_the_machine(tmp_path: Path) -> None:
    made = Program(tmp_path / "state", "--ephemeral", board=str(qemu_board(tmp_path)))
    with made:
        made.login()
        assert made.power("ON").status_code == 200
        made.wait_state("ON", 40)
        pid = machine_pid(made)
        assert made.stop() == 0
        until(lambda: not Path(f"/proc/{pid}").exists(), 10, "the machine ended")
