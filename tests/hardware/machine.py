"""The virtual machine of the lane: our kernel on top of this computer's own files, which it can read and not change.

There is no disk image. The guest sees the root directory of this computer over 9p, with a layer in its memory on top
for what it writes; so it runs this very checkout with this very Python environment.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.hardware.kernel import Kernel, NotReady
from tests.service.qemu_guest import cpio

QEMU = "qemu-system-x86_64"
ROOT = Path(__file__).resolve().parents[2]
# Only the guest has this variable; tests that need its hardware are not collected without.
IN_GUEST = "UBMC_HARDWARE_GUEST"
DIRECTORIES = ("bin", "proc", "sys", "dev", "host", "top", "new", "modules")
# What the kernel says when it finds itself in the wrong; a driver that provokes it does not pass.
KERNEL_COMPLAINT = re.compile(r"\[ *\d+\.\d+\] (BUG|WARNING|Oops|Kernel panic|INFO: task|general protection)\b")
# A fault of gpio-sim itself, in 6.1: unplugged while interrupts are in use, it frees them before their owners do.
KNOWN_COMPLAINT = re.compile(r"WARNING: .* at fs/proc/generic\.c:\d+ remove_proc_entry\b")
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec > /dev/ttyS0 2>&1 < /dev/null
for module in /modules/*.ko; do insmod "$module" $(cat "$module.options" 2> /dev/null); done
mount -t configfs config /sys/kernel/config
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose host /host
mount -t tmpfs top /top
mkdir /top/upper /top/work
mount -t overlay -o lowerdir=/host,upperdir=/top/upper,workdir=/top/work overlay /new
for directory in proc sys dev; do mount --rbind "/$directory" "/new/$directory"; done
mount -t tmpfs run /new/run
chroot /new /bin/sh -c "$(cat /command)"
echo "RC=$?"
poweroff -f
"""
# soft_noboot: a watchdog that is not fed says so in the kernel's log instead of resetting the guest.
OPTIONS = {"softdog": "soft_noboot=1", "i2c_stub": "chip_addr=0x48,0x49,0x4c,0x58"}


@dataclass(frozen=True)
class Run:
    """What came of it: the code with which the command ended (None: it did not), and what was on the serial port."""

    code: int | None
    serial: str

    @property
    def complaints(self) -> list[str]:
        """What the kernel said of itself, but for the one fault that is known."""
        lines = self.serial.splitlines()
        return [line for line in lines if KERNEL_COMPLAINT.search(line) and not KNOWN_COMPLAINT.search(line)]


def boot(kernel: Kernel, command: list[str], directory: Path, deadline_seconds: float) -> Run:
    """Run the command in the guest, in this checkout; what it says is shown at once.

    Raises:
        NotReady: a tool is missing.
    """
    binary, busybox = shutil.which(QEMU), shutil.which("busybox")
    if binary is None:
        raise NotReady(f"{QEMU} is not installed (apt install qemu-system-x86)")
    if busybox is None:
        raise NotReady("busybox is not installed (apt install busybox-static)")
    initrd = directory / "initrd"
    initrd.write_bytes(_initrd(kernel, Path(busybox), command))
    arguments = (
        *(binary, "-machine", "q35,accel=tcg", "-smp", "2", "-m", "1024"),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-kernel", str(kernel.image), "-initrd", str(initrd)),
        *("-append", "console=ttyS0 loglevel=5 panic=-1"),  # the kernel complains of itself at level 4
        *("-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"),
    )
    with subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as qemu:
        assert qemu.stdout is not None
        timer = threading.Timer(deadline_seconds, qemu.kill)
        timer.start()
        lines: list[str] = []
        try:
            for raw in qemu.stdout:
                lines.append(raw.decode(errors="replace").rstrip("\r\n"))
                print(lines[-1], file=sys.stdout, flush=True)
        finally:
            timer.cancel()
            qemu.kill()
    serial = "\n".join(lines)
    code = re.search(r"^RC=(\d+)$", serial, re.MULTILINE)
    return Run(None if code is None else int(code[1]), serial)


def _initrd(kernel: Kernel, busybox: Path, command: list[str]) -> bytes:
    environment = {
        "PATH": os.defpath,
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "UBMC_NO_SKIP": "1",
        IN_GUEST: "1",
    }
    words = ["exec", "env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command]
    files: dict[str, tuple[int, bytes]] = dict.fromkeys(DIRECTORIES, (stat.S_IFDIR | 0o755, b""))
    files["bin/busybox"] = (stat.S_IFREG | 0o755, busybox.read_bytes())
    files["init"] = (stat.S_IFREG | 0o755, INIT.encode())
    files["command"] = (stat.S_IFREG | 0o644, f"cd {shlex.quote(str(ROOT))} && {shlex.join(words)}".encode())
    for module in kernel.modules:
        files[f"modules/{module.name}"] = (stat.S_IFREG | 0o644, module.read_bytes())
        options = OPTIONS.get(module.stem.partition("-")[2], "")
        files[f"modules/{module.name}.options"] = (stat.S_IFREG | 0o644, options.encode())
    return cpio(files)
