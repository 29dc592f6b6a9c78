"""Serial consoles of board files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ubmc.boards.build_console import build_line
from ubmc.boards.load import load_board
from ubmc.hw.console.port import FlowControl
from ubmc.hw.console.tty import TtyLine
from ubmc.hw.qemu.serial import QemuSerial
from ubmc.hw.sim.serial import SimSerial
from ubmc.kit.errors import Invalid, NotFound
from ubmc.plans.consoles import console_plans
from ubmc.v1alpha1.console_pb import ConsoleSight
from ubmc.v1alpha1.host_pb import BootProgress

BOARD = """
[board]
name = "test"
vendor = "u-bmc"
model = "test"
verified = false
[lines]
kind = "gpio"
[[hosts]]
name = "host.0"
power = { kind = "buttons", button = "b0" }
[hosts.console]
kind = "tty"
path = "/dev/ttyS2"
speed = 57600
flow_control = "rts-cts"
[[hosts]]
name = "host.1"
power = { kind = "buttons", button = "b1" }
[hosts.console]
kind = "tty"
path = "/dev/ttyS3"
[[hosts.console.sights]]
sight = "boot-progress"
pattern = "^POST done"
progress = "hardware-initialization-complete"
[[hosts]]
name = "host.2"
power = { kind = "buttons", button = "b2" }
[[chassis]]
name = "chassis.0"
hosts = ["host.0", "host.1", "host.2"]
power = { kind = "hosts" }
"""


def write(folder: Path, text: str) -> str:
    file = folder / "board.toml"
    file.write_text(text)
    return str(file)


def test_what_a_board_says_is_what_the_service_is_told(tmp_path: Path) -> None:
    spec = load_board(write(tmp_path, BOARD)).spec
    first, second = console_plans(spec, tmp_path)
    assert (first.name, second.name) == ("host.0", "host.1")
    assert (first.settings.baud_rate, first.settings.flow_control) == (57600, FlowControl.RTS_CTS)
    assert (second.settings.baud_rate, second.settings.flow_control) == (115200, FlowControl.NONE)
    assert ConsoleSight.LOGIN_PROMPT in {each.sight for each in first.sights}
    (sight,) = second.sights
    assert (sight.sight, sight.progress) == (
        ConsoleSight.BOOT_PROGRESS,
        BootProgress.HARDWARE_INITIALIZATION_COMPLETE,
    )
    assert isinstance(first.make_line(), TtyLine)
    with pytest.raises(NotFound, match=r"host\.2 has no serial console"):
        build_line(spec, "host.2", tmp_path)


@pytest.mark.parametrize(("board", "kind"), [("sim", SimSerial), ("sim-large", SimSerial), ("qemu", QemuSerial)])
def test_every_target_has_its_console(board: str, kind: type[object], tmp_path: Path) -> None:
    (plan,) = console_plans(load_board(board).spec, tmp_path)
    assert isinstance(plan.make_line(), kind)


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        ("ttyS3", "ttyS2", "hosts[1].console", "/dev/ttyS2 is used by hosts[0].console already"),
        ("57600", "40", "hosts[0].console.speed", "greater than or equal to 50"),
        ("rts-cts", "hardware", "hosts[0].console.flow_control", "must be one of"),
        ("^POST done", "^POST (done", "hosts[1].console.sights[0].pattern", "is no regular expression"),
        ('progress = "hardware-initialization-complete"', "", "hosts[1].console.sights[0].progress", "is missing"),
        ('"boot-progress"', '"panic"', "hosts[1].console.sights[0].progress", "belongs to"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, path: str, message: str) -> None:
    assert old in BOARD
    with pytest.raises(Invalid) as caught:
        load_board(write(tmp_path, BOARD.replace(old, new, 1)))
    found = {each.field: each.message for each in caught.value.violations}
    assert path in found
    assert message in found[path]
