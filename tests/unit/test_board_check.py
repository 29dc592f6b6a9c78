"""Mistakes in board files: each found, each with its key path, all at once."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.boards.check import check
from ubmc.boards.explain import write
from ubmc.boards.kinds import format_duration, parse_duration
from ubmc.boards.load import load_board, targets_folder
from ubmc.kit.errors import Invalid

SIM = (targets_folder() / "sim" / "board.toml").read_text().partition("# --- sensors")[0]  # power and lights alone
QEMU = (targets_folder() / "qemu" / "board.toml").read_text()


def mistakes(tmp_path: Path, text: str) -> dict[str, str]:
    file = tmp_path / "board.toml"
    file.write_text(text)
    with pytest.raises(Invalid) as caught:
        load_board(str(file))
    for violation in caught.value.violations:
        assert f"{violation.field}: {violation.message}" in caught.value.message
    found: dict[str, list[str]] = {}
    for violation in caught.value.violations:
        found.setdefault(violation.field, []).append(violation.message)
    return {path: " | ".join(messages) for path, messages in found.items()}


TEN_MISTAKES = """
lines = "gpio"

[board]
name = "x"
vendor = 3
model = "m"
verifed = true

[[hosts]]
name = "host0"

[hosts.power]
kind = "buttons"
button = "a"
reset = "a"
press = 200

[[hosts]]
name = "host.1"
power = { kind = "qmu" }

[[chassis]]
name = "chassis.0"
hosts = ["host.0", "host0", "host.1"]
power = { kind = "hosts" }

[[leds]]
name = "power"
role = "powr"
kind = "sysfs"
device = "green:power"
"""


def test_ten_mistakes_of_every_sort_are_told_at_once(tmp_path: Path) -> None:
    assert mistakes(tmp_path, TEN_MISTAKES) == {
        "board.vendor": 'must be text in quotes; write for example: vendor = "asus"',
        "board.verified": "is missing; write for example: verified = false",
        "board.verifed": "is no key here; did you mean verified?",
        "lines": 'must be a table such as { kind = "gpio", ... }',
        "hosts[0].power.press": 'needs quotes and a unit: write "200s" for seconds or "200ms" for milliseconds',
        "hosts[1].power.kind": '"qmu" is not known; write one of "buttons", "qemu"',
        "leds[0].role": "must be one of 'power', 'identify', 'status' or 'fault'",
        "hosts[0].name": '"host0" has the wrong form; write host.N, such as host.0',
        "chassis[0].hosts[0]": 'no host is called "host.0"; did you mean host0?',
        "hosts[0].power.reset": 'line "a" is used by hosts[0].power.button already',
    }


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        ('name = "host.0"', 'name = "chassis.0"', "hosts[0].name", "wrong form; write host.N"),
        ('name = "bmc.0"', 'name = "bmc.x"', "bmc.name", "write bmc.N"),
        ('name = "power-led"', 'name = "Power LED"', "leds[0].name", "write small letters"),
        ('name = "identify-led"', 'name = "power-led"', "leds[1].name", "is the name of leds[0] already"),
        (
            'hosts = ["host.0"]',
            'hosts = ["host.0", "host.0"]',
            "chassis[0].hosts[1]",
            "host.0 is in chassis[0] already",
        ),
        ('hosts = ["host.0"]', "hosts = []", "chassis[0].hosts", "at least 1 item"),
        ('component = "host.0"', 'component = "host.7"', "leds[0].component", "did you mean host.0?"),
        ('component = "host.0"', 'component = "psu"', "leds[0].component", 'no host or chassis or bmc is called "psu"'),
        (
            'nmi = "nmi-button-0"',
            'nmi = "power-button-0"',
            "hosts[0].power.nmi",
            "used by hosts[0].power.button already",
        ),
        ('output = "power-led"', 'output = "psu-enable"', "leds[0].output", "used by chassis[0].power.enable already"),
        (
            'output = "power-led"',
            'output = { line = "psu-enable", active_low = true }',
            "leds[0].output.line",
            "used by chassis[0].power.enable already",
        ),
        ('[lines]\nkind = "sim"\n', "", "lines", 'write [lines] with kind = "gpio"'),
        ('role = "identify"', 'role = "power"\ncomponent = "host.0"', "", "Cannot overwrite a value"),
        ('console = { kind = "sim" }', 'console = { kind = "qemu" }', "hosts[0].console.kind", 'kind = "qemu"'),
        ('[lines]\nkind = "sim"\n', '[lines]\nkind = "gpio"\n', "hosts[0].console.kind", 'lines have kind = "sim"'),
        ('press = "200ms"', 'press = "5s"', "hosts[0].power", "press must be shorter than hold"),
        ('press = "200ms"', 'press = "0ms"', "hosts[0].power.press", "greater than or equal to 0.01"),
        ('press = "200ms"', 'press = "200"', "hosts[0].power.press", "write one number and one unit"),
        ('press = "200ms"', "press = true", "hosts[0].power.press", "must be a duration in quotes"),
        ('press = "200ms"', 'preß = "200ms"', "", "Expected"),
        ('button = "power-button-0"', "", "hosts[0].power.button", 'is missing; write for example: button = "power-b'),
        ('button = "power-button-0"', "button = 3", "hosts[0].power.button", "must be a table"),
        ('button = "power-button-0"', 'button = ""', "hosts[0].power.button.line", "at least 1 character"),
        ('button = "power-button-0"', "button = { active_low = true }", "hosts[0].power.button.line", "is missing"),
        ('kind = "buttons"\n', "", "hosts[0].power.kind", 'is missing; write one of "buttons", "qemu"'),
        ("verified = true", "verified = 1", "board.verified", "must be true or false"),
        ("[board]", "[[xyz]]\n[board]", "xyz", "is no key here; known here: board, bmc, lines, hosts"),
    ],
)
def test_mistakes_in_the_simulated_board(tmp_path: Path, old: str, new: str, path: str, message: str) -> None:
    assert old in SIM
    found = mistakes(tmp_path, SIM.replace(old, new, 1)) if path else toml_error(tmp_path, SIM.replace(old, new, 1))
    assert path in found  # what refers to a thing that is wrong may be told too
    assert message in found[path]


def toml_error(tmp_path: Path, text: str) -> dict[str, str]:
    file = tmp_path / "board.toml"
    file.write_text(text)
    with pytest.raises(Invalid, match="line") as caught:
        load_board(str(file))
    return {violation.field: violation.message for violation in caught.value.violations}


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        ("memory_mb = 512", "memory_mb = 1", "hosts[0].power.memory_mb", "greater than or equal to 64"),
        ("memory_mb = 512", 'memory_mb = "512"', "hosts[0].power.memory_mb", "must be a whole number without quotes"),
        ("cpus = 1", "cpu = 1", "hosts[0].power.cpu", "did you mean cpus?"),
        ('"auto"', '"hvf"', "hosts[0].power.accelerator", "must be one of 'auto', 'kvm' or 'tcg'"),
        ("cpus = 1", 'append = "quiet"', "hosts[0].power", "belong to a kernel"),
        ("cpus = 1", 'disks = ["a.img"]', "hosts[0].power.disks[0]", "must be a table"),
        ("cpus = 1", 'disks = [{ path = "a.img" }]', "hosts[0].power.disks[0].format", "is missing; write for example"),
        ('console = { kind = "qemu" }', 'console = { kind = "tty" }', "hosts[0].console.path", "is missing"),
        (
            'power = { kind = "hosts" }',
            'power = { kind = "hosts" }\nidentify_button = "id"\n[lines]\nkind = "gpio"',
            "chassis[0].identify_button",
            'whose power has kind = "buttons"',
        ),
        ("[bmc]", '[watchdog]\ndevice = "watchdog0"\n[bmc]', "watchdog.device", 'such as "/dev/watchdog0"'),
        ("[bmc]", '[watchdog]\ntimeout = "1s"\n[bmc]', "watchdog.timeout", "greater than or equal to 5"),
    ],
)
def test_mistakes_in_the_virtual_board(tmp_path: Path, old: str, new: str, path: str, message: str) -> None:
    assert old in QEMU
    found = mistakes(tmp_path, QEMU.replace(old, new, 1))
    assert path in found
    assert message in found[path]


TWO_HOSTS = """
[[hosts]]
name = "host.1"
power = { kind = "qemu" }

