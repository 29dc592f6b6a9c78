"""What consolesrv is told of the consoles of a board."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ubmc.boards.build_console import build_line
from ubmc.boards.spec import BoardSpec
from ubmc.boards.spec_console import AnyConsoleSpec, TtyConsoleSpec
from ubmc.hw.console.port import FlowControl
from ubmc.services.consolesrv.plan import ConsolePlan, Settings
from ubmc.services.consolesrv.sights import SightPlan
from ubmc.v1alpha1.console_pb import ConsoleSight
from ubmc.v1alpha1.host_pb import BootProgress


def console_plans(spec: BoardSpec, machine_dir: Path) -> tuple[ConsolePlan, ...]:
    """The consoles of all hosts that have one, in the order of the board file."""
    return tuple(
        ConsolePlan(
            host.name, partial(build_line, spec, host.name, machine_dir), _settings(host.console), _sights(host.console)
        )
        for host in spec.hosts
        if host.console is not None
    )


def _settings(console: AnyConsoleSpec) -> Settings:
    if isinstance(console, TtyConsoleSpec):
        return Settings(baud_rate=console.speed, flow_control=FlowControl(console.flow_control.value))
    return Settings()


def _sights(console: AnyConsoleSpec) -> tuple[SightPlan, ...]:
    return tuple(
        SightPlan(
            ConsoleSight[each.sight.name],
            each.pattern,
            BootProgress.UNSPECIFIED if each.progress is None else BootProgress[each.progress.name],
        )
        for each in console.sights
    )
