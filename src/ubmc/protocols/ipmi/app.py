"""Commands of the network function Application: device, watchdog, channels, users, system information.

Spec chapters 20, 22 and 27.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from ubmc.protocols.ipmi.codes import Code, Completion, Level

# --- the device (Spec chapter 20) -------------------------------------------------------------------------------------

SUPPORT = 0x8F  # chassis device, FRU inventory, SEL, SDR repository, sensors (Spec table 20-2, byte 7)
_IPMI_VERSION = 0x02  # 2.0, the digits reversed as BCD (Spec table 20-2, byte 6)
_BCD_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Device:
    """What Get Device ID tells."""

    version: tuple[int, int, int] = (0, 0, 0)
    """Of the firmware: major 0 to 127, minor 0 to 99, patch 0 to 65535."""
    device_id: int = 0x20
    manufacturer: int = 0
    """The IANA enterprise number; 0 is "not specified"."""
    product: int = 0


def device_id(device: Device) -> bytes:
    """What Get Device ID tells: 15 bytes, neither more nor less (Spec section 20.1, table 20-2)."""
    major, minor, patch = device.version
    head = bytes((device.device_id, 0x00, major & 0x7F, bcd(minor), _IPMI_VERSION, SUPPORT))
    maker = device.manufacturer.to_bytes(3, "little") + device.product.to_bytes(2, "little")
    return head + maker + patch.to_bytes(4, "little")


def bcd(number: int) -> int:
    """Two decimal digits in one byte; 99 for more."""
    number = min(number, 99)
    return number // _BCD_DIGITS << 4 | number % _BCD_DIGITS


SELF_TEST_PASSED = b"\x55\x00"
"""Spec section 20.4, table 20-3."""
_CANNOT_ACCESS = {"sel": 0x80, "sdr": 0x40, "fru": 0x20}


def self_test(missing: Iterable[str]) -> bytes:
    """What Get Self Test Results tells (Spec section 20.4, table 20-3).

    Args:
        missing: which of `sel`, `sdr`, `fru` cannot be reached.
    """
    flags = sum(_CANNOT_ACCESS[each] for each in set(missing))
    return bytes((0x57, flags)) if flags else SELF_TEST_PASSED


def guid(value: uuid.UUID) -> bytes:
    """A GUID on the wire: the least significant byte first (Spec section 20.8, table 20-10)."""
    return value.bytes[::-1]


ACPI_ON, ACPI_OFF, ACPI_UNKNOWN = 0x00, 0x06, 0x2A
"""S0/G0, S4/S5 soft off, unknown (Spec section 20.6, table 20-5)."""


def acpi_power_state(system: int) -> bytes:
    """What Get ACPI Power State tells: the system's, and that the device is on (Spec section 20.7, table 20-6)."""
    return bytes((system, 0x00))


# --- watchdog (Spec chapter 27) ---------------------------------------------------------------------------------------

_RUN = 0x40
_DONT_LOG = 0x80
_TICK_SECONDS = 0.1
UNINITIALIZED = 0x80
"""Reset Watchdog Timer before it was set (Spec table 27-2)."""


@dataclass(frozen=True, slots=True)
class Watchdog:
    """The watchdog timer (Spec section 27.6, table 27-4; section 27.7, table 27-5)."""

    use: int = 1
    """1 BIOS FRB2, 2 BIOS POST, 3 OS load, 4 SMS/OS, 5 OEM."""
    running: bool = False
    """When it is set: it shall go on, if it runs."""
    dont_log: bool = False
    action: int = 0
    """0 none, 1 hard reset, 2 power down, 3 power cycle."""
    pretimeout_action: int = 0
    """0 none, 1 SMI, 2 NMI, 3 messaging interrupt."""
    pretimeout_seconds: int = 0
    expired: frozenset[int] = field(default_factory=frozenset)
    """The uses that have expired; when it is set: those to clear."""
    timeout_seconds: float = 0.0
    """In steps of 0.1 s."""

    @staticmethod
    def parse(data: bytes) -> Watchdog:
        """The timer of a Set Watchdog Timer.

        Raises:
            Completion: CCh, a field has a reserved value.
        """
        use, action, interrupt = data[0] & 0x07, data[1] & 0x07, data[1] >> 4 & 0x07
        if not 1 <= use <= 5 or action > 3 or interrupt > 3:
            raise Completion(Code.INVALID_FIELD)
        return Watchdog(
            use=use,
            running=bool(data[0] & _RUN),
            dont_log=bool(data[0] & _DONT_LOG),
            action=action,
            pretimeout_action=interrupt,
            pretimeout_seconds=data[2],
            expired=frozenset(bit for bit in range(1, 6) if data[3] & 1 << bit),
            timeout_seconds=int.from_bytes(data[4:6], "little") * _TICK_SECONDS,
        )

    def pack(self, remaining_seconds: float) -> bytes:
        """What Get Watchdog Timer tells."""
        use = self.use | (_RUN if self.running else 0) | (_DONT_LOG if self.dont_log else 0)
        flags = sum(1 << each for each in self.expired)
        head = bytes((use, self.pretimeout_action << 4 | self.action, min(self.pretimeout_seconds, 255), flags))
        return head + _ticks(self.timeout_seconds) + _ticks(remaining_seconds)


