"""From the consoles of a board to the drivers of their lines."""

from __future__ import annotations

from pathlib import Path

from ubmc.boards.build import host_directory, sim_directory
from ubmc.boards.spec import BoardSpec
from ubmc.boards.spec_console import QemuConsoleSpec, SimConsoleSpec, TtyConsoleSpec
from ubmc.hw.console.port import Line
from ubmc.kit.errors import NotFound


def build_line(spec: BoardSpec, host: str, machine_dir: Path) -> Line:
    """The serial line of a host; nothing is opened here.

    Args:
        spec: the board.
        host: its name.
        machine_dir: the folder of all machines of this board, absolute.

    Raises:
        NotFound: the board has no such host, or it has no console.
        Invalid: the folder's path cannot work.
    """
    consoles = {each.name: each.console for each in spec.hosts}
    match consoles.get(host):
        case TtyConsoleSpec(path=path):
            from ubmc.hw.console.tty import TtyLine

            return TtyLine(path)
        case QemuConsoleSpec():
            from ubmc.hw.qemu.machine import Layout
            from ubmc.hw.qemu.serial import QemuSerial

            return QemuSerial(Layout(host_directory(machine_dir, host)))
        case SimConsoleSpec():
            from ubmc.hw.sim.dial import unix_dial
            from ubmc.hw.sim.serial import SimSerial

            return SimSerial(unix_dial(sim_directory(machine_dir)))
    raise NotFound(f"{host} has no serial console on this board")
