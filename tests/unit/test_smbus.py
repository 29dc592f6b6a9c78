"""The registers of SMBus temperature sensors, against the tables of data sheets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.protocols import smbus


@pytest.mark.parametrize(
    ("word", "celsius"),
    [(0x0000, 0.0), (0x0190, 25.0), (0x01A4, 26.25), (0x0001, 0.0625), (0x1FFF, -0.0625), (0x1E70, -25.0)],
)
def test_jc42(word: int, celsius: float) -> None:
    assert smbus.jc42(word) == smbus.Jc42(celsius, critical=False, high=False, low=False)


def test_jc42_flags() -> None:
    assert smbus.jc42(0xC550) == smbus.Jc42(85.0, critical=True, high=True, low=False)
    assert smbus.jc42(0x3FFF) == smbus.Jc42(-0.0625, critical=False, high=False, low=True)


@pytest.mark.parametrize(
    ("word", "bits", "celsius"),
    [
        (0x7D00, 9, 125.0),
        (0x1900, 9, 25.0),
        (0x0080, 9, 0.5),
        (0xFF80, 9, -0.5),
        (0xE700, 9, -25.0),
        (0x1980, 9, 25.5),
        (0x197F, 9, 25.0),  # what is below the resolution is noise
        (0x1920, 11, 25.125),
        (0x1910, 12, 25.0625),
        (0xC900, 12, -55.0),
    ],
)
def test_lm75(word: int, bits: int, celsius: float) -> None:
    assert smbus.lm75(word, bits) == celsius


@pytest.mark.parametrize("bits", [8, 17])
def test_lm75_resolution(bits: int) -> None:
    with pytest.raises(ValueError):
        smbus.lm75(0, bits)


@pytest.mark.parametrize(
    ("high", "low", "extended", "celsius"),
    [
        (0x7F, 0xF0, False, 127.9375),
        (0x19, 0x00, False, 25.0),
        (0x00, 0x40, False, 0.25),
        (0xFF, 0xC0, False, -0.25),
        (0xE7, 0x00, False, -25.0),
        (0x00, 0x00, True, -64.0),
        (0x59, 0x80, True, 25.5),
        (0xFF, 0xF3, True, 191.9375),
    ],
)
def test_temperature_8_4(high: int, low: int, extended: bool, celsius: float) -> None:
    assert smbus.temperature_8_4(high, low, extended=extended) == celsius


def test_open_channel() -> None:
    assert smbus.tmp421_open(0x01)
    assert not smbus.tmp421_open(0xF2)


@given(st.integers(0, 0xFFFF))
def test_swapping_twice_changes_nothing(word: int) -> None:
    assert smbus.swapped(smbus.swapped(word)) == word
    assert smbus.swapped(word).to_bytes(2, "big") == word.to_bytes(2, "little")


def test_every_word_is_a_temperature() -> None:
    for word in range(0x10000):
        assert -256 <= smbus.jc42(word).celsius < 256
        for bits in (9, 11, 12):
            assert -128 <= smbus.lm75(word, bits) < 128
        assert -128 <= smbus.temperature_8_4(word >> 8, word) < 128
        assert -64 <= smbus.temperature_8_4(word >> 8, word, extended=True) < 192
