"""Writes docs/ipmi-commands.md, every command of IPMI that is answered; `--check` says if it is stale."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from ubmc.kit.bus import Bus
from ubmc.protocols.ipmi.codes import Level, NetFn
from ubmc.services.ipmisrv.commands.suite import Suite, SuiteOptions
from ubmc.services.ipmisrv.dispatch import Command, Table
from ubmc.services.ipmisrv.door import Door, IpmiOptions

TARGET = Path(__file__).parent.parent / "docs" / "ipmi-commands.md"

INTRO = """\
# IPMI commands

Every command that [ipmisrv](ipmi.md) answers, and where the answer comes from. Written from the dispatch table by
`python tools/ipmi_docs.py` and checked by the unit tests: what stands here is what runs. For people who want to know
whether their tool will get its answer, and what it may do.

- **Level** is the lowest privilege level, as table G-1 of the specification has it, or higher where the call behind it
  needs more (clearing the log, writing a FRU, changing users). The call is made as the user of the session, so the
  [role](usermgr.md) of the account counts too. *none* is answered before a session.
- **Guest** says whether the host itself may, by default ([ipmi.md](ipmi.md)).
- **Behind it** is the call of the [API](api-reference.md). *Watch* calls are followed all the time, so the command is
  answered from memory. An empty cell is a fact of ipmisrv itself.
"""
TITLES = {
    NetFn.CHASSIS: "Chassis",
    NetFn.SENSOR: "Sensor and event",
    NetFn.APP: "Application",
    NetFn.STORAGE: "Storage",
    NetFn.TRANSPORT: "Transport",
    NetFn.GROUP: "DCMI",
}
OUTRO = """\
All other commands are answered C1h, "invalid command".

## Sensors

A sensor has its number by its place in the board file, 1 to EFh on LUN 0, then on LUN 1 and 3, and keeps it. Its name
is that of the board, cut to 16 characters where it is longer. Readings have 8 bits: the step of each sensor is chosen
so that its limits are exact, and a reading is right to half a step (`ipmitool sensor get` shows it). A counter of
energy has no end and so is left out. A sensor that cannot be read now, because its host is off or it is broken, says
"reading unavailable"; it never shows 0 instead. What IPMI sets as a limit is the limit everywhere.

## The event log

The SEL is a view of [the event log](eventlog.md). In it are, each under an id that follows from its own and stays:

| Event | As |
| --- | --- |
| `Sensor.ThresholdCrossed` | the threshold event of the sensor, with reading and limit |
| `Sensor.StateChanged` | the state of the sensor |
| `Sensor.QualityChanged` | the sensor goes off line, or comes back; subsystem health for one without an SDR |
| `Host.StateChanged` to on or off | system ACPI power state |
| `Host.News` | watchdog 2, OS stop, boot initiated, button, critical interrupt |
| `Thermal.Tripped` | processor: thermal trip |
| `EventLog.Cleared` | event logging: log area cleared |
| `Ipmi.PlatformEvent` | the record as it was written over IPMI |

Everything else (who logged in, who changed what) has no record in IPMI. *Clear SEL* clears the whole event log, so it
needs what clearing that needs; the [audit trail](security.md) stays.

## Users

User ids are 2 to 15. *Set User Name* gives an id to the account of that name, or makes a service account without a
password that may do nothing until it has a secret and a level. *Set User Access* gives a service account the role that
the level stands for; for a person's account it only sets a limit. *Set User Password* sets the IPMI secret and never
the password: at least as long as the account policy says, and, below 16 characters, not a common one. An empty name
gives the id up.

## Boot flags

The flags are the boot override of the host, and are read back as they were written until they are consumed or changed
by another door. They lapse after 60 s without a power command only if parameter 3 asks for that; it does not by
default. Then they leave alone what a boot has consumed or somebody else has set meanwhile.
"""


def table() -> Table:
    """The commands, without anything behind them."""
    door = Door(
        cast("Bus", None),
        IpmiOptions(listen=(), settings=Path()),
        lambda bus, settings, sessions: Suite(bus, settings, SuiteOptions(), sessions),
        lambda _host, _port: None,
    )
    return door.table


def _row(command: Command) -> str:
    level = "none" if command.level is Level.NONE else command.level.name.lower()
    behind = (
        ", ".join(f"`{each}`" if "." in each else each for each in command.calls.split(", ")) if command.calls else ""
    )
    guest = "yes" if command.inband else ""
    return f"| {command.number:02X}h | {command.name} | {level} | {guest} | {behind} |"


def _groups() -> Iterator[str]:
    for netfn, commands in groupby(table(), key=lambda command: command.netfn):
        yield from (f"## {TITLES[NetFn(netfn)]} ({netfn:02X}h)", "")
        yield from ("| Command | Name | Level | Guest | Behind it |", "| --- | --- | --- | --- | --- |")
        yield from (_row(command) for command in commands)
        yield ""


def render() -> str:
    """The whole document."""
    return "\n".join([INTRO, *_groups(), OUTRO]).rstrip() + "\n"


def main(arguments: list[Any]) -> int:
    """Write the document, or check it."""
    document = render()
    if "--check" not in arguments:
        TARGET.write_text(document, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == document:
        return 0
    print(f"{TARGET} is stale: run python tools/ipmi_docs.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
