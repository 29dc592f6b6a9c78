"""Lights from the outside: what the machine's own lines show, not what our program says of them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.harness.parts import API, Parts, Stream
from tests.harness.program import KILLS_PEERS, Program, until

pytestmark = [pytest.mark.e2e, KILLS_PEERS]

LIGHTS = ("fault-led", "identify-led", "power-led", "status-led")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with Program(tmp_path_factory.mktemp("lights") / "state") as program:
        program.login()
        yield Parts(program)


@pytest.fixture
def parts(house: Parts) -> Iterator[Parts]:
    yield house
    house.mend()
    for name in LIGHTS:
        house.post(f"leds/{name}:set", {})
    house.post("chassis/chassis.0:setIdentify", {"identify": False})


def lines(parts: Parts) -> dict[str, bool]:
    shown = parts.plant.snapshot()["lines"]
    return {name: bool(shown[name]) for name in LIGHTS}


def pattern(parts: Parts, name: str) -> str:
    return str(parts.led(name)["pattern"]).removeprefix("LED_PATTERN_")


def blinks(parts: Parts, name: str) -> bool:
    """Whether a line changes often in half a second."""
    deadline = time.monotonic() + 0.6
    seen = []
    while time.monotonic() < deadline:
        seen.append(parts.plant.line(name))
        time.sleep(0.01)
    return sum(one != two for one, two in zip(seen, seen[1:], strict=False)) >= 2


def test_status_and_fault_follow_a_critical_sensor(parts: Parts) -> None:
    parts.on()
    until(lambda: parts.led("status-led")["reason"] == "all is well", 10, "a machine of which all is well")
    assert pattern(parts, "status-led") == "ON"
    assert pattern(parts, "fault-led") == "OFF"
    until(lambda: not parts.plant.line("fault-led") and parts.plant.line("status-led"), 5)
    parts.inject("sensor-stuck", "board_temp", 92.0)  # past critical
    until(lambda: parts.plant.line("fault-led"), 5)
    until(lambda: "board_temp" in parts.led("status-led")["reason"], 5)
    assert pattern(parts, "status-led") == "BLINK_FAST"
    assert blinks(parts, "status-led")
    parts.mend()
    until(lambda: not parts.plant.line("fault-led"), 15)
    until(lambda: pattern(parts, "status-led") == "ON" and not blinks(parts, "status-led"), 5)


def test_the_power_light_follows_the_host(parts: Parts) -> None:
    parts.on()
    until(lambda: parts.plant.line("power-led"), 5)
    parts.off()
    until(lambda: not parts.plant.line("power-led"), 5)


def test_a_lamp_test_lights_all_and_ends(parts: Parts) -> None:
    before = lines(parts)
    leds = parts.post("leds:test", {"durationSeconds": 2})["leds"]
    assert [led["name"] for led in leds] == list(LIGHTS)
    until(lambda: all(lines(parts).values()), 2)
    assert all(parts.led(name)["overridden"] for name in LIGHTS)
    until(lambda: lines(parts) == before, 6)
    assert not any(parts.led(name).get("overridden") for name in LIGHTS)


def test_identify_from_the_api_and_from_the_front_button(parts: Parts) -> None:
    chassis = f"{API}/chassis/chassis.0"
    assert parts.post("chassis/chassis.0:setIdentify", {"identify": True})["chassis"]["identify"] is True
    until(lambda: parts.plant.line("identify-led"), 5)
    parts.post("simulation:pressButton", {"button": "front-identify-button"})
    until(lambda: not parts.program.get(chassis)["chassis"].get("identify"), 5)
    until(lambda: pattern(parts, "identify-led") == "OFF" and not blinks(parts, "identify-led"), 5)
    time.sleep(0.3)  # the button is let go
    parts.post("simulation:pressButton", {"button": "front-identify-button"})
    until(lambda: parts.program.get(chassis)["chassis"].get("identify"), 5)


def test_a_light_that_is_set_by_hand(parts: Parts) -> None:
    led = parts.post("leds/fault-led:set", {"pattern": "LED_PATTERN_BLINK_FAST"})["led"]
    assert led["overridden"] is True
    assert "admin" in led["reason"]
    until(lambda: blinks(parts, "fault-led"), 3)
    until(lambda: not parts.post("leds/fault-led:set", {})["led"].get("overridden"), 3)
    until(lambda: not parts.plant.line("fault-led") and not blinks(parts, "fault-led"), 3)
    parts.post("leds/fault-led:set", {"pattern": "LED_PATTERN_ON", "durationSeconds": 1})
    until(lambda: parts.plant.line("fault-led"), 2)
    until(lambda: not parts.plant.line("fault-led"), 5)
    assert parts.program.request("POST", f"{API}/leds/no-led:set", {}).status_code == 404


def test_lights_are_watched(parts: Parts) -> None:
    with Stream(parts.program, "leds:watch") as stream:
        until(lambda: len(stream.updates) >= len(LIGHTS), 5)
    parts.post("leds/status-led:set", {"pattern": "LED_PATTERN_BLINK_SLOW"})
    with Stream(parts.program, "leds:watch", stream.cursor) as again:
        again.wait(lambda update: update["led"]["pattern"] == "LED_PATTERN_BLINK_SLOW")
        assert not any(update.get("snapshot") for update in again.updates)
