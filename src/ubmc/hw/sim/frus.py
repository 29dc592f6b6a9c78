"""FRU storage of the simulated machine."""

from __future__ import annotations

from ubmc.hw.sim.dial import Dial
from ubmc.hw.sim.session import ANSWER_SECONDS, Session
from ubmc.kit.errors import Unavailable


class SimFru:
    """The storage of one part (`ubmc.hw.fru.port.FruStore`)."""

    def __init__(self, name: str, dial: Dial, *, writable: bool, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Nothing is connected before the first read.

        Args:
            name: of the asset, in the machine as in the board file.
            dial: how to reach the machine.
            writable: `Asset.fru_writable` of the machine.
            answer_seconds: storage that says nothing for so long is on a stuck bus.
        """
        self._name = name
        self._writable = writable
        self._session = Session(dial, answer_seconds=answer_seconds)

    @property
    def name(self) -> str:
        """The asset."""
        return self._name

    @property
    def writable(self) -> bool:
        """Whether `write` can work."""
        return self._writable

    async def read(self) -> bytes:
        """All bytes. Raises `NotFound` (not plugged in, or no storage), `Unavailable`."""
        try:
            return bytes.fromhex((await self._session.ask({"do": "fru", "asset": self._name}))["data"])
        finally:
            self._session.rest()  # it is read now and then: no need to hold a connection for that

    async def write(self, data: bytes) -> None:
        """Replace the first bytes and read them back. Raises as the port says."""
        try:
            await self._session.ask({"do": "fru-write", "asset": self._name, "data": data.hex()})
            answer = await self._session.ask({"do": "fru", "asset": self._name})
        finally:
            self._session.rest()  # it is read now and then: no need to hold a connection for that
        if bytes.fromhex(answer["data"])[: len(data)] != data:
            raise Unavailable(f"the FRU storage of {self._name} does not keep what was written")

    async def close(self) -> None:
        """Hang up for good."""
        await self._session.close()
