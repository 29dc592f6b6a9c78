"""These tests need the kernel of the lane's virtual machine; anywhere else they do not exist."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.hardware.gpio_sim import GpioSim, gpio_sim
from tests.hardware.machine import IN_GUEST
from tests.hardware.wires import LINES, PULLED_UP

collect_ignore_glob = [] if IN_GUEST in os.environ else ["test_*.py"]


@pytest.fixture
def chip() -> Iterator[GpioSim]:
    with gpio_sim("board", LINES, pulled_up=PULLED_UP) as made:
        yield made
