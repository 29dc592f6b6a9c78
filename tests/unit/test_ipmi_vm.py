"""The protocol of QEMU's ipmi-bmc-extern: golden bytes, escapes, damage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.protocols.ipmi import vm
from ubmc.protocols.ipmi.vm import Control, Decoder, VmCommand, VmRequest


def decoded(data: bytes) -> list[VmRequest | VmCommand]:
    return list(Decoder().feed(data))


def test_request_of_a_guest() -> None:
    """Get Device ID as QEMU sends it: sequence, network function and LUN, command, checksum, A0h."""
    assert decoded(bytes.fromhex("01 18 01 e6 a0")) == [VmRequest(1, 6, 0, 1, b"")]


def test_response_has_the_completion_code_and_makes_the_sum_zero() -> None:
    request = VmRequest(1, 6, 0, 1, b"")
    made = vm.respond(request, bytes.fromhex("00 20"))
    assert made == bytes.fromhex("01 1c 01 00 20 c2 a0")
    assert sum(made[:-1]) & 0xFF == 0


def test_three_bytes_are_escaped() -> None:
    assert vm.encode(bytes.fromhex("a0 a1 aa 10"), 0xA1) == bytes.fromhex("aab0 aab1 aaba 10 a1")
    body = bytes.fromhex("01 18 01 a0a1aa")
    framed = vm.encode(body + bytes((-sum(body) & 0xFF,)), 0xA0)
    assert decoded(framed) == [VmRequest(1, 6, 0, 1, bytes.fromhex("a0a1aa"))]


def test_control_commands() -> None:
    assert vm.control(Control.VERSION, b"\1") == bytes.fromhex("ff 01 a1")
    assert vm.control(Control.ATTENTION_IRQ) == bytes.fromhex("02 a1")
    assert decoded(bytes.fromhex("ff 01 a1 08 3f a1 04 a1")) == [
        VmCommand(Control.VERSION, b"\1"),
        VmCommand(Control.CAPABILITIES, b"\x3f"),
        VmCommand(Control.RESET, b""),
    ]


@pytest.mark.parametrize(
    "bad",
    [
        "01 18 01 e7 a0",  # checksum
        "01 18 e7 a0",  # too short
        "01 1c 01 e2 a0",  # a response
        "a0",
        "a1",
        "01 18 aa a0",  # ends within an escape
        "01 aa aa 18 a0",
    ],
)
def test_damage_is_left_out_and_what_follows_is_read(bad: str) -> None:
    assert decoded(bytes.fromhex(bad + "01 18 01 e6 a0")) == [VmRequest(1, 6, 0, 1, b"")]


def test_a_frame_without_an_end_is_forgotten() -> None:
    decoder = Decoder()
    assert list(decoder.feed(bytes(100_000))) == []
    assert list(decoder.feed(b"\xa0")) == []
    assert list(decoder.feed(bytes.fromhex("01 18 01 e6 a0"))) == [VmRequest(1, 6, 0, 1, b"")]


@given(
    st.integers(0, 255),
    st.integers(0, 31).map(lambda half: half * 2),
    st.integers(0, 3),
    st.integers(0, 255),
    st.binary(max_size=80),
    st.integers(1, 7),
)
def test_every_request_comes_through_however_it_is_cut(
    sequence: int, netfn: int, lun: int, command: int, data: bytes, cut: int
) -> None:
    framed = vm.request(sequence, netfn, command, data, lun=lun)
    decoder = Decoder()
    frames = [frame for at in range(0, len(framed), cut) for frame in decoder.feed(framed[at : at + cut])]
    assert frames == [VmRequest(sequence, netfn, lun, command, data)]
