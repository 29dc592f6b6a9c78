"""The systemd unit: systemd understands it, and it leaves what the program needs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.harness.pages import ROOT

from ubmc.kit import walls
from ubmc.kit.walls import Capability

FOLDER = ROOT / "systemd"


def settings(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (FOLDER / name).read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("drop_in", [None, "ubmc-machine.conf"])
def test_systemd_understands_it(drop_in: str | None, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is needed: apt install systemd")
    unit = tmp_path / "ubmc.service"
    unit.write_text((FOLDER / "ubmc.service").read_text().replace("/opt/ubmc/bin/ubmc", "/bin/true"))
    if drop_in is not None:
        (tmp_path / "ubmc.service.d").mkdir()
        shutil.copy(FOLDER / drop_in, tmp_path / "ubmc.service.d")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_root_keeps_what_it_needs_to_give_processes_their_users() -> None:
    kept = set(settings("ubmc.service")["CapabilityBoundingSet"][0].split())
    assert {f"CAP_{each.name}" for each in Capability} <= kept
    assert not kept & {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_NET_ADMIN", "CAP_SYS_MODULE"}


def test_what_the_walls_call_is_allowed() -> None:
    allowed = settings("ubmc.service")["SystemCallFilter"][0].split()
    assert {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "adjtimex"} <= set(allowed)
    assert "ProtectProc" not in settings("ubmc.service"), "the self-test looks at other processes"
    assert "RestrictSUIDSGID" not in settings("ubmc.service"), "the machine's folder is shared by its setgid bit"


def test_it_is_bounded_and_watched() -> None:
    found = settings("ubmc.service")
    assert {"MemoryMax", "CPUQuota", "TasksMax", "LimitCORE", "WatchdogSec", "NoNewPrivileges"} <= set(found)
    assert found["StateDirectory"] == ["ubmc"]
    assert found["StateDirectoryMode"] == ["0711"]
    assert found["Type"] == ["notify"]


def test_a_machine_is_not_ended_with_the_service() -> None:
    assert settings("ubmc.service")["KillMode"] == ["mixed"]
    assert settings("ubmc-machine.conf")["KillMode"] == ["process"]


def test_what_is_asked_before_users_are_given_is_what_the_unit_leaves() -> None:
    kept = settings("ubmc.service")["CapabilityBoundingSet"][0].split()
    assert {f"CAP_{each.name}" for each in walls._NEEDED} <= set(kept)
