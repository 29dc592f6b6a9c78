"""Where everything lies in the state directory, as whom each process runs, and behind which walls.

As root each process has a user of its own; its number is fixed, because files keep it over restarts. 60578 to 61183 is
a span that systemd's table of users leaves free (systemd.io/UIDS-GIDS). Guardian and operator stay who they are: they
take over what the others leave behind.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ubmc.boards.build import IPMI_SOCKET, host_directory, sim_directory
from ubmc.boards.owner import OwnerSpec, parse_endpoint
from ubmc.boards.spec import BoardSpec, GpioLinesSpec, LineLedSpec, QemuSpec, SimLinesSpec, SysfsLedSpec
from ubmc.boards.spec_assets import EepromFruSpec
from ubmc.boards.spec_console import TtyConsoleSpec
from ubmc.boards.spec_cooling import SimFanSpec
from ubmc.boards.spec_sensors import SimSensorSpec, VirtualSensorSpec
from ubmc.hw.sim.protocol import socket_path
from ubmc.kit import walls
from ubmc.kit.secrets import FILE_NAME
from ubmc.kit.walls import Capability, Walls

log = logging.getLogger("ubmc.app")

SAFETY, MANAGERS, DOOR, BUS = "safety", "managers", "websrv", "nats-server"
CONSOLES, SSH, IPMI = "consolesrv", "sshsrv", "ipmisrv"
UIDS: Mapping[str, int] = MappingProxyType(
    {SAFETY: 60578, MANAGERS: 60579, DOOR: 60580, BUS: 60581, IPMI: 60582, SSH: 60583, CONSOLES: 60584}
)
_HARDWARE = (Path("/dev"), Path("/sys"))
_NULL = Path("/dev/null")
_NETWORK = tuple(
    map(Path, ("/sys/class/net", "/sys/devices", "/proc/net", "/etc/resolv.conf", "/etc/systemd", "/etc/chrony"))
)
_MOVED = ("precious.db", "expendable.db", FILE_NAME)
_LOWEST_FREE_PORT = 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one state directory."""

    state: Path
    separate: bool = False
    """Whether each process has a user of its own."""
    why_not: str = ""
    """Why they have not, and what to change."""

    @property
    def managers(self) -> Path:
        """Databases and the device key."""
        return self.state / "managers"

    @property
    def safety(self) -> Path:
        """The few settings of the safety process."""
        return self.state / "safety"

    @property
    def machine(self) -> Path:
        """Simulated and virtual machines."""
        return self.state / "machine"

    @property
    def tls(self) -> Path:
        """The certificate, for clients on this machine."""
        return self.state / "tls"

    @property
    def bus(self) -> Path:
        """What the bus stores."""
        return self.state / "jetstream"

    @property
    def console(self) -> Path:
        """Settings and recordings of the consoles, and the socket by which the doors reach them."""
        return self.state / "console"

    @property
    def ssh(self) -> Path:
        """The host key of the SSH door."""
        return self.state / "ssh"

    @property
    def ipmi(self) -> Path:
        """What the IPMI door keeps."""
        return self.state / "ipmi"

    def use_scratch(self) -> None:
        """In the managers process: keep temporary files in a folder of its own, for /tmp is behind its walls.

        Raises:
            OSError: it cannot be made.
        """
        folder = self.managers / "tmp"
        folder.mkdir(mode=0o700, exist_ok=True)
        os.environ["TMPDIR"] = str(folder)  # for commands of the owner
        tempfile.tempdir = str(folder)

    def uid(self, process: str) -> int | None:
        """As whom a process runs; None: as the operator does."""
        return UIDS[process] if self.separate else None


