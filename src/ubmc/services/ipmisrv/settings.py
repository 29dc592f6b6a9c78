"""What an administrator sets over IPMI and nobody else in the BMC knows; one small JSON file, replaced in one step.

Each part of the door keeps a section of its own in it. The serial-over-LAN section is typed here, because the commands
that change it and the sessions that obey it are two parts.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ubmc.kit.errors import Unavailable
from ubmc.kit.files import replace
from ubmc.protocols.ipmi.codes import Level

log = logging.getLogger("ubmc.ipmisrv")

VERSION = 1
MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class SolSettings:
    """Serial over LAN (Spec table 26-5, SOL Configuration Parameters)."""

    enabled: bool = True
    level: Level = Level.OPERATOR
    """The lowest privilege level that may open it: USER, OPERATOR or ADMINISTRATOR."""
    force_encryption: bool = True
    force_authentication: bool = True
    accumulate_seconds: float = 0.02
    """How long characters are gathered before they are sent; in steps of 5 ms, 5 ms to 1.275 s."""
    threshold: int = 96
    """So many characters are sent at once, 1 to 255."""
    retries: int = 7
    """How often a packet that nobody acknowledges is sent again, 0 to 7."""
    retry_seconds: float = 0.5
    """After how long; in steps of 10 ms, at most 2.55 s."""


class Settings:
    """The sections of the file.

    Args:
        path: the file; its folder is made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sections: dict[str, dict[str, Any]] = {}
        self._writing = asyncio.Lock()

    async def load(self) -> None:
        """Read the file; one that is damaged is set aside and said so."""
        self._sections = await asyncio.to_thread(self._read)

    def section(self, name: str) -> Mapping[str, Any]:
        """What is kept under a name; empty if nothing is."""
        return dict(self._sections.get(name, {}))

    async def keep(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep a section; it is on the disk when this returns.

        Raises:
            Unavailable: it cannot be written; what was kept before stays.
        """
        async with self._writing:
            sections = {**self._sections, name: dict(content)}
            data = orjson.dumps(
                {"version": VERSION, "sections": sections}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
            )
            if len(data) > MAX_BYTES:
                raise Unavailable("the IPMI settings have become too large to keep")
            try:
                await asyncio.to_thread(replace, self._path, data)
            except OSError as error:
                raise Unavailable(f"IPMI settings cannot be kept, so they stay: {error.strerror}") from error
            self._sections = sections

    @property
    def sol(self) -> SolSettings:
        """How serial over LAN is set."""
        kept = self._sections.get("sol", {})
        try:
            given = {each.name: kept[each.name] for each in dataclasses.fields(SolSettings) if each.name in kept}
            if "level" in given:
                given["level"] = Level(given["level"])
            return SolSettings(**given)
        except (TypeError, ValueError):
            return SolSettings()

    async def set_sol(self, sol: SolSettings) -> None:
        """Keep how serial over LAN is set. Raises `Unavailable` as `keep` does."""
        await self.keep("sol", dataclasses.asdict(sol))

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            content = orjson.loads(data)
            if len(data) > MAX_BYTES or content["version"] != VERSION:
                raise ValueError("it is too large, or of another version")
            return {str(name): dict(section) for name, section in content["sections"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            try:
                self._path.replace(aside)
            except OSError as trouble:
                log.warning("IPMI settings cannot be read or set aside", extra={"error": f"{error}; {trouble}"})
            else:
                log.warning("IPMI settings were damaged and set aside", extra={"file": str(aside), "error": str(error)})
            return {}
