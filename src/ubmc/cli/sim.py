"""`ubmc sim`: what can be done to a simulated machine: faults, load, the room, mains, buttons."""

from __future__ import annotations

from types import SimpleNamespace

import click

from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import printable
from ubmc.cli.text import columns, few, format_duration, format_enum, format_number
from ubmc.kit.errors import NotFound
from ubmc.v1alpha1.simulation_pb import (
    ClearFaultRequest,
    Fault,
    FaultKind,
    GetSimulationRequest,
    InjectFaultRequest,
    ListFaultKindsRequest,
    LoadProfile,
    PressButtonRequest,
    SetConditionsRequest,
    Simulation,
)
from ubmc.v1alpha1.simulation_rpc import SimulationService

_FACTS = columns("running for: running", "load", "ambient", "mains", "faults", "buttons")
_KINDS = columns("kind", "value", "description", "targets")
_FEW = 4
_PROFILES = {profile.name.lower(): profile for profile in LoadProfile if profile.value}

sim = Noun("sim", help="The simulated machine: break it, load it, press its buttons.")
fault = Noun("fault", help="Faults of the simulated machine.")
sim.add_command(fault)


@sim.command("status")
@pass_settings
def status(settings: Settings) -> None:
    """Show what the machine goes through."""
    with settings.connect() as client:
        answer = client.ask(SimulationService.GetSimulation, GetSimulationRequest())
    settings.output.show(answer, _FACTS, _status(answer.simulation or Simulation()))


@fault.command("list")
@click.argument("kind", required=False)
@pass_settings
def list_kinds(settings: Settings, kind: str | None) -> None:
    """List the kinds of faults, and what each goes into; with KIND all of that.

    What is broken now is shown by `ubmc sim status`.
    """
    with settings.connect() as client:
        answer = client.ask(SimulationService.ListFaultKinds, ListFaultKindsRequest())
    found = [each for each in answer.fault_kinds if kind in (None, each.kind)]
    if not found:
        kinds = ", ".join(each.kind for each in answer.fault_kinds)
        raise NotFound(f"there is no fault {printable(str(kind))}; there are {printable(kinds)}")
    answer.fault_kinds = found
    settings.output.list(answer, _KINDS, [_kind(each, brief=kind is None) for each in found])


def _kind(found: FaultKind, *, brief: bool) -> SimpleNamespace:
    """A kind for people: of many targets just the first."""
    targets = found.targets
    shown = few(targets, _FEW) if brief else ", ".join(targets)
    value = "optional" if found.takes_value else ""
    return SimpleNamespace(kind=found.kind, value=value, description=found.description, targets=shown)


def _status(now: Simulation) -> SimpleNamespace:
    """What the machine goes through, for people."""
    return SimpleNamespace(
        running=format_duration(now.time_seconds),
        load=f"{format_enum(now.load_profile)}, {now.load_percent:.0f} % now",
        ambient=_ambient(now),
        mains="on" if now.mains else "off",
        faults=_faults(now),
        buttons=now.buttons,
    )


def _ambient(now: Simulation) -> str:
    return f"{format_number(now.ambient_celsius)} \N{DEGREE SIGN}C"


@fault.command("set")
@click.argument("kind")
@click.argument("target", default="")
@click.option("--value", type=float, help="What a stuck sensor shows, the percentage of a slow fan.")
@pass_settings
def set_fault(settings: Settings, kind: str, target: str, value: float | None) -> None:
    """Break something: `ubmc sim fault list` shows KIND and TARGET."""
    made = Fault(kind=kind, target=target)
    if value is not None:
        made.value = value
    with settings.connect() as client:
        answer = client.ask(SimulationService.InjectFault, InjectFaultRequest(fault=made))
    settings.output.say(answer, f"faults: {_faults(answer.simulation or Simulation())}")


@fault.command("clear")
@click.argument("kind", default="")
@click.argument("target", default="")
@pass_settings
def clear_fault(settings: Settings, kind: str, target: str) -> None:
    """Mend something; without KIND and TARGET, everything."""
    with settings.connect() as client:
        answer = client.ask(SimulationService.ClearFault, ClearFaultRequest(kind=kind, target=target))
    settings.output.say(answer, f"faults: {_faults(answer.simulation or Simulation())}")


def _set(settings: Settings, request: SetConditionsRequest) -> None:
    with settings.connect() as client:
        answer = client.ask(SimulationService.SetConditions, request)
    now = answer.simulation or Simulation()
    text = f"load {format_enum(now.load_profile)}, ambient {_ambient(now)}, mains {'on' if now.mains else 'off'}"
    settings.output.say(answer, text)


@sim.command("load")
@click.argument("profile", type=click.Choice(list(_PROFILES)))
@click.option("--percent", type=click.FloatRange(0.0, 100.0), help="How much, for constant.")
@pass_settings
def load(settings: Settings, profile: str, percent: float | None) -> None:
    """Let the hosts compute by another profile."""
    request = SetConditionsRequest(load_profile=_PROFILES[profile])
    if percent is not None:
        request.load_percent = percent
    _set(settings, request)


@sim.command("ambient", context_settings={"ignore_unknown_options": True})  # or a temperature below zero is an option
@click.argument("celsius", type=click.FloatRange(-20.0, 60.0))
@pass_settings
def ambient(settings: Settings, celsius: float) -> None:
    """Set the temperature of the room."""
    _set(settings, SetConditionsRequest(ambient_celsius=celsius))


@sim.command("mains")
@click.argument("state", type=click.Choice(["on", "off"]))
@pass_settings
def mains(settings: Settings, state: str) -> None:
    """Cut mains, or bring it back."""
    _set(settings, SetConditionsRequest(mains=state == "on"))


@sim.command("press")
@click.argument("button")
@click.option("--seconds", type=click.FloatRange(0.0, 3600.0), default=0.0, help="For how long; 0.2 if left out.")
@pass_settings
def press(settings: Settings, button: str, seconds: float) -> None:
    """Press a button of the front panel; `ubmc sim status` shows which there are."""
    with settings.connect() as client:
        answer = client.ask(SimulationService.PressButton, PressButtonRequest(button=button, seconds=seconds))
    settings.output.say(answer, f"{printable(button)}: pressed")


def _faults(now: Simulation) -> str:
    """All faults on one line."""
    texts = []
    for one in now.faults:
        value = f"={one.value:g}" if one.has_field("value") else ""
        texts.append(printable(" ".join(filter(None, (one.kind, one.target)))) + value)
    return ", ".join(texts) or "none"
