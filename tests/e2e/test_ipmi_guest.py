"""A Linux guest finds the BMC of its virtual machine and talks to it with its own ipmitool, under the policy.

The kernel needs the IPMI drivers, which Debian's cloud kernel has not. The generic one (71 MB) is not fetched unless
somebody says where to keep it: `UBMC_TEST_GUEST=DIR`.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from tests.harness.program import KILLS_PEERS, Program, until
from tests.harness.qemu_board import qemu_board
from tests.service.qemu_guest import cpio

pytestmark = [pytest.mark.e2e, pytest.mark.qemu, KILLS_PEERS]

PACKAGE = "linux-image-amd64"
MODULES = ("ipmi_msghandler", "ipmi_devintf", "ipmi_si", "ipmi_watchdog")
ASKED = (
    "mc info",
    "mc guid",
    "chassis status",
    "sdr list",
    "fru print 0",
    "sel info",
    "user list 1",
    "lan print 1",
    "mc watchdog get",
    "chassis power off",
    "chassis policy always-on",
    "user set name 3 mallory",
    "raw 0x0c 0x01 1 4 2",
    "raw 6 0x7f",
)
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec > /dev/ttyS0 2>&1 < /dev/null
for module in /modules/*.ko; do insmod "$module"; done
for turn in $(seq 1 100); do [ -e /dev/ipmi0 ] && break; sleep 0.1; done
while read -r line; do
    echo "<< $line"
    ipmitool $line
    echo ">> $?"
done < /asked
echo WATCHDOG
for dog in /dev/watchdog*; do
    grep -q ipmi "/sys/class/watchdog/${dog##*/}/identity" 2> /dev/null || [ "$dog" = /dev/watchdog ] || continue
    (exec 3> "$dog"; echo x >&3; ipmitool mc watchdog get; printf V >&3)
done
echo ALL-ASKED
sleep 1000
"""


def fetch(cache: Path) -> Path:
    """The folder with the kernel and its modules, from the cache or newly fetched; skips the test if it cannot be."""
    kept = cache / "ipmi"
    if (kept / "complete").exists():
        return kept
    try:
        depends = subprocess.run(["apt-cache", "depends", PACKAGE], capture_output=True, text=True, check=True).stdout
        package = re.search(r"Depends: (linux-image-\S+)", depends)
        if package is None:
            pytest.skip(f"no Linux guest: apt does not know {PACKAGE}; Debian's package lists are needed")
        kept.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["apt-get", "-q", "download", package[1]], cwd=kept, check=True, capture_output=True, timeout=300
        )
        archive = next(kept.glob(f"{package[1]}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(archive), str(kept / "root")], check=True, capture_output=True)
        archive.unlink()
        shutil.copy(next((kept / "root/boot").glob("vmlinuz-*")), kept / "vmlinuz")
        for module in MODULES:
            shutil.copy(next((kept / "root/lib/modules").rglob(f"{module}.ko")), kept / f"{module}.ko")
        shutil.rmtree(kept / "root")
        (kept / "complete").touch()
    except (OSError, StopIteration, subprocess.SubprocessError) as error:
        pytest.skip(f"no Linux guest: {PACKAGE} cannot be fetched by apt-get: {error}")
    return kept


def with_libraries(program: Path) -> dict[str, tuple[int, bytes]]:
    """A program and what it is linked with, as files of the guest."""
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    files: dict[str, tuple[int, bytes]] = {}
    for path in (str(program), *re.findall(r"(/\S+) \(0x", said)):
        name = "bin/ipmitool" if path == str(program) else path.lstrip("/")
        for folder in reversed(Path(name).parents[:-1]):
            files.setdefault(str(folder), (stat.S_IFDIR | 0o755, b""))
        files[name] = (stat.S_IFREG | 0o755, Path(path).read_bytes())
    return files


def guest(folder: Path) -> tuple[Path, Path]:
    """Kernel and initial RAM disk; skips the test if they cannot be had."""
    wanted, busybox, ipmitool = os.environ.get("UBMC_TEST_GUEST"), shutil.which("busybox"), shutil.which("ipmitool")
    if not wanted:
        pytest.skip(
            "no Linux guest: set UBMC_TEST_GUEST=DIR, a directory to keep a Debian kernel in (71 MB by apt-get)"
        )
    if busybox is None or ipmitool is None:
        pytest.skip("no Linux guest: apt install busybox-static ipmitool")
    kernel = fetch(Path(wanted).absolute())
    files: dict[str, tuple[int, bytes]] = dict.fromkeys(("dev", "bin", "modules"), (stat.S_IFDIR | 0o755, b""))
    files |= with_libraries(Path(ipmitool).resolve())
    files["bin/busybox"] = (stat.S_IFREG | 0o755, Path(busybox).read_bytes())
    files["init"] = (stat.S_IFREG | 0o755, INIT.encode())
    files["asked"] = (stat.S_IFREG | 0o644, "".join(f"{each}\n" for each in ASKED).encode())
    for number, module in enumerate(MODULES):
        files[f"modules/{number}.ko"] = (stat.S_IFREG | 0o644, (kernel / f"{module}.ko").read_bytes())
    initrd = folder / "initrd"
    initrd.write_bytes(cpio(files))
    return kernel / "vmlinuz", initrd


def console(program: Program) -> str:
    """What the guest has written on its serial line."""
    answer = program.request("GET", "/api/v1alpha1/hosts/host.0/console:read?tailBytes=65536")
    assert answer.status_code == 200, answer.text
    return base64.b64decode(answer.json().get("data", "")).decode(errors="replace").replace("\r\n", "\n")


def test_a_linux_guest_reads_and_changes_nothing(tmp_path: Path) -> None:
    kernel, initrd = guest(tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        tried.bind(("127.0.0.1", 0))
        port = tried.getsockname()[1]
    more = f'kernel = "{kernel}"\ninitrd = "{initrd}"\nappend = "console=ttyS0 loglevel=4"'
    board = qemu_board(tmp_path, memory=256, more=more)
    with Program(tmp_path / "state", "--ipmi", f"127.0.0.1:{port}", board=str(board)) as program:
        program.login()
        assert program.power("ON").status_code == 200
        until(lambda: "ALL-ASKED" in console(program), 120, "the guest has asked everything")
        text = console(program)
        said = {
            line: (int(code), answer)
            for line, answer, code in re.findall(r"^<< (.*)\n((?:.*\n)*?)>> (\d+)$", text, re.MULTILINE)
        }
        assert set(said) == set(ASKED)
        for line in ASKED[:6]:
            assert said[line][0] == 0, (line, said[line])
        assert "IPMI Version              : 2.0" in said["mc info"][1]
        assert "System Power         : on" in said["chassis status"][1]
        for line in (
            "chassis power off",
            "chassis policy always-on",
            "user list 1",
            "user set name 3 mallory",
            "raw 0x0c 0x01 1 4 2",
        ):
            code, answer = said[line]
            assert code != 0, line
            assert "Insufficient privilege" in answer or "0xd4" in answer, (line, answer)
        assert "Invalid command" in said["raw 6 0x7f"][1]
        assert "Started/Running" in text.partition("WATCHDOG")[2], text
        assert program.host()["state"] == "HOST_STATE_ON"
