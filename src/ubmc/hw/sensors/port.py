"""The port for sensors. Sensors come in groups that share a wire: they are read together, and are stuck together.

A driver reads and scales; whether a value is plausible, fresh or too high is sensormon's business. What blocks (sysfs,
ioctl) runs on the one worker thread of its group, in order, never on the event loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ubmc.kit.errors import UbmcError

Outcome = float | UbmcError
"""A value in the unit of the sensor's kind, or why there is none.

Units: degrees Celsius, volts, amperes, watts, joules, RPM, percent (humidity, duty), pascals, litres a minute; a
discrete sensor gives the number of its state, counted from 0.
"""


class SensorBus(Protocol):
    """Sensors on one wire."""

    @property
    def name(self) -> str:
        """The name of the wire, such as `i2c-3`, `hwmon`, `sim`."""

    @property
    def sensors(self) -> Sequence[str]:
        """The names of its sensors, as in the board file."""

    async def read(self, sensors: Sequence[str]) -> Mapping[str, Outcome]:
        """Read these sensors; gives an outcome for each. A sensor that fails takes no other's outcome with it.

        Cancelling leaves the bus usable: a read that hangs in the kernel is waited for by the next call.

        Raises:
            Unavailable: the wire itself cannot be used; then nothing was read.
        """

    async def close(self) -> None:
        """Give the wire back; does not wait for a read that hangs."""
