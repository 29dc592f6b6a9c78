"""What ipmitool must get, group by group."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.harness.program import until
from tests.ipmi.board import Board
from tests.ipmi.rows import Row, Truth

IPMI = "ipmitool "
SETTLED = 10.0
"""What IPMI shows of sensors may be a second old, and more on a machine that is busy."""
UEFI, MENUS, SENSORS, STORAGE, METER = "UEFI", "firmware menus", "sensors", "FRU storage", "power meter"
"""What rows need."""
SEL_ENTRY = "0x04 0x04 0x30 0x01 0x57 0xff 0xff"


def tool(command: str, says: Any = (), **more: Any) -> Row:
    """A row of ipmitool."""
    return Row(IPMI + command, says, **more)


def override(mode: str, target: str = "", firmware: str = "") -> Truth:
    """The boot override that the other door must show."""

    def shown(board: Board) -> bool:
        found = board.host().get("bootOverride") or {}
        return (
            found.get("mode", "").endswith(mode)
            and (not target or found.get("target", "").endswith(target))
            and (not firmware or found.get("firmware", "").endswith(firmware))
        )

    return shown


def fru(board: Board) -> Sequence[str]:
    """What the inventory knows of FRU 0, and of FRU 1 where there is one."""
    whole = board.asset(board.whole)
    if "fru" not in whole:
        return [
            rf"Product Manufacturer\s*: {re.escape(whole['manufacturer'])}$",
            rf"Product Name\s*: {re.escape(whole['model'])}$",
            rf"Product Serial\s*: {re.escape(whole['serialNumber'])}$",
            rf"Board Product\s*: {re.escape(whole['model'])}$",
            rf"Chassis Serial\s*: {re.escape(whole['serialNumber'])}$",
        ]
    chassis, part = whole["fru"], board.asset("board.0")["fru"]
    return [
        rf"Chassis Part Number\s*: {re.escape(chassis['chassisPartNumber'])}$",
        rf"Chassis Serial\s*: {re.escape(chassis['chassisSerialNumber'])}$",
        rf"Product Name\s*: {re.escape(chassis['productName'])}$",
        rf"Board Mfg\s*: {re.escape(part['boardManufacturer'])}$",
        rf"Board Product\s*: {re.escape(part['boardProduct'])}$",
        rf"Board Serial\s*: {re.escape(part['boardSerialNumber'])}$",
    ]


def fru_file(board: Board) -> bool:
    """The file that was read is the storage, byte for byte."""
    import base64

    data = base64.b64decode(board.rest("assets/chassis.0:readFru")["data"])
    return (board.folder / "fru.bin").read_bytes() == data


def fru_view(board: Board) -> bool:
    """The file that was read is what FRU 0 would be as a storage: it has a header, and what is known of it."""
    data = (board.folder / "fru.bin").read_bytes()
    return sum(data[:8]) % 256 == 0 and data[0] == 1 and str(board.asset(board.whole)["serialNumber"]).encode() in data


def readings(board: Board) -> Sequence[str]:
    """Every sensor that has a reading, within a step of it."""
    found = []
    for sensor in board.rest("sensors?pageSize=500")["sensors"]:
        if sensor["kind"].endswith(("_STATE", "_ENERGY")) or len(sensor["name"]) > 16:
            continue
        good = sensor["quality"].endswith("_GOOD")
        number = r"-?\d" if good else "na"
        found.append(rf"^{re.escape(sensor['name'])}\s+\| {number}")
    return found


def warm(board: Board) -> None:
    """The host runs, and its sensors have settled."""
    board.power("ON")
    until(lambda: board.sensor("cpu0_temp")["quality"].endswith("_GOOD"), 30.0, "the sensors have settled")


def write_event(board: Board) -> None:
    """A file as `ipmitool sel add` takes it: seven bytes of an event, in hexadecimal."""
    (board.folder / "event.txt").write_text(SEL_ENTRY + "\n")


def commands(board: Board) -> None:
    """A file as `ipmitool exec` takes it."""
    Path(board.folder / "commands.txt").write_text("mc info\nchassis power status\nsel info\nsdr elist all\n")


def written(board: Board) -> bool:
    """Whether the log has the record with sensor 44h."""
    return any(event["arguments"].get("record", "").endswith("02446f01ffff") for event in board.program.events())


_SENSORS = (
    tool("sdr list", [r"^cpu0_temp\s+\| ", r"^psu0_vout\s+\| "], before=warm),
    tool("sdr elist full", r"^cpu0_temp\s+\| 01h \| ok\s+\|\s+3\.1 \| \d+", patience=SETTLED),
    tool("sdr type temperature", [r"^cpu0_temp ", r"^inlet_temp "], never=[r"^fan0_rpm "]),
    tool("sdr type fan", r"^fan0_rpm\s+\| .* \d+ RPM$", never=[r"^cpu0_temp "], patience=SETTLED),
    tool("sensor list", readings, patience=SETTLED),
    tool(
        "sensor get cpu0_temp",
        [r"Sensor Type \(Threshold\)\s+: Temperature", r"Upper Critical\s+: 90\.000"],
        before=lambda board: board.do("POST", "sensors/cpu0_temp:resetThresholds", {}),
        patience=SETTLED,
    ),
    tool(
        "sensor thresh cpu0_temp ucr 92",
        r"Upper Critical threshold to 92\.000",
        truth=lambda board: board.sensor("cpu0_temp")["thresholds"]["upperCritical"] == 92,
    ),
    tool("sensor get cpu0_temp", r"Upper Critical\s+: 92\.000"),
    tool(
        "sensor thresh cpu0_temp upper 78 88 98",
        truth=lambda board: (
            board.sensor("cpu0_temp")["thresholds"]["upperWarning"] == 78
            and board.sensor("cpu0_temp")["thresholds"]["upperFatal"] == 98
        ),
    ),
    tool(
        "raw 0x04 0x24 0x01 0xff 0x03 0x03",
        truth=lambda board: board.sensor("cpu0_temp")["thresholds"]["hysteresis"] == 3,
    ),
    tool("raw 0x04 0x25 0x01 0xff", r"^ 03 03$"),
    tool("raw 0x04 0x29 0x01", r"^ c0 "),
    tool("raw 0x04 0x28 0x01 0x40"),
    tool("raw 0x04 0x29 0x01", r"^ 40 00 00 00 00$"),
    tool("raw 0x04 0x28 0x01 0xc0"),
    tool("sensor get psu0_presence", r"\[Presence detected\]"),
    tool(
        "sensor get cpu0_temp",
        r"Unable to read sensor",
        before=lambda board: board.power("OFF"),
        patience=SETTLED,
        fails=True,
    ),
    tool("sensor list", readings, patience=SETTLED),
)

GROUPS: Mapping[str, tuple[Row, ...]] = MappingProxyType(
    {
        "device": (
            tool("mc info", [r"^IPMI Version\s+: 2\.0$", r"SDR Repository Device", r"^Device Available\s+: yes"]),
            tool("mc guid", r"^System GUID\s+: [0-9a-f-]{36}$"),
            tool("mc selftest", r"^Selftest: passed$"),
            tool("mc getenables", r"^System Event Logging\s+: enabled$"),
            tool("mc watchdog get", [r"Watchdog Timer Use", r"Watchdog Timer Is:\s+Stopped"]),
            tool("raw 0x06 0x24 0x04 0x01 0 0x10 0x2c 0x01"),
            tool(
                "mc watchdog reset",
                r"countdown restarted",
                truth=lambda board: (
                    board.host()["watchdog"]["running"]
                    and board.host()["watchdog"]["action"] == "WATCHDOG_ACTION_RESET"
                ),
                before=lambda board: board.power("ON"),
            ),
            tool("mc watchdog get", [r"Started/Running", r"Hard Reset", r"Initial Countdown:\s+30\.0 sec"]),
            tool("mc watchdog off", r"stopped", truth=lambda board: not board.host()["watchdog"].get("running")),
            tool("session info active", [r"^user id\s+: 2$", r"^privilege level\s+: ADMINISTRATOR$"]),
            tool("session info all", r"^console ip\s+: 127\.0\.0\.1$"),
        ),
        "power": (
            tool("chassis power off", r"Down/Off", truth=lambda board: board.state("OFF")),
            tool("chassis power status", r"^Chassis Power is off$"),
            tool("chassis power cycle", r"not supported in present state", fails=True),
            tool("chassis power on", r"Up/On", truth=lambda board: board.state("ON")),
            tool("chassis power on", r"Up/On"),
            tool("chassis power status", r"^Chassis Power is on$"),
            tool("chassis status", [r"^System Power\s+: on$", r"^Power Restore Policy\s+: \S+", r"Last Power Event"]),
            tool("chassis restart_cause", r"[Cc]hassis power control command"),
            tool("chassis poh", r"^POH Counter\s+: 0 days, 0 hours"),
            tool(
                "chassis power diag",
                r"Diag",
                truth=lambda board: any(
                    "NMI" in event["arguments"].get("kind", "") for event in board.program.events()
                ),
            ),
            tool("chassis power reset", r"Reset", truth=lambda board: board.state("ON")),
            tool("chassis power cycle", r"Cycle", truth=lambda board: board.state("ON")),
            tool("chassis power soft", r"Soft", before=Board.awake, truth=lambda board: board.state("OFF")),
            tool("chassis selftest", r"Self Test Results\s+: passed"),
        ),
        "chassis": (
            tool("chassis identify 20", r"20 seconds", truth=lambda board: board.chassis()["identify"]),
            tool("chassis identify 0", r"off", truth=lambda board: not board.chassis()["identify"]),
            tool("chassis identify force", r"indefinite", truth=lambda board: board.chassis()["identify"]),
            tool("chassis identify 1", r"1 seconds", truth=lambda board: not board.chassis()["identify"]),
            tool("chassis policy list", r"always-off always-on previous"),
            tool(
                "chassis policy always-on",
                r"always-on",
                truth=lambda board: board.host()["restorePolicy"] == "RESTORE_POLICY_ALWAYS_ON",
            ),
            tool("chassis status", r"^Power Restore Policy\s+: always-on$"),
            tool(
                "chassis policy always-off",
                truth=lambda board: board.host()["restorePolicy"] == "RESTORE_POLICY_ALWAYS_OFF",
            ),
            tool("chassis policy previous"),
            tool("chassis status", r"^Power Restore Policy\s+: previous$"),
        ),
        "boot": (
            tool("chassis bootdev pxe", r"Set Boot Device to pxe", truth=override("_ONCE", "_PXE")),
            tool("chassis bootparam get 5", [r"Boot Flag Valid", r"only next boot", r"Force PXE"]),
            tool("chassis bootdev disk", truth=override("_ONCE", "_DISK")),
            tool("chassis bootdev cdrom", truth=override("_ONCE", "_CD")),
            tool("chassis bootdev bios", truth=override("_ONCE", "_FIRMWARE_SETUP"), needs=MENUS),
            tool("chassis bootdev safe", truth=override("_ONCE", "_SAFE_MODE"), needs=MENUS),
            tool("chassis bootdev disk options=persistent", truth=override("_CONTINUOUS", "_DISK")),
            tool("chassis bootparam get 5", [r"all future boots", r"legacy"]),
            tool("chassis bootdev pxe options=efiboot", truth=override("_ONCE", "_PXE", "_UEFI"), needs=UEFI),
            tool(
                "chassis bootdev pxe options=persistent,efiboot",
                truth=override("_CONTINUOUS", "_PXE", "_UEFI"),
                needs=UEFI,
            ),
            tool(
                "chassis bootparam get 5",
                [r"Boot parameter data: e004000000", r"Boot Flag Valid", r"BIOS EFI boot", r"all future boots"],
                needs=UEFI,
            ),
            tool("raw 0 8 3 8"),
            tool("raw 0 9 3 0 0", r"^ 01 03 08$"),
            tool("chassis bootdev none", truth=override("_DISABLED")),
            tool("raw 0 8 5 0xe0 4 0 0 0", truth=override("_CONTINUOUS", "_PXE", "_UEFI"), needs=UEFI),
            tool("raw 0 9 5 0 0", r"^ 01 05 e0 04 00 00 00$", needs=UEFI),
            tool("raw 0 8 5 0xe0 0x0c 0 0x10 3", needs=MENUS),
            tool("raw 0 9 5 0 0", r"^ 01 05 e0 0c 00 10 03$", needs=MENUS),
            tool("raw 0 8 6 1 2 3 4 5 6 7 8 9"),
            tool("raw 0 9 6 0 0", r"^ 01 06 01 02 03 04 05 06 07 08 09$"),
            tool("raw 0 8 5 0x80 0x28 0 0 0", r"rsp=0xcc", fails=True),
            tool("chassis bootdev pxe", truth=override("_ONCE", "_PXE")),
            tool("chassis power cycle", before=lambda board: board.power("ON"), truth=override("_DISABLED")),
            tool("chassis bootparam get 5", r"Boot Flag Invalid"),
            tool("chassis bootdev none"),
        ),
        "sensors": (
            tool(
                "sdr list",
                [r"^host_power\s+\| 0x01", r"^host_watchdog\s+\|"],
                before=lambda board: board.power("ON"),
                patience=SETTLED,
            ),
            tool(
                "sdr elist all",
                lambda board: [
                    rf"^{board.whole.replace('.', '_')}\s+\| .*Logical FRU @00h",
                    r"^bmc\.0\s+\| .*Dynamic MC @ 20h",
                ],
            ),
            tool("sensor get host_power", [r"System ACPI Power State", r"\[S0/G0: working\]"], patience=SETTLED),
            tool("-v sdr", [r"^Sensor ID\s+: host_watchdog", r"Watchdog"]),
            tool("sdr info", [r"^SDR Version\s+: 0x51", r"^Record Count\s+: [1-9]"]),
            tool("sdr dump {folder}/sdr.bin", truth=lambda board: (board.folder / "sdr.bin").stat().st_size > 100),
            *(replace(row, needs=SENSORS) for row in _SENSORS),
        ),
        "sel": (
            tool("sel clear", r"Clearing SEL"),
            tool("sel info", [r"^Version\s+: 1\.5", r"^Entries\s+: 1$"]),
            tool("sel elist", r"Log area reset/cleared"),
            tool("event 1", r"Temperature"),
            tool("sel elist", r"Temperature #0x30 .*Upper Critical going high"),
            tool("sel add {folder}/event.txt", before=write_event),
            tool("sel list", [r"Temperature #0x30", r"Fan #0x30 .*Upper Non-critical going high"]),
            tool("raw 0x0a 0x44 0 0 2 0 0 0 0 0x20 0 4 2 0x44 0x6f 1 0xff 0xff", r"^ [0-9a-f]{2} [0-9a-f]{2}$"),
            tool("sel list", r"Voltage #0x44", truth=written),
            tool(
                "sel get {entry}",
                [r"^SEL Record ID\s+: [0-9a-f]{4}$", r"Sensor Type\s+: Voltage$", r"Event Data( \(RAW\))?\s+: 01ffff$"],
            ),
            tool("sel delete {entry}", r"^Deleted entry \d+", truth=lambda board: not written(board)),
            tool("sel list", r"Fan #0x30", never=[r"Voltage #0x44"]),
            tool("sel get 0x7ffe", r"not found", fails=True),
            tool("sel delete 0x7ffe", r"not found", fails=True),
            tool("sel time get", lambda _: [time.strftime(r"^%m/%d/%y %H:%M:\d\d", time.gmtime())], patience=3.0),
            tool("sel time set now", r"^\d\d/\d\d/\d\d \d\d:\d\d:\d\d"),
            tool("raw 0x0a 0x43 0 0 0x34 0x12 0 0xff", r"rsp=0xcb", fails=True),
            tool("raw 0x0a 0x47 1 2 0x43 0x4c 0x52 0xaa", r"rsp=0xc5", fails=True),
            tool("chassis power diag", before=lambda board: board.power("ON")),
            tool("sel elist", r"Critical Interrupt host_nmi \| NMI/Diag Interrupt \| Asserted", patience=SETTLED),
            tool("sdr list event", r"^host_nmi\s+\| Event-Only"),
            tool("chassis power reset", truth=lambda board: board.state("ON")),
        ),
        "fru": (
            tool("fru print", fru),
            tool("fru list", fru),
            tool("fru print 1", r"Board Serial", needs=STORAGE),
            tool("fru read 0 {folder}/fru.bin", truth=fru_view),
            tool("fru read 0 {folder}/fru.bin", truth=fru_file, needs=STORAGE),
            tool("fru write 0 {folder}/fru.bin", truth=fru_file, needs=STORAGE),
        ),
        "lan": (
            tool(
                "lan print 1",
                lambda board: [
                    r"^IP Address Source\s+: DHCP Address$",
                    rf"^IP Address\s+: {re.escape(interface(board)['ipv4']['addresses'][0]['address'])}$",
                    rf"^MAC Address\s+: {interface(board)['macAddress']}$",
                    r"^RMCP\+ Cipher Suites\s+: .*17",
                ],
            ),
            tool("lan set 1 ipsrc static", truth=lambda board: not interface(board)["ipv4"].get("dhcp")),
            tool(
                "lan set 1 ipaddr 192.0.2.77",
                truth=lambda board: interface(board)["ipv4"]["addresses"][0]["address"] == "192.0.2.77",
            ),
            tool(
                "lan set 1 netmask 255.255.255.128",
                truth=lambda board: interface(board)["ipv4"]["addresses"][0]["prefixLength"] == 25,
            ),
            tool(
                "lan set 1 defgw ipaddr 192.0.2.100",
                truth=lambda board: interface(board)["ipv4"]["gateway"] == "192.0.2.100",
            ),
            tool("lan print 1", [r"Static Address", r"192\.0\.2\.77$", r"255\.255\.255\.128$", r"192\.0\.2\.100$"]),
            tool("lan set 1 ipsrc dhcp", truth=lambda board: interface(board)["ipv4"]["dhcp"]),
            tool("lan stats get", [r"IP Rx Packet\s+:", r"RMCP Rx"]),
            tool("channel info 1", [r"802\.3 LAN", r"multi-session"]),
            tool("channel getaccess 1 2", [r"User Name\s+: admin$", r"Privilege Level\s+: ADMINISTRATOR$"]),
            tool("channel authcap 1 4", [r"IPMI v2\.0 : yes|IPMI v2\.0\s+: yes", r"IPMI v1\.5\s+: no"]),
            tool("channel getciphers ipmi 1", r"^17 .*hmac_sha256"),
        ),
        "sol": (
            tool("sol info 1", [r"^Enabled\s+: true$", r"^Payload Channel\s+: 1"]),
            tool("sol set retry-count 4 1"),
            tool("sol set character-send-threshold 80 1"),
            tool("sol set character-accumulate-level 10 1"),
            tool("sol set privilege-level admin 1"),
            tool("sol info 1", [r"Retry Count\s+: 4$", r"Threshold\s+: 80$", r"\(ms\)\s+: 50$", r"ADMINISTRATOR"]),
            tool("sol set privilege-level operator 1"),
            tool("sol payload status 1 2", r"User 2 on channel 1 is enabled"),
        ),
        "other": (
            tool("raw 0x06 0x99", r"rsp=0xc1", fails=True),
            tool("raw 0x06 0x24 0x01", r"rsp=0xc7", fails=True),
            tool("raw 0x00 0x02 0x01", r"rsp=0xd4", fails=True, login={"level": "USER"}),
            tool("raw 0x06 0x45 0x05", r"rsp=0xd4", fails=True, login={"level": "OPERATOR"}),
            tool("raw 0x00 0x00", r"^ [0-9a-f]{2} 20 20 20 20$"),
            tool("raw 0x06 0x01", r"^ 20 00( [0-9a-f]{2}){9}\s( [0-9a-f]{2}){0,4}"),
            tool("dcmi discover", r"Primary LAN channel number: 1"),
            tool("dcmi discover", r"Power management available", needs=METER),
            tool("dcmi power reading", [r"Instantaneous power reading:\s+\d+ Watts", r"activated"], needs=METER),
            tool(
                "dcmi set_asset_tag rack-7-slot-21-front",
                r"rack-7-slot-21-front",
                truth=lambda board: board.asset(board.whole)["assetTag"] == "rack-7-slot-21-front",
            ),
            tool("dcmi asset_tag", r"rack-7-slot-21-front"),
            tool(
                "dcmi set_mc_id_string bmc-7",
                truth=lambda board: board.rest("network")["network"]["hostName"] == "bmc-7",
            ),
            tool("dcmi get_mc_id_string", r"bmc-7"),
            tool("dcmi sensors", [r"CPU: 2 temperature sensors found", r"cpu0_temp"], needs=SENSORS),
            tool("pef info", r"0x51"),
            tool(
                "exec {folder}/commands.txt",
                [r"IPMI Version", r"Chassis Power is", r"^Entries", r"Dynamic MC @ 20h"],
                before=commands,
            ),
        ),
    }
)


def interface(board: Board) -> dict[str, Any]:
    """The network interface."""
    return dict(board.rest("network/interfaces")["networkInterfaces"][0])
