"""From what a board is made of to drivers: the one place that knows which `kind` is which class.

Drivers are imported when a board needs them. Nothing is opened here; who gets a port opens and closes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ubmc.boards.spec import (
    BoardSpec,
    ButtonsSpec,
    ChassisSpec,
    LineChassisSpec,
    LineLedSpec,
    QemuSpec,
    SimLinesSpec,
    SysfsLedSpec,
)
from ubmc.boards.spec_wires import LineSpec
from ubmc.hw.gpio.port import Lines, Release
from ubmc.hw.leds.port import Led
from ubmc.hw.power.port import BootTarget, Power
from ubmc.hw.watchdog.port import Watchdog
from ubmc.kit.errors import Invalid, NotFound

if TYPE_CHECKING:
    from ubmc.hw.power.buttons import Wire
    from ubmc.hw.qemu.machine import MachineSpec
    from ubmc.hw.sim.control import Control
    from ubmc.hw.sim.port import Twin

QEMU_BINARY = "qemu-system-x86_64"
IPMI_SOCKET = "ipmi.sock"
"""In the folder of a virtual machine with an IPMI interface."""
Reopened = Callable[[tuple[Release, ...]], None]


def sim_directory(machine_dir: Path) -> Path:
    """Where the simulated machine of a board lives."""
    return machine_dir / "sim"


def host_directory(machine_dir: Path, host: str) -> Path:
    """Where the virtual machine that is this host lives."""
    return machine_dir / host


def ensure_machines(spec: BoardSpec, machine_dir: Path) -> None:
    """Start the simulated machine, or find it running; a board without one needs nothing. Blocks up to 15 s.

    Virtual machines are started by powering their host on.

    Raises:
        Invalid: the directory's path is too long for a socket.
        Unavailable: it cannot be started.
        TimedOut: it does not answer.
    """
    if isinstance(spec.lines, SimLinesSpec):
        from ubmc.hw.sim.process import ensure_running

        front_wired = any(isinstance(h.power, ButtonsSpec) and h.power.front_wired for h in spec.hosts)
        directory = sim_directory(machine_dir)
        ensure_running(
            directory,
            speed=spec.lines.speed,
            seed=spec.lines.seed,
            front_wired=front_wired,
            machine=spec.lines.machine.value,
        )


def end_machines(spec: BoardSpec, machine_dir: Path) -> int:
    """End all simulated and virtual machines of a board (`--ephemeral`); how many there were. Blocks.

    Raises:
        ExceptionGroup: of `Unavailable` and `TimedOut`, for those that did not end.
    """
    ends: list[Callable[[], bool]] = []
    if isinstance(spec.lines, SimLinesSpec):
        from ubmc.hw.sim import process as sim_process

        ends.append(partial(sim_process.end, sim_directory(machine_dir)))
    for host in spec.hosts:
        if isinstance(host.power, QemuSpec):
            from ubmc.hw.qemu import process as qemu_process
            from ubmc.hw.qemu.machine import Layout

            ends.append(partial(qemu_process.end, Layout(host_directory(machine_dir, host.name))))
    failures: list[Exception] = []
    ended = 0
    for end in ends:
        try:
            ended += end()
        except Exception as error:  # noqa: BLE001 - one that does not end must not save the others
            failures.append(error)
    if failures:
        raise ExceptionGroup("machines did not end", failures)
    return ended


def build_lines(spec: BoardSpec, machine_dir: Path) -> Lines:
    """The GPIO lines of a board, for one user alone: who gets them closes them.

    Raises:
        Invalid: the board has no lines.
    """
    if spec.lines is None:
        raise Invalid('the board uses GPIO lines but does not say whose: write [lines] with kind = "gpio"')
    if isinstance(spec.lines, SimLinesSpec):
        from ubmc.hw.sim.dial import unix_dial
        from ubmc.hw.sim.lines import SimLines

        return SimLines(unix_dial(sim_directory(machine_dir)))
    from ubmc.hw.gpio.linux import LinuxLines

    return LinuxLines()


def build_power(spec: BoardSpec, host: str, machine_dir: Path, *, reopened: Reopened | None = None) -> Power:
    """The power of one host. Makes the folder of a virtual machine and draws its identity, once.

    Args:
        spec: the board.
        host: the host's name, such as `host.0`.
        machine_dir: the folder of all machines of this board, absolute.
        reopened: called with new releases when lines were lost and found again; it owns their descriptors.

    Raises:
        NotFound: the board has no such host.
        Invalid: the board, the folder's path or a kept identity cannot work.
    """
    try:
        power = spec.host(host).power
    except KeyError:
        names = ", ".join(one.name for one in spec.hosts)
        raise NotFound(f'the board has no host "{host}"; there is {names}') from None
    if isinstance(power, QemuSpec):
        return _build_qemu(power, host, host_directory(machine_dir, host))
    return _build_buttons(spec, power, host, machine_dir, reopened)


def _build_buttons(
    spec: BoardSpec, power: ButtonsSpec, host: str, machine_dir: Path, reopened: Reopened | None
) -> Power:
    from ubmc.hw.power.buttons import ButtonBoard, ButtonPower

    board = ButtonBoard(
        button=_wire(power.button),
        good=_optional(power.good),
        reset=_optional(power.reset),
        nmi=_optional(power.nmi),
        front_button=_optional(power.front_button),
        identify=_optional(_identify_button(spec, host)),
        press_seconds=power.press,
        hold_seconds=power.hold,
        reset_seconds=power.reset_press,
        nmi_seconds=power.nmi_press,
        debounce_seconds=power.debounce,
        settle_seconds=power.settle,
    )
    lines = build_lines(spec, machine_dir)
    machine = _simulated(spec, machine_dir)
    return ButtonPower(
        lines,
        board,
        mains_epoch=None if machine is None else machine.mains_epoch,
        set_boot=None if machine is None else machine.set_boot,
        boot_order=() if machine is None else (BootTarget.DISK,),
        stages=None if machine is None else partial(machine.stages, host),
        reopened=reopened,
    )


def _build_qemu(power: QemuSpec, host: str, directory: Path) -> Power:
    from ubmc.hw.qemu.power import QemuPower

    return QemuPower(virtual_machine(power, host, directory), directory, binary=QEMU_BINARY)


def virtual_machine(power: QemuSpec, host: str, directory: Path) -> MachineSpec:
    """The virtual machine that is a host. Makes its folder and draws its identity, once.

    Raises:
        Invalid: a kept identity cannot be understood.
    """
    from ubmc.hw.qemu.identity import load_or_draw
    from ubmc.hw.qemu.machine import Accelerator, Drive, MachineSpec
    from ubmc.hw.qemu.process import has_network_rom

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = load_or_draw(directory)
    drives = [Drive(d.path, "disk", d.format.value, d.bus.value, d.read_only) for d in power.disks]
    if power.cdrom is not None:
        drives.append(Drive(power.cdrom, "cdrom", "raw", "sata"))
    return MachineSpec(
        name=host,
        uuid=identity.uuid,
        serial=identity.serial,
        memory_mb=power.memory_mb,
        cpus=power.cpus,
        drives=tuple(drives),
        network=power.network,
        network_rom=power.network and has_network_rom(QEMU_BINARY),
        netboot=power.netboot,
        firmware=power.firmware,
        kernel=power.kernel,
        initrd=power.initrd,
        append=power.append,
        accelerator=Accelerator(power.accelerator.value),
        firmware_log=power.firmware_log,
        ipmi=power.ipmi,
        second_qmp=power.second_qmp,
    )


def build_chassis_power(
    spec: BoardSpec, chassis: str, machine_dir: Path, *, reopened: Reopened | None = None
) -> Power | None:
    """The supply of one chassis; None for a chassis that follows its hosts. Arguments as for `build_power`.

    Raises:
        NotFound: the board has no such chassis.
        Invalid: the board or the folder's path cannot work.
    """
    power = _chassis(spec, chassis).power
    if not isinstance(power, LineChassisSpec):
        return None
    from ubmc.hw.power.level import ChassisLine, LevelBoard

    board = LevelBoard(_wire(power.enable), _optional(power.good), power.debounce)
    lines = build_lines(spec, machine_dir)
    machine = _simulated(spec, machine_dir)
    return ChassisLine(lines, board, mains_epoch=None if machine is None else machine.mains_epoch, reopened=reopened)


def _chassis(spec: BoardSpec, name: str) -> ChassisSpec:
    for chassis in spec.chassis:
        if chassis.name == name:
            return chassis
    raise NotFound(f'the board has no chassis "{name}"; there is {", ".join(one.name for one in spec.chassis)}')


def _identify_button(spec: BoardSpec, host: str) -> LineSpec | None:
    """The identify button of this host's chassis, if this is the host that reads it: the first one with buttons."""
    wired = {one.name for one in spec.hosts if isinstance(one.power, ButtonsSpec)}
    for chassis in spec.chassis:
        first = next((name for name in chassis.hosts if name in wired), None)
        if first == host:
            return chassis.identify_button
    return None


