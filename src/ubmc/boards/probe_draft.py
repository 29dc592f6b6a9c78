"""A board file drafted from what the kernel found: everything that can be read, ready to be renamed and given limits.

What sysfs cannot tell (which line is the power button, which fan cools what) is a guess, and the draft says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ubmc.boards.probe import HwmonChip, I2cAdapter, IioDevice, Survey
from ubmc.hw.sensors import hwmon, iio

_HEAD = """\
# A draft of `ubmc board probe`: names, limits, lines and zones are guesses. Look at each, check the file with
# `ubmc board check FILE`, and say verified = true once the hardware has done what it says."""
_POWER_BUTTONS = ("power-button", "power_button", "pwr-btn", "power-out", "pwrbtn")
_NO_BUTTON = "no-power-button-known"
# Where nothing better is known: no hotter than most parts may be, and full cooling well before.
_TEMPERATURE_LIMITS = {"warning": 75, "critical": 85}
_STEPS = [{"above": 30, "duty": 50}, {"above": 50, "duty": 75}, {"above": 65, "duty": 100}]
_MOST_SENSORS, _MOST_FANS, _MOST_BUSES, _MOST_LEDS = 2000, 256, 256, 256
Table = dict[str, Any]


def draft(found: Survey) -> str:
    """The board file, as TOML."""
    tables: list[tuple[str, Table]] = [
        ("[board]", _identity(found)),
        ("[lines]", {"kind": "gpio"}),
        ("[[hosts]]", {"name": "host.0", **_host(found)}),
        ("[[chassis]]", {"name": "chassis.0", "hosts": ["host.0"], "power": {"kind": "hosts"}}),
        *(("[[leds]]", led) for led in list(_leds(found))[:_MOST_LEDS]),
        *(("[[i2c]]", bus) for bus in list(_buses(found.i2c))[:_MOST_BUSES]),
    ]
    sensors = list(_sensors(found))[:_MOST_SENSORS]
    fans = list(_fans(found, sensors))[:_MOST_FANS]
    tables += [("[[sensors]]", table) for table in sensors]
    hot = [table["name"] for table in sensors if "upper" in table]
    if fans and hot:  # a fan that nothing drives is a mistake
        tables += [("[[fans]]", fan) for fan in fans]
        controller = {"kind": "stepwise", "name": "all", "sensors": hot[:_MOST_FANS], "steps": _STEPS}
        zone = {"name": "all", "fans": [fan["name"] for fan in fans], "hosts": ["host.0"], "controllers": [controller]}
        tables.append(("[[zones]]", zone))
    if found.watchdogs:
        tables.append(("[watchdog]", {"device": f"/dev/{found.watchdogs[0].name}"}))
    return "\n\n".join([_HEAD, *("\n".join([head, *_lines(table)]) for head, table in tables)]) + "\n"


def _lines(table: Mapping[str, object]) -> Iterator[str]:
    yield from (f"{key} = {_value(value)}" for key, value in table.items())