def _ticks(seconds: float) -> bytes:
    return min(max(0, round(seconds / _TICK_SECONDS)), 0xFFFF).to_bytes(2, "little")


# --- channels (Spec sections 22.22 to 22.24) --------------------------------------------------------------------------

_IPMI_FORUM = (7154).to_bytes(3, "little")  # who defined the protocol (Spec table 22-29, bytes 6 to 8)
_LAN, _SYSTEM = 0x04, 0x0C  # IEEE 802.3, system interface (Spec table 6-3)
_IPMB, _KCS = 0x01, 0x05  # Spec table 6-2
_MULTI_SESSION = 0x80
_NO_INTERRUPT = 0xFF
SET_NOT_SUPPORTED = 0x82
"""Set Channel Access (Spec table 22-27)."""
ACCESS_MODE_NOT_SUPPORTED = 0x83
ALWAYS_AVAILABLE = 2
"""The access mode of a LAN channel that is there at all times (Spec table 6-4)."""


def lan_channel_info(channel: int, sessions: int) -> bytes:
    """What Get Channel Info tells of a LAN channel (Spec table 22-29)."""
    return bytes((channel, _LAN, _IPMB, _MULTI_SESSION | min(sessions, 63))) + _IPMI_FORUM + bytes(2)


def system_channel_info(channel: int) -> bytes:
    """What Get Channel Info tells of the guest's channel: no interrupts, no sessions (Spec table 22-29)."""
    return bytes((channel, _SYSTEM, _KCS, 0x00)) + _IPMI_FORUM + bytes((_NO_INTERRUPT, _NO_INTERRUPT))


def channel_access(mode: int, limit: Level) -> bytes:
    """What Get Channel Access tells: PEF alerts off, both kinds of authentication on (Spec table 22-28)."""
    return bytes((0x20 | mode, limit))


_KEYS = (0, 1)  # K[R], K[G]
_LOCKED = 0x01
KEY_LOCKED = 0x80
"""Set Channel Security Keys: it cannot be set (Spec table 22-30)."""


def security_key(operation: int, key: int) -> bytes:
    """What Set Channel Security Keys tells: the keys are zero, that is: not used, and stay so (Spec section 22.25).

    Each user has a secret of up to 20 bytes, so a second one that all share would only be one more to lose.

    Raises:
        Completion: 80h, a key shall be set; CCh, there is no such operation or key.
    """
    if operation > 2 or key not in _KEYS:
        raise Completion(Code.INVALID_FIELD)
    if operation:
        raise Completion(KEY_LOCKED)
    return bytes((_LOCKED,)) + bytes(20)


# --- users (Spec sections 22.26 to 22.30) -----------------------------------------------------------------------------

NAME_BYTES = 16
NO_ACCESS = 0x0F
MOST_USERS = 15
TEST_FAILED, TEST_WRONG_SIZE = 0x80, 0x81
"""Set User Password, "test password" (Spec table 22-35)."""
_DISABLED, _ENABLED = 0x80, 0x40
DISABLE, ENABLE, SET_PASSWORD, TEST_PASSWORD = range(4)


def user_access(enabled_ids: Iterable[int], *, enabled: bool, messaging: bool, limit: int) -> bytes:
    """What Get User Access tells of one user (Spec table 22-32): ids in all, enabled ones, ones with fixed names."""
    count = len(set(enabled_ids))
    access = (0x10 if messaging else 0) | limit & 0x0F
    return bytes((MOST_USERS, (_ENABLED if enabled else _DISABLED) | count, 0x01, access))