def lay_out(state: Path, board: BoardSpec, server: Path) -> Layout:
    """Decide whether processes get users of their own, and make the folders; what an older release left is moved.

    Args:
        state: the state directory; it exists, and nobody else uses it.
        board: what the hardware is.
        server: the program of the bus.

    Raises:
        OSError: a folder cannot be made or given to its user.
    """
    plain = walls.can_become(UIDS.values())
    closed = walls.unreachable((*walls.code(), Path(sys.executable), server), (state.parent,)) if not plain else ()
    why_not = plain
    if closed:
        why_not = (
            f"other users cannot pass {', '.join(map(str, closed))}; install u-bmc and keep its state where everybody"
            " may pass, for example --state /var/lib/ubmc"
        )
        log.warning("the processes have no users of their own: %s", why_not)
    layout = Layout(state, separate=not why_not, why_not=why_not)
    made = (layout.managers, layout.safety, layout.machine, layout.tls, layout.bus)
    for folder in (*made, layout.console, layout.ssh, layout.ipmi):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _move(layout)
    if layout.separate:
        _hand_out(layout, board)
    return layout


def _move(layout: Layout) -> None:
    """Bring what an older release kept in the state directory itself to where it belongs, the database itself last."""
    for name in _MOVED:
        if (layout.state / name).exists() and not (layout.managers / name).exists():
            for part in (f"{name}-wal", f"{name}-shm", name):
                with contextlib.suppress(FileNotFoundError):
                    (layout.state / part).rename(layout.managers / part)


def _hand_out(layout: Layout, board: BoardSpec) -> None:
    layout.state.chmod(0o711)
    owners = {
        layout.managers: (MANAGERS, 0o700),
        layout.safety: (SAFETY, 0o700),
        layout.machine: (SAFETY, 0o711),
        layout.tls: (MANAGERS, 0o755),
        layout.bus: (BUS, 0o700),
        layout.console: (CONSOLES, 0o711),
        layout.ssh: (SSH, 0o700),
        layout.ipmi: (IPMI, 0o700),
    }
    for folder, (process, mode) in owners.items():
        walls.give(folder, UIDS[process], UIDS[process])
        walls.set_mode(folder, mode)
    if isinstance(board.lines, SimLinesSpec):
        _share_machine(sim_directory(layout.machine))
    for host in board.hosts:
        if isinstance(host.power, QemuSpec) and host.power.ipmi:
            _share_ipmi(host_directory(layout.machine, host.name))


def _share_ipmi(folder: Path) -> None:
    """Let the IPMI door reach the guest behind a virtual machine's IPMI interface, and nothing else of it."""
    folder.mkdir(exist_ok=True)
    os.chown(folder, UIDS[SAFETY], UIDS[IPMI], follow_symlinks=False)
    walls.set_mode(folder, 0o2710)
    with contextlib.suppress(FileNotFoundError):  # of one that runs already
        os.chown(folder / IPMI_SOCKET, UIDS[SAFETY], UIDS[IPMI], follow_symlinks=False)
        walls.set_mode(folder / IPMI_SOCKET, 0o660)


def _share_machine(folder: Path) -> None:
    """Let the managers talk to the simulated machine too: its lights and its FRU storage are theirs."""
    folder.mkdir(exist_ok=True)
    walls.give(folder, UIDS[SAFETY], UIDS[MANAGERS])
    walls.set_mode(folder, 0o2710)  # what is made in it belongs to the same group
    with contextlib.suppress(FileNotFoundError):  # of one that runs already
        walls.set_mode(socket_path(folder), 0o660)


# --- walls ----------------------------------------------------------------------------------------------------------


