"""Following a recipe: setting a fan's duty without its driver, without an event loop, at once.

A write can hang in the kernel, and then nothing ends it. So it is made on a thread that is left behind when it does not
come back in time; the next attempt for the same fan fails at once while that one still hangs.
"""

from __future__ import annotations

import errno
import math
import threading
from collections.abc import Callable

from ubmc.hw.fans.places import PLACES
from ubmc.hw.fans.port import Recipe
from ubmc.kit.errors import UbmcError

DEADLINE_SECONDS = 0.2


def apply(recipe: Recipe, percent: float, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Set the duty of a fan and read it back. Blocks, at most as long as the deadline.

    Args:
        recipe: of the fan.
        percent: 0 to 100; what is beyond is taken as the nearest, and no number as 100.
        deadline_seconds: the longest that it may take.

    Raises:
        TimeoutError: (an `OSError`) the write hangs; it may still be done later.
        OSError: the hardware does not obey, or the recipe cannot be followed.
    """
    duty = 100.0 if math.isnan(percent) else min(max(percent, 0.0), 100.0)
    write = _writer(recipe)
    title = f"recipe-{recipe.name}"
    if any(thread.name == title for thread in threading.enumerate()):
        raise TimeoutError(errno.ETIMEDOUT, f"{recipe.name}: an earlier write hangs in the kernel")
    failures: list[Exception] = []

    def attempt() -> None:
        try:
            write(duty)
        except Exception as error:  # noqa: BLE001 - it is raised again below
            failures.append(error)

    thread = threading.Thread(target=attempt, name=title, daemon=True)
    thread.start()
    thread.join(deadline_seconds)
    if thread.is_alive():
        raise TimeoutError(errno.ETIMEDOUT, f"{recipe.name}: the write did not come back in {deadline_seconds:g} s")
    for error in failures:
        if isinstance(error, OSError):
            raise error
        raise OSError(errno.EIO, f"{recipe.name}: {error}") from error


def _writer(recipe: Recipe) -> Callable[[float], None]:
    if recipe.kind == "sim":
        from ubmc.hw.sim import recipe as simulated  # only boards with a simulated machine need it

        return lambda percent: simulated.apply(recipe.place, percent)
    kind = PLACES.get(recipe.kind)
    if kind is None:
        raise OSError(errno.EINVAL, f'{recipe.name}: nobody knows recipes of the kind "{recipe.kind}"')
    try:
        return kind.from_json(recipe.place).write
    except (KeyError, TypeError, ValueError, UbmcError) as error:
        raise OSError(errno.EINVAL, f"{recipe.name}: the recipe is not whole: {error}") from error
