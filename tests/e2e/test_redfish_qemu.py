"""Redfish of a virtual machine: the address of its network card is the one that QEMU gave it, and stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.harness.program import KILLS_PEERS, Program
from tests.harness.qemu_board import qemu_board
from tests.harness.truth import SecondQmp

pytestmark = [pytest.mark.e2e, pytest.mark.qemu, KILLS_PEERS]

INTERFACES = "/redfish/v1/Systems/host.0/EthernetInterfaces"


def interfaces(program: Program) -> list[dict[str, Any]]:
    """What Redfish tells of them."""
    found = program.get(INTERFACES)["Members"]
    return [program.get(each["@odata.id"]) for each in found]


def test_the_network_card_is_there_with_its_address(tmp_path: Path) -> None:
    with Program(tmp_path / "state", board=str(qemu_board(tmp_path, more="network = true"))) as program:
        program.login()
        assert program.get("/redfish/v1/Systems/host.0")["EthernetInterfaces"] == {"@odata.id": INTERFACES}
        (card,) = interfaces(program)
        assert program.power("ON").status_code == 200
        program.wait_state("ON", 40)
        qmp = SecondQmp(program.state)
        try:
            filters = qmp.execute("query-rx-filter", name="nic0")
        finally:
            qmp.close()
        assert [each["main-mac"].upper() for each in filters] == [card["MACAddress"]]
        assert card["PermanentMACAddress"] == card["MACAddress"]
        assert int(card["MACAddress"][:2], 16) & 3 == 2  # administered locally, of one card (IEEE 802-2014, 8.2)
        assert program.stop() == 0
        program.start()
        program.login()
        assert interfaces(program) == [card]
