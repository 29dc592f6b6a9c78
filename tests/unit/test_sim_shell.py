"""Who sits at the other end of the simulated host's serial line."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.hw.sim.parts.host import Stage, Timings
from ubmc.hw.sim.parts.shell import MOST_BYTES, Mode, pattern
from ubmc.hw.sim.plant import Plant, Settings


def booted() -> Plant:
    plant = Plant(Settings(timings=Timings(jitter=0.0)))
    plant.drive("power-button-0", active=True)
    plant.advance(0.3)
    plant.drive("power-button-0", active=False)
    plant.advance(20.0)
    assert plant.shell.mode is Mode.LOGIN
    return plant


def typed(plant: Plant, data: bytes, seconds: float = 0.0) -> bytes:
    """What the host writes when this is typed."""
    before = plant.host.console.total_bytes
    plant.shell.receive(data)
    plant.advance(plant.now_seconds + seconds)
    return plant.host.console.since(before, 1 << 24)[1]


def logged_in() -> Plant:
    plant = booted()
    assert typed(plant, b"root\r").endswith(b"root\r\nPassword: ")
    assert b"secret" not in typed(plant, b"secret\r")
    assert plant.shell.mode is Mode.SHELL
    return plant


@given(st.integers(min_value=0, max_value=1 << 40), st.integers(min_value=0, max_value=500), st.integers(0, 100))
def test_the_pattern_is_the_same_however_it_is_cut(start: int, count: int, at: int) -> None:
    whole = pattern(start, count)
    assert len(whole) == count
    cut = min(at, count)
    assert pattern(start, cut) + pattern(start + cut, count - cut) == whole


def test_keys_are_shown_and_lines_can_be_mended() -> None:
    plant = logged_in()
    assert typed(plant, b"ecjo\x7f\x7fho hi\r") == b"ecjo\b \b\b \bho hi\r\nhi\r\n# "
    assert typed(plant, b"nonsense\x15") == b"nonsense^U\r\n# "
    assert typed(plant, b"what\r\n") == b"what\r\nwhat: there is no such command; see 'help'\r\n# "
    assert typed(plant, b"help\r").count(b"\r\n") == 8
    assert typed(plant, b"\x04").endswith(b"simulated login: ")


def test_nobody_listens_while_no_system_runs() -> None:
    plant = Plant()
    assert typed(plant, b"hello\r") == b""
    plant = logged_in()
    plant.shell.receive(b"poweroff\r")
    assert (plant.host.stage, plant.shell.mode) == (Stage.STOPPING, Mode.CLOSED)
    assert typed(plant, b"echo hi\r") == b""


def test_known_bytes_are_sent_at_a_rate_and_stop_with_the_host() -> None:
    plant = logged_in()
    typed(plant, b"send 100000 50000\r")
    assert 45_000 <= len(typed(plant, b"keys are not heard now", 1.0)) <= 55_000
    rest = typed(plant, b"", 2.0)
    assert rest.endswith(b"\r\nsent 100000 bytes, CRC-32 %08x\r\n# " % zlib.crc32(pattern(0, 100_000)))
    typed(plant, b"send 100000 50000\r", 0.5)
    plant.set_mains(on=False)
    assert typed(plant, b"", 5.0) == b""
    assert plant.shell.mode is Mode.CLOSED


def test_bytes_are_given_back_counted_and_no_more_than_asked_for() -> None:
    plant = logged_in()
    assert typed(plant, b"raw 4\rabcdecho x\r").endswith(
        b"abcd\r\ngave back 4 bytes, CRC-32 %08x\r\n# echo x\r\nx\r\n# " % zlib.crc32(b"abcd")
    )
    data = bytes(range(256))
    assert b"took 256 bytes, CRC-32 %08x" % zlib.crc32(data) in typed(plant, b"count 256\r" + data)
    for wrong in (b"send\r", b"send x\r", b"send 0\r", b"raw 1 2\r", b"count %d\r" % (MOST_BYTES + 1)):
        assert b"were expected" in typed(plant, wrong)


@pytest.mark.parametrize(("key", "said", "stage"), [
    ("h", b"HELP", Stage.UP), ("s", b"Sync", Stage.UP), ("b", b"Resetting", Stage.POST),
    ("c", b"crash", Stage.PANICKED), ("o", b"Power Off", Stage.STOPPING),
])  # fmt: skip
def test_a_key_after_a_break_is_a_sysrq_for_five_seconds(key: str, said: bytes, stage: Stage) -> None:
    plant = logged_in()
    plant.shell.receive_break()
    assert said in typed(plant, key.encode())
    assert plant.host.stage is stage
    late = logged_in()
    late.shell.receive_break()
    late.advance(late.now_seconds + 5.1)
    assert typed(late, key.encode()) == key.encode()


def test_a_break_ends_what_would_not_end() -> None:
    plant = logged_in()
    typed(plant, b"raw\rabc")
    plant.shell.receive_break()
    assert typed(plant, b"echo me\r").endswith(b"echo me\r\nme\r\n# ")
