"""STATUS_WORD: what is wrong with a device, in one word (PMBus specification 1.3, part II, section 17.2)."""

from __future__ import annotations

from enum import IntFlag


class Status(IntFlag):
    """The bits of `STATUS_WORD`; the lower eight are `STATUS_BYTE`. `Status(word)` never fails for 16 bits."""

    NONE_OF_THE_ABOVE = 1 << 0
    CML = 1 << 1  # communication, memory or logic fault
    TEMPERATURE = 1 << 2
    VIN_UNDER_VOLTAGE_FAULT = 1 << 3
    IOUT_OVER_CURRENT_FAULT = 1 << 4
    VOUT_OVER_VOLTAGE_FAULT = 1 << 5
    OFF = 1 << 6  # gives no power, for whatever reason
    BUSY = 1 << 7
    UNKNOWN = 1 << 8
    OTHER = 1 << 9
    FANS = 1 << 10
    POWER_GOOD_NEGATED = 1 << 11
    MFR_SPECIFIC = 1 << 12
    INPUT = 1 << 13
    IOUT = 1 << 14  # output current or power
    VOUT = 1 << 15
