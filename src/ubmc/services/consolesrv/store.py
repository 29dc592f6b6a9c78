"""What is kept of consoles over a restart: settings, and how the bytes of lines that keep them are numbered.

A small file, written when somebody changes something or a virtual machine is started anew: flash wears out.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from ubmc.hw.console.port import FlowControl
from ubmc.kit import files
from ubmc.kit.errors import Unavailable
from ubmc.services.consolesrv.plan import Settings

log = logging.getLogger("ubmc.consolesrv")

VERSION = 1


@dataclass(frozen=True, slots=True)
class Numbering:
    """Offset = place on the line + base, as long as the line is this one."""

    identity: str
    epoch: str
    base: int


class Store:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._settings: dict[str, Settings] = {}
        self._numberings: dict[str, Numbering] = {}
        self._turn = asyncio.Lock()

    def load(self) -> None:
        """Read it. Blocks for a moment. What cannot be read is as if it were not there."""
        try:
            content = orjson.loads(self._path.read_bytes())
            if content["version"] != VERSION:
                raise ValueError(f"version {content['version']}")
            self._settings = {str(name): _settings(each) for name, each in content["settings"].items()}
            self._numberings = {str(name): Numbering(**each) for name, each in content["numberings"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("console settings cannot be read: those of the board hold", extra={"error": str(error)})

    def settings(self, name: str, default: Settings) -> Settings:
        """Those of one console."""
        return self._settings.get(name, default)

    def numbering(self, name: str) -> Numbering | None:
        """That of one console, if its line keeps its bytes."""
        return self._numberings.get(name)

    async def keep_settings(self, name: str, settings: Settings) -> None:
        """Keep them; on the disk when this returns. Raises `Unavailable`; then the old ones hold."""
        async with self._turn:
            await self._save({**self._settings, name: settings}, self._numberings)

    async def keep_numbering(self, name: str, numbering: Numbering) -> None:
        """Keep it. Raises `Unavailable`."""
        async with self._turn:
            if self._numberings.get(name) != numbering:
                await self._save(self._settings, {**self._numberings, name: numbering})

    async def _save(self, settings: dict[str, Settings], numberings: dict[str, Numbering]) -> None:
        content = {
            "version": VERSION,
            "settings": {name: asdict(each) for name, each in settings.items()},
            "numberings": {name: asdict(each) for name, each in numberings.items()},
        }
        try:
            await asyncio.to_thread(files.replace, self._path, orjson.dumps(content))
        except OSError as error:
            raise Unavailable(f"the settings cannot be stored: {error.strerror or error}") from error
        self._settings, self._numberings = settings, numberings


def _settings(fields: dict[str, Any]) -> Settings:
    made = Settings(**fields)
    return replace(made, flow_control=FlowControl(made.flow_control), redactions=tuple(made.redactions))
