"""`ubmc drill fan`: break the cooling of a simulated board in every way that must not hurt, and measure the answer.

A BMC of its own is started with a machine of its own in a folder of its own; what counts is what the fans of that
machine are given, as the machine itself says.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ubmc.cli.output import Output
from ubmc.cli.terminal import emit, note
from ubmc.cli.text import columns, table
from ubmc.kit.errors import TimedOut, UbmcError, Unavailable

SENSOR_SECONDS = 1.0
PROCESS_SECONDS = 3.0
FAN_SECONDS = 10.0
START_SECONDS = 60.0
QUIET_SECONDS = 90.0
QUIET_SHARE = 0.8
"""Before each exercise all fans are below this part of their fail-safe duty, so that a rise is seen."""
PATIENCE = 3.0
"""An exercise is given up after so many times its limit."""
_SAFETY = "ubmc-safety"
_POLL_SECONDS = 0.01
_FULL = 99.5
_POWER_GOOD = "power-good-0"
_WARM_UP_SECONDS = 3.0
_PRESS_AGAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one exercise."""

    exercise: str
    expected: str
    limit_seconds: float
    seconds: float | None
    """None: it did not happen."""

    @property
    def held(self) -> bool:
        """Whether the limit held."""
        return self.seconds is not None and self.seconds <= self.limit_seconds


COLUMNS = columns("exercise", "expected", "limit (s): limit_seconds", "took (s): seconds", "held")


