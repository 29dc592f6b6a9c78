"""FRU storage in a plain file, for machines that have no EEPROM."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from ubmc.hw.fru.worker import Worker
from ubmc.kit.errors import NotFound, Refused, Unavailable

MAX_BYTES = 65536


class FileFru:
    """One file; it is replaced as a whole, so it is never half written.

    Args:
        name: of the asset.
        path: the file; while there is none, the unit counts as not plugged.
        size: how many bytes it may have.
        writable: whether it may be written.
    """

    def __init__(self, name: str, path: Path, *, size: int = 2048, writable: bool = True) -> None:
        self._name = name
        self._path = path
        self._size = min(size, MAX_BYTES)
        self._writable = writable
        self._worker = Worker(f"fru-{name}")

    @property
    def name(self) -> str:
        """The name of the asset."""
        return self._name

    @property
    def writable(self) -> bool:
        """Whether it may be written."""
        return self._writable

    async def read(self) -> bytes:
        """All bytes, filled up with FFh to the size. Raises `NotFound` and `Unavailable`, as the port says."""
        return await self._worker.run(self._read)

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                return file.read(self._size).ljust(self._size, b"\xff")
        except FileNotFoundError as error:
            raise NotFound(f"{self._name}: there is no {self._path}") from error
        except OSError as error:
            raise Unavailable(f"{self._name}: {self._path}: {error.strerror}") from error

    async def write(self, data: bytes) -> None:
        """Replace the first bytes. Raises as the port says."""
        if not self._writable:
            raise Refused(f"{self._name}: its FRU storage cannot be written")
        if len(data) > self._size:
            raise Refused(f"{self._name}: {len(data)} bytes; its FRU storage has {self._size}")
        await self._worker.run(lambda: self._write(bytes(data)))

    def _write(self, data: bytes) -> None:
        whole = data + self._read()[len(data) :]
        try:
            fd, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}-")
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(whole)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise Unavailable(f"{self._name}: {self._path}: {error.strerror}") from error

    async def close(self) -> None:
        """Give the thread back."""
        self._worker.close()
