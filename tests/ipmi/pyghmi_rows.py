"""What pyghmi must get."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tests.ipmi.ipmitool_rows import override, warm
from tests.ipmi.rows import Row

GROUPS: Mapping[str, tuple[Row, ...]] = MappingProxyType(
    {
        "pyghmi": (
            Row("pyghmi power", r'"powerstate": "on"', before=lambda board: board.power("ON")),
            Row("pyghmi set-power off", r'"off"', truth=lambda board: board.state("OFF")),
            Row("pyghmi set-power on", r'"on"', truth=lambda board: board.state("ON")),
            Row("pyghmi set-bootdev network efi persist", truth=override("_CONTINUOUS", "_PXE", "_UEFI")),
            Row("pyghmi bootdev", [r'"bootdev": "network"', r'"persistent": true', r'"uefimode": true']),
            Row("pyghmi set-bootdev default", truth=override("_DISABLED")),
            Row("pyghmi sensors", [r'"cpu0_temp": \d', r'"psu0_presence": '], before=warm, patience=10.0),
            Row("pyghmi inventory", r"CH0001"),
            Row("pyghmi health", r'"health": 0'),
            Row("pyghmi sel", r"\["),
            Row("pyghmi identify on", truth=lambda board: board.chassis()["identify"]),
            Row("pyghmi identify off", truth=lambda board: not board.chassis()["identify"]),
            Row("pyghmi users", r'"2": "admin"|"admin"'),
            Row("pyghmi raw 0x06 0x01", r"^\[32, 0, "),
        ),
    }
)
