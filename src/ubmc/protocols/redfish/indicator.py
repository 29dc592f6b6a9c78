"""The identify light of a chassis, both as `LocationIndicatorActive` and, as of old, as `IndicatorLED`."""

from __future__ import annotations

from ubmc.protocols.redfish import layout
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.resource import Body
from ubmc.protocols.redfish.shape import Prop, Shape
from ubmc.v1alpha1.led_pb import Led, LedPattern, LedRole

SHAPE: Shape = {"IndicatorLED": Prop(values=("Lit", "Blinking", "Off")), "LocationIndicatorActive": Prop("boolean")}
_SHOWN = {
    LedPattern.OFF: "Off",
    LedPattern.ON: "Lit",
    LedPattern.BLINK_SLOW: "Blinking",
    LedPattern.BLINK_FAST: "Blinking",
    LedPattern.FLASH: "Blinking",
}
PATTERNS = {"Lit": LedPattern.ON, "Blinking": LedPattern.BLINK_SLOW}


def light(view: View, chassis: str) -> Led | None:
    """The identify light of a chassis; None if it has none of its own."""
    return next(
        (led for led in view.table("led") if led.component == chassis and led.role is LedRole.IDENTIFY),
        None,
    )


def properties(view: View, chassis: str) -> Body:
    """Whether the box can be told from others by its light; nothing for a host that is in no chassis."""
    box = layout.chassis(view, chassis)
    if box is None:
        return {}
    led = light(view, chassis)
    shown = _SHOWN.get(led.pattern) if led is not None and box.identify else None
    return {"LocationIndicatorActive": box.identify, "IndicatorLED": shown or ("Lit" if box.identify else "Off")}
