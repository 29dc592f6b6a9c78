"""What a virtual machine is, and the command line that makes QEMU be it.

Pure: nothing here touches a file or a process. The one thing to know: QEMU stays when its guest powers itself off
(`-action shutdown=pause`), so "no process" and the run state `shutdown` both mean that the host is off.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

from ubmc.hw.power.port import BootTarget
from ubmc.kit.errors import Invalid, Refused

# sockaddr_un.sun_path is 108 bytes with its closing zero (unix(7)).
SOCKET_PATH_MAX = 107
NIC = "nic0"
SERIAL = "serial0"
# QEMU takes any text for names, but this one is also part of file names and of the process name.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_FORMAT_BY_SUFFIX = {".qcow2": "qcow2", ".raw": "raw", ".img": "raw", ".iso": "raw"}


class Accelerator(Enum):
    """How the guest's instructions are carried out."""

    AUTO = "auto"  # KVM where it is certain to work, else TCG
    TCG = "tcg"  # translated; works everywhere, slow
    KVM = "kvm"  # by the processor


@dataclass(frozen=True, slots=True)
class Drive:
    """A disk image or a CD image.

    Attributes:
        path: the image file.
        kind: `cdrom` is read only and removable.
        format: `raw` or `qcow2`; empty: by the suffix of the name. It is never guessed from the contents, because a
            guest can write a header into its raw disk that names another file of ours.
        bus: `virtio` is fast and needs a driver in the guest; `sata` is known to every operating system.
        read_only: the guest cannot write. A CD never can, a SATA disk always.
    """

    path: Path
    kind: Literal["disk", "cdrom"] = "disk"
    format: Literal["raw", "qcow2", ""] = ""
    bus: Literal["virtio", "sata"] = "virtio"
    read_only: bool = False

    def resolved_format(self) -> str:
        """The format of the image.

        Raises:
            Invalid: the suffix says nothing and no format is given.
        """
        found = self.format or _FORMAT_BY_SUFFIX.get(self.path.suffix.lower(), "")
        if not found:
            raise Invalid(f"{self.path}: the format of this image is not known; say raw or qcow2")
        return found


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """One virtual machine. All paths are absolute.

    Attributes:
        name: the component's name, as `host.0`.
        uuid: what SMBIOS, Redfish and FRU say.
        serial: the serial number in SMBIOS.
        memory_mb: RAM in MiB.
        cpus: number of virtual processors.
        drives: images, in boot order.
        network: a NIC behind QEMU's own NAT; the guest reaches out, nobody reaches in. It is last in boot order.
        network_rom: the NIC has QEMU's option ROM for it, which must be installed; else nothing boots from it.
        netboot: the file that this NAT's DHCP and TFTP servers offer; the guest can read all of its folder.
        firmware: a firmware image that holds code and variables, as `OVMF.fd`; None is SeaBIOS.
        kernel: a kernel to boot without any disk; `initrd` and `append` go with it.
        initrd: the initial RAM disk.
        append: the kernel's command line.
        cpu: QEMU's processor model; empty: `host` with KVM, `max` with TCG.
        accelerator: the owner's choice.
        firmware_log: keep what the firmware says on I/O port 0x402 in `firmware.log`.
        second_qmp: offer another control socket, `qmp-second.sock`.
        ipmi: the guest has a BMC behind a KCS interface, which listens on `ipmi.sock` for us.
        sandbox: QEMU forgoes system calls that it does not need; needs a QEMU built with seccomp.
        extra: more arguments for QEMU, at the end.
    """

    name: str
    uuid: uuid.UUID
    serial: str
    memory_mb: int = 1024
    cpus: int = 1
    drives: tuple[Drive, ...] = ()
    network: bool = False
    network_rom: bool = False
    netboot: Path | None = None
    firmware: Path | None = None
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    cpu: str = ""
    accelerator: Accelerator = Accelerator.AUTO
    firmware_log: bool = False
    second_qmp: bool = False
    ipmi: bool = False
    sandbox: bool = True
    extra: tuple[str, ...] = ()

    @property
    def mac_address(self) -> str:
        """Of its NIC: locally administered, and the same as long as the UUID is (IEEE 802-2014, 8.2)."""
        drawn = hashlib.sha256(b"u-bmc nic 0" + self.uuid.bytes).digest()[:5]
        return f"02:{drawn.hex(':')}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one machine, in a directory of its own that only its owner can enter."""

    directory: Path

    @property
    def qmp(self) -> Path:
        """The control socket of the power driver. QEMU serves one client at a time on it."""
        return self.directory / "qmp.sock"

    @property
    def second_qmp(self) -> Path:
        """The control socket for others, if the machine offers one."""
        return self.directory / "qmp-second.sock"

    @property
    def line_qmp(self) -> Path:
        """The control socket of the serial line's driver, which sends a BREAK by it."""
        return self.directory / "qmp-line.sock"

    @property
    def serial(self) -> Path:
        """The first serial port, as QEMU names it: both files below, without their ends."""
        return self.directory / "serial"

    @property
    def serial_input(self) -> Path:
        """What is written here, a FIFO, the guest reads from its first serial port."""
        return self.directory / "serial.in"

    @property
    def ipmi(self) -> Path:
        """The guest's IPMI, by the protocol of QEMU's `ipmi-bmc-extern`; one client at a time."""
        return self.directory / "ipmi.sock"

    @property
    def vnc(self) -> Path:
        """The screen, by RFB without authentication (RFC 6143 section 7.2.1)."""
        return self.directory / "vnc.sock"

    @property
    def serial_log(self) -> Path:
        """All that the first serial port said, each byte at its place; a regular file, which is never full."""
        return self.directory / "serial.out"

    @property
    def firmware_log(self) -> Path:
        """What the firmware said about itself."""
        return self.directory / "firmware.log"

    @property
    def qemu_log(self) -> Path:
        """QEMU's own complaints."""
        return self.directory / "qemu.log"

    @property
    def lock(self) -> Path:
        """Locked exactly as long as the machine lives."""
        return self.directory / "machine.lock"

    @property
    def record(self) -> Path:
        """Which process the machine is."""
        return self.directory / "machine.json"

    @property
    def sockets(self) -> tuple[Path, ...]:
        """All sockets that QEMU may make."""
        return (self.qmp, self.second_qmp, self.line_qmp, self.ipmi, self.vnc)

    @property
    def logs(self) -> tuple[Path, ...]:
        """All files that grow while the machine lives."""
        return (self.serial_log, self.firmware_log, self.qemu_log)

    def check(self) -> None:
        """Make sure that the sockets can be bound.

        Raises:
            Invalid: the directory is not absolute, or its path is too long for a unix socket.
        """
        if not self.directory.is_absolute():
            raise Invalid(f"{self.directory}: the machine's directory must be an absolute path")
        longest = max(self.sockets, key=lambda path: len(bytes(path)))
        if len(bytes(longest)) > SOCKET_PATH_MAX:
            raise Invalid(
                f"{longest}: {len(bytes(longest))} bytes are too long for a unix socket (at most {SOCKET_PATH_MAX}); "
                "choose a state directory with a shorter path"
            )


