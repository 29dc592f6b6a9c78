"""One light: what it shall show, and the task that makes the hardware show it.

Each light has a task of its own, so one whose hardware hangs or fails holds up neither the others nor the news.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from ubmc.hw.leds.port import Led
from ubmc.kit.errors import UbmcError, Unavailable
from ubmc.services.ledmgr import pattern
from ubmc.services.ledmgr.facts import Duty
from ubmc.services.ledmgr.pattern import Shown
from ubmc.v1alpha1 import led_pb
from ubmc.v1alpha1.led_pb import LedPattern

log = logging.getLogger("ubmc.ledmgr")

FOREVER = float("inf")
TESTED = "a lamp test"


@dataclass(frozen=True, slots=True)
class Override:
    """What is shown instead, and until when by the loop's clock."""

    shown: Shown
    until: float


class Light:
    """A light and its task.

    Args:
        duty: what it is there for.
        led: the hardware.
        changed: told the light whenever what is said of it has changed.
    """

    RETRY_SECONDS: ClassVar[float] = 0.5
    REFRESH_SECONDS: ClassVar[float] = 10.0  # hardware that came back anew shows what it should within this time
    SET_SECONDS: ClassVar[float] = 5.0
    PATIENCE: ClassVar[int] = 5  # failures in a row before one is logged: the hardware may just be coming up

    def __init__(self, duty: Duty, led: Led, changed: Callable[[led_pb.Led], None]) -> None:
        self.duty = duty
        self.component = duty.component
        self._led = led
        self._changed = changed
        self._usual = pattern.UNKNOWN
        self._by_hand: Override | None = None
        self._test: Override | None = None
        self._failures = 0
        self._wake = asyncio.Event()
        self._version = 0  # of what is to be shown
        self._tried_version = 0
        self._tried = asyncio.Condition()
        self._said: led_pb.Led | None = None

    # --- what it shall show -------------------------------------------------------------------------------------

    def usually(self, shown: Shown, component: str) -> None:
        """What the light is there for asks for this now."""
        if (shown, component) != (self._usual, self.component):
            self._usual, self.component = shown, component
            self._renew()

    def override(self, shown: Shown | None, seconds: float) -> None:
        """Show this instead for a time, 0 for ever; None takes that back."""
        self._by_hand = None if shown is None else Override(shown, self._until(seconds))
        self._renew()

    def test(self, seconds: float) -> None:
        """Be lit for this time, whatever else is asked for."""
        self._test = Override(Shown(LedPattern.ON, TESTED), self._until(seconds))
        self._renew()

    def _renew(self) -> None:
        self._version += 1
        self._wake.set()

    @staticmethod
    def _until(seconds: float) -> float:
        return asyncio.get_running_loop().time() + seconds if seconds else FOREVER

    def _now(self) -> tuple[Shown, float, bool]:
        """What is to be shown, until when, and whether that is not what the light is there for."""
        now = asyncio.get_running_loop().time()
        self._test = self._test if self._test is not None and self._test.until > now else None
        self._by_hand = self._by_hand if self._by_hand is not None and self._by_hand.until > now else None
        override = self._test or self._by_hand
        return (self._usual, FOREVER, False) if override is None else (override.shown, override.until, True)

    def message(self) -> led_pb.Led:
        """The light as the schema has it."""
        shown, _, overridden = self._now()
        return led_pb.Led(
            name=self.duty.led,
            role=self.duty.kind,
            component=self.component,
            pattern=shown.pattern,
            reason=shown.reason,
            overridden=overridden,
            failed=self._failures > 0,
        )

    # --- making it so -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Show what is to be shown, until cancelled."""
        while True:
            self._wake.clear()
            version = self._version
            await self._apply()
            self.say()
            async with self._tried:
                self._tried_version = version
                self._tried.notify_all()
            await self._wait()

    async def tried(self, seconds: float) -> None:
        """Wait until the hardware was told what is to be shown now, for `seconds` at most."""
        wanted = self._version
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._tried:
                await self._tried.wait_for(lambda: self._tried_version >= wanted)

    def say(self) -> None:
        """Tell what is said of the light, if that is new."""
        message = self.message()
        if message != self._said:
            self._said = message
            self._changed(message)

    async def _apply(self) -> None:
        shown, _, _ = self._now()
        look = pattern.LOOKS.get(shown.pattern)
        if look is None:
            return  # what it shows from before is likelier to be right than anything else
        try:
            async with asyncio.timeout(self.SET_SECONDS):
                await self._led.set(look)
        except TimeoutError:
            self._failed(Unavailable("the hardware does not answer"))
        except UbmcError as error:
            self._failed(error)
        else:
            if self._failures >= self.PATIENCE:
                log.info("a light can be set again", extra={"led": self.duty.led})
            self._failures = 0

    def _failed(self, error: UbmcError) -> None:
        self._failures += 1
        if self._failures == self.PATIENCE:
            log.warning("a light cannot be set", extra={"led": self.duty.led, "error": error.message})

    async def _wait(self) -> None:
        """Until something is new, or it is time to try again."""
        _, until, _ = self._now()
        left = until - asyncio.get_running_loop().time()
        seconds = min(left, self.RETRY_SECONDS if self._failures else self.REFRESH_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._wake.wait()
