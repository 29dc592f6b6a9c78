"""A guest of one sector for QEMU machines: it answers on its serial port, and obeys its power button.

What is typed comes back with the case of letters swapped, and a BREAK as an exclamation mark, so that no echo of a
terminal can be taken for an answer. It boots in a fraction of a second and sleeps while it has nothing to do.
"""

from __future__ import annotations

from pathlib import Path

from tests.contract.boot_media import cd_image
from tests.harness.truth import SecondQmp

BREAK_ANSWER = b"!"
PM1_ENABLE = 0x602
"""The I/O port of the ACPI enable register, where SeaBIOS puts it (ACPI 6.5, section 4.8.3.1)."""
POWER_BUTTON = 0x0100

# 16-bit code for address 0x7C00. It has the serial port interrupt on each character (port 3F9h, 3FCh, interrupt 0Ch),
# enables the power button (602h), and sleeps until something comes; a timer interrupt wakes it 18 times a second.
_BOOT = bytes.fromhex(
    "ea057c0000"  # jmp 0:start
    "fa 31c0 8ed8 8ed0 bc007c"  # start: cli; ds = ss = 0; sp = 7C00h
    "c70630006f7c a33200"  # interrupt 0Ch is `taken`
    "baf903 b001 ee bafc03 b00b ee e421 24ef e621"  # out 3F9h, 1; out 3FCh, 0Bh; unmask interrupt 4
    "ba0206 b80001 ef"  # out 602h, 100h
    "fb f4"  # sleep: sti; hlt
    "bafd03 ec a801 7422"  # more: if nothing has come: go to `button`
    "baf803 ec a840 7402 3420"  # al = in 3F8h; if al & 40h: al ^= 20h
    "84c0 7502 b021 88c3"  # if al == 0: al = '!'; bl = al
    "bafd03 ec a820 74fb"  # wait until it can be sent
    "88d8 baf803 ee ebd6"  # out 3F8h, bl; go to `more`
    "ba0006 ed f6c401 74cb"  # button: if in(600h) & 100h == 0: go to `sleep`
    "ba0406 b80020 ef ebc2"  # out 604h, 2000h: soft off
    "50 b020 e620 58 cf"  # taken: out 20h, 20h; iret
)


def answering_cd(folder: Path) -> Path:
    """The image of a CD that boots it."""
    image = folder / "answering.iso"
    image.write_bytes(cd_image(_BOOT))
    return image


def listens(state: Path) -> bool:
    """Whether the guest of the machine in this state directory is up; the board needs `second_qmp`."""
    try:
        qmp = SecondQmp(state)
    except OSError:  # the machine is being started
        return False
    try:
        said = qmp.execute("human-monitor-command", **{"command-line": f"i /h {PM1_ENABLE:#x}"})
    finally:
        qmp.close()
    return int(said.partition("=")[2], 16) == POWER_BUTTON  # FFFFh: the firmware has not set up the register yet
