"""The Linux GPIO driver with gpiod's own types; only the chip, which is the kernel's, is played here."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest
from gpiod import ChipInfo, EdgeEvent, LineInfo, LineSettings
from gpiod.line import Bias, Clock, Direction, Drive, Edge, Value

from ubmc.hw.gpio import linux_line
from ubmc.hw.gpio.linux import LinuxLines
from ubmc.hw.gpio.linux_line import LinuxOutput
from ubmc.hw.gpio.port import How
from ubmc.kit.errors import Busy, Invalid, NotFound, Refused, Unavailable

Config = dict[Iterable[int | str] | int | str, LineSettings | None]


class Wire:
    """One pin: its physical level, and who has it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.high = False
        self.direction = Direction.INPUT
        self.consumer = ""
        self.history: list[bool] = []

    def drive(self, *, high: bool) -> None:
        self.high = high
        self.history.append(high)


class KernelRequest:
    """What the kernel does with one line request; its descriptor is readable while edges wait."""

    def __init__(self, wire: Wire, offset: int, settings: LineSettings, consumer: str) -> None:
        self.wire, self.offset, self.settings = wire, offset, settings
        self.fd, self._signal = os.pipe()
        self.edges: list[EdgeEvent.Type] = []
        self.failure: OSError | None = None
        self.released = False
        self.before_get: Callable[[], object] = lambda: None
        wire.consumer = consumer
        self._apply(settings)

    def _apply(self, settings: LineSettings) -> None:
        self.settings = settings
        if settings.direction is not Direction.AS_IS:
            self.wire.direction = settings.direction
        if settings.direction is Direction.OUTPUT:
            self._drive(settings.output_value)

    def _drive(self, value: Value) -> None:
        self.wire.drive(high=bool(value) is not self.settings.active_low)

    def _check(self) -> None:
        assert not self.released, "a line was used after its release"
        if self.failure is not None:
            raise self.failure

    def get_value(self, line: int) -> Value:
        self.before_get()
        self._check()
        assert line == self.offset
        return Value.ACTIVE if self.wire.high is not self.settings.active_low else Value.INACTIVE

    def set_value(self, line: int, value: Value) -> None:
        self._check()
        assert line == self.offset
        if self.settings.direction is not Direction.OUTPUT:
            raise OSError(errno.EPERM, "Operation not permitted")
        self._drive(value)

    def reconfigure_lines(self, config: Config) -> None:
        self._check()
        settings = config[self.offset]
        assert settings is not None
        self._apply(settings)

    def read_edge_events(self) -> list[EdgeEvent]:
        os.read(self.fd, 4096)
        self._check()
        edges, self.edges = self.edges, []
        return [EdgeEvent(edge.value, 0, self.offset, 1, 1) for edge in edges]

    def turn(self, *levels: bool) -> None:
        """The outside world sets the pin to these levels, faster than anybody can look."""
        for high in levels:
            self.wire.high = high
            rising = high is not self.settings.active_low
            self.edges.append(EdgeEvent.Type.RISING_EDGE if rising else EdgeEvent.Type.FALLING_EDGE)
        self.signal()

    def signal(self) -> None:
        os.write(self._signal, b"!")

    def release(self) -> None:
        assert not self.released, "a line was released twice"
        self.released = True
        self.wire.consumer = ""
        os.close(self.fd)
        os.close(self._signal)


class KernelChip:
    """A GPIO chip as gpiod shows it."""

    def __init__(self, name: str, label: str, wires: list[Wire]) -> None:
        self.name, self.label, self.wires = name, label, wires
        self.requests: dict[str, KernelRequest] = {}
        self.refusal: OSError | None = None
        self.closed = threading.Event()
        self.threads: set[str] = set()

    def _seen(self) -> None:
        self.threads.add(threading.current_thread().name)

    def get_info(self) -> ChipInfo:
        self._seen()
        return ChipInfo(self.name, self.label, len(self.wires))

    def get_line_info(self, line: int) -> LineInfo:
        wire = self.wires[line]
        return LineInfo(
            line,
            wire.name,
            bool(wire.consumer),
            wire.consumer,
            wire.direction.value,
            active_low=False,
            bias=Bias.AS_IS.value,
            drive=Drive.PUSH_PULL.value,
            edge_detection=Edge.NONE.value,
            event_clock=Clock.MONOTONIC.value,
            debounced=False,
            debounce_period_us=0,
        )

    def request_lines(self, config: Config, consumer: str | None = None) -> KernelRequest:
        self._seen()
        if self.refusal is not None:
            raise self.refusal
        ((offset, settings),) = config.items()
        assert isinstance(offset, int)
        assert settings is not None
        wire = self.wires[offset]
        if wire.consumer:
            raise OSError(errno.EBUSY, "Device or resource busy")
        request = self.requests[wire.name] = KernelRequest(wire, offset, settings, consumer or "?")
        return request

    def close(self) -> None:
        self._seen()
        self.closed.set()