def walls_of(process: str, layout: Layout, board: BoardSpec, owner: OwnerSpec, server: Path) -> Walls:
    """Behind which walls a process runs. Raises `KeyError` for one that is not known."""
    readable = (*walls.code(), *walls.system())
    uid = layout.uid(process)
    if process == SAFETY:
        return _safety(uid, layout, board, readable)
    if process == MANAGERS:
        return _managers(uid, layout, board, owner, readable)
    if process == BUS:
        return Walls(uid, uid, writable=(layout.bus, _NULL), readable=(*readable, server.parent))
    if process == CONSOLES:
        return _consoles(layout, board, readable)
    if process not in UIDS:
        raise KeyError(process)
    endpoints, kept = {
        DOOR: ((*owner.listen, *owner.web.redirect), ()),
        SSH: (owner.ssh.listen, (layout.ssh,)),
        IPMI: (owner.ipmi.listen, (layout.ipmi,)),
    }[process]
    return Walls(uid, uid, _to_listen(endpoints), writable=(*kept, _NULL), readable=readable)


def _to_listen(endpoints: Sequence[str]) -> frozenset[Capability]:
    low = any(0 < parse_endpoint(each)[1] < _LOWEST_FREE_PORT for each in endpoints)
    return frozenset({Capability.NET_BIND_SERVICE}) if low else frozenset()


def _safety(uid: int | None, layout: Layout, board: BoardSpec, readable: tuple[Path, ...]) -> Walls:
    virtual, hardware = has_virtual_machine(board), drives_hardware(board)
    return Walls(
        uid,
        uid,
        frozenset({Capability.DAC_OVERRIDE}) if virtual or hardware else frozenset(),
        writable=(layout.safety, layout.machine, _NULL, *(_HARDWARE if hardware else ())),
        readable=readable,
        # A virtual machine inherits these walls and opens whatever its owner brings, now or later; one that was
        # started by an earlier run has to be ended all the same.
        files=not virtual,
        alone=not virtual,
    )


def _managers(uid: int | None, layout: Layout, board: BoardSpec, owner: OwnerSpec, readable: tuple[Path, ...]) -> Walls:
    virtual = has_virtual_machine(board)
    hardware = _lights_are_real(board) or any(isinstance(asset.fru, EepromFruSpec) for asset in board.assets)
    modelled = virtual or isinstance(board.lines, SimLinesSpec)
    network = () if modelled else _NETWORK
    hook = tuple(Path(each) for each in owner.security.acme_dns_hook[:1] if Path(each).is_absolute())
    writable = (layout.managers, layout.tls, _NULL)
    return Walls(
        uid,
        uid,
        frozenset({Capability.DAC_OVERRIDE}) if virtual or hardware else frozenset(),
        writable=(*writable, *(_HARDWARE if hardware else ())),
        readable=(*readable, *hook, *network, layout.machine),
    )


def _consoles(layout: Layout, board: BoardSpec, readable: tuple[Path, ...]) -> Walls:
    real = any(isinstance(host.console, TtyConsoleSpec) for host in board.hosts)
    uid = layout.uid(CONSOLES)
    simulated = isinstance(board.lines, SimLinesSpec)
    return Walls(
        uid,
        layout.uid(MANAGERS) if simulated else uid,  # the group that may talk to the simulated machine
        frozenset({Capability.DAC_OVERRIDE}) if real or has_virtual_machine(board) else frozenset(),
        writable=(layout.console, layout.machine, _NULL, *((Path("/dev"),) if real else ())),
        readable=readable,
    )


def has_virtual_machine(board: BoardSpec) -> bool:
    """Whether a host is a QEMU process."""
    return any(isinstance(host.power, QemuSpec) for host in board.hosts)


def drives_hardware(board: BoardSpec) -> bool:
    """Whether the safety process uses devices of this machine."""
    return (
        isinstance(board.lines, GpioLinesSpec)
        or any(not isinstance(sensor, SimSensorSpec | VirtualSensorSpec) for sensor in board.sensors)
        or any(not isinstance(fan, SimFanSpec) for fan in board.fans)
    )


def _lights_are_real(board: BoardSpec) -> bool:
    on_lines = isinstance(board.lines, GpioLinesSpec)
    return any(isinstance(led, SysfsLedSpec) or (on_lines and isinstance(led, LineLedSpec)) for led in board.leds)
