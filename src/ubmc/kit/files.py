"""Small files that are replaced in one step: after a power cut there is the old one or the new one, whole."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, data: bytes) -> None:
    """Replace a file, or make it, readable for its owner only; it is on the disk when this returns. Blocks.

    Raises:
        OSError: it cannot be written; the old one is as it was.
    """
    draft = path.with_name(f".{path.name}.draft")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(draft, "wb", opener=_private) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