def _wire(line: LineSpec) -> Wire:
    from ubmc.hw.power.buttons import Wire

    return Wire(line.line, line.active_low)


def _optional(line: LineSpec | None) -> Wire | None:
    return None if line is None else _wire(line)


def _simulated(spec: BoardSpec, machine_dir: Path) -> Control | None:
    """The simulated machine: it alone proves that mains was lost and came back, and lets its firmware be told of boots.

    A real board's firmware needs a channel of its own for that, which buttons are not.
    """
    if not isinstance(spec.lines, SimLinesSpec):
        return None
    from ubmc.hw.sim.control import Control
    from ubmc.hw.sim.dial import unix_dial

    return Control(unix_dial(sim_directory(machine_dir)))


def build_twin(spec: BoardSpec, machine_dir: Path) -> Twin | None:
    """What can be done to the simulated machine and to no real one; None for a board without."""
    return _simulated(spec, machine_dir)


@dataclass(frozen=True, slots=True)
class Lights:
    """The lights of a board by name, and the lines that they share."""

    leds: Mapping[str, Led]
    lines: Lines | None

    async def close(self) -> None:
        """Give all lights back; see `ubmc.hw.leds.port.Led.close`."""
        for led in self.leds.values():
            await led.close()
        if self.lines is not None:
            await self.lines.close()


