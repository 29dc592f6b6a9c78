"""The simulated machine's physics."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ubmc.hw.sim.parts.host import BootSource, Fault, Guest, Stage, Timings
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.hw.sim.wires import Change, Side
from ubmc.kit.errors import Invalid, NotFound, Refused

BUTTON, RESET, NMI, GOOD = "power-button-0", "reset-button-0", "nmi-button-0", "power-good-0"
EXACT = Timings(jitter=0.0)


def exact(*, front_wired: bool = False) -> Plant:
    return Plant(Settings(timings=EXACT, front_wired=front_wired))


def stage(plant: Plant) -> Stage:
    return plant.host.stage


def pass_time(plant: Plant, seconds: float) -> None:
    plant.advance(plant.now_seconds + seconds)


def press(plant: Plant, line: str, seconds: float) -> None:
    plant.drive(line, active=True)
    pass_time(plant, seconds)
    plant.drive(line, active=False)


def running() -> Plant:
    plant = exact()
    press(plant, BUTTON, 0.2)
    pass_time(plant, 10)
    assert stage(plant) is Stage.UP
    return plant


def test_a_press_brings_up_rails_then_post_boot_and_os() -> None:
    plant = exact()
    press(plant, BUTTON, 0.2)
    assert stage(plant) is Stage.RAILS
    assert not plant.read(GOOD)
    plant.advance(0.52)
    assert not plant.read(GOOD)
    plant.advance(0.54)
    assert plant.read(GOOD)
    assert stage(plant) is Stage.POST
    plant.advance(2.6)
    assert stage(plant) is Stage.BOOT
    plant.advance(5.6)
    assert stage(plant) is Stage.UP
    _, text = plant.host.console.since(0, 4096)
    assert text.endswith(b"simulated login: ")
    assert plant.next_event_seconds() is None


def test_a_glitch_is_no_press() -> None:
    plant = exact()
    press(plant, BUTTON, 0.029)
    pass_time(plant, 10)
    assert stage(plant) is Stage.OFF


def test_a_short_press_while_up_is_a_soft_shutdown() -> None:
    plant = running()
    press(plant, BUTTON, 0.2)
    assert stage(plant) is Stage.STOPPING
    assert plant.read(GOOD)
    pass_time(plant, 2)
    assert not plant.read(GOOD)


def test_a_short_press_while_the_rails_come_up_is_ignored() -> None:
    plant = exact()
    press(plant, BUTTON, 0.2)
    plant.advance(0.3)
    press(plant, BUTTON, 0.2)
    plant.advance(10)
    assert stage(plant) is Stage.UP


def test_a_short_press_in_the_firmware_turns_off_at_once() -> None:
    plant = exact()
    press(plant, BUTTON, 0.2)
    plant.advance(1.0)
    assert stage(plant) is Stage.POST
    press(plant, BUTTON, 0.2)
    assert stage(plant) is Stage.OFF
    plant.advance(10)
    assert stage(plant) is Stage.OFF


def test_a_short_press_while_booting_is_remembered() -> None:
    plant = exact()
    press(plant, BUTTON, 0.2)
    plant.advance(3.0)
    assert stage(plant) is Stage.BOOT
    press(plant, BUTTON, 0.2)
    assert plant.read(GOOD)
    plant.advance(12)
    assert stage(plant) is Stage.OFF


def test_a_held_button_cuts_the_power_at_four_seconds_and_never_turns_it_on_again() -> None:
    plant = running()
    plant.set_fault(Fault.HANG_OFF, on=True)
    start = plant.now_seconds
    plant.drive(BUTTON, active=True)
    plant.advance(start + 3.99)
    assert plant.read(GOOD)
    plant.advance(start + 4.0)
    assert not plant.read(GOOD)
    plant.advance(start + 3600)
    assert stage(plant) is Stage.OFF
    plant.drive(BUTTON, active=False)
    pass_time(plant, 10)
    assert stage(plant) is Stage.OFF


def test_a_press_that_outlives_who_pressed_turns_on_and_then_cuts() -> None:
    plant = exact()
    plant.drive(BUTTON, active=True)
    plant.advance(3.9)
    assert plant.read(GOOD)
    plant.advance(4.0)
    assert stage(plant) is Stage.OFF


def test_reset_holds_the_host_and_then_posts_again() -> None:
    plant = running()
    plant.drive(RESET, active=True)
    pass_time(plant, 60)
    assert stage(plant) is Stage.HELD
    assert plant.read(GOOD)
    plant.drive(RESET, active=False)
    assert stage(plant) is Stage.POST
    pass_time(plant, 10)
    assert stage(plant) is Stage.UP
    assert plant.host.power_ons == 1


def test_reset_while_off_is_nothing() -> None:
    plant = exact()
    press(plant, RESET, 0.5)
    assert stage(plant) is Stage.OFF


def test_nmi_panics_the_os_which_then_hears_no_button() -> None:
    plant = running()
    press(plant, NMI, 0.2)
    assert stage(plant) is Stage.PANICKED
    press(plant, BUTTON, 0.2)
    pass_time(plant, 10)
    assert plant.read(GOOD)
    press(plant, BUTTON, 4.5)
    assert not plant.read(GOOD)


def test_a_host_that_hangs_on_never_has_power_good() -> None:
    plant = exact()
    told: list[Change] = []
    plant.listen(told.append)
    plant.set_fault(Fault.HANG_ON, on=True)
    press(plant, BUTTON, 0.2)
    plant.advance(100)
    assert GOOD not in {change.name for change in told}
    plant.set_fault(Fault.HANG_ON, on=False)
    press(plant, BUTTON, 0.2)
    plant.advance(200)
    assert plant.read(GOOD)


def test_a_host_that_hangs_hard_is_only_stopped_by_the_supply() -> None:
    plant = running()
    plant.set_fault(Fault.HANG_HARD, on=True)
    plant.set_fault(Fault.HANG_OFF, on=True)
    press(plant, BUTTON, 5)
    assert plant.read(GOOD)
    plant.drive("psu-enable", active=False)
    assert not plant.read(GOOD)
    plant.drive("psu-enable", active=True)
    pass_time(plant, 10)
    assert not plant.read(GOOD)


def test_mains_takes_everything_at_once_and_counts_returns() -> None:
    plant = running()
    plant.set_mains(on=False)
    assert not plant.read(GOOD)
    assert not plant.read("psu-good")
    assert plant.chassis.mains_cycles == 0
    press(plant, BUTTON, 0.2)
    pass_time(plant, 10)
    assert stage(plant) is Stage.OFF
    plant.set_mains(on=True)
    plant.set_mains(on=True)
    assert plant.chassis.mains_cycles == 1
    pass_time(plant, 10)
    assert stage(plant) is Stage.OFF


@pytest.mark.parametrize(
    ("what", "end"), [(Guest.SHUTDOWN, Stage.OFF), (Guest.RESET, Stage.UP), (Guest.PANIC, Stage.PANICKED)]
)
def test_what_guests_do_by_themselves(what: Guest, end: Stage) -> None:
    plant = running()
    plant.guest(what)
    pass_time(plant, 10)
    assert stage(plant) is end
    if what is not Guest.RESET:
        with pytest.raises(Refused, match="no running operating system"):
            plant.guest(what)


def test_front_buttons_are_seen_and_let_go() -> None:
    plant = exact()
    plant.press("front-identify-button", 0.3)
    assert plant.read("front-identify-button")
    plant.advance(0.3)
    assert not plant.read("front-identify-button")
    plant.press("front-power-button", 0.3)
    plant.advance(10)
    assert stage(plant) is Stage.OFF, "the BMC decides what it means"


def test_a_front_button_in_parallel_acts_and_shows_our_own_press() -> None:
    plant = exact(front_wired=True)
    plant.press("front-power-button", 0.3)
    plant.advance(10)
    assert stage(plant) is Stage.UP
    plant.drive(BUTTON, active=True)
    assert plant.read("front-power-button")
    plant.drive(BUTTON, active=False)
    assert not plant.read("front-power-button")


def test_refusals() -> None:
    plant = Plant()
    with pytest.raises(NotFound, match="power-led"):
        plant.read("nonsense")
    with pytest.raises(Invalid, match="driven by the machine"):
        plant.drive(GOOD, active=True)
    with pytest.raises(NotFound, match="front-power-button"):
        plant.press("nonsense", 1)
    with pytest.raises(Invalid, match="3600"):
        plant.press("front-power-button", float("nan"))


def test_the_console_is_bounded() -> None:
    plant = running()
    console = plant.host.console
    for number in range(10_000):
        console.line(f"line {number}" + 200 * ".")
    place, data = console.since(0, 1 << 22)
    assert len(data) == 1024 * 1024
    assert place + len(data) == console.total_bytes
    assert console.since(console.total_bytes + 5, 10) == (console.total_bytes, b"")


def _mains(*, on: bool) -> Callable[[Plant], None]:
    return lambda plant: plant.set_mains(on=on)


def _line(name: str, *, active: bool) -> Callable[[Plant], None]:
    return lambda plant: plant.drive(name, active=active)


def _fault(fault: Fault, *, on: bool) -> Callable[[Plant], None]:
    return lambda plant: plant.set_fault(fault, on=on)


def _front(plant: Plant) -> None:
    plant.press("front-power-button", 0.3)


def _guest(what: Guest) -> Callable[[Plant], None]:
    def act(plant: Plant) -> None:
        try:
            plant.guest(what)
        except Refused:
            assert plant.host.stage not in {Stage.UP, Stage.STOPPING}

    return act


OUTPUTS = [name for name, side in Plant().lines.items() if side is Side.BMC]
ACTS: dict[str, Callable[[Plant], None]] = (
    {f"{name}={active}": _line(name, active=active) for name in OUTPUTS for active in (True, False)}
    | {f"mains={on}": _mains(on=on) for on in (True, False)}
    | {f"{fault.value}={on}": _fault(fault, on=on) for fault in Fault for on in (True, False)}
    | {what.value: _guest(what) for what in Guest}
    | {"front": _front}
)
SCRIPTS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.01, 0.05, 0.2, 0.6, 2.5, 4.0, 4.1, 7.0]), st.sampled_from(sorted(ACTS))),
    max_size=30,
)


def play(plant: Plant, script: list[tuple[float, str]], step: float | None = None) -> list[Change]:
    trace: list[Change] = []
    plant.listen(trace.append)
    now = 0.0
    for wait, act in [*script, (20.0, "nothing")]:
        if step is not None:
            at = now
            while (at := at + step) < now + wait:
                plant.advance(at)
        now += wait
        plant.advance(now)
        if act in ACTS:
            ACTS[act](plant)
        assert plant.chassis.mains or not plant.read(GOOD), "power-good without mains"
        assert plant.read("psu-good") or not plant.read(GOOD), "power-good without supply"
    return trace


@given(script=SCRIPTS, seed=st.integers(0, 2**32), wired=st.booleans())
@settings(max_examples=150, deadline=None)
def test_same_inputs_same_trace_however_time_is_split(script: list[tuple[float, str]], seed: int, wired: bool) -> None:
    how = Settings(seed=seed, front_wired=wired)
    once = play(Plant(how), script)
    assert play(Plant(how), script) == once
    assert play(Plant(how), script, step=0.37) == once
    assert [change.at_seconds for change in once] == sorted(change.at_seconds for change in once)


def test_the_seed_matters() -> None:
    script = [(0.0, f"{BUTTON}=True"), (0.2, f"{BUTTON}=False")]
    assert play(Plant(Settings(seed=1)), script) != play(Plant(Settings(seed=2)), script)


@given(script=SCRIPTS, seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_a_forced_off_always_ends_off_unless_the_host_hangs_hard(script: list[tuple[float, str]], seed: int) -> None:
    plant = Plant(Settings(seed=seed))
    play(plant, script)
    hard = Fault.HANG_HARD in plant.host.faults
    before = stage(plant)
    plant.drive(BUTTON, active=False)
    press(plant, BUTTON, 4.5)
    pass_time(plant, 20)
    if not hard:
        assert stage(plant) is Stage.OFF
        assert not plant.read(GOOD)
    elif before in {Stage.POST, Stage.BOOT, Stage.PANICKED, Stage.HELD}:
        assert plant.read(GOOD)


def booted_from(plant: Plant) -> list[str]:
    _, text = plant.host.console.since(0, 1 << 16)
    return [line.removeprefix("booting from ") for line in text.decode().split("\r\n") if line.startswith("booting")]


def test_a_boot_comes_from_what_was_chosen_and_the_next_from_the_disk() -> None:
    plant = exact()
    plant.choose_boot(BootSource.CD)
    assert plant.snapshot()["hosts"]["host.0"]["boot_next"] == "cd"  # type: ignore[index]
    press(plant, BUTTON, 0.2)
    pass_time(plant, 10)
    host = plant.snapshot()["hosts"]["host.0"]  # type: ignore[index]
    assert (host["boot_next"], host["boot_source"], host["stage"]) == (None, "cd", "up")
    plant.guest(Guest.RESET)
    pass_time(plant, 10)
    assert booted_from(plant) == ["cd", "disk"]


def test_a_choice_can_be_taken_back_until_it_is_used_and_outlives_mains() -> None:
    plant = exact()
    plant.choose_boot(BootSource.PXE)
    plant.choose_boot(None)
    press(plant, BUTTON, 0.2)
    pass_time(plant, 1)
    plant.choose_boot(BootSource.USB)  # during POST it is early enough
    pass_time(plant, 10)
    plant.choose_boot(BootSource.PXE)
    plant.set_mains(on=False)
    pass_time(plant, 1)
    plant.set_mains(on=True)
    pass_time(plant, 1)
    press(plant, BUTTON, 0.2)
    pass_time(plant, 10)
    assert booted_from(plant) == ["usb", "pxe"]


def test_the_set_up_stays_until_a_reset_or_a_press() -> None:
    plant = exact()
    plant.choose_boot(BootSource.FIRMWARE_SETUP)
    press(plant, BUTTON, 0.2)
    pass_time(plant, 1000)
    assert stage(plant) is Stage.SETUP
    with pytest.raises(Refused, match="setup"):
        plant.guest(Guest.SHUTDOWN)
    press(plant, RESET, 0.5)
    pass_time(plant, 10)
    assert stage(plant) is Stage.UP
    plant.choose_boot(BootSource.FIRMWARE_SETUP)
    press(plant, RESET, 0.5)
    pass_time(plant, 10)
    press(plant, BUTTON, 0.2)
    assert stage(plant) is Stage.OFF
    assert not plant.read(GOOD)
    assert booted_from(plant) == ["firmware-setup", "disk", "firmware-setup"]
