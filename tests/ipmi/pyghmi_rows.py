"""What pyghmi must get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tests.ipmi.board import Board
from tests.ipmi.ipmitool_rows import SENSORS, UEFI, override, warm
from tests.ipmi.rows import Row


def settled(board: Board) -> None:
    """The host runs, and what sensors the board has show it."""
    if SENSORS in board.lacks:
        board.power("ON")
    else:
        warm(board)


def parts(board: Board) -> Sequence[str]:
    """What it must find."""
    return [
        r'"host_power": ',
        *([] if SENSORS in board.lacks else [r'"cpu0_temp": \d', r'"psu0_presence": ']),
        board.asset(board.whole)["serialNumber"],
        r'"health": 0',
        r'^\[".*"\]$',
        r'"2": "admin"',
        r'"ipv4_address": "\d+\.',
    ]


GROUPS: Mapping[str, tuple[Row, ...]] = MappingProxyType(
    {
        "pyghmi": (
            Row("pyghmi power", r'"powerstate": "on"', before=lambda board: board.power("ON")),
            Row("pyghmi set-power off", r'"off"', truth=lambda board: board.state("OFF")),
            Row("pyghmi set-power on", r'"on"', truth=lambda board: board.state("ON")),
            Row("pyghmi set-bootdev network persist", truth=override("_CONTINUOUS", "_PXE")),
            Row("pyghmi bootdev", [r'"bootdev": "network"', r'"persistent": true', r'"uefimode": false']),
            Row("pyghmi set-bootdev network efi persist", truth=override("_CONTINUOUS", "_PXE", "_UEFI"), needs=UEFI),
            Row("pyghmi bootdev", [r'"bootdev": "network"', r'"persistent": true', r'"uefimode": true'], needs=UEFI),
            Row("pyghmi set-bootdev default", truth=override("_DISABLED")),
            Row("pyghmi sensors , inventory , health , sel , users , net", parts, before=settled),
            Row("pyghmi identify on", truth=lambda board: board.chassis()["identify"]),
            Row("pyghmi identify off", truth=lambda board: not board.chassis()["identify"]),
            Row("pyghmi raw 0x06 0x01", r"^\[32, 0, "),
        ),
    }
)
