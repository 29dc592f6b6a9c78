"""`ubmc` for sensors, cooling, lights, inventory and events, against the whole program; and boards that lack them."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.harness.parts import API, Parts, Stream
from tests.harness.program import ADMIN_PASSWORD, KILLS_PEERS, Program, until
from tests.harness.qemu_board import qemu_board

from ubmc.cli.main import cli

pytestmark = [pytest.mark.e2e, KILLS_PEERS]

Ubmc = Callable[..., Result]
COLOUR = "\x1b[3"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with Program(tmp_path_factory.mktemp("cli") / "state") as program:
        program.login()
        yield Parts(program)


@pytest.fixture
def parts(house: Parts) -> Iterator[Parts]:
    yield house
    house.mend()


def as_somebody(program: Program, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ubmc:
    """Run commands as somebody who has logged in at the program."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    for name in ("UBMC_URL", "UBMC_TOKEN", "UBMC_CACERT", "UBMC_FINGERPRINT"):
        monkeypatch.delenv(name, raising=False)
    trust = ["--fingerprint", program.fingerprint]
    done = CliRunner().invoke(cli, ["login", program.url, *trust, "--password-stdin"], input=ADMIN_PASSWORD)
    assert done.exit_code == 0, done.output
    return lambda *args: CliRunner().invoke(cli, [str(arg) for arg in args])