def _value(value: object) -> str:
    """A value as TOML. Its basic strings are those of JSON, but that DEL is escaped too (TOML 1.0, String)."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _identity(found: Survey) -> Table:
    return {
        "name": _slug(found.model, "-")[:64] or "unknown",
        "vendor": _slug(found.vendor, "-")[:64] or "unknown",
        "model": _shown(found.model)[:64] or "unknown",
        "verified": False,
    }


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _slug(text: str, joint: str) -> str:
    return re.sub(r"[^a-z0-9]+", joint, text.lower()).strip(joint)


def _host(found: Survey) -> Table:
    lines = [name for chip in found.gpio for name in chip.lines.values() if len(name) <= 64 and name.isprintable()]
    button = next((line for word in _POWER_BUTTONS for line in lines if word in line.lower()), _NO_BUTTON)
    power: Table = {"kind": "buttons", "button": button}
    good = next((line for line in lines if re.search(r"(power|ps|pwr)[-_]?(good|ok)", line.lower())), None)
    return {"power": power if good in {None, button} else {**power, "good": good}}


class _Names:
    """Gives each thing a name that no other has."""

    def __init__(self, joint: str, most: int) -> None:
        self._joint = joint
        self._most = most
        self._given: set[str] = set()

    def give(self, text: str) -> str:
        slug = _slug(text, self._joint)
        slug = slug if slug[:1].isalpha() else f"x{self._joint}{slug}".rstrip(self._joint)
        name, number = slug[: self._most].rstrip(self._joint), 1
        while name in self._given:
            number += 1
            tail = f"{self._joint}{number}"
            name = slug[: self._most - len(tail)] + tail
        self._given.add(name)
        return name


def _leds(found: Survey) -> Iterator[Table]:
    names, roles = _Names("-", 32), set[str]()
    for led in found.leds:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_:.-]{0,63}", led.name):
            continue
        role = next((role for role in ("power", "identify", "fault") if role in led.name.lower()), "status")
        role = "status" if role == "power" and role in roles else role  # a host has one power light
        roles.add(role)
        yield {"name": names.give(led.name), "role": role, "kind": "sysfs", "device": led.name}


def _bus_name(number: int) -> str:
    return f"i2c-{number}"


def _buses(buses: tuple[I2cAdapter, ...]) -> Iterator[Table]:
    names = [bus.name for bus in buses]
    numbers = {bus.number for bus in buses}
    for bus in buses:
        place: Table = {"adapter": bus.number}
        if bus.parent in numbers and bus.parent is not None and bus.mux is not None and bus.channel is not None:
            place = {"parent": _bus_name(bus.parent), "mux": bus.mux, "channel": bus.channel}
        elif names.count(bus.name) == 1 and re.fullmatch(r"(?!(i2c-)?\d+$)[!-~][ -~]{0,63}", bus.name):
            place = {"adapter": bus.name}
        yield {"name": _bus_name(bus.number), **place}


def _sensors(found: Survey) -> Iterator[Table]:
    """All sensors that a board file can say."""
    names = _Names("_", 64)
    for title, table in (*_chip_tables(found.hwmon), *_iio_tables(found.iio)):
        yield {"name": names.give(title), **table}


def _usable(chips: tuple[HwmonChip, ...]) -> Iterator[tuple[HwmonChip, Table]]:
    """The chips that a board file can name, each with the keys that name it."""
    names = [chip.name for chip in chips]
    for chip in chips:
        place = {"chip": chip.name}
        if names.count(chip.name) > 1:
            place["device"] = chip.device
        same = [other for other in chips if (other.name, other.device) == (chip.name, chip.device)]
        if len(same) == 1 and all(re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", part) for part in place.values()):
            yield chip, place


def _chip_tables(chips: tuple[HwmonChip, ...]) -> Iterator[tuple[str, Table]]:
    for chip, place in _usable(chips):
        for each in chip.inputs:
            table: Table = {"kind": "hwmon", **place, "input": each.name}
            if hwmon.kind_of(each.name) == "temp":
                table["upper"] = _TEMPERATURE_LIMITS
            elif hwmon.kind_of(each.name) == "intrusion":
                table["states"] = ["closed", {"name": "open", "level": "warning"}]
            yield " ".join([*place.values(), each.label or each.name]), table


def _iio_tables(devices: tuple[IioDevice, ...]) -> Iterator[tuple[str, Table]]:
    for device in devices:
        called = device.label or device.name
        same = [other for other in devices if called in {other.label, other.name}]
        if len(same) > 1 or not re.fullmatch(r"[A-Za-z0-9_.,@:-]{1,64}", called):
            continue
        for each in device.inputs:
            if not re.fullmatch(r"[a-z]+\d{0,3}", each.name):
                continue  # a board file knows neither differential channels nor modifiers
            table: Table = {"kind": "iio", "device": called, "input": each.name}
            if iio.kind_of(each.name) == "temp":
                table["upper"] = _TEMPERATURE_LIMITS
            yield f"{called} {each.label or each.name}", table


def _fans(found: Survey, sensors: list[Table]) -> Iterator[Table]:
    """A fan for each PWM output; the rotor with its number is taken for its own, which is a guess."""
    rotors = {(row.get("chip"), row.get("device"), row["input"]): row["name"] for row in sensors}
    number = 0
    for chip, place in _usable(found.hwmon):
        for output in chip.outputs:
            if not output.startswith("pwm"):
                continue  # how fast full speed is, nobody says
            rotor = rotors.get((chip.name, place.get("device"), output.replace("pwm", "fan")))
            fan = {"name": f"fan.{number}", "kind": "hwmon", **place, "output": output}
            yield {**fan, **({"tachometers": [rotor]} if rotor else {}), "fail_safe": 100}
            number += 1
