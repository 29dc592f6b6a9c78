"""The whole program as root: a user, a folder and walls for each process, and everything still works.

Where the interpreter lies in a folder that only root can pass (as in root's home), the program runs in a mount
namespace of its own in which just the interpreter's part of that folder can be passed.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.pages import ROOT
from tests.harness.program import KILLS_PEERS, Program, until

from ubmc.boards.load import load_board
from ubmc.boards.owner import OwnerSpec
from ubmc.kit import walls
from ubmc.layout import UIDS, Layout, walls_of

pytestmark = KILLS_PEERS
PYTHON = sys.executable  # as it was before the fixtures below put another in its place
WALLED = ("safety", "managers", "websrv", "nats-server", "consolesrv", "sshsrv", "ipmisrv")
DOORS = ("--ssh", "127.0.0.1:0", "--ipmi", "127.0.0.1:0")
GROUPS = {"consolesrv": UIDS["managers"]}  # which may talk to the simulated machine


def opened_world(folder: Path, closed: Path) -> str:
    """A command that runs another where, of a closed folder, what we need can be passed."""
    needed = [Path(sys.base_prefix), Path(sys.prefix), ROOT]
    inside = list(dict.fromkeys(path.resolve() for path in needed if path.resolve().is_relative_to(closed)))
    lines = ["#!/bin/sh", "set -e", "mount --make-rprivate /"]
    for index, path in enumerate(inside):
        hold = folder / f"hold-{index}"
        hold.mkdir()
        lines.append(f"mount --bind {shlex.quote(str(path))} {shlex.quote(str(hold))}")
    lines.append(f"mount -t tmpfs -o mode=755 none {shlex.quote(str(closed))}")
    for index, path in enumerate(inside):
        here, held = shlex.quote(str(path)), shlex.quote(str(folder / f"hold-{index}"))
        lines += [f"mkdir -p {here}", f"mount --bind {held} {here}", f"umount {held}"]
    script = folder / "open.sh"
    script.write_text("\n".join([*lines, 'exec "$@"', ""]))
    script.chmod(0o755)
    return f"unshare -m {shlex.quote(str(script))}"


def interpreter(folder: Path) -> str:
    """A Python that users without rights can run; skips where there is none."""
    if os.geteuid():
        pytest.skip("users of their own are given by root alone: run the tests as root")
    closed = walls.unreachable((*walls.code(), Path(PYTHON)))
    limited = as_the_unit()
    if not closed:
        return script(folder, limited)
    why = f"other users cannot pass {', '.join(map(str, closed))}: install Python and the checkout elsewhere"
    if len(closed) > 1 or shutil.which("unshare") is None:
        pytest.skip(why)
    wrapper = script(folder, f"{opened_world(folder, closed[0])} {limited}")
    if subprocess.run([wrapper, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"{why} (nor may mounts be made here)")
    return wrapper


def script(folder: Path, command: str) -> str:
    wrapper = folder / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {command} {shlex.quote(PYTHON)} "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


def as_the_unit() -> str:
    """A command that runs another with no more of root's power than the systemd unit leaves."""
    if shutil.which("setpriv") is None:
        return ""
    unit = (ROOT / "systemd" / "ubmc.service").read_text()
    line = next(line for line in unit.splitlines() if line.startswith("CapabilityBoundingSet="))
    names = [name.removeprefix("CAP_").lower() for name in line.partition("=")[2].split()]
    bound = int(status(os.getpid())["CapBnd"], 16)
    kept = [f"+{name}" for name in names if name != "sys_resource" or bound >> 24 & 1]  # containers may lack it
    return f"setpriv --no-new-privs --bounding-set -all,{','.join(kept)}"


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    folder = Path(tempfile.mkdtemp(prefix="ubmc-walls-"))
    folder.chmod(0o755)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "executable", interpreter(folder))
            with Program(folder / "state", *DOORS) as running:
                running.login()
                yield running
    finally:
        shutil.rmtree(folder)


