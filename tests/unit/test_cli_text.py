"""What people see: formats, tables, and nothing that a terminal would obey."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protobuf.wkt import Duration, Timestamp

from ubmc.cli.terminal import printable, printable_lines
from ubmc.cli.text import cell, columns, format_duration, format_value, sheet, table, width
from ubmc.v1alpha1.host_pb import BootOverride, BootOverrideMode, BootTarget, Host, HostPowerAction, HostState


@given(st.text())
def test_nothing_printed_is_obeyed_by_a_terminal(text: str) -> None:
    shown = printable(text)
    assert all(unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in shown)
    assert len(shown) == len(text)


def test_what_can_be_seen_stays() -> None:
    assert printable("Größe 温度 €5 ok") == "Größe 温度 €5 ok"
    assert printable("\x1b[31mred\x07\u202eevil\x9b2J") == "\ufffd[31mred\ufffd\ufffdevil\ufffd2J"
    assert printable("a\nb\tc") == "a\ufffdb\ufffdc"
    assert printable_lines("a\n\tb\x1bc\n") == "a\n\tb\ufffdc\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (False, "no"),
        (7, "7"),
        ([], "-"),
        (["a", "b"], "a, b"),
        ([HostPowerAction.ON, HostPowerAction.FORCE_OFF], "on, force off"),
        ({}, "-"),
        ({"k\x1b": "v"}, "k\ufffd=v"),
        (HostState.UNSPECIFIED, "-"),
        (HostState.POWERING_ON, "powering on"),
        (Timestamp.from_seconds(1_700_000_000), "2023-11-14 22:13:20Z"),
        (Timestamp(seconds=1 << 60), "-"),
        (Duration(seconds=1, nanos=500_000_000), "1.5s"),
    ],
)
def test_values(value: object, text: str) -> None:
    assert format_value(value) == text


def test_a_state_that_this_program_does_not_know_is_a_number() -> None:
    assert format_value(Host.from_binary(b"\x10\x63").state) == "99"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "0.25s"), (59, "59s"), (60, "1m"), (320, "5m 20s"), (3600, "1h"), (90_061, "1d 1h"),
     (-90, "-1m 30s")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_paths_lead_through_messages() -> None:
    host = Host(boot_override=BootOverride(mode=BootOverrideMode.ONCE, target=BootTarget.PXE))
    assert cell(host, "boot_override.target") == "pxe"
    assert cell(Host(), "boot_override.target") == "-"
    with pytest.raises(AttributeError):
        cell(host, "boot_override.nonsense")


def test_columns_stand_under_each_other() -> None:
    shown = columns("name", "state", "since: state_time")
    rows = table(shown, [Host(name="温度", state=HostState.POWERING_OFF), Host(name="host.10", state=HostState.ON)])
    assert [row[0].rstrip() for row in rows] == ["NAME", "温度", "host.10"]
    assert {width(row[0]) for row in rows} == {7}
    assert {width(row[1]) for row in rows} == {12}
    assert rows[0][2] == "SINCE"


def test_a_sheet_has_a_line_for_each_fact() -> None:
    assert sheet(columns("name", "policy: restore_policy"), Host(name="host.0")) == [
        ["name  ", "host.0"],
        ["policy", "-"],
    ]


def test_titles_come_from_paths() -> None:
    assert [(c.title, c.path) for c in columns("power_on_time", "by: state_cause.kind")] == [
        ("power on time", "power_on_time"),
        ("by", "state_cause.kind"),
    ]