def choose_accelerator(wanted: Accelerator, cpu_flags: Collection[str], *, kvm_writable: bool) -> Accelerator:
    """TCG or KVM.

    That /dev/kvm can be opened proves nothing: a paravirtual KVM without hardware virtualisation starts a stock guest
    and never runs it. So the processor must say `vmx` or `svm` too, unless the owner insists.

    Raises:
        Refused: the owner wants KVM and /dev/kvm cannot be written.
    """
    if wanted is Accelerator.TCG:
        return wanted
    if wanted is Accelerator.KVM:
        if not kvm_writable:
            raise Refused("KVM is asked for, but /dev/kvm cannot be written: join the group kvm, or choose auto or tcg")
        return wanted
    if kvm_writable and not {"vmx", "svm"}.isdisjoint(cpu_flags):
        return Accelerator.KVM
    return Accelerator.TCG


def command(
    spec: MachineSpec, layout: Layout, binary: str, accelerator: Accelerator, order: Mapping[str, int] | None = None
) -> list[str]:
    """The command line.

    Args:
        spec: the machine.
        layout: its files.
        binary: the program.
        accelerator: TCG or KVM.
        order: the boot index of each device that can boot; None: the machine's own order.

    Raises:
        Invalid: the specification or the layout cannot work; says what.
    """
    layout.check()
    _check(spec)
    kvm = accelerator is Accelerator.KVM
    argv = [binary, "-nodefaults", "-no-user-config", "-msg", "timestamp=on"]
    argv += ["-name", f"guest={spec.name},process=qemu-{spec.name}"]
    argv += ["-machine", f"q35,accel={accelerator.value}", "-cpu", spec.cpu or ("host" if kvm else "max")]
    argv += ["-smp", str(spec.cpus), "-m", f"{spec.memory_mb}M", "-rtc", "base=utc", "-boot", "menu=off,strict=off"]
    argv += ["-uuid", str(spec.uuid), "-smbios", _smbios(spec)]
    argv += ["-action", "reboot=reset,shutdown=pause,panic=pause,watchdog=none"]
    if spec.sandbox:
        argv += ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    argv += _control(spec, layout)
    argv += ["-device", "VGA,id=vga0", "-display", "none", "-vnc", f"unix:{_escaped(layout.vnc)}"]
    argv += ["-device", "pvpanic-pci,id=panic0", "-device", "i6300esb,id=watchdog0", "-device", "virtio-rng-pci"]
    order = own_order(spec) if order is None else order
    argv += _network(spec, order)
    argv += _drives(spec.drives, order)
    argv += _boot(spec)
    return [*argv, *spec.extra]


