"""What is different where the host is a QEMU machine: what such a board lacks and why, and what clients get instead."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tests.ipmi.board import Board
from tests.ipmi.freeipmi_rows import CACHE, cache
from tests.ipmi.ipmitool_rows import MENUS, METER, SENSORS, STORAGE, UEFI, override, tool
from tests.ipmi.rows import Row

LACKS: Mapping[str, str] = MappingProxyType(
    {
        UEFI: "the machine has SeaBIOS, which knows no UEFI",
        MENUS: "QEMU has no way to have the firmware enter its menu or a safe mode",
        SENSORS: "a virtual machine has no temperatures, voltages, fans or power supplies",
        STORAGE: "no EEPROM: its FRU is made of what the inventory knows, and cannot be written",
        METER: "nothing measures what a virtual machine takes",
    }
)
"""The exceptions: rows with these needs are left out, and all else must be as on the simulated board."""


def guid(board: Board) -> Sequence[str]:
    """The GUID of the system is the UUID that the guest sees."""
    return [rf"^System GUID\s+: {re.escape(str(uuid.UUID(board.asset('host.0')['details']['uuid'])))}$"]


def no_sensors(board: Board) -> bool:
    """Whether the other door knows no sensor either."""
    answer = board.program.request("GET", "/api/v1alpha1/sensors")
    return answer.status_code == 404 and "no sensors" in answer.text


NOTHING = r"\A\s*\Z"
INSTEAD: Mapping[str, tuple[Row, ...]] = MappingProxyType(
    {
        UEFI: (
            tool("chassis bootdev none"),
            tool("chassis bootdev pxe options=efiboot", r"failed: Invalid data field", truth=override("_DISABLED")),
            tool("raw 0 8 5 0xe0 4 0 0 0", r"rsp=0xcc", fails=True, truth=override("_DISABLED")),
        ),
        MENUS: (
            tool("chassis bootdev bios", r"failed: Invalid data field", truth=override("_DISABLED")),
            tool("chassis bootdev safe", r"failed: Invalid data field", truth=override("_DISABLED")),
        ),
        SENSORS: (
            tool("sdr elist full", NOTHING, truth=no_sensors),
            tool("sdr type temperature", NOTHING),
            tool("sdr type fan", NOTHING),
            tool("sensor list", r"^host_power\s+\| 0x", never=[r"degrees C|Volts|RPM|Watts"]),
            tool("sensor thresh cpu0_temp ucr 92", r"not found", fails=True),
            tool("raw 0x04 0x2d 0x01", r"rsp=0xcb", fails=True),
            tool("raw 0x04 0x27 0x01", r"rsp=0xcb", fails=True),
            tool("dcmi sensors", r"CPU: 0 temperature sensor"),
            Row(f"ipmi-sensors {CACHE}", r"host_power", never=[r"Temperature|Voltage|Fan"], before=cache),
        ),
        STORAGE: (
            tool("fru print 1", r"Device not present", fails=True),
            tool("raw 0x0a 0x12 0 0 0 0xff", r"rsp=0x80", fails=True),
        ),
        METER: (
            tool("dcmi power reading", r"Invalid command", fails=True),
            tool("dcmi discover", never=[r"Power management available"]),
            Row("ipmi-dcmi --get-dcmi-capability-info", r"Power Management / Monitoring Support\s+: Not present"),
            Row("ipmi-dcmi --get-system-power-statistics", r"invalid or unsupported", fails=True),
        ),
    }
)

MACHINE = (
    tool("mc guid", guid),
    tool("chassis power on", before=lambda board: board.power("OFF"), truth=lambda board: board.state("ON")),
    tool("chassis status", [r"^System Power\s+: on$", r"Last Power Event\s+: command"]),
    tool("sel list", r"System ACPI Power State"),
)
"""What is true of virtual machines only."""