class Machine:
    """A machine with two chips."""

    def __init__(self, devices: Path) -> None:
        self.devices = devices
        self.soc = KernelChip(
            "gpiochip0", "1e780000.gpio", [Wire(n) for n in ("power-button-0", "", "power-good-0", "id")]
        )
        self.expander = KernelChip("gpiochip1", "pca9555", [Wire(n) for n in ("psu-enable", "id", "reset-button-0")])
        self.chips = {"gpiochip0": self.soc, "gpiochip1": self.expander}
        self.refusal: OSError | None = None
        for name in self.chips:
            (devices / name).touch()
        self.lines = LinuxLines(devices=devices, open_chip=self.open_chip)

    def open_chip(self, path: str) -> KernelChip:
        if self.refusal is not None:
            raise self.refusal
        return self.chips[Path(path).name]


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    await machine.lines.close()
    for chip in machine.chips.values():
        assert all(request.released for request in chip.requests.values())


async def test_momentary_output_starts_and_ends_inactive(machine: Machine) -> None:
    wire = machine.soc.wires[0]
    wire.high = True
    line = await machine.lines.output("power-button-0")
    assert wire.history == [False]
    await line.set(active=True)
    assert wire.high
    await line.close()
    assert wire.history == [False, True, False]
    assert machine.soc.requests["power-button-0"].released


async def test_active_low(machine: Machine) -> None:
    wire = machine.soc.wires[0]
    line = await machine.lines.output("power-button-0", active_low=True)
    assert wire.history == [True]
    await line.set(active=True)
    await line.close()
    assert wire.history == [True, False, True]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("direction", [Direction.INPUT, Direction.OUTPUT])
async def test_level_held_output_is_left_alone_until_it_is_set(
    machine: Machine, direction: Direction, before: bool
) -> None:
    wire = machine.expander.wires[0]
    wire.high, wire.direction = before, direction
    line = await machine.lines.output("psu-enable", momentary=False)
    await line.close()
    assert (wire.high, wire.direction, wire.history) == (before, direction, [])
    line = await machine.lines.output("psu-enable", momentary=False)
    await line.set(active=True)
    await line.set(active=False)
    await line.set(active=True)
    await line.close()
    assert wire.direction is Direction.OUTPUT
    assert wire.history == [True, False, True]


async def test_level_held_active_low(machine: Machine) -> None:
    wire = machine.expander.wires[0]
    line = await machine.lines.output("psu-enable", active_low=True, momentary=False)
    await line.set(active=True)
    await line.set(active=False)
    assert wire.history == [False, True]


async def test_release_is_a_duplicate_that_outlives_the_line(machine: Machine) -> None:
    line = await machine.lines.output("power-button-0")
    request = machine.soc.requests["power-button-0"]
    release = line.release()
    try:
        assert (release.name, release.how) == ("power-button-0", How.GPIO_V2)
        assert release.fd != request.fd
        same = os.fstat(request.fd).st_ino
        await line.close()
        assert os.fstat(release.fd).st_ino == same
    finally:
        os.close(release.fd)
    with pytest.raises(Unavailable, match="is closed"):
        line.release()


async def test_nobody_else_may_let_go_of_a_held_level(machine: Machine) -> None:
    line = await machine.lines.output("psu-enable", momentary=False)
    with pytest.raises(Refused, match="holds its level"):
        line.release()


async def test_input_is_debounced_by_the_kernel(machine: Machine) -> None:
    line = await machine.lines.input("power-good-0", active_low=True, debounce_seconds=0.02)
    settings = machine.soc.requests["power-good-0"].settings
    assert (settings.direction, settings.edge_detection) == (Direction.INPUT, Edge.BOTH)
    assert settings.debounce_period.total_seconds() == 0.02
    assert await line.get() is True
    machine.soc.wires[2].high = True
    assert await line.get() is False


