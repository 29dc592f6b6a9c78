"""Which tests cover which line of REQUIRED.md, which lies beside the checkout and says what IPMI clients must get."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

TOOL, FREE, ELSE = "## ipmitool -I lanplus", "## FreeIPMI", "## Traps seen"
"""Headings of the parts that say what must be."""
_SOL = "test_serial_over_lan"
_CHASSIS_POWER = ("status", "on", "off", "cycle", "reset", "soft", "diag")
_BOOT = {device: f"chassis bootdev {device}" for device in ("none", "pxe", "disk", "cdrom", "bios", "safe")}


@dataclass(frozen=True, slots=True)
class Line:
    """A line: how it begins, and for each thing that it asks for the row, or the test, that tries it.

    A row is named by how its command begins; a test by its name.
    """

    begins: str
    covered: Mapping[str, str]


LINES: Mapping[str, tuple[Line, ...]] = MappingProxyType(
    {
        TOOL: (
            Line(
                "`mc info | guid",
                {
                    "mc info": "ipmitool mc info",
                    "guid": "ipmitool mc guid",
                    "selftest": "ipmitool mc selftest",
                    "getenables": "ipmitool mc getenables",
                    "watchdog get": "ipmitool mc watchdog get",
                    "reset warm": "ipmitool mc reset warm",
                    "reset cold": "ipmitool mc reset cold",
                },
            ),
            Line(
                "`chassis status",
                {
                    "chassis status": "ipmitool chassis status",
                    "power status": "ipmitool chassis power status",
                    **{action: f"ipmitool chassis power {action}" for action in _CHASSIS_POWER[1:]},
                    "identify N": "ipmitool chassis identify 20",
                    "force": "ipmitool chassis identify force",
                    "0": "ipmitool chassis identify 0",
                    "poh": "ipmitool chassis poh",
                    "restart_cause": "ipmitool chassis restart_cause",
                    "policy list": "ipmitool chassis policy list",
                    **{
                        policy: f"ipmitool chassis policy {policy}"
                        for policy in ("always-on", "always-off", "previous")
                    },
                    "selftest": "ipmitool chassis selftest",
                },
            ),
            Line(
                "`chassis bootdev none",
                {
                    "chassis bootdev none": "ipmitool chassis bootdev none",
                    **{device: f"ipmitool {command}" for device, command in _BOOT.items() if device != "none"},
                    "options=persistent": "ipmitool chassis bootdev disk options=persistent",
                    "options=efiboot": "ipmitool chassis bootdev pxe options=efiboot",
                    "options=persistent,efiboot": "ipmitool chassis bootdev pxe options=persistent,efiboot",
                    "chassis bootparam get 5": "ipmitool chassis bootparam get 5",
                    "raw 0 8 3 8": "ipmitool raw 0 8 3 8",
                    "raw 0 8 5 0xe0 4 0 0 0": "ipmitool raw 0 8 5 0xe0 4 0 0 0",
                },
            ),
            Line(
                "`sdr list",
                {
                    "sdr list": "ipmitool sdr list",
                    "elist full": "ipmitool sdr elist full",
                    "elist all": "ipmitool sdr elist all",
                    "info": "ipmitool sdr info",
                    "type temperature": "ipmitool sdr type temperature",
                    "type fan": "ipmitool sdr type fan",
                    "dump": "ipmitool sdr dump",
                    "sensor list": "ipmitool sensor list",
                    "sensor get NAME": "ipmitool sensor get cpu0_temp",
                    "sensor thresh NAME ...": "ipmitool sensor thresh cpu0_temp upper",
                },
            ),
            Line(
                "`sel info",
                {
                    "sel info": "ipmitool sel info",
                    "list": "ipmitool sel list",
                    "elist": "ipmitool sel elist",
                    "get ID": "ipmitool sel get {entry}",
                    "time get": "ipmitool sel time get",
                    "time set now": "ipmitool sel time set now",
                    "add FILE": "ipmitool sel add {folder}/event.txt",
                    "delete ID": "ipmitool sel delete {entry}",
                    "clear": "ipmitool sel clear",
                    "event 1": "ipmitool event 1",
                },
            ),
            Line(
                "`fru print",
                {
                    "fru print": "ipmitool fru print",
                    "list": "ipmitool fru list",
                    "read": "ipmitool fru read 0",
                    "equal to inventory": "ipmitool fru print",
                },
            ),
            Line(
                "`lan print 1`",
                {
                    "lan print 1": "ipmitool lan print 1",
                    "lan set 1 ipsrc static": "ipmitool lan set 1 ipsrc static",
                    "dhcp": "ipmitool lan set 1 ipsrc dhcp",
                    "lan stats get": "ipmitool lan stats get",
                },
            ),
            Line(
                "`user list 1",
                {
                    "user list 1": "ipmitool user list 1",
                    "summary": "ipmitool user summary 1",
                    "set name": "ipmitool user set name 5",
                    "set password (16 and 20 bytes)": "ipmitool user set password 5",
                    "priv": "ipmitool user priv 5",
                    "enable": "ipmitool user enable 5",
                    "disable": "ipmitool user disable 5",
                    "test": "ipmitool user test 5 16",
                    "channel setaccess": "ipmitool channel setaccess 1 5",
                    "a login as that user": "test_a_user_made_over_ipmi_logs_in",
                },
            ),
            Line(
                "`channel info 1",
                {
                    "channel info 1": "ipmitool channel info 1",
                    "getaccess 1 2": "ipmitool channel getaccess 1 2",
                    "authcap 1 4": "ipmitool channel authcap 1 4",
                    "getciphers ipmi 1": "ipmitool channel getciphers ipmi 1",
                    "session info active": "ipmitool session info active",
                    "all": "ipmitool session info all",
                },
            ),
            Line(
                "`sol info 1",
                {
                    "sol info 1": "ipmitool sol info 1",
                    "set ...": "ipmitool sol set retry-count 4 1",
                    "payload status": "ipmitool sol payload status 1 2",
                    "activate": _SOL,
                    "deactivate": _SOL,
                    "break and escape": _SOL,
                },
            ),
            Line(
                "`raw` of an unknown command",
                {
                    "raw": "ipmitool raw",
                    "C1h": "ipmitool raw 0x06 0x99",
                    "C7h": "ipmitool raw 0x06 0x24 0x01",
                    "D4h": "ipmitool raw 0x06 0x45 0x05",
                },
            ),
            Line(
                "`dcmi discover",
                {
                    "dcmi discover": "ipmitool dcmi discover",
                    "power reading": "ipmitool dcmi power reading",
                    "asset_tag": "ipmitool dcmi asset_tag",
                    "get_mc_id_string": "ipmitool dcmi get_mc_id_string",
                    "pef info": "ipmitool pef info",
                    "exec FILE": "ipmitool exec {folder}/commands.txt",
                },
            ),
            Line(
                "wrong password",
                {
                    "wrong password, unknown user: refused": "test_who_is_not_let_in",
                    "same timing, same shape": "test_a_stranger_cannot_tell_who_has_an_account",
                    "-I lan": "test_unsafe_sessions_are_refused",
                    "cipher 0, 1, 2, 6, 7, 8, 11, 12": "test_unsafe_suites_are_refused_by_name",
                    "-C": "test_the_client_finds_the_cipher_suite_by_itself",
                },
            ),
        ),
        FREE: (
            Line(
                "`bmc-info`",
                {
                    "bmc-info": "bmc-info",
                    "--get-channel-info": "bmc-info --get-channel-info",
                    "bmc-device --get-self-test-results": "bmc-device --get-self-test-results",
                    "--get-acpi-power-state": "bmc-device --get-acpi-power-state",
                    "--get-sdr-repository-time": "bmc-device --get-sdr-repository-time",
                },
            ),
            Line(
                "`ipmi-sensors`",
                {
                    "ipmi-sensors": "ipmi-sensors",
                    "--output-sensor-thresholds": "ipmi-sensors {cache} --output-sensor-thresholds",
                    "comma-separated": "ipmimonitoring {cache} --sdr-cache-recreate --comma-separated-output",
                    "ipmimonitoring": "ipmimonitoring",
                    "ipmi-sel": "ipmi-sel",
                    "--info": "ipmi-sel --info",
                    "--clear": "ipmi-sel {cache} --clear",
                    "ipmi-fru": "ipmi-fru",
                },
            ),
            Line(
                "`ipmi-chassis --get-status",
                {
                    "ipmi-chassis --get-status": "ipmi-chassis --get-status",
                    "--get-capabilities": "ipmi-chassis --get-capabilities",
                    "--chassis-identify=N": "ipmi-chassis --chassis-identify=20",
                    "--get-system-restart-cause": "ipmi-chassis --get-system-restart-cause",
                    "ipmi-chassis-config --commit": "ipmi-config -g chassis --commit",
                },
            ),
            Line(
                "`ipmipower --stat",
                {
                    "ipmipower --stat": "ipmipower --stat",
                    "--on --wait-until-on": "ipmipower --on --wait-until-on",
                    "--off --wait-until-off": "ipmipower --off --wait-until-off",
                    "--cycle --on-if-off": "ipmipower --cycle --on-if-off",
                    "--soft": "ipmipower --soft",
                    "--reset": "ipmipower --reset",
                },
            ),
            Line(
                "`ipmi-config -g core",
                {
                    "ipmi-config -g core": "ipmi-config -g core --checkout",
                    "chassis": "ipmi-config -g chassis --checkout",
                    "sensors": "ipmi-config -g sensors --checkout",
                    "pef": "ipmi-config -g pef --checkout",
                    "dcmi --checkout": "ipmi-config -g dcmi --checkout",
                    "ipmi-raw 0 6 1": "ipmi-raw 0 6 1",
                    "ipmi-dcmi --get-dcmi-capability-info": "ipmi-dcmi --get-dcmi-capability-info",
                    "--get-system-power-statistics": "ipmi-dcmi --get-system-power-statistics",
                    "ipmiconsole": _SOL,
                    "rmcpping": "rmcpping",
                    "ipmiping": "ipmiping",
                },
            ),
        ),
        ELSE: (
            Line("ipmitool without `-C`", {"-C": "test_the_client_finds_the_cipher_suite_by_itself"}),
            Line(
                "The privilege in the Open Session Response",
                {
                    "must be the one asked for": "test_open_session_is_agreed_on_as_the_client_took_it",
                    "Get Device ID is 15 bytes": "test_device_id_has_fifteen_bytes",
                },
            ),
            Line(
                "An unknown user",
                {
                    "same shape, in the same time": "test_a_stranger_cannot_tell_who_has_an_account",
                    "A request of zero length": "test_garbage_and_empty_datagrams_do_not_hurt",
                    "keep-alive": "test_a_keep_alive_without_characters_is_acknowledged",
                },
            ),
            Line("Never answer with more", {"Get Chassis Capabilities": "ipmitool raw 0x00 0x00"}),
            Line("A SOL test whose echo", {"send one marker, expect another": _SOL}),
            Line(
                "FreeIPMI caches SDRs",
                {
                    "--sdr-cache-directory": "ipmi-sensors {cache}",
                    "ipmiping": "ipmiping",
                    "rmcpping": "rmcpping",
                },
            ),
            Line(
                "Who calls what",
                {
                    "-L ADMINISTRATOR -R 7 -N 5 -f pwfile": "ipmitool mc info",
                    "raw 0 8 ...": "ipmitool raw 0 8 5",
                    "sdr -v": "ipmitool -v sdr",
                    "sdr dump": "ipmitool sdr dump",
                    "lan print": "ipmitool lan print",
                    "bmc reset warm": "ipmitool mc reset warm",
                    "sol": _SOL,
                    "ipmi-chassis-config --commit": "ipmi-config -g chassis --commit",
                    "ipmipower --cycle --on-if-off": "ipmipower --cycle --on-if-off",
                    "--soft": "ipmipower --soft",
                    "ipmimonitoring": "ipmimonitoring {cache} --sdr-cache-recreate",
                    "ipmi-dcmi --get-system-power-statistics": "ipmi-dcmi --get-system-power-statistics",
                    "ipmi-sel --info": "ipmi-sel --info",
                    "user list": "ipmitool user list",
                    "sel list": "ipmitool sel list",
                    "sel clear": "ipmitool sel clear",
                },
            ),
        ),
    }
)


def bullets(text: str) -> Iterator[tuple[str, str]]:
    """The lines of REQUIRED.md with their headings, each with those that go on with it."""
    heading, found = "", ""
    for line in [*text.splitlines(), "#"]:
        if line.startswith(("- ", "#")) and found:
            yield heading, found
            found = ""
        if line.startswith("#"):
            heading = line
        elif line.startswith("- "):
            found = line[2:]
        elif found:
            found += f" {line.strip()}"


def asked(line: str) -> list[str]:
    """What a line asks for: what is between back quotes, and what of it stands between bars."""
    return [each.strip() for quoted in re.findall(r"`([^`]+)`", line) for each in quoted.split("|")]
