"""A Linux guest for tests: a Debian kernel with busybox, made into an initial RAM disk without any tool.

The kernel (27 MB) is not fetched unless somebody says where to keep it: `UBMC_TEST_GUEST=DIR`.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "linux-image-cloud-amd64"
# In the order of loading. `button` turns the ACPI power button into a key, `evdev` lets a program read it.
MODULES = ("acpi/button", "input/evdev", "misc/pvpanic/pvpanic", "misc/pvpanic/pvpanic-pci")
READY = "GUEST-READY"
INIT = f"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /bin /sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod "$module"; done
for event in /sys/class/input/event*; do
    if grep -q 'Power Button' "$event/device/name"; then
        exec 3< "/dev/input/${{event##*/}}"
        (dd of=/dev/null bs=24 count=1 <&3 2> /dev/null; poweroff -f) &
    fi
done
echo {READY} > /dev/ttyS0
exec sh < /dev/ttyS0 > /dev/ttyS0 2>&1
"""


@dataclass(frozen=True)
class Guest:
    """What QEMU boots."""

    kernel: Path
    initrd: Path


def cpio(files: dict[str, tuple[int, bytes]]) -> bytes:
    """An archive in the "newc" format, from path to mode and content; directories of files come first in `files`.

    The kernel's Documentation/driver-api/early-userspace/buffer-format.rst describes it.
    """
    archive = bytearray()
    for number, (name, (mode, content)) in enumerate([*files.items(), ("TRAILER!!!", (0, b""))], start=1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        for part in (b"070701" + b"".join(b"%08X" % field for field in fields) + path, content):
            archive += part
            archive += bytes(-len(archive) % 4)
    return bytes(archive)


def prepare(init: str = INIT, more: Mapping[str, tuple[int, bytes]] | None = None, name: str = "initrd") -> Guest:
    """The guest, from the cache or newly made; skips the test if that cannot be.

    Args:
        init: what the kernel starts.
        more: further files of the initial RAM disk, as for `cpio`.
        name: of the initial RAM disk in the cache.
    """
    wanted = os.environ.get("UBMC_TEST_GUEST")
    if not wanted:
        pytest.skip(
            "no Linux guest: set UBMC_TEST_GUEST=DIR, a directory to keep a Debian kernel in (27 MB by apt-get)"
        )
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("no Linux guest: busybox is not installed (apt install busybox-static)")
    cache = Path(wanted).absolute()
    cache.mkdir(parents=True, exist_ok=True)
    kernel = next(iter(sorted((cache / "root/boot").glob("vmlinuz-*"))), None) or _fetch(cache)
    modules = cache / "root/lib/modules" / kernel.name.removeprefix("vmlinuz-") / "kernel/drivers"
    files: dict[str, tuple[int, bytes]] = {
        "dev": (stat.S_IFDIR | 0o755, b""),
        "bin": (stat.S_IFDIR | 0o755, b""),
        "modules": (stat.S_IFDIR | 0o755, b""),
        "bin/busybox": (stat.S_IFREG | 0o755, Path(busybox).read_bytes()),
        "init": (stat.S_IFREG | 0o755, init.encode()),
        **(more or {}),
    }
    for number, module in enumerate(MODULES):
        files[f"modules/{number}.ko"] = (stat.S_IFREG | 0o644, (modules / f"{module}.ko").read_bytes())
    initrd = cache / name
    initrd.write_bytes(cpio(files))
    return Guest(kernel, initrd)


def _fetch(cache: Path) -> Path:
    try:
        depends = subprocess.run(["apt-cache", "depends", PACKAGE], capture_output=True, text=True, check=True).stdout
        package = re.search(r"Depends: (linux-image-\S+)", depends)
        if package is None:
            pytest.skip(f"no Linux guest: apt does not know {PACKAGE}; Debian's package lists are needed")
        subprocess.run(
            ["apt-get", "-q", "download", package[1]], cwd=cache, check=True, capture_output=True, timeout=300
        )
        archive = next(cache.glob(f"{package[1]}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(archive), str(cache / "root")], check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no Linux guest: {PACKAGE} cannot be fetched by apt-get: {error}")
    return next((cache / "root/boot").glob("vmlinuz-*"))
