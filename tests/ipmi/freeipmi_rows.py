"""What FreeIPMI must get, without any workaround flag, group by group."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tests.ipmi.board import Board
from tests.ipmi.ipmitool_rows import METER, SENSORS, override, warm
from tests.ipmi.rows import Row

CACHE = "--sdr-cache-directory={folder}/cache"


def cache(board: Board) -> None:
    """FreeIPMI keeps sensor records by host; this folder is ours, and empty."""
    shutil.rmtree(board.folder / "cache", ignore_errors=True)
    (board.folder / "cache").mkdir()


def awake_cache(board: Board) -> None:
    """The host runs, and FreeIPMI has a folder for its cache."""
    cache(board)
    board.awake()


def boot_flags(board: Board) -> None:
    """As MAAS commits them."""
    text = "Section Chassis_Boot_Flags\n\tBoot_Flags_Persistent  No\n\tBoot_Device  PXE\nEndSection\n"
    (board.folder / "boot.conf").write_text(text)


def fru(board: Board) -> Sequence[str]:
    """What the inventory knows of FRU 0, and of FRU 1 where there is one."""
    whole = board.asset(board.whole)
    if "fru" not in whole:
        return [
            rf"FRU Chassis Serial Number: {re.escape(whole['serialNumber'])}$",
            rf"FRU Product Name: {re.escape(whole['model'])}$",
        ]
    chassis, part = whole["fru"], board.asset("board.0")["fru"]
    return [
        rf"FRU Chassis Serial Number: {re.escape(chassis['chassisSerialNumber'])}$",
        rf"FRU Product Name: {re.escape(chassis['productName'])}$",
        rf"FRU Board Serial Number: {re.escape(part['boardSerialNumber'])}$",
    ]


GROUPS: Mapping[str, tuple[Row, ...]] = MappingProxyType(
    {
        "bmc": (
            Row(
                "bmc-info",
                [r"^IPMI Version\s+: 2\.0$", r"^Device GUID : \S{36}$", r"^System GUID : \S{36}$", r"^BMC URL"],
            ),
            Row("bmc-info --get-channel-info", [r"^Medium Type\s+: 802\.3 LAN$", r"multi-session"]),
            Row("bmc-device --get-self-test-results", r"No Error"),
            Row("bmc-device --get-acpi-power-state", r"S4/S5|soft", before=lambda board: board.power("OFF")),
            Row("bmc-device --get-acpi-power-state", r"S0/G0", before=lambda board: board.power("ON")),
            Row("bmc-device --get-sdr-repository-time", r"SDR Repository Time : \d\d/\d\d/20\d\d"),
            Row("ipmi-raw 0 6 1", r"^rcvd: 01 00( [0-9A-F]{2}){15}\s*$"),
        ),
        "sensors": (
            Row(f"ipmi-sensors {CACHE}", r"host_power .*System ACPI Power State .* 'S0/G0'", before=awake_cache),
            Row(
                f"ipmimonitoring {CACHE} --sdr-cache-recreate --comma-separated-output --no-header-output"
                " --ignore-not-available-sensors --output-sensor-state",
                r"^\d+,host_power,System ACPI Power State,Nominal,N/A,N/A,'S0/G0'$",
                patience=10.0,
            ),
            Row(
                f"ipmi-sensors {CACHE}",
                [r"cpu0_temp .* Temperature .* C ", r"fan0_rpm .* RPM "],
                before=warm,
                needs=SENSORS,
            ),
            Row(
                f"ipmi-sensors {CACHE} --output-sensor-thresholds",
                r"cpu0_temp .*\| \d+\.00 .*\| \d+\.00 .* 'OK'",
                patience=10.0,
                needs=SENSORS,
            ),
            Row(
                f"ipmimonitoring {CACHE} --sdr-cache-recreate --comma-separated-output --no-header-output"
                " --ignore-not-available-sensors --output-sensor-state",
                [
                    r"^\d+,cpu0_temp,Temperature,Nominal,\d+\.\d+,C,'OK'$",
                    r"^\d+,fan0_rpm,Fan,Nominal,\d+\.\d+,RPM,'OK'$",
                ],
                patience=10.0,
                needs=SENSORS,
            ),
            Row(f"ipmi-fru {CACHE}", fru),
        ),
        "sel": (
            Row(f"ipmi-sel {CACHE} --clear", before=cache),
            Row(f"ipmi-sel {CACHE}", r"Log Area Reset/Cleared"),
            Row("ipmi-sel --info", [r"^SEL version\s+: 1\.5$", r"^Number of log entries\s+: 1$"]),
            Row("ipmitool chassis power diag", before=lambda board: board.power("ON")),
            Row(f"ipmi-sel {CACHE}", r"\| host_nmi\s+\| Critical Interrupt\s+\| Front Panel NMI", patience=10.0),
            Row("ipmitool chassis power reset", truth=lambda board: board.state("ON")),
        ),
        "chassis": (
            Row(
                "ipmi-chassis --get-status",
                [r"^System Power\s+: on$", r"^Power restore policy"],
                before=lambda b: b.power("ON"),
            ),
            Row(
                "ipmi-chassis --get-capabilities", [r"Diagnostic Interrupt\s+: provided", r"SEL Device Address\s+: 20h"]
            ),
            Row("ipmi-chassis --chassis-identify=20", truth=lambda board: board.chassis()["identify"]),
            Row("ipmi-chassis --chassis-identify=TURN-OFF", truth=lambda board: not board.chassis()["identify"]),
            Row("ipmi-chassis --get-system-restart-cause", r"Restart cause : Chassis control command$"),
            Row(
                "ipmi-config -g chassis --commit --filename={folder}/boot.conf",
                before=boot_flags,
                truth=override("_ONCE", "_PXE"),
            ),
            Row("ipmitool chassis bootdev none", truth=override("_DISABLED")),
        ),
        "power": (
            Row("ipmipower --off --wait-until-off", r"off|ok", truth=lambda board: board.state("OFF")),
            Row("ipmipower --stat", r": off$"),
            Row("ipmipower --cycle --on-if-off", r"ok", truth=lambda board: board.state("ON")),
            Row("ipmipower --stat", r": on$"),
            Row("ipmipower --reset", r"ok", truth=lambda board: board.state("ON")),
            Row("ipmipower --soft", r"ok", before=Board.awake, truth=lambda board: board.state("OFF")),
            Row("ipmipower --on --wait-until-on", r"on|ok", truth=lambda board: board.state("ON")),
        ),
        "config": (
            Row(
                "ipmi-config -g core --checkout",
                [
                    r"^\s*Username\s+admin$",
                    r"Lan_Privilege_Limit\s+Administrator$",
                    r"^\s*IP_Address\s+\d+\.",
                    r"Maximum_Privilege_Cipher_Suite_Id_3\s+Administrator$",
                    r"^\s*SOL_Privilege_Level\s+Operator$",
                ],
                fails=None,  # it is 1 for every BMC that lacks one of the cipher suites 0 to 15, as a safe one must
            ),
            Row("ipmi-config -g chassis --checkout", [r"Power_Restore_Policy\s+\S+", r"Boot_Device\s+NO-OVERRIDE"]),
            Row(f"ipmi-config -g sensors --checkout {CACHE}", r"^Section \d+_host_power$", before=cache),
            Row(
                f"ipmi-config -g sensors --checkout {CACHE}",
                [r"cpu0_temp", r"Upper_Critical_Threshold"],
                needs=SENSORS,
            ),
            Row("ipmi-config -g pef --checkout", r"Enable_PEF\s+No"),
            Row("ipmi-config -g dcmi --checkout", r"Asset_Tag"),
            Row("ipmi-dcmi --get-dcmi-capability-info", r"In-band System Interface Channel\s+: Available"),
            Row(
                "ipmi-dcmi --get-dcmi-capability-info",
                r"Power Management / Monitoring Support\s+: Available",
                needs=METER,
            ),
            Row(
                "ipmi-dcmi --get-system-power-statistics",
                [r"^Current Power\s+: \d+ Watts", r"Measurement\s+: Active"],
                needs=METER,
            ),
        ),
    }
)
PINGS = (
    Row("rmcpping", r"2 pings transmitted, 2 pongs received"),
    Row("ipmiping", r"2 requests transmitted, 2 responses received"),
)
"""Of clients that speak to port 623 only."""
