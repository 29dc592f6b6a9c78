"""Writing fans: all at the same time, each with a deadline, so that one that hangs holds up no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from ubmc.hw.fans.port import Fan
from ubmc.kit.errors import UbmcError

log = logging.getLogger("ubmc.thermalmgr")

WRITE_SECONDS = 0.35
"""For one fan; two of them are less than the patience of anybody who waits for a cycle."""
REFRESH_SECONDS = 2.0
"""What a fan has already is written again so often: somebody else may have set it."""
DEAD_BAND = 0.4
"""A change that is smaller, in percent, waits for the next refresh."""


class FanWriter:
    """Writes the fans of a board, open."""

    def __init__(self, fans: Mapping[str, Fan]) -> None:
        self._fans = dict(fans)
        self._has: dict[str, tuple[float, float]] = {}  # duty, and when it was written
        self._failing: set[str] = set()

    def duty(self, fan: str) -> float | None:
        """The duty that a fan has, as far as we know; None if it could not be written."""
        written = self._has.get(fan)
        return None if written is None else written[0]

    async def write(self, duties: Mapping[str, float]) -> set[str]:
        """Give fans these duties in percent; the names of those that did not take theirs."""
        now = asyncio.get_running_loop().time()
        due = {name: duty for name, duty in duties.items() if self._due(name, duty, now)}
        results = await asyncio.gather(*(self._write(name, duty) for name, duty in due.items()))
        return {name for name, well in zip(due, results, strict=True) if not well}

    def _due(self, name: str, duty: float, now: float) -> bool:
        written = self._has.get(name)
        if written is None:
            return True
        has, at = written
        return abs(has - duty) >= DEAD_BAND or (duty >= 100.0 > has) or now - at >= REFRESH_SECONDS

    async def _write(self, name: str, duty: float) -> bool:
        error = ""
        for _ in range(2):  # once may be an accident
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._fans[name].set(duty)
            except TimeoutError:
                error = f"no answer within {WRITE_SECONDS} s"
                break
            except UbmcError as failure:
                error = failure.message
            except Exception as failure:
                error = f"{type(failure).__name__}: {failure}"
                if name not in self._failing:
                    log.exception("the driver of a fan failed by a bug", extra={"fan": name})
            else:
                self._has[name] = (duty, asyncio.get_running_loop().time())
                if name in self._failing:
                    self._failing.discard(name)
                    log.info("a fan can be written again", extra={"fan": name})
                return True
        self._has.pop(name, None)
        if name not in self._failing:
            self._failing.add(name)
            log.error("a fan cannot be written", extra={"fan": name, "error": error})
        return False

    async def close(self) -> None:
        """Give all fans back; their duties stay."""
        fans, self._fans = self._fans, {}
        await asyncio.gather(*(fan.close() for fan in fans.values()), return_exceptions=True)
