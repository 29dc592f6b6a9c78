"""Any baud rate on a tty: `struct termios2` and BOTHER of Linux (ioctl_tty(2)); `termios` knows the usual ones only.

The layout is the kernel's generic one (include/uapi/asm-generic/termbits.h), which x86, ARM and RISC-V share.
"""

from __future__ import annotations

import fcntl
import struct

from ubmc.kit.errors import Invalid

_TCGETS2 = 0x802C542A
_TCSETS2 = 0x402C542B
_TERMIOS2 = struct.Struct("=4IB19s2I")  # c_iflag c_oflag c_cflag c_lflag, c_line, c_cc, c_ispeed c_ospeed
_CBAUD = 0o010017
_CBAUD_SHIFT = 16  # of the rate for reading
_BOTHER = 0o010000
TIOCSBRK, TIOCCBRK = 0x5427, 0x5428
"""Begin and end a BREAK (include/uapi/asm-generic/ioctls.h)."""


def set_speed(descriptor: int, baud_rate: int) -> None:
    """Set the rate for both directions, and leave all else as it is.

    Raises:
        Invalid: the device cannot do it.
        OSError: it is gone.
    """
    if baud_rate <= 0:  # 0 hangs up
        raise Invalid(f"{baud_rate} is no baud rate")
    space = bytearray(_TERMIOS2.size)
    fcntl.ioctl(descriptor, _TCGETS2, space)
    iflag, oflag, cflag, lflag, line, characters, _, _ = _TERMIOS2.unpack(space)
    cflag = cflag & ~(_CBAUD | _CBAUD << _CBAUD_SHIFT) | _BOTHER | _BOTHER << _CBAUD_SHIFT
    fcntl.ioctl(
        descriptor, _TCSETS2, _TERMIOS2.pack(iflag, oflag, cflag, lflag, line, characters, baud_rate, baud_rate)
    )
    set_to = speed(descriptor)
    if abs(set_to - baud_rate) > baud_rate * 0.03:  # a UART tolerates about so much
        raise Invalid(f"the line cannot do {baud_rate} baud; the nearest that it can is {set_to}")


def speed(descriptor: int) -> int:
    """The rate in bits per second. Raises OSError."""
    space = bytearray(_TERMIOS2.size)
    fcntl.ioctl(descriptor, _TCGETS2, space)
    return int(_TERMIOS2.unpack(space)[7])
