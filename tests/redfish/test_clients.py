"""Other people's client libraries, each with a tour of what it is used for; they look at the truth by another door."""

from __future__ import annotations

import pytest

from tests.redfish.conftest import Bmc

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def test_sushy_does_what_ironic_does(bmc: Bmc) -> None:
    bmc.guest("sushy_guest")


def test_the_python_library_of_dmtf(bmc: Bmc) -> None:
    bmc.guest("dmtf_guest")
