"""Power through buttons: the BMC presses the host's power, reset and NMI buttons, and reads power-good.

The danger here is a press that does not end: a power button held for four seconds cuts the host's power. So each press
runs to its end whatever becomes of who asked for it, and every button line has a `Release` for the guardian.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from ubmc.hw.gpio.port import InputLine, Lines, OutputLine, Release
from ubmc.hw.power.boot import BOOTS, check_boot
from ubmc.hw.power.port import Action, Boot, BootFirmware, BootStage, BootTarget, Level, News
from ubmc.hw.power.wired import MainsEpoch, Reopened, WiredPower
from ubmc.kit.errors import Invalid, Refused, UbmcError, Unavailable

_LOG = logging.getLogger("ubmc.hw.power")

# Tells the firmware how its next boot goes, once; None: as it is set up. Raises `Unavailable`.
SetBoot = Callable[[Boot | None], Awaitable[None]]
# How far boots come, as they do; ends or raises `Unavailable` when that cannot be seen any more.
Stages = Callable[[], AsyncGenerator[BootStage | None, None]]
_STAGES_AGAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Wire:
    """A line by name, and its polarity."""

    name: str
    active_low: bool = False


@dataclass(frozen=True, slots=True)
class ButtonBoard:
    """Which lines there are, and how long presses take (seconds).

    `hold_seconds` is the 4 s after which hosts cut the power and a margin for slow ones. For `settle_seconds` after ON
    a forced off holds the button even though power-good is not there yet: the host may be on its way up.
    """

    button: Wire
    good: Wire | None = None
    reset: Wire | None = None
    nmi: Wire | None = None
    front_button: Wire | None = None
    identify: Wire | None = None
    press_seconds: float = 0.2
    hold_seconds: float = 5.0
    reset_seconds: float = 0.5
    nmi_seconds: float = 0.2
    debounce_seconds: float = 0.02
    settle_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Raises `Invalid` for a press that would be a hold."""
        if not 0 < self.press_seconds < self.hold_seconds:
            raise Invalid(
                f"a press of {self.press_seconds:g} s has to be shorter than a hold, which is {self.hold_seconds:g} s: "
                "else it cuts the power"
            )


@dataclass(slots=True)
class _Open:
    """The lines that are open."""

    outputs: dict[Action, OutputLine] = field(default_factory=dict)
    inputs: dict[str, InputLine] = field(default_factory=dict)