@pytest.fixture
def ubmc(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ubmc:
    return as_somebody(parts.program, tmp_path, monkeypatch)


def shown(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [re.split(r"\s{2,}", line) for line in result.stdout.splitlines()]


def facts(result: Result) -> dict[str, str]:
    return {row[0]: row[1] for row in shown(result) if len(row) > 1}


def test_a_token_ends_by_the_clock_of_the_bmc(ubmc: Ubmc, parts: Parts) -> None:
    made = json.loads(ubmc("--json", "token", "add", "nightly", "--scope", "Login", "--days", 366).stdout)
    start, end = (datetime.fromisoformat(made["token"][field]) for field in ("createTime", "expireTime"))
    assert abs(end - start - timedelta(days=366)) < timedelta(seconds=1)
    assert parts.program.request("GET", f"{API}/hosts", token=made["secret"]).status_code == 200
    assert ubmc("token", "delete", made["token"]["id"]).exit_code == 0


# --- everything can be asked ----------------------------------------------------------------------------------------


def test_every_command_answers_people_and_programs(ubmc: Ubmc) -> None:
    for line in (
        "sensor list", "sensor list --kind temperature --level warning", "sensor show cpu0_temp",
        "sensor show intrusion", "sensor threshold inlet_temp",
        "fan list", "fan show fan.0", "zone list", "zone show cpu", "zone log cpu",
        "led list", "led show power-led", "asset list --kind drive", "asset show psu.0", "asset read-fru psu.0",
        "event list --limit 3", "event show 1", "event log", "sim status", "sim fault list",
    ):  # fmt: skip
        people = ubmc(*line.split())
        assert people.exit_code == 0, (line, people.output)
        assert people.stdout.strip(), line
        assert COLOUR not in people.stdout, "colours are for terminals"
        assert "0000000" not in people.stdout, "no needless digits"
        programs = ubmc(*line.split(), "--json")
        assert programs.exit_code == 0, (line, programs.output)
        assert json.loads(programs.stdout), line


def test_columns_stand_under_each_other(ubmc: Ubmc) -> None:
    head, *rest = ubmc("sensor", "list").stdout.splitlines()
    assert len(rest) == 97
    at = head.index("QUALITY")
    assert {line[at - 2 : at] for line in rest} == {"  "}


def test_mistakes_say_what_to_do(ubmc: Ubmc) -> None:
    for line, code, says in (
        ("sensor show moon", 4, "cpu0_temp"),
        ("zone show", 2, "cpu, memory, system"),
        ("zone manual 30 cpu --for 2h", 2, "at most 1h"),
        ("fan show fan.9", 4, "fan.5"),
        ("led set fault-led purple", 2, "flash"),
        ("asset read-fru cpu.0", 4, "no FRU storage"),
        ("sensor threshold cpu0_temp --upper-warning 95", 2, "upperWarning"),
        ("sim fault set fan-seized fan.9", 4, "fan.5"),
        ("sim fault list fan-stuck", 4, "fan-seized"),
        ("sim press red-button", 4, "front-power-button"),
        ("event show 999999", 4, "999999"),
    ):
        done = ubmc(*line.split())
        assert done.exit_code == code, (line, done.output)
        assert says in done.stderr, (line, done.stderr)
        assert "Traceback" not in done.output


# --- what an operator does ------------------------------------------------------------------------------------------


def test_a_limit_is_set_looked_at_and_taken_back(ubmc: Ubmc) -> None:
    assert facts(ubmc("sensor", "threshold", "inlet_temp", "--upper-warning", "38.5"))["upper warning"] == "38.5 °C"
    assert facts(ubmc("sensor", "show", "inlet_temp"))["changed"] == "yes"
    assert facts(ubmc("sensor", "threshold", "inlet_temp", "--reset"))["upper warning"] == "42 °C"


def test_a_zone_is_driven(parts: Parts, ubmc: Ubmc) -> None:
    parts.on()
    done = ubmc("zone", "manual", "70", "cpu", "--for", "30s")
    assert done.stdout.startswith("cpu: manual, profile balanced, 70 % for")
    until(lambda: {row[2] for row in shown(ubmc("fan", "list"))[1:]} == {"70"}, 5)
    assert ubmc("zone", "auto", "cpu").exit_code == 0
    until(lambda: facts(ubmc("zone", "show", "cpu"))["state"] == "normal", 5)
    assert ubmc("zone", "profile", "quiet", "cpu").stdout == "cpu: normal, profile quiet\n"
    assert ubmc("zone", "profile", "balanced", "cpu").exit_code == 0


def test_a_fault_is_set_seen_and_cleared(parts: Parts, ubmc: Ubmc) -> None:
    parts.on()
    assert ubmc("sim", "fault", "set", "fan-seized", "fan.3").stdout == "faults: fan-seized fan.3\n"
    assert facts(ubmc("sim", "status"))["faults"] == "fan-seized fan.3"
    until(lambda: facts(ubmc("fan", "show", "fan.3"))["state"] == "seized", 10)
    assert "fan.3" in ubmc("led", "list").stdout
    assert ubmc("sim", "fault", "clear").stdout == "faults: none\n"
    until(lambda: facts(ubmc("fan", "show", "fan.3"))["state"] == "ok", 10)


def test_a_part_is_tagged_and_its_storage_copied(parts: Parts, ubmc: Ubmc, tmp_path: Path) -> None:
    assert ubmc("asset", "tag", "drive.2", "spare").stdout == "drive.2: tagged spare\n"
    assert facts(ubmc("asset", "show", "drive.2"))["asset tag"] == "spare"
    assert ubmc("asset", "tag", "drive.2", "").exit_code == 0
    file = tmp_path / "board.fru"
    assert ubmc("asset", "read-fru", "board.0", file).exit_code == 0
    assert ubmc("asset", "write-fru", "board.0", file).stdout == f"board.0: wrote {file.stat().st_size} bytes\n"
    told = parts.program.get(f"{API}/assets/board.0:readFru")["data"]
    assert base64.b64decode(told) == file.read_bytes()


def test_lights_by_hand_and_identify(parts: Parts, ubmc: Ubmc) -> None:
    assert ubmc("led", "identify", "on").stdout == "chassis.0: identify on\n"
    until(lambda: parts.plant.line("identify-led"), 5)
    assert ubmc("led", "identify", "off").exit_code == 0
    assert ubmc("led", "test", "--for", "1s").stdout == "4 lights are lit for 1s\n"
    assert ubmc("led", "set", "fault-led", "slow", "--for", "1s").exit_code == 0


# --- watching -------------------------------------------------------------------------------------------------------


def test_a_watch_is_lines_in_a_pipe_and_ends_quietly(parts: Parts, ubmc: Ubmc) -> None:
    command = [sys.executable, "-m", "ubmc", "sensor", "watch", "inlet_temp", "--interval", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert all(line[0] == "inlet_temp" and line[2] == "°C" for line in lines)
    assert (process.returncode, errors.strip()) == (130, "")


def test_colours_are_for_terminals(ubmc: Ubmc) -> None:
    command = [sys.executable, "-m", "ubmc", "sensor", "list", "--component", "chassis.0"]
    main, side = pty.openpty()
    process = subprocess.Popen(command, stdout=side, env=os.environ | {"TERM": "xterm"})
    os.close(side)
    seen = b""
    deadline = time.monotonic() + 20
    try:
        while time.monotonic() < deadline:
            try:
                seen += os.read(main, 4096)
            except OSError:
                break  # it has ended
    finally:
        process.wait(10)
        os.close(main)
    assert COLOUR.encode() in seen
    assert b"inlet_temp" in seen


# --- the event log --------------------------------------------------------------------------------------------------


def test_events_are_exported_resumed_and_cleared(parts: Parts, ubmc: Ubmc) -> None:
    with Stream(parts.program, "events:watch") as first:
        until(lambda: first.cursor, 5)
        ubmc("asset", "tag", "drive.4", "one")
        first.wait(lambda update: update.get("event", {}).get("messageId") == "Asset.Changed")
    for text in ("two", "three", "four"):  # while nobody watches
        ubmc("asset", "tag", "drive.4", text)
    with Stream(parts.program, "events:watch", first.cursor) as again:
        again.wait(lambda update: "four" in update.get("event", {}).get("message", ""))
    heard = [update["event"] for stream in (first, again) for update in stream.updates if "event" in update]
    numbers = [int(event["id"]) for event in heard]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "nothing twice, nothing missed"
    exported = list(csv.DictReader(io.StringIO(ubmc("event", "export").stdout)))
    assert [int(row["id"]) for row in exported] == [int(each["id"]) for each in parts.program.events()]
    as_json = json.loads(ubmc("event", "export", "--format", "json").stdout)
    assert as_json["events"][0]["id"] == exported[0]["id"]
    refused = ubmc("event", "clear")
    assert (refused.exit_code, "--yes" in refused.stderr) == (2, True)
    assert ubmc("event", "clear", "--yes").exit_code == 0
    left = list(parts.program.events())
    assert left[0]["messageId"] == "EventLog.Cleared"
    assert left[0]["cause"]["user"] == "admin"
    assert int(left[0]["id"]) > numbers[-1], "ids go on rising"
    assert int(facts(ubmc("event", "log"))["cleared"]) >= len(exported)


def test_clearing_needs_the_privilege(parts: Parts) -> None:
    program = parts.program
    user = {"user": {"name": "looker", "role": "ReadOnly", "enabled": True}, "password": "long enough for all"}
    assert program.request("POST", f"{API}/users", user).status_code == 200
    mine = program.token
    try:
        token = program.login("looker", "long enough for all")
        for path, body in (
            ("events:clear", {}),
            ("thermal-zones/cpu:setManualDuty", {"dutyPercent": 30}),
            ("leds:test", {}),
            ("simulation:clearFault", {}),
        ):
            assert program.request("POST", f"{API}/{path}", body, token=token).status_code == 403, path
    finally:
        program.token = mine
        assert program.request("DELETE", f"{API}/users/looker").status_code == 200


# --- boards that lack them ------------------------------------------------------------------------------------------


@pytest.mark.qemu
def test_a_board_says_what_it_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Program(tmp_path / "state", board=str(qemu_board(tmp_path))) as program:
        program.login()
        for path, says in (
            ("simulation", "not simulated"),
            ("sensors", "no sensors"),
            ("thermal-zones", "no zones"),
            ("leds", "no lights"),
        ):
            refused = program.request("GET", f"{API}/{path}")
            assert (refused.status_code, refused.json()["code"]) == (404, "not_found"), refused.text
            assert says in refused.json()["message"]
            assert program.request("GET", f"{API}/{path}", token="").status_code == 401, "nobody else is told"
        ubmc = as_somebody(program, tmp_path, monkeypatch)
        refused_too = ubmc("sim", "fault", "set", "fan-seized", "fan.0")
        assert refused_too.exit_code == 4
        assert "this board is not simulated" in refused_too.stderr
        assert ubmc("asset", "list").exit_code == 0