@dataclass(frozen=True, slots=True)
class NewAccess:
    """A Set User Access (Spec table 22-31)."""

    channel: int
    user: int
    limit: int
    messaging: bool | None
    """None: not to be changed."""

    @staticmethod
    def parse(data: bytes) -> NewAccess:
        """Raises `Completion` CCh for a level that there is not, or a session limit, which is not offered."""
        limit = data[2] & 0x0F
        if limit not in (Level.CALLBACK, Level.USER, Level.OPERATOR, Level.ADMINISTRATOR, NO_ACCESS):
            raise Completion(Code.INVALID_FIELD)
        if len(data) > 3 and data[3] & 0x0F:
            raise Completion(Code.INVALID_FIELD)
        messaging = bool(data[0] & 0x10) if data[0] & 0x80 else None
        return NewAccess(data[0] & 0x0F, data[1] & 0x3F, limit, messaging)


def name_of(field_bytes: bytes) -> str:
    """The name in a fixed field that is filled up with zeros.

    Raises:
        Completion: CCh, it is no ASCII text.
    """
    try:
        return field_bytes.split(b"\0", 1)[0].decode("ascii")
    except UnicodeDecodeError as error:
        raise Completion(Code.INVALID_FIELD) from error


def name_field(name: str) -> bytes:
    """A user name, filled up with zeros (Spec table 22-34)."""
    return name.encode("ascii", "replace")[:NAME_BYTES].ljust(NAME_BYTES, b"\0")


@dataclass(frozen=True, slots=True)
class PasswordChange:
    """A Set User Password (Spec table 22-35)."""

    user: int
    operation: int
    short: bool
    """The password has 16 bytes, not 20."""
    password: bytes

    @staticmethod
    def parse(data: bytes) -> PasswordChange:
        """Raises `Completion` C7h if the password has neither 16 nor 20 bytes, or the size that is said."""
        operation, short = data[1] & 0x03, not data[0] & 0x80
        password = data[2:]
        wanted = (16 if short else 20) if operation >= SET_PASSWORD else None
        if wanted is not None and len(password) != wanted:
            raise Completion(Code.LENGTH_INVALID)
        return PasswordChange(data[0] & 0x3F, operation, short, password.rstrip(b"\0"))


def payload_access(*, sol: bool) -> bytes:
    """What Get User Payload Access tells: IPMI messages always, SOL perhaps (Spec section 24.7, table 24-9)."""
    return bytes((0x03 if sol else 0x01, 0, 0, 0))


# --- system information (Spec section 22.14a and b, table 22-16c) ----------------------------------------------------

PARAMETER_NOT_SUPPORTED = 0x80
SET_IN_PROGRESS_CONFLICT = 0x81
READ_ONLY = 0x82
"""Of all "configuration parameters" commands (Spec table 22-16a, 23-2, 26-3, 28-12, 30-4)."""
REVISION = 0x11
"""Of the parameters: 1.1 (present and oldest, a nibble each)."""

_BLOCK = 16
_FIRST_BLOCK = _BLOCK - 2  # encoding and length come first


def text_block(text: str, selector: int) -> bytes:
    """A block of a text of system information: the selector, then 16 bytes, the first with encoding and length.

    Raises:
        Completion: C9h, there is no such block.
    """
    data = text.encode("utf-8")[: 255 - 2]
    whole = bytes((0x01, len(data))) + data  # 1h: UTF-8
    blocks = max(1, -(-len(whole) // _BLOCK))
    if selector >= blocks:
        raise Completion(Code.OUT_OF_RANGE)
    return bytes((selector,)) + whole[selector * _BLOCK : (selector + 1) * _BLOCK].ljust(_BLOCK, b"\0")


class TextDraft:
    """A text that comes in blocks."""

    def __init__(self) -> None:
        self._length = 0
        self._data = bytearray()

    def take(self, selector: int, data: bytes) -> str:
        """Take a block; the text as far as it is known.

        Raises:
            Completion: CCh or C9h, a block is missing or wrong.
        """
        if selector == 0:
            if len(data) < 2 or data[0] & 0x0F > 1:
                raise Completion(Code.INVALID_FIELD)
            self._length = data[1]
            self._data = bytearray(data[2:_BLOCK])
        else:
            start = _FIRST_BLOCK + (selector - 1) * _BLOCK
            if start > len(self._data):
                raise Completion(Code.OUT_OF_RANGE)
            self._data[start : start + _BLOCK] = data[:_BLOCK]
        return bytes(self._data[: self._length]).decode("utf-8", "replace")