def status(pid: int) -> dict[str, str]:
    lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_each_process_has_a_user_of_its_own_and_nothing_of_roots_power(program: Program) -> None:
    found = {name: status(pid) for name, pid in program.processes().items()}
    assert set(found) == {*WALLED, "guardian"}
    for name in WALLED:
        assert found[name]["Uid"].split() == [str(UIDS[name])] * 4, name
        assert found[name]["Gid"].split() == [str(GROUPS.get(name, UIDS[name]))] * 4, name
        assert found[name]["Groups"] == "", name
        for kind in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
            assert int(found[name][kind], 16) == 0, (name, kind)
    assert found["guardian"]["Uid"].split()[0] == "0"


def test_no_process_gains_privileges_or_leaves_a_core(program: Program) -> None:
    for name, pid in program.processes().items():
        assert status(pid)["NoNewPrivs"] == "1", name
        limits = (Path("/proc") / str(pid) / "limits").read_text().splitlines()
        assert next(line for line in limits if "core file" in line).split()[4:6] == ["0", "0"], name


def as_user(uid: int, code: str, *values: str) -> Any:
    """Run Python as that user, without walls; prints JSON."""
    begin = f"import json, os, sys\nfrom pathlib import Path\nos.setgroups([]); os.setgid({uid}); os.setuid({uid})\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + code, *values], capture_output=True, text=True, check=False, timeout=60, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LOOK = """
def look(path):
    try:
        return bool(os.listdir(path)) or True
    except PermissionError:
        return False

def read(path):
    try:
        os.close(os.open(path, os.O_RDONLY))
        return True
    except PermissionError:
        return False

print(json.dumps([[look(path) for path in sys.argv[2:]], read(sys.argv[1])]))
"""


def test_no_user_enters_the_folder_of_another(program: Program) -> None:
    layout = Layout(program.state)
    folders = {"managers": layout.managers, "safety": layout.safety, "nats-server": layout.bus}
    for name in WALLED:
        certificate = str(layout.tls / "server.pem")
        found = as_user(UIDS[name], LOOK, certificate, *map(str, (*folders.values(), program.state)))
        assert found == [[owner == name for owner in folders] + [False], True], name
    files = [path for folder in folders.values() for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"precious.db", "device.key", "expendable.db"}
    assert [path for path in files if path.stat().st_mode & 0o007] == []


def test_only_who_needs_it_reaches_the_simulated_machine(program: Program) -> None:
    path = str(Layout(program.state).machine / "sim" / "sim.sock")
    code = """
import socket
with socket.socket(socket.AF_UNIX) as end:
    try:
        end.connect(sys.argv[1])
        print("true")
    except PermissionError:
        print("false")
"""
    reached = {name: as_user(UIDS[name], code, path) for name in ("safety", "websrv", "nats-server")}
    assert reached == {"safety": True, "websrv": False, "nats-server": False}
    assert as_user(UIDS["managers"], code, path) is True


BEHIND = """
import json, os, pickle, sys, encodings.idna
from pathlib import Path
from ubmc.kit import walls

def tried(path, flags):
    try:
        os.close(os.open(path, flags, 0o600))
        return True
    except PermissionError:
        return False

within = pickle.loads(bytes.fromhex(sys.argv[1]))
walls.enter(within)
written = [path for path in sys.argv[2:] if tried(path + "/new-file", os.O_WRONLY | os.O_CREAT)]
print(json.dumps([written, [path for path in ("/etc/shadow", "/", "/root", "/tmp") if tried(path, os.O_RDONLY)]]))
"""


@pytest.mark.parametrize("name", WALLED)
def test_behind_its_walls_a_process_writes_only_what_is_its_own(program: Program, name: str) -> None:
    """In a process of ours that enters the very walls of the program's."""
    if not walls.landlock_version():
        pytest.skip("the kernel has no Landlock: boot one with landlock in lsm=")
    layout = Layout(program.state, separate=True)
    within = walls_of(name, layout, load_board("sim").spec, OwnerSpec(), Path(sys.executable))
    own = {"managers": {layout.managers, layout.tls}, "safety": {layout.safety, layout.machine},
           "nats-server": {layout.bus}}.get(name, set())  # fmt: skip
    places = [layout.managers, layout.tls, layout.safety, layout.machine, layout.bus, program.state,
              Path("/tmp"), Path("/etc"), Path("/var/tmp"), Path("/dev/shm"), Path("/dev")]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", BEHIND, pickle.dumps(within).hex(), *map(str, places)],
        capture_output=True, text=True, check=False, timeout=60, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written, read = json.loads(done.stdout)
    for folder in written:
        (Path(folder) / "new-file").unlink()
    assert {Path(each) for each in written} == own
    assert read == []


