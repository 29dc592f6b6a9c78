"""The numbers that all of IPMI shares: network functions, privilege levels, channels, completion codes."""

from __future__ import annotations

from enum import IntEnum


class NetFn(IntEnum):
    """Network functions of requests (Spec table 5-1); the response to each is one higher."""

    CHASSIS = 0x00
    BRIDGE = 0x02
    SENSOR = 0x04
    APP = 0x06
    FIRMWARE = 0x08
    STORAGE = 0x0A
    TRANSPORT = 0x0C
    GROUP = 0x2C
    """The first byte of the data names the body that defines the command."""


class Group(IntEnum):
    """Defining bodies of group extension commands (Spec table 5-1, DCMI 1.5 section 6)."""

    DCMI = 0xDC


class Level(IntEnum):
    """Privilege levels (Spec section 6.8 and table 22-23, encoding as in table 13-9)."""

    NONE = 0
    CALLBACK = 1
    USER = 2
    OPERATOR = 3
    ADMINISTRATOR = 4
    OEM = 5


class Code(IntEnum):
    """Generic completion codes (Spec table 5-2)."""

    OK = 0x00
    NODE_BUSY = 0xC0
    INVALID_COMMAND = 0xC1
    INVALID_FOR_LUN = 0xC2
    TIMEOUT = 0xC3
    OUT_OF_SPACE = 0xC4
    RESERVATION_CANCELLED = 0xC5
    DATA_TRUNCATED = 0xC6
    LENGTH_INVALID = 0xC7
    LENGTH_EXCEEDED = 0xC8
    OUT_OF_RANGE = 0xC9
    CANNOT_RETURN_BYTES = 0xCA
    NOT_PRESENT = 0xCB
    INVALID_FIELD = 0xCC
    ILLEGAL_FOR_TYPE = 0xCD
    NO_RESPONSE = 0xCE
    DUPLICATED = 0xCF
    SDR_UPDATING = 0xD0
    FIRMWARE_UPDATING = 0xD1
    INITIALIZING = 0xD2
    DESTINATION_UNAVAILABLE = 0xD3
    INSUFFICIENT_PRIVILEGE = 0xD4
    NOT_IN_THIS_STATE = 0xD5
    SUBFUNCTION_DISABLED = 0xD6
    UNSPECIFIED = 0xFF


LAN_CHANNEL = 0x01
"""The number of our LAN channel (Spec section 6.3: any of 1h to Bh)."""
SYSTEM_INTERFACE = 0x0F
"""The channel of the guest (Spec table 6-1)."""
THIS_CHANNEL = 0x0E
"""In requests: the channel that the request came over (Spec table 6-1)."""

BMC_ADDRESS = 0x20
"""The slave address of a BMC (Spec section 12.4)."""
REMOTE_CONSOLE = 0x81
"""The software id that remote consoles begin with (Spec table 5-4)."""


class Completion(Exception):  # noqa: N818 - it is what the specification calls an answer, good or bad
    """An answer other than "done": its completion code, generic or of the command itself (01h to 7Eh, 80h to BEh)."""

    def __init__(self, code: int, why: str = "", data: bytes = b"") -> None:
        super().__init__(why or f"completion code {code:02X}h")
        self.code = code
        self.data = data
        """What follows the code all the same, for the few commands that say so."""
