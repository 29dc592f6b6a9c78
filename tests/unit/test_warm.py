"""What the parent has done before it forks, and what it leaves to those who want it: facts behind the idle memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ubmc.boards.load import board_names
from ubmc.kit import schema, subjects

SECONDS = 60.0
WANTED_BY_SOME = (
    "acme", "aioquic", "asyncssh", "httpx", "ldap3", "opentelemetry", "pygments", "rich", "starlette",
    "ubmc.client", "ubmc.services.ipmisrv", "ubmc.services.sshsrv.server",
)  # fmt: skip
"""Libraries and parts of ours that only those need who switched something on."""

PARENT = f"""
import sys
from ubmc.cli import run
from ubmc import app
from ubmc.boards.load import load_board
from ubmc.compose.processes import process_specs
from ubmc.compose.warm import warm
from ubmc.kit import schema
warm(load_board("sim").spec, schema.load())
process_specs(load_board("sim"))
import threading
assert threading.active_count() == 1
wanted = {WANTED_BY_SOME!r}
print(sorted(name for name in sys.modules if any(name == each or name.startswith(each + ".") for each in wanted)))
"""

DRIVERS = """
import sys
from pathlib import Path
from ubmc.boards import build
from ubmc.boards.build_assets import build_asset_sources
from ubmc.boards.build_console import build_line
from ubmc.boards.build_sensors import build_fans, build_sensors
from ubmc.boards.drivers import import_drivers
from ubmc.boards.load import load_board
from ubmc.boards.spec import QemuSpec
spec, folder = load_board(sys.argv[1]).spec, Path(sys.argv[2])
build_fans(spec, folder)  # the operator itself does that, for the guardian
import_drivers(spec)
before = set(sys.modules)
for host in spec.hosts:
    if isinstance(host.power, QemuSpec):
        from ubmc.hw.qemu import identity, machine, power, process
    else:
        build.build_power(spec, host.name, folder)
    if host.console is not None:
        build_line(spec, host.name, folder)
for chassis in spec.chassis:
    build.build_chassis_power(spec, chassis.name, folder)
build.build_lights(spec, folder)
build.build_twin(spec, folder)
build_sensors(spec, folder)
build_asset_sources(spec, folder)
print(sorted(name for name in set(sys.modules) - before if name.startswith("ubmc.")))
"""


def run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_parent_imports_nothing_that_only_some_need() -> None:
    assert run(PARENT) == "[]"


@pytest.mark.parametrize("board", board_names())
def test_no_child_imports_drivers(board: str, tmp_path: Path) -> None:
    assert run(DRIVERS, board, str(tmp_path)) == "[]"


def test_kinds_of_news_are_read_once() -> None:
    for event in schema.load().events.values():
        assert subjects.kind_of(event) is subjects.kind_of(event)
