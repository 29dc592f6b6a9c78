"""Boots the virtual machine of the lane and takes over the result of the tests in it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from tests.hardware import kernel, machine

CACHE = "UBMC_HARDWARE_LANE"
ARGUMENTS = "UBMC_HARDWARE_ARGS"
# The kernel boots in 5 s, the tests take about a minute; all of it twice as long on a busy computer.
DEADLINE_SECONDS = float(os.environ.get("UBMC_HARDWARE_DEADLINE", "240"))
TESTS = ("tests/hardware/inside", "tests/contract/test_power.py", "-k", "inside or linux")


@pytest.mark.hardware
@pytest.mark.timeout(DEADLINE_SECONDS + 400)
def test_drivers_on_a_real_kernel(tmp_path: Path) -> None:
    cache = os.environ.get(CACHE)
    if not cache:
        pytest.skip(f"no kernel to test drivers on: set {CACHE}=DIR, a directory to keep it in (225 MB by apt-get)")
    more = shlex.split(os.environ.get(ARGUMENTS, ""))
    # This very interpreter by the name that it was called: what is behind it does not know the environment.
    pytest_command = [sys.executable, "-m", "pytest", *TESTS, "-q", "-p", "no:cacheprovider", "--color=no", *more]
    try:
        run = machine.boot(kernel.prepare(Path(cache).absolute()), pytest_command, tmp_path, DEADLINE_SECONDS)
    except kernel.NotReady as error:
        pytest.skip(f"no kernel to test drivers on: {error}")
    assert run.code is not None, f"the virtual machine did not come to an end within {DEADLINE_SECONDS:g} s"
    assert run.code == 0, "tests failed in the virtual machine; they are in its output"
    assert run.complaints == []