def test_the_self_test_sees_the_walls(program: Program) -> None:
    answer = program.request("POST", "/api/v1alpha1/security:selfTest", {})
    assert answer.status_code == 200, answer.text
    controls = {each["id"]: each for each in answer.json()["controls"]}
    # The clock of the machine that runs the tests is its own business.
    failing = {key: each["detail"] for key, each in controls.items() if each["state"] == "CONTROL_STATE_FAIL"}
    assert set(failing) - {"CSI-5.3"} == {"CSI-3.4"}, failing
    assert "127.0.0.1:0" in failing["CSI-3.4"], "IPMI listens here, though not on its usual port"
    passed = {key for key, each in controls.items() if each["state"] == "CONTROL_STATE_PASS"}
    expected = {"CSI-1.1", "CSI-1.5", "CSI-2.1", "CSI-3.8", "CSI-3.9", "CSI-3.10", "CSI-3.11", "CSI-3.13", "CSI-8.3"}
    assert expected <= passed
    if walls.landlock_version():
        assert "CSI-3.12" in passed


def test_everything_works_and_comes_back(program: Program) -> None:
    program.power("ON")
    program.wait_state("ON")
    for name in WALLED:
        before = program.processes()[name]
        os.kill(before, signal.SIGKILL)
        until(lambda: program.processes().get(name) not in {None, before}, why=name)  # noqa: B023  called at once
        until(lambda: _healthy(program), 30, f"health after {name}")
        after = status(program.processes()[name])
        assert after["Uid"].split() == [str(UIDS[name])] * 4
        assert after["NoNewPrivs"] == "1"
    assert program.host()["state"] == "HOST_STATE_ON", "nobody's death cuts power"
    program.power("FORCE_OFF")
    program.wait_state("OFF")
    leds = program.get("/api/v1alpha1/leds")["leds"]
    assert leds
    assert not any(led.get("failed") for led in leds), "the managers reach the lights of the machine"


def _healthy(program: Program) -> bool:
    with contextlib.suppress(Exception):
        return all(
            each["state"] == "SERVICE_STATE_READY" for each in program.get("/api/v1alpha1/system/health")["services"]
        )
    return False


def test_a_second_start_finds_everything(program: Program) -> None:
    """Accounts, certificate and machine are where they were, with the users that they belong to."""
    shown = program.fingerprint
    assert program.stop() == 0
    program.start()
    assert program.fingerprint == shown
    program.login()
    assert program.host()["state"] == "HOST_STATE_OFF"
    until(lambda: _healthy(program), 30, "health")


def test_a_virtual_host_runs_as_the_safety_process_does_and_outlives_us() -> None:
    """QEMU is started by the safety process, adopted by its next run, and its parts are read by the managers."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("QEMU is needed: apt install qemu-system-x86")
    folder = Path(tempfile.mkdtemp(prefix="ubmc-walls-"))
    folder.chmod(0o755)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "executable", interpreter(folder))
            with Program(folder / "state", board="qemu") as running:
                running.login()
                running.power("ON")
                running.wait_state("ON")
                machine = _qemu(running.state)
                assert status(machine)["Uid"].split() == [str(UIDS["safety"])] * 4
                assert status(machine)["NoNewPrivs"] == "1"
                running.stop()
                running.start()
                running.login()
                running.wait_state("ON")
                assert _qemu(running.state) == machine
                until(
                    lambda: [each for each in running.get("/api/v1alpha1/assets")["assets"] if each["name"] == "cpu.0"]
                )
                running.power("FORCE_OFF")
                running.wait_state("OFF")
    finally:
        shutil.rmtree(folder)


def _qemu(state: Path) -> int:
    """The virtual machine of a state directory."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal():
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"qemu-system" in words[0] and any(str(state).encode() in word for word in words):
                    return int(entry.name)
    raise AssertionError("no virtual machine runs")