def own_order(spec: MachineSpec) -> dict[str, int]:
    """The boot index of each device that can boot, by its id: 1 is tried first."""
    devices = [f"drive{number}" for number in range(len(spec.drives))]
    if spec.network and spec.network_rom:
        devices.append(NIC)
    return {device: index for index, device in enumerate(devices, 1)}


def boot_devices(spec: MachineSpec) -> dict[BootTarget, str]:
    """The device that each boot target means, by its id. A kernel that QEMU loads comes before all devices."""
    if spec.kernel:
        return {}
    found = {BootTarget.PXE: NIC} if spec.network and spec.network_rom else {}
    for number, drive in enumerate(spec.drives):
        found.setdefault(BootTarget.CD if drive.kind == "cdrom" else BootTarget.DISK, f"drive{number}")
    return found


def _check(spec: MachineSpec) -> None:
    if not _NAME.fullmatch(spec.name):
        raise Invalid(f"{spec.name!r} is no name for a machine: letters, digits, dot, dash and underscore, at most 64")
    if not 1 <= spec.cpus <= 255:
        raise Invalid(f"{spec.cpus} processors: 1 to 255")
    if not 16 <= spec.memory_mb <= 4_194_304:
        raise Invalid(f"{spec.memory_mb} MiB of memory: 16 to 4194304")
    if not spec.kernel and (spec.initrd or spec.append):
        raise Invalid("an initrd and a kernel command line go with a kernel; none is given")
    for drive in spec.drives:
        if (drive.kind, drive.bus, drive.read_only) == ("disk", "sata", True):
            raise Invalid(f"{drive.path}: a SATA disk cannot be read only; choose the bus virtio, or a CD")
    if spec.netboot and not spec.network:
        raise Invalid("a file to boot from the network goes with a network card; there is none")
    files = (spec.firmware, spec.kernel, spec.initrd, spec.netboot, *(drive.path for drive in spec.drives))
    for path in files:
        if path is not None and not path.is_absolute():
            raise Invalid(f"{path}: paths of a machine must be absolute")


def _escaped(value: Path | str) -> str:
    """QEMU's option parser ends a value at a comma unless it is doubled."""
    return str(value).replace(",", ",,")