def build_lights(spec: BoardSpec, machine_dir: Path) -> Lights:
    """The lights of a board; `Lights.leds` is empty for a board without. Raises `Invalid` as `build_lines` does."""
    on_lines = any(isinstance(led, LineLedSpec) for led in spec.leds)
    lines = build_lines(spec, machine_dir) if on_lines else None
    leds: dict[str, Led] = {led.name: _build_led(led, lines) for led in spec.leds}
    return Lights(MappingProxyType(leds), lines)


def _build_led(led: LineLedSpec | SysfsLedSpec, lines: Lines | None) -> Led:
    if isinstance(led, LineLedSpec) and lines is not None:
        from ubmc.hw.leds.line import LineLed

        output = led.output
        return LineLed(led.name, partial(lines.output, output.line, active_low=output.active_low, momentary=False))
    if isinstance(led, SysfsLedSpec):
        from ubmc.hw.leds.linux import SysfsLed

        return SysfsLed(led.name, led.device)
    raise Invalid(f"light {led.name} is on a GPIO line and the board has none")


def build_watchdog(spec: BoardSpec) -> Watchdog | None:
    """The watchdog of the BMC; None for a board without. Its timeout is `spec.watchdog.timeout`."""
    if spec.watchdog is None:
        return None
    from ubmc.hw.watchdog.linux import LinuxWatchdog

    return LinuxWatchdog(spec.watchdog.device)
