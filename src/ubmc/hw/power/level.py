"""Chassis power through one line that is held: active is on. Nobody's death changes it, and neither does `open`."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from ubmc.hw.gpio.port import InputLine, Lines, OutputLine, Release
from ubmc.hw.power.boot import check_boot
from ubmc.hw.power.buttons import Wire
from ubmc.hw.power.port import Action, Boot, Level
from ubmc.hw.power.wired import MainsEpoch, Reopened, WiredPower
from ubmc.kit.errors import Refused, Unavailable


@dataclass(frozen=True, slots=True)
class LevelBoard:
    """The line that enables the supply, and the one that says that it delivers."""

    enable: Wire
    good: Wire | None = None
    debounce_seconds: float = 0.02


class ChassisLine(WiredPower):
    """A chassis whose supply is enabled by a level."""

    def __init__(
        self,
        lines: Lines,
        board: LevelBoard,
        *,
        mains_epoch: MainsEpoch | None = None,
        reopened: Reopened | None = None,
    ) -> None:
        """Make the driver; arguments as for `ubmc.hw.power.buttons.ButtonPower`."""
        super().__init__(lines, reopened, mains_epoch)
        self._board = board
        self._enable: OutputLine | None = None
        self._good: InputLine | None = None

    @property
    def actions(self) -> frozenset[Action]:
        """On and (forced) off."""
        return frozenset({Action.ON, Action.FORCE_OFF})

    async def do(self, action: Action, *, boot: Boot | None = None) -> None:
        """Hold the line at the level of the action.

        Raises:
            Refused: anything but ON and FORCE_OFF, or any `boot`.
            Unavailable: the line does not obey, or the driver is closed.
        """
        if action not in self.actions:
            raise Refused(f"the supply of a chassis knows on and force-off only, not {action.value}")
        check_boot(action, boot, self.boot_targets)
        async with self._turn:
            if not self._ready or self._enable is None:
                raise Unavailable("the power lines cannot be reached; they are tried again")
            try:
                await self._enable.set(active=action is Action.ON)
            except Unavailable:
                self._lost.set()
                raise

    async def _request(self) -> None:
        board = self._board
        self._enable = await self._lines.output(board.enable.name, active_low=board.enable.active_low, momentary=False)
        if board.good is not None:
            self._good = await self._lines.input(
                board.good.name, active_low=board.good.active_low, debounce_seconds=board.debounce_seconds
            )
            self._seen.see(Level.ON if await self._good.get() else Level.OFF)

    def _releases(self) -> tuple[Release, ...]:
        """None: a level is held on purpose."""
        return ()

    def _followers(self) -> list[Awaitable[None]]:
        return [] if self._good is None else [self._follow_good(self._good)]
