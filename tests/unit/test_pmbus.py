"""PMBus number formats and blocks, against worked values and by properties."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.kit.errors import Invalid
from ubmc.protocols import pmbus
from ubmc.protocols.pmbus import Command, Direct, Energy, Mode, Status, Vid

words = st.integers(0, 0xFFFF)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (0x0000, 0.0),
        (0xD3C0, 15.0),  # 960 * 2^-6
        (0xF3E8, 250.0),  # 1000 * 2^-2
        (0x0FFF, -2.0),  # -1 * 2^1
        (0x8400, -1024 * 2.0**-16),
        (0x7BFF, 1023 * 2.0**15),
        (0x7C00, -1024 * 2.0**15),
        (0xF819, 12.5),
    ],
)
def test_linear11(word: int, value: float) -> None:
    assert pmbus.decode_linear11(word) == value


@given(words)
def test_linear11_comes_back(word: int) -> None:
    value = pmbus.decode_linear11(word)
    assert pmbus.decode_linear11(pmbus.encode_linear11(value)) == value


@given(st.floats(-1024 * 2.0**15, 1023 * 2.0**15))
def test_linear11_is_near(value: float) -> None:
    near = pmbus.decode_linear11(pmbus.encode_linear11(value))
    assert abs(near - value) <= max(abs(value) / 1022, 2.0**-17)


@given(words, st.integers(-16, 15))
def test_linear16_comes_back(word: int, exponent: int) -> None:
    assert pmbus.encode_linear16(pmbus.decode_linear16(word, exponent), exponent) == word


def test_vout_mode() -> None:
    assert pmbus.parse_vout_mode(0x17) == pmbus.VoutMode(Mode.LINEAR, -9, 0, relative=False)
    assert pmbus.parse_vout_mode(0x97).relative
    assert pmbus.parse_vout_mode(0x21) == pmbus.VoutMode(Mode.VID, 0, 1, relative=False)
    assert pmbus.parse_vout_mode(0x40).mode is Mode.DIRECT
    assert pmbus.parse_vout_mode(0x60).mode is Mode.HALF
    assert pmbus.decode_vout(0x1800, pmbus.parse_vout_mode(0x17)) == 12.0  # 6144 * 2^-9
    assert pmbus.decode_vout(0x4A00, pmbus.parse_vout_mode(0x60)) == 12.0
    assert pmbus.decode_vout(120, pmbus.parse_vout_mode(0x40), direct=Direct(10)) == 12.0
    assert pmbus.decode_vout(0x01, pmbus.parse_vout_mode(0x20), vid=Vid.VR12) == 0.25
    for mode, text in ((0x21, "name the table"), (0x40, "give m, b and R")):
        with pytest.raises(ValueError, match=text):
            pmbus.decode_vout(1, pmbus.parse_vout_mode(mode))


@pytest.mark.parametrize(
    ("table", "code", "volts"),
    [
        (Vid.VR11, 0x00, 0.0),
        (Vid.VR11, 0x02, 1.6),
        (Vid.VR11, 0x42, 1.2),
        (Vid.VR11, 0xB2, 0.5),
        (Vid.VR11, 0xB3, 0.0),
        (Vid.VR12, 0x00, 0.0),
        (Vid.VR12, 0x97, 1.0),
        (Vid.VR12, 0xFF, 1.52),
        (Vid.VR13, 0x33, 1.0),
        (Vid.VR13, 0xFF, 3.04),
        (Vid.IMVP9, 0x51, 1.0),
        (Vid.AMD625MV, 0x00, 1.55),
        (Vid.AMD625MV, 0x58, 1.0),
        (Vid.AMD625MV, 0xD9, 0.0),
    ],
)
def test_vid(table: Vid, code: int, volts: float) -> None:
    assert pmbus.decode_vid(code, table) == pytest.approx(volts)


def test_direct() -> None:
    assert Direct(m=1, b=0, r=2).decode(0x04B0) == 12.0
    assert Direct(m=19199, b=0, r=-2).decode(2304) == pytest.approx(12.0, abs=0.01)  # a hot-swap controller's volts
    assert Direct(m=16, b=1199, r=1).decode(Direct(m=16, b=1199, r=1).encode(25.0)) == pytest.approx(25.0, abs=0.01)
    assert Direct(m=-1).decode(0xFFFF) == 1.0
    for m, r in ((0, 0), (1, 128)):
        with pytest.raises(ValueError):
            Direct(m, 0, r)


@given(
    words,
    st.builds(
        Direct,
        m=st.integers(-0x8000, 0x7FFF).filter(bool),
        b=st.integers(-0x8000, 0x7FFF),
        r=st.integers(-4, 4),
    ),
)
def test_direct_comes_back(word: int, direct: Direct) -> None:
    try:
        assert direct.encode(direct.decode(word)) == word
    except ValueError:  # at the end of the range, by rounding
        assert word in (0x7FFF, 0x8000)


@given(words)
def test_half_comes_back(word: int) -> None:
    value = pmbus.decode_half(word)
    if math.isfinite(value):
        assert pmbus.encode_half(value) == word
    else:
        with pytest.raises(ValueError):
            pmbus.encode_half(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, -1e300])
def test_what_cannot_be_said_is_refused(value: float) -> None:
    for encode in (
        pmbus.encode_linear11,
        pmbus.encode_half,
        Direct(m=7).encode,
        Direct(m=7, r=127).encode,
        lambda volts: pmbus.encode_linear16(volts, -9),
    ):
        with pytest.raises(ValueError):
            encode(value)
    with pytest.raises(ValueError):
        pmbus.encode_linear16(-1.0, 0)


def test_status_and_commands() -> None:
    assert Status(0x2848) == Status.INPUT | Status.POWER_GOOD_NEGATED | Status.OFF | Status.VIN_UNDER_VOLTAGE_FAULT
    assert Status(0) == 0
    assert (Command.READ_VIN, Command.READ_TEMPERATURE_3, Command.READ_PIN, Command.STATUS_WORD) == (
        0x88,
        0x8F,
        0x97,
        0x79,
    )


def test_text_blocks() -> None:
    assert pmbus.text(b"ACME  \0\xff\xff") == "ACME"
    assert pmbus.text(b"") == ""
    assert pmbus.text(b"\x1b[31m") == "\x1b[31m"


def test_packet_error_code() -> None:
    assert pmbus.crc8(b"123456789") == 0xF4  # the check value of CRC-8/SMBUS
    assert pmbus.crc8(b"") == 0
    data = bytes([0xB0, 0x88, 0xB1, 0xC0, 0xD3])
    assert pmbus.crc8(data + bytes([pmbus.crc8(data)])) == 0
    assert pmbus.crc8(data[2:], pmbus.crc8(data[:2])) == pmbus.crc8(data)


def test_energy() -> None:
    direct = Direct(m=1)
    before = pmbus.read_ein(bytes.fromhex("f07f ff feffff".replace(" ", "")))
    assert before == Energy(0x7FF0, 0xFF, 0xFFFFFE)
    after = Energy(0x0055, 0x00, 0x000002)  # everything has rolled over since
    watts = pmbus.average_watts(
        before,
        after,
        watts_before=direct.decode(before.accumulator),
        watts_after=direct.decode(after.accumulator),
        full_scale=pmbus.full_scale_direct(direct),
    )
    assert watts == (0x7FFF - 0x7FF0 + 0x55) / 4
    assert pmbus.average_watts(before, before, watts_before=1, watts_after=1, full_scale=1) is None
    assert pmbus.full_scale_linear11(0xF800) == 1023 / 2
    for wrong in (b"", bytes(5), bytes(7)):
        with pytest.raises(Invalid, match="PMBus has 6"):
            pmbus.read_ein(wrong)


def test_all_words_and_a_hundred_thousand_random_blocks_are_survived() -> None:
    directs = [Direct(m=-0x8000, b=0x7FFF, r=-128), Direct(m=1, r=127), Direct(m=3, b=-5, r=-2)]
    for word in range(0x10000):
        assert math.isfinite(pmbus.decode_linear11(word))
        assert math.isfinite(pmbus.decode_linear16(word, -16))
        pmbus.decode_half(word)
        Status(word)
    dice = random.Random(1)
    for _ in range(100_000):
        word = dice.randrange(0x10000)
        for direct in directs:
            assert math.isfinite(direct.decode(word))
        assert 0 <= pmbus.decode_vid(word, dice.choice(list(Vid))) < 4
        mode = pmbus.parse_vout_mode(dice.randrange(256))
        pmbus.decode_vout(word, mode, vid=Vid.VR13, direct=directs[1])
        block = dice.randbytes(dice.randrange(10))
        assert isinstance(pmbus.text(block), str)
        if len(block) == 6:
            pmbus.read_ein(block)
        else:
            with pytest.raises(Invalid):
                pmbus.read_ein(block)