async def test_watch_tells_the_level_now_and_every_change(machine: Machine) -> None:
    line = await machine.lines.input("power-good-0")
    request = machine.soc.requests["power-good-0"]
    seen = line.watch()
    assert await anext(seen) is False
    request.turn(True)
    assert await anext(seen) is True
    request.turn(False, True, False)  # faster than we look: no press is lost
    assert [await anext(seen) for _ in range(3)] == [False, True, False]
    await line.close()
    with pytest.raises(StopAsyncIteration):
        await anext(seen)


async def test_watch_believes_the_level_when_edges_were_lost(machine: Machine) -> None:
    line = await machine.lines.input("power-good-0")
    request = machine.soc.requests["power-good-0"]
    seen = line.watch()
    assert await anext(seen) is False
    request.turn(*[True, False] * 50, True)
    request.edges = request.edges[:-1]  # the kernel's buffer was full
    last = [await anext(seen) for _ in range(64)][-1]
    assert last is False
    async with asyncio.timeout(30):
        assert await anext(seen) is True
    machine.soc.wires[2].high = False
    request.turn(False)
    assert await anext(seen) is False
    await line.close()


async def test_watch_ends_when_the_line_is_closed_while_it_waits(machine: Machine) -> None:
    line = await machine.lines.input("power-good-0")

    async def watcher() -> list[bool]:
        return [level async for level in line.watch()]

    task = asyncio.create_task(watcher())
    await line.get()
    await line.get()
    await line.close()
    assert await task == [False]


async def test_watch_fails_when_the_hardware_goes_away(machine: Machine) -> None:
    line = await machine.lines.input("power-good-0")
    request = machine.soc.requests["power-good-0"]
    seen = line.watch()
    assert await anext(seen) is False
    request.failure = OSError(errno.ENODEV, "No such device")
    request.signal()
    with pytest.raises(Unavailable, match="No such device"):
        await anext(seen)
    with pytest.raises(Unavailable, match="No such device"):
        await line.get()


async def test_watch_fails_though_the_kernel_wakes_nobody(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux_line, "LOOK_SECONDS", 0.01)
    line = await machine.lines.input("power-good-0")
    seen = line.watch()
    assert await anext(seen) is False
    machine.soc.requests["power-good-0"].failure = OSError(errno.ENODEV, "No such device")
    with pytest.raises(Unavailable, match="No such device"):
        await anext(seen)


async def test_one_watcher_at_a_time(machine: Machine) -> None:
    line = await machine.lines.input("power-good-0")
    first = line.watch()
    await anext(first)
    second = line.watch()
    with pytest.raises(Busy, match="watched already"):
        await anext(second)
    assert isinstance(first, AsyncIterator)
    await line.close()
    with pytest.raises(StopAsyncIteration):
        await anext(first)


@pytest.mark.parametrize("name", ["gpiochip0:1", "1e780000.gpio:1"])
async def test_line_without_a_name(machine: Machine, name: str) -> None:
    line = await machine.lines.output(name)
    await line.set(active=True)
    assert line.name == name
    assert machine.soc.wires[1].high


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("power-buton-0", "did you mean power-button-0"),
        ("zzz", r"gpiochip0 \(1e780000.gpio, 4 lines\), gpiochip1 \(pca9555, 3 lines\)"),
        ("gpiochip0:4", "there is no GPIO line"),
        ("gpiochip0:²", "there is no GPIO line"),
        ("gpiochip7:0", "there is no GPIO line"),
    ],
)
async def test_no_such_line(machine: Machine, name: str, message: str) -> None:
    with pytest.raises(NotFound, match=message):
        await machine.lines.input(name)


async def test_two_lines_of_one_name(machine: Machine) -> None:
    with pytest.raises(Invalid, match=r"write 1e780000\.gpio:3 and pca9555:1"):
        await machine.lines.output("id")
    await machine.lines.output("pca9555:1")


@pytest.mark.parametrize("known_as", ["gpiochip0", "gpiochip7"])
async def test_a_chip_that_was_replaced_is_found_again(machine: Machine, known_as: str) -> None:
    old, wire = machine.soc, Wire("power-button-0")
    line = await machine.lines.output("power-button-0")
    old.refusal = OSError(errno.ENODEV, "No such device")
    old.requests["power-button-0"].failure = old.refusal
    del machine.chips["gpiochip0"]
    (machine.devices / "gpiochip0").unlink()
    machine.chips[known_as] = KernelChip(known_as, "1e780000.gpio", [wire])
    (machine.devices / known_as).touch()
    with pytest.raises(Unavailable, match="No such device"):
        await line.close()  # released all the same
    assert old.requests["power-button-0"].released
    await (await machine.lines.output("power-button-0")).set(active=True)
    assert wire.high
    await asyncio.to_thread(old.closed.wait, 5)
    assert old.closed.is_set()


