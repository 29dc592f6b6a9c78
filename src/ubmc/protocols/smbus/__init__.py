"""What goes over an SMBus: the packet error code, and the formats of the common temperature sensors. Pure functions.

A word is given as the register holds it, most significant byte first: an SMBus word transfer has it the other way
round, and `swapped` turns it.
"""

from ubmc.protocols.smbus.pec import crc8
from ubmc.protocols.smbus.temperature import Jc42, jc42, lm75, temperature_8_4, tmp421_open
from ubmc.protocols.smbus.words import swapped

__all__ = ["Jc42", "crc8", "jc42", "lm75", "swapped", "temperature_8_4", "tmp421_open"]
