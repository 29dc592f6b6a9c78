"""What the simulated machine does when it is asked: one method for each word of `do`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ubmc.hw.sim.catalogue import FRU_BUS
from ubmc.hw.sim.parts import faults
from ubmc.hw.sim.parts.host import BootHow
from ubmc.hw.sim.plant import Plant, boot_source_named, fault_named, guest_named, profile_named
from ubmc.hw.sim.protocol import CONSOLE_CHUNK_BYTES, MOST_NAMES
from ubmc.hw.sim.shape import Asset
from ubmc.kit.errors import Invalid, UbmcError

Answer = dict[str, Any]


class Requests:
    """Answers what is asked of one plant."""

    def __init__(self, plant: Plant, instance: str, end: Callable[[], None]) -> None:
        self._plant = plant
        self._instance = instance
        self._end = end
        self._dos: dict[str, Callable[[dict[str, Any]], Answer | None]] = {
            "state": self.state,
            "fault": self._do_fault,
            "fault-kinds": self._do_fault_kinds,
            "inject": self._do_inject,
            "clear": self._do_clear,
            "load": self._do_load,
            "ambient": self._do_ambient,
            "read": self._do_read,
            "fan": self._do_fan,
            "fru": self._do_fru,
            "fru-write": self._do_fru_write,
            "assets": self._do_assets,
            "press": self._do_press,
            "mains": self._do_mains,
            "guest": self._do_guest,
            "boot": self._do_boot,
            "console": self._do_console,
            "end": self._do_end,
        }

    def answer(self, control: dict[str, Any]) -> Answer | None:
        """Do it; None: it is not answered, for that is what is wrong with it. Raises an error of ours."""
        do = self._dos.get(str(control.get("do")))
        if do is None:
            raise Invalid(f"do is one of {', '.join(self._dos)}")
        return do(control)

    def state(self, _control: dict[str, Any]) -> Answer:
        """Everything there is to know."""
        return {"state": {"instance": self._instance, **self._plant.snapshot()}}

    def _do_fault(self, control: dict[str, Any]) -> Answer:
        self._plant.set_fault(fault_named(str(control.get("name"))), on=_flag(control))
        return {}

    def _do_fault_kinds(self, _control: dict[str, Any]) -> Answer:
        wrong = self._plant.inside.faults
        kinds = [
            {
                "kind": kind.kind,
                "into": kind.into.name.lower(),
                "description": kind.description,
                "takes_value": kind.takes_value,
            }
            for kind in faults.KINDS
        ]
        targets = {kind.into.name.lower(): list(wrong.targets(kind)) for kind in faults.KINDS}
        return {"kinds": kinds, "targets": targets}

    def _do_inject(self, control: dict[str, Any]) -> Answer:
        value = _number(control, "value") if control.get("value") is not None else None
        self._plant.inject(_text(control, "kind"), _text(control, "target"), value)
        return {}

    def _do_clear(self, control: dict[str, Any]) -> Answer:
        self._plant.clear(_text(control, "kind"), _text(control, "target"))
        return {}

    def _do_load(self, control: dict[str, Any]) -> Answer:
        name = _text(control, "profile")
        percent = _number(control, "percent") if control.get("percent") is not None else None
        self._plant.set_load(profile_named(name) if name else None, percent)
        return {}

    def _do_ambient(self, control: dict[str, Any]) -> Answer:
        self._plant.set_ambient(_number(control, "celsius"))
        return {}

    def _do_read(self, control: dict[str, Any]) -> Answer | None:
        """All sensors of a bus, or those that are named: numbers; null for no number; text for why there is none."""
        bus, inside = _text(control, "bus"), self._plant.inside
        names = inside.bus_sensors(bus)
        if inside.faults.has(faults.BUS_STUCK, bus):
            return None
        if (asked := control.get("sensors")) is not None:
            if not isinstance(asked, list) or len(asked) > MOST_NAMES:
                raise Invalid(f"sensors is a list of at most {MOST_NAMES} names")
            there = set(names)
            names = [name for name in asked if isinstance(name, str) and name in there]
        return {"values": {name: _said(outcome) for name, outcome in self._plant.read_sensors(names).items()}}

    def _do_fan(self, control: dict[str, Any]) -> Answer:
        fan = _text(control, "fan")
        if control.get("percent") is not None:
            self._plant.set_duty(fan, _number(control, "percent"))
        return {"percent": self._plant.duty(fan)}

    def _do_fru(self, control: dict[str, Any]) -> Answer | None:
        inside = self._plant.inside
        if inside.faults.has(faults.BUS_STUCK, FRU_BUS):
            return None
        return {"data": inside.read_fru(_text(control, "asset")).hex()}

    def _do_fru_write(self, control: dict[str, Any]) -> Answer | None:
        inside = self._plant.inside
        if inside.faults.has(faults.BUS_STUCK, FRU_BUS):
            return None
        try:
            data = bytes.fromhex(_text(control, "data"))
        except ValueError:
            raise Invalid("data is bytes as hexadecimal digits") from None
        inside.write_fru(_text(control, "asset"), data)
        return {}

    def _do_assets(self, _control: dict[str, Any]) -> Answer:
        return {"assets": [_described(asset, present=present) for asset, present in self._plant.inside.assets()]}

    def _do_press(self, control: dict[str, Any]) -> Answer:
        seconds = _number(control, "seconds") if "seconds" in control else 0.2
        self._plant.press(str(control.get("button")), seconds)
        return {}

    def _do_mains(self, control: dict[str, Any]) -> Answer:
        self._plant.set_mains(on=_flag(control))
        return {}

    def _do_guest(self, control: dict[str, Any]) -> Answer:
        self._plant.guest(guest_named(str(control.get("what"))))
        return {}

    def _do_boot(self, control: dict[str, Any]) -> Answer:
        if "target" not in control:
            raise Invalid("target says where the next boot comes from; null is the firmware's own order")
        target = control["target"]
        how = BootHow(_text(control, "firmware"), _text(control, "uri"))
        self._plant.choose_boot(None if target is None else boot_source_named(str(target)), how)
        return {}

    def _do_console(self, control: dict[str, Any]) -> Answer:
        start = control.get("from", 0)
        if isinstance(start, bool) or not isinstance(start, int) or start < 0:
            raise Invalid("from is the place of a byte, counted from 0")
        place, data = self._plant.host.console.since(start, CONSOLE_CHUNK_BYTES)
        return {"from": place, "text": data.decode("ascii", "replace")}

    def _do_end(self, _control: dict[str, Any]) -> Answer:
        self._end()
        return {}


def _flag(control: dict[str, Any]) -> bool:
    on = control.get("on")
    if not isinstance(on, bool):
        raise Invalid("on is true or false")
    return on


def _text(control: dict[str, Any], key: str) -> str:
    text = control.get(key, "")
    if not isinstance(text, str):
        raise Invalid(f"{key} is a text")
    return text


def _number(control: dict[str, Any], key: str) -> float:
    number = control.get(key)
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise Invalid(f"{key} is a number")
    return float(number)


def _said(outcome: float | UbmcError) -> float | str | None:
    if isinstance(outcome, UbmcError):
        return outcome.message
    return None if math.isnan(outcome) else outcome


def _described(asset: Asset, *, present: bool) -> dict[str, Any]:
    """Without what is empty, to keep it short."""
    texts = ("parent", "manufacturer", "model", "part_number", "serial_number", "version", "location")
    said: dict[str, Any] = {"name": asset.name, "kind": asset.kind}
    said |= {key: text for key in texts if (text := getattr(asset, key))}
    if asset.details:
        said["details"] = dict(asset.details)
    if not present:
        said["present"] = False
    return said
