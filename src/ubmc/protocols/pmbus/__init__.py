"""PMBus, as power supplies and regulators speak it (PMBus specification 1.3, part II). Pure functions.

A word is an SMBus word: the low byte came first. What a device does not implement it does not acknowledge; what it
implements it describes in `VOUT_MODE` (voltages) and in its data sheet (all else), so the caller names the format.
"""

from ubmc.protocols.pmbus.blocks import Energy, average_watts, full_scale_direct, full_scale_linear11, read_ein, text
from ubmc.protocols.pmbus.commands import Command
from ubmc.protocols.pmbus.formats import (
    Direct,
    Mode,
    Vid,
    VoutMode,
    decode_half,
    decode_linear11,
    decode_linear16,
    decode_vid,
    decode_vout,
    encode_half,
    encode_linear11,
    encode_linear16,
    parse_vout_mode,
)
from ubmc.protocols.pmbus.status import Status
from ubmc.protocols.smbus.pec import crc8

__all__ = [
    "Command",
    "Direct",
    "Energy",
    "Mode",
    "Status",
    "Vid",
    "VoutMode",
    "average_watts",
    "crc8",
    "decode_half",
    "decode_linear11",
    "decode_linear16",
    "decode_vid",
    "decode_vout",
    "encode_half",
    "encode_linear11",
    "encode_linear16",
    "full_scale_direct",
    "full_scale_linear11",
    "parse_vout_mode",
    "read_ein",
    "text",
]