class ButtonPower(WiredPower):
    """A host with buttons, on any provider of GPIO lines."""

    def __init__(
        self,
        lines: Lines,
        board: ButtonBoard,
        *,
        mains_epoch: MainsEpoch | None = None,
        set_boot: SetBoot | None = None,
        boot_order: tuple[BootTarget, ...] = (),
        stages: Stages | None = None,
        reopened: Reopened | None = None,
    ) -> None:
        """Make the driver; nothing is touched before `open`.

        Args:
            lines: where lines come from; ours alone, closed with us.
            board: which lines.
            mains_epoch: what tells the epoch of mains, where a board can. A text "INSTANCE:COUNT": mains came back
                exactly if INSTANCE is the same and COUNT is higher; with another INSTANCE nothing is proven.
            set_boot: what tells the firmware of the next boot, where a board can; it takes every target and interface.
            boot_order: from where the host boots by itself, where a board knows.
            stages: what tells how far boots come, where a board can.
            reopened: called with new releases when the hardware went away and came back.
        """
        super().__init__(lines, reopened, mains_epoch)
        self._board = board
        self._wires = {Action.RESET: board.reset, Action.NMI: board.nmi, Action.ON: board.button}
        self._set_boot = set_boot
        self._boot_order = boot_order
        self._stages = stages
        self._open = _Open()
        self._our_press = False
        self._deaf_until = 0.0
        self._coming_up_until = 0.0

    @property
    def actions(self) -> frozenset[Action]:
        """What these wires can do."""
        wired = {action for action, wire in self._wires.items() if wire is not None}
        return frozenset(wired | {Action.SOFT_OFF, Action.FORCE_OFF})

    @property
    def boot_targets(self) -> frozenset[BootTarget]:
        """All, if the firmware can be told; buttons alone cannot."""
        return frozenset() if self._set_boot is None else frozenset(BootTarget)

    @property
    def boot_firmwares(self) -> frozenset[BootFirmware]:
        """All, if the firmware can be told."""
        return frozenset() if self._set_boot is None else frozenset(BootFirmware)

    @property
    def boot_order(self) -> tuple[BootTarget, ...]:
        """What the board says."""
        return self._boot_order

    async def do(self, action: Action, *, boot: Boot | None = None) -> None:
        """Press a button; see `ubmc.hw.power.port.Power.do`. Presses wait for each other.

        A caller who is cancelled while waiting for another press has not pressed; afterwards the press runs to its end.
        A forced off of a host that is off already does nothing, because a press would power it on.

        Raises:
            Refused: no such line, or not in this level, or no such choice of a boot.
            Unavailable: the line or the firmware does not obey, or the driver is closed.
        """
        if action not in self.actions:
            raise Refused(f"this board has no line for {action.value}")
        check_boot(action, boot, self.boot_targets, self.boot_firmwares)
        await self._turn.acquire()
        try:
            if not self._ready:
                raise Unavailable("the power lines cannot be reached; they are tried again")
            work = self._work(action, await self._read_level())
        except BaseException:
            self._turn.release()
            raise
        if work is None:
            self._turn.release()
            return
        task = asyncio.ensure_future(self._boot(boot, work) if action in BOOTS else work)
        task.add_done_callback(self._done)
        await asyncio.shield(task)

    async def _read_level(self) -> Level:
        """The level on the wire, which may be newer than what was told."""
        if "good" not in self._open.inputs:
            return Level.UNKNOWN
        try:
            return Level.ON if await self._open.inputs["good"].get() else Level.OFF
        except Unavailable:
            return Level.UNKNOWN

    def _work(self, action: Action, level: Level) -> Coroutine[Any, Any, None] | None:
        """What to do on the wires for an action in this level; None for nothing. Raises `Refused`."""
        board = self._board
        if action in (Action.ON, Action.SOFT_OFF) and level is Level.UNKNOWN:
            raise Refused(f"power-good cannot be read, and a press could do the opposite of {action.value}")
        if action is Action.ON:
            if level is Level.ON:
                raise Refused("the host is on: a press would ask it to shut down")
            return self._power_on()
        if action is Action.FORCE_OFF:
            coming_up = asyncio.get_running_loop().time() < self._coming_up_until
            return None if level is Level.OFF and not coming_up else self._hold()
        if level is Level.OFF:
            raise Refused(f"the host is off: {action.value} needs one that is on")
        seconds = {Action.RESET: board.reset_seconds, Action.NMI: board.nmi_seconds}.get(action, board.press_seconds)
        return self._press(action, seconds)

    async def _boot(self, boot: Boot | None, work: Coroutine[Any, Any, None]) -> None:
        """Tell the firmware, then press; it is told of its own order too, as it may have been told otherwise before."""
        try:
            if self._set_boot is not None:
                await self._set_boot(boot)
        except BaseException:
            work.close()
            raise
        await work

    async def _power_on(self) -> None:
        self._coming_up_until = asyncio.get_running_loop().time() + self._board.settle_seconds
        await self._press(Action.ON, self._board.press_seconds)

    async def _hold(self) -> None:
        """Hold the power button until power-good drops, or long enough."""
        await self._press(Action.FORCE_OFF, self._board.hold_seconds, until_off=True)
        self._coming_up_until = 0.0

    async def _press(self, action: Action, seconds: float, *, until_off: bool = False) -> None:
        line = self._open.outputs.get(action, self._open.outputs[Action.ON])
        mine = line is self._open.outputs[Action.ON]
        self._our_press = self._our_press or mine
        try:
            await line.set(active=True)
            if until_off:
                await self._until_off(seconds)
            else:
                await asyncio.sleep(seconds)
        except Unavailable:
            self._lost.set()
            raise
        finally:
            try:
                await line.set(active=False)
            except Unavailable:
                self._lost.set()
                _LOG.exception("line %s may still be active: the guardian has to release it", line.name)
                raise
            finally:
                self._our_press = False
                # The debounced echo of our own press comes a little later than its end.
                self._deaf_until = asyncio.get_running_loop().time() + 2 * self._board.debounce_seconds + 0.1

    async def _until_off(self, seconds: float) -> None:
        """Wait until the host goes off (one that is coming up: until it came up and went off), at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self._seen.until_not(self._seen.level)
                    if self._seen.level is Level.OFF:
                        return
        except TimeoutError:
            return

    def _done(self, task: asyncio.Future[None]) -> None:
        self._turn.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.warning("a press failed: %s", error)

    async def _request(self) -> None:
        board = self._board
        opened = _Open()
        for action, wire in self._wires.items():
            if wire is not None:
                opened.outputs[action] = await self._lines.output(wire.name, active_low=wire.active_low)
        inputs = {"good": board.good, "front": board.front_button, "identify": board.identify}
        for use, wire in inputs.items():
            if wire is not None:
                opened.inputs[use] = await self._lines.input(
                    wire.name, active_low=wire.active_low, debounce_seconds=board.debounce_seconds
                )
        for line in opened.outputs.values():
            await line.set(active=False)
        self._open = opened
        self._seen.see(await self._read_level())

    def _releases(self) -> tuple[Release, ...]:
        return tuple(line.release() for line in self._open.outputs.values())

    def _followers(self) -> list[Awaitable[None]]:
        inputs = self._open.inputs
        followers: list[Awaitable[None]] = []
        if "good" in inputs:
            followers.append(self._follow_good(inputs["good"]))
        if "front" in inputs:
            followers.append(self._follow_button(inputs["front"], News.BUTTON_PRESSED))
        if "identify" in inputs:
            followers.append(self._follow_button(inputs["identify"], News.IDENTIFY_PRESSED))
        if self._stages is not None:
            followers.append(self._follow_stages(self._stages))
        return followers

    async def _follow_stages(self, stages: Stages) -> None:
        """Follow boots for as long as the lines are followed; nothing hangs on it."""
        while True:
            try:
                async with contextlib.aclosing(stages()) as seen:
                    async for stage in seen:
                        self._seen.boots(stage)
            except UbmcError as error:
                _LOG.debug("boots are not seen: %s", error)
            self._seen.boots(None)
            await asyncio.sleep(_STAGES_AGAIN_SECONDS)

    async def _follow_button(self, line: InputLine, news: News) -> None:
        before: bool | None = None
        async for active in line.watch():
            if active and before is False and not (news is News.BUTTON_PRESSED and self._is_ours()):
                self._seen.news(news)
            before = active

    def _is_ours(self) -> bool:
        return self._our_press or asyncio.get_running_loop().time() < self._deaf_until