def _smbios(spec: MachineSpec) -> str:
    return f"type=1,manufacturer=u-bmc,product=Virtual Machine,serial={_escaped(spec.serial)},uuid={spec.uuid}"


def _control(spec: MachineSpec, layout: Layout) -> list[str]:
    """Sockets, the serial port, and logs. Logs are appended to, so that cutting them from outside frees space."""
    argv: list[str] = []
    qmp = [("qmp0", layout.qmp), ("qmp2", layout.line_qmp)] + ([("qmp1", layout.second_qmp)] if spec.second_qmp else [])
    for name, path in qmp:
        argv += ["-chardev", f"socket,id={name},path={_escaped(path)},server=on,wait=off"]
        argv += ["-mon", f"chardev={name},mode=control"]
    # Not a socket: QEMU writes what does not fit into one to its log as well, and later again, or drops it.
    argv += ["-chardev", f"pipe,id={SERIAL},path={_escaped(layout.serial)}"]
    argv += ["-device", f"isa-serial,id=com1,chardev={SERIAL}"]
    if spec.ipmi:
        argv += ["-chardev", f"socket,id=ipmi0,path={_escaped(layout.ipmi)},server=on,wait=off"]
        argv += ["-device", "ipmi-bmc-extern,id=bmc0,chardev=ipmi0", "-device", "isa-ipmi-kcs,bmc=bmc0"]
    if spec.firmware_log:
        argv += ["-chardev", f"file,id=firmware0,path={_escaped(layout.firmware_log)},append=on"]
        argv += ["-device", "isa-debugcon,iobase=0x402,chardev=firmware0"]
    return argv


def _network(spec: MachineSpec, order: Mapping[str, int]) -> list[str]:
    if not spec.network:
        return []
    net = "user,id=net0"
    if spec.netboot:
        net += f",tftp={_escaped(spec.netboot.parent)},bootfile={_escaped(spec.netboot.name)}"
    nic = f"virtio-net-pci,id={NIC},mac={spec.mac_address},netdev=net0"
    if not spec.network_rom:
        # QEMU does not start where the ROM that it takes by itself is not installed. That ROM cannot be named either:
        # only in its own choice QEMU enters the device's id, without which the firmware does not run it.
        nic += ",romfile="
    if NIC in order:
        nic += f",bootindex={order[NIC]}"
    return ["-netdev", net, "-device", nic]


def _drives(drives: tuple[Drive, ...], order: Mapping[str, int]) -> list[str]:
    argv: list[str] = []
    if any(drive.bus == "virtio" and drive.kind == "cdrom" for drive in drives):
        argv += ["-device", "virtio-scsi-pci,id=scsi0"]
    sata = 0
    for number, drive in enumerate(drives):
        read_only = drive.read_only or drive.kind == "cdrom"
        # In JSON, because there no character of a path needs an escape of QEMU's own.
        file = {"driver": "file", "filename": str(drive.path), "read-only": read_only}
        block = {"driver": drive.resolved_format(), "node-name": f"image{number}", "read-only": read_only, "file": file}
        argv += ["-blockdev", json.dumps(block)]
        if drive.bus == "sata":
            model = f"{'ide-cd' if drive.kind == 'cdrom' else 'ide-hd'},bus=ide.{sata}"
            sata += 1
        else:
            model = "scsi-cd,bus=scsi0.0" if drive.kind == "cdrom" else "virtio-blk-pci"
        argv += ["-device", f"{model},id=drive{number},drive=image{number},bootindex={order[f'drive{number}']}"]
    return argv


def _boot(spec: MachineSpec) -> list[str]:
    argv: list[str] = []
    if spec.firmware:
        argv += ["-bios", str(spec.firmware)]
    if spec.kernel:
        argv += ["-kernel", str(spec.kernel)]
    if spec.initrd:
        argv += ["-initrd", str(spec.initrd)]
    if spec.append:
        argv += ["-append", spec.append]
    return argv