class Drill:
    """One board under drill."""

    def __init__(self, machine: Path, bmc: subprocess.Popen[bytes], safe: dict[str, float]) -> None:
        """Make it.

        Args:
            machine: the folder of the simulated machine.
            bmc: the process that is `ubmc run`.
            safe: the duty of every fan in fail-safe, in percent.
        """
        self._machine = machine
        self._bmc = bmc
        self._safe = safe

    def exercises(self, sensor: str, wire: str, fan: str) -> Iterator[Callable[[], Result]]:
        """All of them, in their order."""
        for title, kind, target in (
            ("a sensor does not answer", "sensor-stale", sensor),
            ("a sensor answers no number", "sensor-nan", sensor),
            ("a sensor is out of its range", "sensor-range", sensor),
            ("a wire of sensors is stuck", "bus-stuck", wire),
        ):
            yield lambda title=title, kind=kind, target=target: self._fault(  # type: ignore[misc]
                title, kind, target, SENSOR_SECONDS, "fail-safe", self._are_safe
            )
        yield lambda: self._fault(
            "a fan is seized", "fan-seized", fan, FAN_SECONDS, "the others at 100 %", lambda: self._others_full(fan)
        )
        yield lambda: self._fault(
            "a fan takes no duty", "fan-unwritable", fan, FAN_SECONDS, "the others at 100 %",
            lambda: self._others_full(fan),
        )  # fmt: skip
        yield self._late
        yield self._stopped
        yield self._killed

    # --- exercises ----------------------------------------------------------------------------------------------

    def _fault(
        self, title: str, kind: str, target: str, limit: float, expected: str, reached: Callable[[], bool]
    ) -> Result:
        self.quiet()
        try:
            self._ask(do="inject", kind=kind, target=target)
            return Result(title, expected, limit, self._took(reached, limit))
        finally:
            self._ask(do="clear", kind="", target="")

    def _late(self) -> Result:
        """The loop of control is held up, but not for as long as the guardian waits."""
        self.quiet()
        pid = self._safety()
        os.kill(pid, signal.SIGSTOP)
        time.sleep(1.4)
        os.kill(pid, signal.SIGCONT)
        took = self._took(self._are_safe, SENSOR_SECONDS)
        return Result("the loop of control is late", "fail-safe", SENSOR_SECONDS, took)

    def _stopped(self) -> Result:
        self.quiet()
        pid = self._safety()
        os.kill(pid, signal.SIGSTOP)
        try:
            took = self._took(self._are_safe, PROCESS_SECONDS)
        finally:
            os.kill(pid, signal.SIGCONT)
        return Result("the safety process hangs", "fail-safe", PROCESS_SECONDS, took)

    def _killed(self) -> Result:
        self.quiet()
        os.kill(self._safety(), signal.SIGKILL)
        took = self._took(self._are_safe, PROCESS_SECONDS)
        self.quiet()  # and it comes back
        return Result("the safety process is killed", "fail-safe", PROCESS_SECONDS, took)

    # --- looking ------------------------------------------------------------------------------------------------

    def quiet(self) -> None:
        """Wait until the controllers drive. Raises `TimedOut`, `Unavailable`."""
        deadline = time.monotonic() + QUIET_SECONDS
        while not all(duty < QUIET_SHARE * self._safe[fan] for fan, duty in self._duties().items()):
            if self._bmc.poll() is not None:
                raise Unavailable("the BMC under drill has ended")
            if time.monotonic() > deadline:
                raise TimedOut(f"the fans do not come down from fail-safe within {QUIET_SECONDS:.0f} s")
            time.sleep(0.1)

    def started(self) -> None:
        """Wait until the machine runs, its host is on, and the controllers drive. Raises as `quiet`."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._bmc.poll() is not None:
                raise Unavailable("the BMC under drill has ended; run it with --verbose to see why")
            with suppress(UbmcError):
                self._duties()
                self._safety()
                break
            if time.monotonic() > deadline:
                raise TimedOut(f"the BMC under drill does not come up within {START_SECONDS:.0f} s")
            time.sleep(0.05)
        self.quiet()
        pressed = float("-inf")  # the services that hear of a press may not be there yet
        while not self._ask(do="state")["state"]["lines"][_POWER_GOOD]:
            if time.monotonic() > deadline:
                raise TimedOut(f"the host of the board does not come up within {START_SECONDS:.0f} s")
            if time.monotonic() - pressed > _PRESS_AGAIN_SECONDS:
                pressed = time.monotonic()
                self._ask(do="press", button="front-power-button", seconds=0.2)
            time.sleep(0.1)
        time.sleep(_WARM_UP_SECONDS)

    def _took(self, reached: Callable[[], bool], limit: float) -> float | None:
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE * limit:
            if reached():
                return round(time.monotonic() - began, 2)
            time.sleep(_POLL_SECONDS)
        return None

    def _are_safe(self) -> bool:
        return all(duty >= self._safe[fan] - 0.5 for fan, duty in self._duties().items())

    def _others_full(self, fan: str) -> bool:
        return all(duty >= _FULL for name, duty in self._duties().items() if name != fan)

    def _duties(self) -> dict[str, float]:
        fans = self._ask(do="state")["state"]["fans"]
        return {name: float(each["duty"]) for name, each in fans.items() if name in self._safe}

    def _ask(self, **control: object) -> dict[str, Any]:
        from ubmc.hw.sim.process import request

        return request(self._machine, control)

    def _safety(self) -> int:
        """The process id of the safety process."""
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError, IndexError):
                status = (entry / "stat").read_text()
                name = status[status.index("(") + 1 : status.rindex(")")]
                parent = int(status[status.rindex(")") + 1 :].split()[1])
                if name == _SAFETY and parent == self._bmc.pid:
                    return int(entry.name)
        raise Unavailable("the BMC under drill has no safety process at this moment")


@contextmanager
def _running(board: str, state: Path, verbose: bool) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "ubmc", "run", "--board", board, "--state", str(state), "--ephemeral"]
    config = state / "ubmc.toml"
    config.write_text("")  # the owner's own file says where the real one listens
    command += ["--listen", "127.0.0.1:0", "--config", str(config), "--log-level", "warning"]
    quiet = None if verbose else subprocess.DEVNULL
    bmc = subprocess.Popen(command, stdout=quiet, stderr=quiet, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield bmc
    finally:
        bmc.terminate()
        try:
            bmc.wait(30)
        except subprocess.TimeoutExpired:
            bmc.kill()
            bmc.wait()


def _targets(spec: Any) -> tuple[str, str, str]:
    """A sensor that a zone needs, its wire, and a fan. Raises `Unavailable`."""
    from ubmc.boards.spec import SimLinesSpec
    from ubmc.boards.wiring import wire_of

    sensors = {sensor.name: sensor for sensor in spec.sensors}
    if not spec.zones or not isinstance(spec.lines, SimLinesSpec):
        raise Unavailable("only a simulated board with a thermal zone can be drilled: try --board sim")
    sensor = sensors[spec.zones[0].controllers[0].sensors[0]]
    return sensor.name, wire_of(spec, sensor), spec.fans[0].name


@click.group()
def drill() -> None:
    """Prove what is promised, on a simulated board."""


@drill.command()
@click.option("--board", default="sim", metavar="NAME|FILE", help="A board with a simulated machine. [sim]")
@click.option("--verbose", is_flag=True, help="Show the log of the BMC under drill.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def fan(board: str, verbose: bool, as_json: bool) -> None:
    """Break cooling in every way; exit 0 only if every limit held."""
    from ubmc.boards import build
    from ubmc.boards.load import load_board
    from ubmc.compose.program import machine_folder

    spec = load_board(board).spec
    targets = _targets(spec)
    with tempfile.TemporaryDirectory(prefix="ubmc-drill-") as folder:
        state = Path(folder)
        with _running(board, state, verbose) as bmc:
            machine = build.sim_directory(machine_folder(state))
            exercise = Drill(machine, bmc, {each.name: each.fail_safe for each in spec.fans})
            exercise.started()
            results = []
            for each in exercise.exercises(*targets):
                results.append(each())
                if not as_json:
                    note(f"{results[-1].exercise}: {'held' if results[-1].held else 'NOT HELD'}")
    _show(results, as_json=as_json)
    if not all(result.held for result in results):
        raise SystemExit(1)


def _show(results: Sequence[Result], *, as_json: bool) -> None:
    rows = [
        {
            "exercise": each.exercise,
            "expected": each.expected,
            "limitSeconds": each.limit_seconds,
            "seconds": None if each.seconds is None else round(each.seconds, 3),
            "held": each.held,
        }
        for each in results
    ]
    output = Output(as_json)
    if as_json:
        output.document({"held": all(each.held for each in results), "exercises": rows})
    else:
        for row in table(COLUMNS, results):
            emit("  ".join(row))
