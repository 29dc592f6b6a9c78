"""A Linux guest that logs its boot to the serial port and asks for a login there, as servers do."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.harness.qemu_board import qemu_board
from tests.service.qemu_guest import prepare

USER, PASSWORD = "root", "guest password"
PROMPT = "guest login: "
_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /bin /sbin /root
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
hostname guest
for module in /modules/*.ko; do insmod "$module"; done
echo 1 > /proc/sys/kernel/sysrq
# From here on the kernel does not speak between what somebody types and is answered.
dmesg -n 4
while true; do getty -L 115200 ttyS0 vt100; done
"""
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\n"
# openssl passwd -6 -salt ubmctest
_HASH = b"$6$ubmctest$RQHOuwYorUvK38dym9TUs6kjkAFhu/P0C0UWaXlXTefZ7ifwCgv8TpCtTeRW7A9NsmYOVLrLmgaUfZk4BGjmT."
_SHADOW = b"root:" + _HASH + b":19000:0:99999:7:::\n"


def login_board(folder: Path) -> Path:
    """A board file whose host boots it; skips the test if that cannot be."""
    files = {
        "etc": (stat.S_IFDIR | 0o755, b""),
        "etc/passwd": (stat.S_IFREG | 0o644, _PASSWD),
        "etc/shadow": (stat.S_IFREG | 0o600, _SHADOW),
        "etc/group": (stat.S_IFREG | 0o644, b"root:x:0:\n"),
    }
    guest = prepare(_INIT, files, "initrd-login")
    more = f'kernel = "{guest.kernel}"\ninitrd = "{guest.initrd}"\nappend = "console=ttyS0 panic=0"'
    return qemu_board(folder, memory=256, more=more)
