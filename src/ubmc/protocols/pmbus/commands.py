"""The commands that reading needs (PMBus specification 1.3, part II, appendix I)."""

from __future__ import annotations

from enum import IntEnum


class Command(IntEnum):
    """Codes of commands; all are words but where said."""

    PAGE = 0x00  # byte: which of several outputs the commands after it mean
    CLEAR_FAULTS = 0x03  # no data
    PHASE = 0x04  # byte
    CAPABILITY = 0x19  # byte: bit 7 says that packets carry an error code
    VOUT_MODE = 0x20  # byte
    COEFFICIENTS = 0x30  # block write, block read: m, b, R of the DIRECT format
    FAN_CONFIG_1_2 = 0x3A  # byte
    FAN_COMMAND_1 = 0x3B
    FAN_COMMAND_2 = 0x3C
    STATUS_BYTE = 0x78  # byte
    STATUS_WORD = 0x79
    STATUS_VOUT = 0x7A  # byte
    STATUS_IOUT = 0x7B  # byte
    STATUS_INPUT = 0x7C  # byte
    STATUS_TEMPERATURE = 0x7D  # byte
    STATUS_CML = 0x7E  # byte
    STATUS_MFR_SPECIFIC = 0x80  # byte
    STATUS_FANS_1_2 = 0x81  # byte
    STATUS_FANS_3_4 = 0x82  # byte
    READ_EIN = 0x86  # block of 6 bytes
    READ_EOUT = 0x87  # block of 6 bytes
    READ_VIN = 0x88
    READ_IIN = 0x89
    READ_VCAP = 0x8A
    READ_VOUT = 0x8B
    READ_IOUT = 0x8C
    READ_TEMPERATURE_1 = 0x8D
    READ_TEMPERATURE_2 = 0x8E
    READ_TEMPERATURE_3 = 0x8F
    READ_FAN_SPEED_1 = 0x90
    READ_FAN_SPEED_2 = 0x91
    READ_FAN_SPEED_3 = 0x92
    READ_FAN_SPEED_4 = 0x93
    READ_DUTY_CYCLE = 0x94
    READ_FREQUENCY = 0x95
    READ_POUT = 0x96
    READ_PIN = 0x97
    PMBUS_REVISION = 0x98  # byte
    MFR_ID = 0x99  # block: text
    MFR_MODEL = 0x9A  # block: text
    MFR_REVISION = 0x9B  # block: text
    MFR_LOCATION = 0x9C  # block: text
    MFR_DATE = 0x9D  # block: text
    MFR_SERIAL = 0x9E  # block: text
    MFR_POUT_MAX = 0xA7
