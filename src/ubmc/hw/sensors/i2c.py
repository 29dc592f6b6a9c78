"""Sensors that are read over I2C by ourselves: PMBus devices, and temperature sensors without a kernel driver.

Everything behind one adapter is one wire, whatever muxes are between. A device that does not answer is asked once a
round, not once for each of its sensors: a stuck device costs one timeout of the adapter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ubmc.hw import sysfs
from ubmc.hw.i2c.linux import LinuxI2cBus
from ubmc.hw.i2c.port import I2cBus
from ubmc.hw.i2c.topology import I2cPlace, resolve
from ubmc.hw.sensors.channels import PmbusChannel, PmbusFormat, SmbusChannel, SmbusType
from ubmc.hw.sensors.wire import Wire
from ubmc.kit.errors import Invalid, UbmcError, Unavailable
from ubmc.protocols import pmbus, smbus

Channel = PmbusChannel | SmbusChannel
_Device = tuple[I2cPlace, int]


class I2cSensors(Wire):
    """Sensors behind one adapter."""

    def __init__(
        self,
        name: str,
        channels: Sequence[Channel],
        *,
        root: Path = sysfs.SYSFS,
        open_bus: Callable[[int], I2cBus] = LinuxI2cBus,
    ) -> None:
        """Nothing is opened yet.

        Args:
            name: of the wire.
            channels: of its sensors.
            root: where sysfs is.
            open_bus: opens the adapter with this number.
        """
        super().__init__(name, channels, _Source(lambda place: open_bus(resolve(place, root))))


class _Source:
    """Opens buses for a round at a time: their numbers may be others in the next."""

    def __init__(self, open_bus: Callable[[I2cPlace], I2cBus]) -> None:
        self._open_bus = open_bus
        self._modes: dict[tuple[_Device, int | None], pmbus.VoutMode] = {}

    @contextlib.contextmanager
    def round(self) -> Iterator[Callable[[Channel], float]]:
        with contextlib.ExitStack() as stack:
            buses: dict[I2cPlace, I2cBus | UbmcError] = {}
            silent: dict[_Device, UbmcError] = {}

            def bus_of(place: I2cPlace) -> I2cBus:
                if place not in buses:
                    buses[place] = self._opened(place, stack)
                found = buses[place]
                if isinstance(found, UbmcError):
                    raise found
                return found

            def read(channel: Channel) -> float:
                device = (channel.bus, channel.address)
                if device in silent:
                    raise silent[device]
                bus = bus_of(channel.bus)
                try:
                    return _smbus(bus, channel) if isinstance(channel, SmbusChannel) else self._pmbus(bus, channel)
                except _NoSensor as error:
                    raise Unavailable(error.message) from None
                except UbmcError as error:
                    if not isinstance(error, Invalid):
                        silent[device] = error
                    self._forget(device)
                    raise

            yield read

    def _opened(self, place: I2cPlace, stack: contextlib.ExitStack) -> I2cBus | UbmcError:
        try:
            bus = self._open_bus(place)
        except UbmcError as error:
            return error
        stack.callback(bus.close)
        return bus

    def _forget(self, device: _Device) -> None:
        """What is there after a failure may be another device: a supply is exchanged while all runs."""
        for key in [key for key in self._modes if key[0] == device]:
            del self._modes[key]

    def _pmbus(self, bus: I2cBus, channel: PmbusChannel) -> float:
        """Read one value (PMBus part II, section 11.10: commands after PAGE mean that page)."""
        if channel.page is not None:
            bus.write_byte(channel.address, pmbus.Command.PAGE, channel.page, pec=channel.pec)
        mode = self._mode(bus, channel) if _needs_mode(channel) else None
        word = bus.read_word(channel.address, channel.command, pec=channel.pec)
        try:
            return _decoded(channel, word, mode)
        except ValueError as error:
            raise Invalid(f"{channel.sensor}: {error}") from error

    def _mode(self, bus: I2cBus, channel: PmbusChannel) -> pmbus.VoutMode:
        key = ((channel.bus, channel.address), channel.page)
        if key not in self._modes:
            byte = bus.read_byte(channel.address, pmbus.Command.VOUT_MODE, pec=channel.pec)
            self._modes[key] = pmbus.parse_vout_mode(byte)
        return self._modes[key]


class _NoSensor(Unavailable):
    """The device answers, but has nothing on this channel."""


def _needs_mode(channel: PmbusChannel) -> bool:
    by_mode = channel.format is PmbusFormat.AUTO and channel.command is pmbus.Command.READ_VOUT
    return by_mode or channel.format is PmbusFormat.LINEAR16


def _decoded(channel: PmbusChannel, word: int, mode: pmbus.VoutMode | None) -> float:
    match channel.format:
        case PmbusFormat.DIRECT:
            if channel.direct is None:
                raise ValueError("the format is direct, but m, b and R are not given")
            return channel.direct.decode(word)
        case PmbusFormat.VID:
            if channel.vid is None:
                raise ValueError("the format is VID, but the table is not named")
            return pmbus.decode_vid(word, channel.vid)
        case PmbusFormat.LINEAR16 if mode is not None:
            return pmbus.decode_linear16(word, mode.exponent)
        case PmbusFormat.AUTO if mode is not None:
            return pmbus.decode_vout(word, mode, vid=channel.vid, direct=channel.direct)
    return pmbus.decode_linear11(word)


_JC42_TEMPERATURE = 0x05  # JEDEC JC-42.4, TSE2004: temperature data register
_LM75_TEMPERATURE = 0x00
# TMP421 data sheet (SBOS398), register map: whole degrees from 00h on, parts of a degree from 10h on.
_TMP421_HIGH, _TMP421_LOW, _TMP421_CONFIGURATION_1 = 0x00, 0x10, 0x09
_TMP421_EXTENDED = 0x04


def _smbus(bus: I2cBus, channel: SmbusChannel) -> float:
    address, pec = channel.address, channel.pec
    match channel.type:
        case SmbusType.LM75:
            return smbus.lm75(smbus.swapped(bus.read_word(address, _LM75_TEMPERATURE, pec=pec)), channel.bits)
        case SmbusType.JC42:
            return smbus.jc42(smbus.swapped(bus.read_word(address, _JC42_TEMPERATURE, pec=pec))).celsius
    extended = bool(bus.read_byte(address, _TMP421_CONFIGURATION_1, pec=pec) & _TMP421_EXTENDED)
    high = bus.read_byte(address, _TMP421_HIGH + channel.channel, pec=pec)
    low = bus.read_byte(address, _TMP421_LOW + channel.channel, pec=pec)
    if channel.channel and smbus.tmp421_open(low):
        raise _NoSensor(f"{bus.name}, {address:#04x}: nothing is connected to channel {channel.channel}")
    return smbus.temperature_8_4(high, low, extended=extended)
