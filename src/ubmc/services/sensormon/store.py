"""The file of changed thresholds: one JSON document, replaced in one step; a damaged one is set aside."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import orjson

from ubmc.kit.errors import Unavailable

log = logging.getLogger("ubmc.sensormon")

VERSION = 1
MAX_BYTES = 1024 * 1024


class ThresholdFile:
    """Changed thresholds by sensor; sensors that this board does not have stay in it.

    Args:
        path: the file. Its directory is made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, Any]:
        """What is in the file; nothing if there is none, or if it is damaged (then it is set aside and said so)."""
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            content = orjson.loads(data)
            if len(data) > MAX_BYTES or content["version"] != VERSION:
                raise ValueError("it is too large, or of another version")
            return dict(content["sensors"])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError) as error:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            try:
                self._path.replace(aside)
            except OSError as trouble:
                log.warning("changed thresholds cannot be read or set aside", extra={"error": f"{error}; {trouble}"})
            else:
                log.warning(
                    "changed thresholds were damaged and set aside; those of the board file hold",
                    extra={"file": str(aside), "error": str(error)},
                )
            return {}

    def save(self, sensors: dict[str, Any]) -> None:
        """Replace the file; it is on the disk before we return.

        Raises:
            Unavailable: it cannot be written; the old one is as it was.
        """
        data = orjson.dumps({"version": VERSION, "sensors": sensors}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
        draft = self._path.with_name(f".{self._path.name}.draft")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(draft, "wb", opener=_private) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise Unavailable(f"thresholds cannot be kept, so they stay as they are: {error.strerror}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
