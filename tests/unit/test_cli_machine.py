"""The commands about sensors, cooling, lights, assets and the event log, against another maker's server."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.harness.connect import TOKEN, Certificate, Server, event, make_certificate
from tests.harness.connect_parts import FRU, Machine

from ubmc.cli import session
from ubmc.cli.export import safe_cell
from ubmc.cli.live import Row, view
from ubmc.cli.main import cli
from ubmc.cli.output import Output
from ubmc.cli.span import parse_span
from ubmc.cli.text import columns, format_number
from ubmc.client import Pinned
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import Cause
from ubmc.v1alpha1.led_pb import Led, LedPattern
from ubmc.v1alpha1.sensor_pb import SensorKind, SensorLevel, WatchSensorsResponse
from ubmc.v1alpha1.thermal_pb import ThermalProfile

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls") / "bmc.pem")


@pytest.fixture
def bmc() -> Machine:
    return Machine()


@pytest.fixture
def run(bmc: Machine, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run a command as somebody who has logged in."""
    for name in [name for name in os.environ if name.startswith("UBMC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with Server(bmc, certificate) as server:
        pin = Pinned.parse(certificate.fingerprint)
        session.save(session.Stored(url=server.url, user="admin", trust=pin, token=TOKEN))
        yield lambda *args, **more: CliRunner().invoke(cli, list(args), **more)


def rows(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [re.split(r"\s{2,}", line) for line in result.stdout.splitlines()]


def facts(result: Result) -> dict[str, str]:
    return {row[0]: row[1] for row in rows(result) if len(row) > 1}


# --- sensors ---------------------------------------------------------------------------------------------------------


def test_sensors_are_listed_over_all_pages_with_their_units(run: Run, bmc: Machine) -> None:
    shown = rows(run("sensor", "list"))
    assert shown[0] == ["NAME", "VALUE", "LEVEL", "QUALITY", "COMPONENT", "KIND"]
    assert shown[1:] == [
        ["cpu0_temp", "81.5 \N{DEGREE SIGN}C", "warning", "good", "host.0", "temperature"],
        ["psu0_presence", "present", "-", "good", "psu.0", "state"],
        ["vcore", "-", "-", "unavailable", "-", "voltage"],
    ]
    content = json.loads(run("sensor", "list", "--json").stdout)
    assert [each["name"] for each in content["sensors"]] == ["cpu0_temp", "psu0_presence", "vcore"]


def test_sensors_are_filtered(run: Run, bmc: Machine) -> None:
    result = run("sensor", "list", "--level", "warning", "--kind", "temperature", "--component", "host.0")
    assert [row[0] for row in rows(result)] == ["NAME", "cpu0_temp"]
    [request] = bmc.asked
    assert (request.level, request.kind, request.component) == (SensorLevel.WARNING, SensorKind.TEMPERATURE, "host.0")
    assert run("sensor", "list", "--kind", "colour").exit_code == 2


def test_one_sensor_is_shown_and_limits_that_are_absent_are_no_zeros(run: Run) -> None:
    shown = facts(run("sensor", "show", "cpu0_temp"))
    assert (shown["value"], shown["upper warning"], shown["upper fatal"]) == (
        "81.5 \N{DEGREE SIGN}C",
        "80 \N{DEGREE SIGN}C",
        "-",
    )
    assert (shown["age"], shown["read"], shown["lowest"]) == ("0.25s", "2023-11-14 22:13:20Z", "-")
    assert run("sensor", "show", "moon").exit_code == 4


def test_limits_are_changed_taken_away_and_reset(run: Run, bmc: Machine) -> None:
    shown = facts(run("sensor", "threshold", "cpu0_temp", "--upper-warning", "75.5", "--lower-fatal", "none"))
    [request] = bmc.asked
    assert request.thresholds.upper_warning == 75.5
    assert not request.thresholds.has_field("lower_fatal")
    assert sorted(request.update_mask.paths) == ["lower_fatal", "upper_warning"]
    assert (shown["upper warning"], shown["lower fatal"]) == ("75.5", "-")
    assert facts(run("sensor", "threshold", "cpu0_temp"))["upper critical"] == "90 \N{DEGREE SIGN}C"
    assert run("sensor", "threshold", "cpu0_temp", "--reset").exit_code == 0
    assert len(bmc.asked) == 2
    result = run("sensor", "threshold", "cpu0_temp", "--debounce", "soon")
    assert (result.exit_code, "or `none`" in result.stderr) == (2, True)
    assert run("sensor", "threshold", "cpu0_temp", "--reset", "--hysteresis", "1").exit_code == 2


def test_sensors_are_watched_in_lines_where_no_terminal_is(run: Run, bmc: Machine) -> None:
    shown = rows(run("sensor", "watch", "cpu0_temp", "--interval", "0.5"))
    assert len(shown) == 9
    assert shown[0] == ["cpu0_temp", "81.5 \N{DEGREE SIGN}C", "warning", "good", "0.25s", "host.0"]
    assert (bmc.asked[0].names, bmc.asked[0].min_interval_seconds) == (["cpu0_temp"], 0.5)
    lines = run("sensor", "watch", "--json").stdout.splitlines()
    assert [json.loads(line)["cursor"] for line in lines] == ["1", "2", "3"]


def test_a_watch_goes_on_behind_its_cursor_when_the_connection_breaks(run: Run, bmc: Machine) -> None:
    bmc.cuts.append(2)
    lines = run("sensor", "watch", "--json").stdout.splitlines()
    assert [json.loads(line)["cursor"] for line in lines] == ["1", "2", "3"]
    assert len(bmc.asked) == 2
    assert bmc.asked[0].cursor == ""
    assert bmc.asked[1].cursor != ""


def test_the_live_table_replaces_rows_puts_the_worst_on_top_and_obeys_nobody() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=20, color_system=None)
    message = WatchSensorsResponse()
    with view(Output(as_json=False), columns("name", "value"), console=console) as shown:
        shown.update(message, [Row("a", ["a", "1"]), Row("b", ["b", "[red]2[/red]"], rank=2)])
        shown.update(message, [Row("a", ["a", "3"])])
    assert isinstance(console.file, io.StringIO)
    last = [line.split() for line in console.file.getvalue().split("NAME")[-1].splitlines()]
    assert [line for line in last if len(line) == 2] == [["b", "[red]2[/red]"], ["a", "3"]]


def test_numbers_have_no_needless_digits() -> None:
    assert [format_number(value) for value in (81.50000001, 12.0, -0.0001, 0.0004, 1234567.8)] == [
        "81.5", "12", "0", "0", "1234567.8",
    ]  # fmt: skip


# --- cooling ---------------------------------------------------------------------------------------------------------


def test_fans(run: Run) -> None:
    shown = rows(run("fan", "list"))
    assert shown[0] == ["NAME", "STATE", "DUTY %", "RPM", "ZONES", "LOCATION"]
    assert shown[1][:4] == ["fan.0", "seized", "100", "0, 9000"]
    assert facts(run("fan", "show", "fan.3"))["kind"] == "pwm"


def test_zones(run: Run) -> None:
    assert rows(run("zone", "list"))[1][:5] == ["cpu", "normal", "42.5", "balanced", "cpu0"]
    result = run("zone", "show")
    assert facts(result)["by hand %"] == "-"
    assert ["cpu0", "stepwise", "-", "-", "42.5", "cpu0_temp"] in rows(result)
    assert rows(run("zone", "watch")) == [["cpu", "normal", "42.5", "balanced", "cpu0", "fan.0", "-"]]
    assert run("zone", "log").stdout == "time,duty\n1.0,42.5\n"


def test_profiles(run: Run, bmc: Machine) -> None:
    assert run("zone", "profile", "quiet").stdout == "cpu: normal, profile quiet\n"
    assert run("zone", "profile", "custom", "cpu", "--offset", "-5", "--minimum", "30").exit_code == 0
    first, second = bmc.asked
    assert (first.profile, first.custom) == (ThermalProfile.QUIET, None)
    assert (second.custom.set_point_offset_celsius, second.custom.minimum_percent) == (-5, 30)
    assert run("zone", "profile", "quiet", "--offset", "1").exit_code == 2


def test_driving_by_hand_ends_by_itself(run: Run, bmc: Machine) -> None:
    assert run("zone", "manual", "80").stdout == "cpu: normal, profile balanced, 80 % for 10m\n"
    assert run("zone", "manual", "80", "cpu", "--for", "90s").exit_code == 0
    assert [request.duration_seconds for request in bmc.asked] == [600, 90]
    for wrong in ("2h", "0", "soon"):
        assert run("zone", "manual", "80", "--for", wrong).exit_code == 2
    assert run("zone", "auto").exit_code == 0


def test_lengths_of_time() -> None:
    spans = [parse_span(text) for text in ("90", "90s", "1.5m", "2h", "1d", "", "x", "-1s", "1 s")]
    assert spans == [90, 90, 90, 7200, 86400, None, None, None, None]


# --- lights ----------------------------------------------------------------------------------------------------------


def test_lights(run: Run, bmc: Machine) -> None:
    assert rows(run("led", "list"))[1] == ["status-led", "status", "chassis.0", "on", "all is well", "no", "no"]
    assert facts(run("led", "show", "status-led"))["because"] == "all is well"
    result = run("led", "set", "status-led", "fast", "--for", "2m")
    assert result.stdout == "status-led: blink fast (set by admin)\n"
    assert run("led", "set", "status-led", "auto").exit_code == 0
    assert [(each.pattern, each.duration_seconds) for each in bmc.asked] == [
        (LedPattern.BLINK_FAST, 120), (LedPattern.UNSPECIFIED, 0),
    ]  # fmt: skip
    assert run("led", "set", "status-led", "auto", "--for", "2m").exit_code == 2


def test_a_lamp_test_names_what_does_not_obey(run: Run, bmc: Machine) -> None:
    assert run("led", "test", "--for", "3s").stdout == "1 lights are lit for 3s\n"
    bmc.led = Led(name="status-led\x1b[2J", failed=True)
    result = run("led", "test")
    assert result.stdout == (
        "1 lights are lit for 5s; the hardware of these does not obey: status-led\N{REPLACEMENT CHARACTER}[2J\n"
    )
    assert [each.duration_seconds for each in bmc.asked] == [3, 5]


def test_identify(run: Run, bmc: Machine) -> None:
    assert run("led", "identify", "on").stdout == "chassis.0: identify on\n"
    assert run("led", "identify", "off", "chassis.0").stdout == "chassis.0: identify off\n"
    assert [request.identify for request in bmc.asked] == [True, False]


# --- assets ----------------------------------------------------------------------------------------------------------


def test_assets(run: Run, bmc: Machine) -> None:
    assert rows(run("asset", "list", "--kind", "power-supply"))[1][:4] == ["psu.0", "power supply", "yes", "PS-500"]
    shown = facts(run("asset", "show", "psu.0"))
    assert (shown["details"], shown["FRU product name"]) == ("rated_watts=500", "PS-500")
    assert run("asset", "tag", "psu.0", "rack 7").stdout == "psu.0: tagged rack 7\n"
    assert run("asset", "tag", "psu.0", "").stdout == "psu.0: no tag any more\n"
    assert [list(request.update_mask.paths) for request in bmc.asked[1:]] == [["asset_tag"], ["asset_tag"]]


def test_fru_storage_is_read_and_written(run: Run, bmc: Machine, tmp_path: Path) -> None:
    dump = run("asset", "read-fru", "psu.0").stdout.splitlines()
    assert dump[0] == "0000  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  ................"
    assert dump[1].split() == ["0010", "10", "11", "12", "13", "...."]
    file = tmp_path / "fru.bin"
    assert run("asset", "read-fru", "psu.0", str(file)).exit_code == 0
    assert file.read_bytes() == FRU
    assert run("asset", "read-fru", "psu.0", "-").stdout_bytes == FRU
    assert base64.b64decode(json.loads(run("asset", "read-fru", "psu.0", "--json").stdout)["data"]) == FRU
    assert run("asset", "write-fru", "psu.0", str(file)).stdout == "psu.0: wrote 20 bytes\n"
    assert bmc.asked[-1].data == FRU
    assert run("asset", "read-fru", "psu.0", str(tmp_path / "no" / "where")).exit_code == 6
    assert run("asset", "write-fru", "psu.0", str(tmp_path / "none")).exit_code == 2
    file.write_bytes(bytes(65537))
    assert run("asset", "write-fru", "psu.0", str(file)).exit_code == 5


# --- events ----------------------------------------------------------------------------------------------------------


def test_one_event_and_the_log_are_shown(run: Run, bmc: Machine) -> None:
    bmc.events = [event(number) for number in range(1, 4)]
    bmc.events[1].cause = Cause(kind="user", user="olga")
    assert facts(run("event", "show", "2"))["user"] == "olga"
    shown = facts(run("event", "log"))
    assert (shown["events"], shown["went when full"], shown["at most events"]) == ("3", "3", "10000")


def test_clear_asks_or_is_told(run: Run, bmc: Machine) -> None:
    bmc.events = [event(1)]
    result = run("event", "clear")
    assert (result.exit_code, "--yes" in result.stderr, bmc.asked) == (2, True, [])
    assert run("event", "clear", "--yes").stdout == "1 events were taken out of the log\n"
    assert run("event", "clear", "--yes", "--up-to", "7", "--json").stdout == '{\n  "cleared": "1"\n}\n'
    assert [request.up_to_id for request in bmc.asked] == [0, 7]


@pytest.mark.parametrize(("answer", "code", "cleared"), [(True, 0, 1), (False, 130, 0)])
def test_clear_heeds_the_answer(
    run: Run, bmc: Machine, monkeypatch: pytest.MonkeyPatch, answer: bool, code: int, cleared: int
) -> None:
    monkeypatch.setattr("ubmc.cli.event.is_terminal", lambda: True)
    monkeypatch.setattr("ubmc.cli.event.ask_consent", lambda text: answer)
    assert run("event", "clear").exit_code == code
    assert len(bmc.asked) == cleared


HOSTILE = [
    '=HYPERLINK("http://x")',
    "+1",
    "-1",
    "@SUM(A1)",
    "\tx",
    "\r=1",
    "  =1+1",
    'a "quoted", text\nof lines\x1b[2J',
]


def test_the_log_is_exported_as_csv_that_nobody_obeys(run: Run, bmc: Machine, tmp_path: Path) -> None:
    bmc.events = [event(at, message=text) for at, text in enumerate(HOSTILE, 1)]
    bmc.events[0].arguments["user"] = "=1+1"
    bmc.events[0].cause = Cause(kind="user", user="=cmd|' /C calc'!A0")
    result = run("event", "export")
    assert result.exit_code == 0
    found = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["id"] for row in found] == [str(at) for at in range(1, len(HOSTILE) + 1)]
    assert found[0]["message"] == "'" + HOSTILE[0]
    assert found[0]["user"] == "'=cmd|' /C calc'!A0"
    assert found[0]["arguments"] == '{"user": "=1+1"}'
    assert found[0]["time"] == "2023-11-14T22:13:21Z"
    assert found[7]["message"] == 'a "quoted", text\ufffdof lines\ufffd[2J'
    for row in found:
        assert not any(cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t")) for cell in row.values())
    file = tmp_path / "log.csv"
    assert run("event", "export", "--output", str(file)).stdout == ""
    assert file.read_text(encoding="utf-8") == result.stdout


def test_the_log_is_exported_as_json_over_all_pages(run: Run, bmc: Machine) -> None:
    bmc.events = [event(number) for number in range(1, 251)]
    for args in (["--format", "json"], ["--json"]):
        content = json.loads(run("event", "export", *args).stdout)
        assert [each["id"] for each in content["events"]] == [str(number) for number in range(1, 251)]
    bmc.events = []
    assert json.loads(run("event", "export", "--json").stdout) == {"events": []}
    bmc.events = [event(1), event(2, severity=Severity.CRITICAL)]
    content = json.loads(run("event", "export", "--json", "--severity", "critical").stdout)
    assert [each["id"] for each in content["events"]] == ["2"]


@given(st.text())
def test_no_cell_begins_as_a_formula_or_moves_a_terminal(text: str) -> None:
    cell = safe_cell(text)
    assert not cell.lstrip(" ").startswith(("=", "+", "-", "@"))
    assert "\x1b" not in cell
    assert "\n" not in cell
