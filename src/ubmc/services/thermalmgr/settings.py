"""What people chose for the zones, kept over restarts in a small file. Nothing in it is needed to cool."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

import orjson

from ubmc.kit.errors import Unavailable
from ubmc.kit.files import replace
from ubmc.services.thermalmgr.profile import PRESETS, Name, Profile

log = logging.getLogger("ubmc.thermalmgr")

VERSION = 1
OFFSET_MOST = 30.0


def load(file: Path) -> dict[str, Profile]:
    """The profile of every zone that has one; what cannot be read is as if it were not there."""
    try:
        content = orjson.loads(file.read_bytes())
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']}")
        return {str(zone): _profile(fields) for zone, fields in content["zones"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("thermal settings cannot be read: balanced holds", extra={"file": str(file), "error": str(error)})
        return {}


def _profile(fields: Mapping[str, object]) -> Profile:
    name = Name(fields["profile"])
    if name is not Name.CUSTOM:
        return PRESETS[name]
    return custom(float(str(fields["offset"])), float(str(fields["minimum"])))


def custom(offset: float, minimum: float) -> Profile:
    """A profile of one's own, within the range of the schema. Raises `ValueError`."""
    if not (-OFFSET_MOST <= offset <= OFFSET_MOST and 0.0 <= minimum <= 100.0):
        raise ValueError("out of range")
    return Profile(Name.CUSTOM, offset, minimum)


async def save(file: Path, profiles: Mapping[str, Profile]) -> None:
    """Keep them; on the disk when this returns. Raises `Unavailable`."""
    zones = {
        zone: {"profile": each.name.value, "offset": each.offset, "minimum": each.minimum_percent}
        for zone, each in profiles.items()
    }
    try:
        await asyncio.to_thread(replace, file, orjson.dumps({"version": VERSION, "zones": zones}))
    except OSError as error:
        raise Unavailable(f"the profile cannot be stored, so it stays as it is: {error.strerror}") from error
