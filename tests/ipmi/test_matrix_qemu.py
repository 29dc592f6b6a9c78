"""What other people's IPMI clients get from a board whose host is a QEMU machine."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.contract.boot_media import cd_image
from tests.harness.qemu_board import need_qemu, qemu_board
from tests.ipmi.board import Board, running
from tests.ipmi.clients import need_clients
from tests.ipmi.ipmitool_rows import override, tool
from tests.ipmi.rows import Row, check

HALT = b"\xf4\xeb\xfd"
"""hlt; jmp back to it: what the CD boots."""


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    need_clients()
    need_qemu()
    folder = Path(tmp_path_factory.mktemp("ipmi-qemu"))
    image = folder / "boot.iso"
    image.write_bytes(cd_image(HALT))
    file = qemu_board(folder, more=f'network = true\ncdrom = "{image}"')
    with running(folder, board=str(file)) as found:
        yield found


def guid(board: Board) -> Sequence[str]:
    """The GUID of the system is the UUID that the guest sees."""
    return [rf"^System GUID\s+: {uuid.UUID(board.asset('host.0')['details']['uuid'])}$"]


def fru(board: Board) -> Sequence[str]:
    """FRU 0 is made of what the inventory knows of the machine."""
    host = board.asset("host.0")
    return [
        rf"Product Manufacturer\s*: {re.escape(host['manufacturer'])}$",
        rf"Product Name\s*: {re.escape(host['model'])}$",
        rf"Product Serial\s*: {re.escape(host['serialNumber'])}$",
        rf"Chassis Serial\s*: {re.escape(host['serialNumber'])}$",
    ]


ROWS = (
    tool("mc info", r"^IPMI Version\s+: 2\.0$"),
    tool("mc guid", guid),
    tool("mc selftest", r"passed"),
    tool("chassis power on", truth=lambda board: board.state("ON")),
    tool("chassis status", [r"^System Power\s+: on$", r"Last Power Event\s+: command"]),
    tool("chassis power reset", r"Reset", truth=lambda board: board.state("ON")),
    tool("chassis power cycle", r"Cycle", truth=lambda board: board.state("ON")),
    tool("chassis power diag", r"Diag"),
    tool("chassis bootdev pxe", truth=override("_ONCE", "_PXE")),
    tool("chassis bootparam get 5", r"Force PXE"),
    tool("chassis bootdev cdrom options=persistent", truth=override("_CONTINUOUS", "_CD")),
    tool("chassis bootdev none", truth=override("_DISABLED")),
    tool("sdr elist all", [r"^host_power\s+\| F0h", r"Dynamic MC @ 20h"]),
    tool("sensor get host_power", r"S0/G0"),
    tool("fru print", fru),
    tool("sel list", r"System ACPI Power State"),
    tool("user list 1", r"^2\s+admin"),
    tool("lan print 1", r"^IP Address\s+: \d+\.\d+\.\d+\.\d+$"),
    tool("dcmi power reading", fails=True),
    tool("dcmi discover", never=[r"Power management available"]),
    Row("bmc-info", r"^System GUID : "),
    Row("ipmi-sensors --sdr-cache-directory={folder}", r"host_power"),
    Row("ipmi-fru --sdr-cache-directory={folder}", r"FRU Product Name: \S+"),
    Row("ipmipower --off --wait-until-off", truth=lambda board: board.state("OFF")),
    Row("ipmipower --cycle --on-if-off", truth=lambda board: board.state("ON")),
    tool("chassis power off", truth=lambda board: board.state("OFF")),
)


def test_machine(board: Board) -> None:
    check(board, ROWS, suite=17)


def test_machine_with_the_other_suite(board: Board) -> None:
    check(board, ROWS[:5], suite=3)