async def test_held_by_somebody_else(machine: Machine) -> None:
    machine.soc.wires[0].consumer = "gpio-keys"
    with pytest.raises(Busy, match=r"\(gpiochip0:0\) is held by gpio-keys"):
        await machine.lines.output("power-button-0")


async def test_open_once(machine: Machine) -> None:
    line = await machine.lines.output("power-button-0")
    with pytest.raises(Busy, match="is open already"):
        await machine.lines.output("power-button-0")
    await line.close()
    await line.close()
    await machine.lines.output("power-button-0")


async def test_chip_that_comes_later_is_found(machine: Machine) -> None:
    await machine.lines.input("power-good-0")
    with pytest.raises(NotFound):
        await machine.lines.input("late")
    machine.chips["gpiochip2"] = KernelChip("gpiochip2", "usb", [Wire("late")])
    (machine.devices / "gpiochip2").touch()
    assert (await machine.lines.input("late")).name == "late"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, "join the group"),
        (errno.ENXIO, "no interrupt"),
        (errno.EIO, "Input/output error"),
    ],
)
async def test_refusals_of_the_kernel(machine: Machine, number: int, message: str) -> None:
    machine.soc.refusal = OSError(number, os.strerror(number))
    with pytest.raises(Unavailable, match=message):
        await machine.lines.input("power-good-0")


async def test_no_chip_may_be_opened(machine: Machine) -> None:
    machine.refusal = OSError(errno.EACCES, "Permission denied")
    with pytest.raises(Unavailable, match="no permission for"):
        await machine.lines.input("power-good-0")


async def test_no_chip_at_all(tmp_path: Path) -> None:
    lines = LinuxLines(devices=tmp_path)
    with pytest.raises(Unavailable, match="is the kernel's driver loaded"):
        await lines.output("power-button-0")
    await lines.close()


async def test_a_file_is_no_chip(tmp_path: Path) -> None:
    (tmp_path / "gpiochip0").touch()
    lines = LinuxLines(devices=tmp_path)  # with the real gpiod
    with pytest.raises(Unavailable, match="gpiochip0"):
        await lines.output("power-button-0")
    await lines.close()


async def test_without_gpiod(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpiod", None)
    with pytest.raises(Unavailable, match=r"gpiod 2\.2"):
        await machine.lines.output("power-button-0")


async def test_closing_all_lets_go_of_every_button_though_one_line_fails(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await machine.lines.output("power-button-0")
    good = await machine.lines.output("reset-button-0")
    await broken.set(active=True)
    await good.set(active=True)
    machine.soc.requests["power-button-0"].failure = OSError(errno.EIO, "Input/output error")
    await machine.lines.close()
    assert machine.expander.wires[2].history == [False, True, False]
    assert machine.soc.requests["power-button-0"].released
    assert [record.getMessage() for record in caplog.records] == [
        'a line could not be given back: GPIO line "power-button-0": Input/output error'
    ]
    with pytest.raises(Unavailable, match="is closed"):
        await good.set(active=True)


async def test_each_chip_has_one_thread_and_is_closed_on_it(machine: Machine) -> None:
    for name in ("power-button-0", "reset-button-0", "power-good-0", "psu-enable"):
        await (machine.lines.output(name) if "good" not in name else machine.lines.input(name))
    await machine.lines.close()
    for chip in machine.chips.values():
        assert chip.closed.wait(5)
    assert machine.soc.threads == {"gpiochip0_0"}
    assert machine.expander.threads == {"gpiochip1_0"}


async def test_a_cancelled_close_still_lets_go(machine: Machine) -> None:
    line = await machine.lines.output("power-button-0")
    await line.set(active=True)
    go_on = threading.Event()
    blocked = machine.soc.requests["power-button-0"]
    blocked.before_get = lambda: go_on.wait(10)
    assert isinstance(line, LinuxOutput)
    line.place.bus.thread.submit(blocked.get_value, 0)  # a slow chip: the close has to wait its turn
    task = asyncio.create_task(line.close())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    other = await machine.lines.output("gpiochip0:1")  # the chip's thread works in order
    assert machine.soc.wires[0].history == [False, True, False]
    await other.close()
