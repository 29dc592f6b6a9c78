"""What consolesrv is told of each console, and what people may set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ubmc.hw.console.port import FlowControl, Line, LineSettings
from ubmc.services.consolesrv.sights import SightPlan

REPLAY_BYTES = 1024 * 1024
RECORDING_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set of a console."""

    baud_rate: int = 115200
    flow_control: FlowControl = FlowControl.NONE
    replay_bytes: int = REPLAY_BYTES
    recording: bool = False
    recording_bytes: int = RECORDING_BYTES
    redactions: tuple[str, ...] = ()

    @property
    def line(self) -> LineSettings:
        """What of it the line has to know."""
        return LineSettings(self.baud_rate, self.flow_control)


@dataclass(frozen=True, slots=True)
class ConsolePlan:
    """One console."""

    name: str
    """That of its host."""
    make_line: Callable[[], Line]
    settings: Settings = Settings()
    """As long as nobody has set them."""
    sights: tuple[SightPlan, ...] = ()