[[chassis]]
name = "chassis.1"
hosts = [%s]
power = { kind = "hosts" }

[[leds]]
name = "second-led"
role = "power"
kind = "sysfs"
device = "green:power"
%s
"""


@pytest.mark.parametrize(
    ("hosts", "component", "expected"),
    [
        ('"host.1"', "", {"leds[4].component": "write one of host.0, host.1"}),
        ('"host.1"', 'component = "host.0"', {"leds[4].role": "host.0 has a power light already: leds[0]"}),
        (
            '"host.0"',
            'component = "host.1"',
            {"chassis[1].hosts[0]": "in chassis[0] already", "hosts[1].name": "in no"},
        ),
    ],
)
def test_two_hosts(tmp_path: Path, hosts: str, component: str, expected: dict[str, str]) -> None:
    found = mistakes(tmp_path, SIM + TWO_HOSTS % (hosts, component))
    assert list(found) == list(expected)
    for path, message in expected.items():
        assert message in found[path]


def test_two_hosts_that_fit(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text(SIM + TWO_HOSTS % ('"host.1"', 'component = "host.1"'))
    assert [host.name for host in load_board(str(file)).spec.hosts] == ["host.0", "host.1"]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "host.0", "qemu", "buttons", "line"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["kind", "name", "power", "hosts", "chassis", "leds", "lines", "line", "button", "role", "bmc"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["board", "bmc", "lines", "hosts", "chassis", "leds", "watchdog"]), JUNK))
def test_the_second_pass_stands_whatever_the_first_one_finds(data: dict[str, object]) -> None:
    for violation in check(data):
        assert violation.field
        assert violation.message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("200ms", 0.2), ("4s", 4.0), ("5m", 300.0), ("12h", 43200.0), ("1d", 86400.0), ("1.5s", 1.5), ("0s", 0.0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "bad", ["", "s", "5", "5 s", "-5s", "5S", "5m30s", "1e3s", "٣s", ".5s", "5s\n", "inf", None, []]
)
def test_no_durations(bad: object) -> None:
    with pytest.raises(ValueError, match="such as"):
        parse_duration(bad)


@given(st.integers(min_value=0, max_value=10**9).map(lambda n: n / 1000))
def test_durations_are_read_back(seconds: float) -> None:
    text = format_duration(seconds)
    assert re.fullmatch(r"[0-9.]+[a-z]+", text)
    assert parse_duration(text) == pytest.approx(seconds, abs=1e-6)


@given(
    st.recursive(
        st.booleans() | st.integers(-(10**9), 10**9) | st.text(st.characters(codec="ascii", exclude_categories=["Cc"])),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b-c"]), inner),
        max_leaves=6,
    )
)
def test_what_we_advise_to_write_is_toml(value: object) -> None:
    assert tomllib.loads(f"x = {write(value)}") == {"x": value}
