"""A board file for tests with a real QEMU virtual machine as the host."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

TEMPLATE = """
[board]
name = "qemu-test"
vendor = "u-bmc"
model = "QEMU for tests"
verified = true

[[hosts]]
name = "host.0"
console = {{ kind = "qemu" }}

[hosts.power]
kind = "qemu"
memory_mb = {memory}
accelerator = "tcg"
second_qmp = true
firmware_log = true
{more}

[[chassis]]
name = "chassis.0"
hosts = ["host.0"]
power = {{ kind = "hosts" }}
"""


def need_qemu() -> None:
    """Skip where there is no QEMU."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is missing: apt-get install qemu-system-x86 seabios")


def qemu_board(folder: Path, *, memory: int = 64, more: str = "") -> Path:
    """Write the board file; its path."""
    need_qemu()
    file = folder / "board.toml"
    file.write_text(TEMPLATE.format(memory=memory, more=more))
    os.sync()
    return file
