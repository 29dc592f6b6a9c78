"""What `ubmc board check` and `ubmc board show` say, as text for people and as data for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ubmc.boards.kinds import format_duration
from ubmc.boards.load import Board, board_names, load_board
from ubmc.boards.report_parts import show_assets, show_cooling, show_sensors, show_wires
from ubmc.boards.spec import (
    BoardSpec,
    ButtonsSpec,
    ChassisSpec,
    HostSpec,
    LineChassisSpec,
    LineLedSpec,
    QemuSpec,
    SysfsLedSpec,
)
from ubmc.boards.spec_console import TtyConsoleSpec
from ubmc.boards.spec_wires import LineSpec
from ubmc.kit.errors import Invalid, NotFound, Unavailable, Violation


def check_report(name_or_file: str) -> tuple[bool, str, dict[str, Any]]:
    """Check a board file: whether it is good, the text for people, the data for programs. Raises nothing of ours."""
    try:
        board = load_board(name_or_file)
    except (NotFound, Unavailable) as error:
        return False, error.message, _verdict(name_or_file, [Violation("", error.name, error.message)])
    except Invalid as error:
        return False, error.message, _verdict(name_or_file, list(error.violations))
    text = f"{board.path} is good: {_summary(board.spec)}\n  fingerprint {board.fingerprint}"
    if not board.spec.board.verified:
        text += "\n  not verified: nobody has said that this file works on the hardware"
    return True, text, _verdict(name_or_file, []) | {"file": str(board.path), "fingerprint": board.fingerprint}


def _verdict(name: str, violations: list[Violation]) -> dict[str, Any]:
    found = [{"key": v.field, "rule": v.rule, "message": v.message} for v in violations]
    return {"board": name, "ok": not violations, "mistakes": found}


def show_json(board: Board) -> dict[str, Any]:
    """A board as data: the whole file with all defaults; durations are seconds."""
    return {
        "file": str(board.path),
        "fingerprint": board.fingerprint,
        "board": board.spec.model_dump(mode="json"),
    }


def show_text(board: Board) -> str:
    """A board for people: what it is and what hangs on which line."""
    return "\n".join(_show(board))


def list_text() -> str:
    """The boards that come with the package, a line each."""
    return "\n".join(board_names())


def _summary(spec: BoardSpec) -> str:
    parts = [_count(len(spec.hosts), "host", "hosts"), _count(len(spec.chassis), "chassis", "chassis")]
    counts = (
        (len(spec.leds), "light", "lights"),
        (len(spec.i2c), "I2C bus", "I2C buses"),
        (len(spec.sensors), "sensor", "sensors"),
        (len(spec.fans), "fan", "fans"),
        (len(spec.zones), "zone", "zones"),
        (len(spec.assets), "asset", "assets"),
    )
    parts += [_count(*each) for each in counts if each[0]]
    return ", ".join(parts)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _show(board: Board) -> Iterator[str]:
    spec = board.spec
    identity = spec.board
    yield f"{identity.name}: {identity.vendor} {identity.model}"
    if identity.description:
        yield f"  {identity.description}"
    yield f"  file         {board.path}"
    yield f"  fingerprint  {board.fingerprint}"
    yield f"  verified     {'yes' if identity.verified else 'no, nobody has said that it works on the hardware'}"
    yield f"  lines        {spec.lines.kind if spec.lines else 'none'}"
    yield f"{spec.bmc.name}"
    if spec.watchdog:
        yield f"  watchdog     {spec.watchdog.device}, {format_duration(spec.watchdog.timeout)}"
    for host in spec.hosts:
        yield from _show_host(host)
    for chassis in spec.chassis:
        yield from _show_chassis(chassis)
    for led in spec.leds:
        yield f"{led.name}: shows {led.role.value}{f' of {led.component}' if led.component else ''}, {_light(led)}"
    yield from show_wires(spec)
    yield from show_sensors(spec)
    yield from show_cooling(spec)
    yield from show_assets(spec)


def _show_host(host: HostSpec) -> Iterator[str]:
    yield host.name
    match host.power:
        case ButtonsSpec() as power:
            yield "  power        buttons"
            for name in ("button", "reset", "nmi", "good", "front_button"):
                if (line := getattr(power, name)) is not None:
                    yield f"  {name:<12} {_line(line)}"
            yield f"  press        {format_duration(power.press)}, hold {format_duration(power.hold)}"
            if power.good is None:
                yield "  no power-good line: the power of this host is unknown, and nothing is done automatically"
        case QemuSpec() as power:
            yield f"  power        QEMU, {power.memory_mb} MB, {_count(power.cpus, 'CPU', 'CPUs')}"
            yield f"  firmware     {power.firmware or 'BIOS'}, accelerator {power.accelerator.value}"
            for disk in power.disks:
                yield f"  disk         {disk.path} ({disk.format.value}{', read only' if disk.read_only else ''})"
            if power.cdrom:
                yield f"  CD           {power.cdrom}"
    console = host.console
    if isinstance(console, TtyConsoleSpec):
        yield f"  console      {console.path}, {console.speed} baud"
    else:
        yield f"  console      {console.kind if console else 'none'}"


def _show_chassis(chassis: ChassisSpec) -> Iterator[str]:
    yield f"{chassis.name}: {', '.join(chassis.hosts)}"
    if isinstance(chassis.power, LineChassisSpec):
        yield f"  power        {_line(chassis.power.enable)}, held"
    else:
        yield "  power        follows its hosts"
    if chassis.identify_button:
        yield f"  identify     {_line(chassis.identify_button)}"


def _light(led: LineLedSpec | SysfsLedSpec) -> str:
    return f"line {_line(led.output)}" if isinstance(led, LineLedSpec) else f"sysfs {led.device}"


def _line(line: LineSpec) -> str:
    return f"{line.line}{' (active low)' if line.active_low else ''}"
