from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.kit.addresses import address_key
from ubmc.services.websrv.http.frames import FrameMeter
from ubmc.services.websrv.http.limits import Limits

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LIMITS = Limits()

frames = st.builds(
    lambda kind, flags, payload: len(payload).to_bytes(3) + bytes((kind, flags)) + b"\0\0\0\1" + payload,
    st.integers(0, 12),
    st.integers(0, 255),
    st.binary(max_size=60),
)


def frame(kind: int, flags: int = 0, size: int = 0) -> bytes:
    return size.to_bytes(3) + bytes((kind, flags)) + b"\0\0\0\0" + b"x" * size


@given(st.lists(frames, max_size=20), st.lists(st.integers(1, 50), min_size=1, max_size=10))
def test_how_the_bytes_are_cut_does_not_matter(sent: list[bytes], cuts: list[int]) -> None:
    data = PREFACE + b"".join(sent)
    tight = dataclasses.replace(LIMITS, h2_settings=2, h2_pings=2, h2_resets=2, h2_empty_frames=2, header_bytes=100)
    whole, pieces = FrameMeter(tight, 0.0), FrameMeter(tight, 0.0)
    expected = whole.feed(data, 0.0)
    at, turn, found = 0, 0, None
    while at < len(data) and found is None:
        size = cuts[turn % len(cuts)]
        found = pieces.feed(data[at : at + size], 0.0)
        at, turn = at + size, turn + 1
    assert found == expected
    if expected is None:
        assert (whole.waiting_since is None) == (pieces.waiting_since is None)


@given(st.binary(max_size=300))
def test_any_bytes_are_survived(data: bytes) -> None:
    assert FrameMeter(LIMITS, 0.0).feed(data, 0.0) in {None, "h2_frame_bytes", "header_bytes"}


def test_a_budget_is_renewed() -> None:
    meter = FrameMeter(LIMITS, 0.0)
    assert meter.feed(PREFACE + frame(0x4) * LIMITS.h2_settings, 0.0) is None
    assert meter.feed(frame(0x4), LIMITS.flood_seconds + 0.1) is None
    assert meter.feed(frame(0x4) * LIMITS.h2_settings, LIMITS.flood_seconds + 0.2) == "h2_settings"


def test_answers_to_our_own_frames_are_no_flood() -> None:
    meter = FrameMeter(LIMITS, 0.0)
    acknowledgements = frame(0x4, 0x1) * 200 + frame(0x6, 0x1, 8) * 200
    assert meter.feed(PREFACE + acknowledgements, 0.0) is None


@pytest.mark.parametrize(
    ("data", "waiting"),
    [
        (PREFACE[:10], True),
        (PREFACE, False),
        (PREFACE + frame(0x4)[:5], True),
        (PREFACE + frame(0x1, 0x4, 50), False),
        (PREFACE + frame(0x1, 0x0, 50), True),
        (PREFACE + frame(0x1, 0x0, 50) + frame(0x9, 0x4, 5), False),
        (PREFACE + frame(0x1, 0x4, 50)[:-1], True),
        (PREFACE + frame(0x0, 0x0, 50)[:-1], False),
    ],
)
def test_an_unfinished_head_is_known(data: bytes, waiting: bool) -> None:
    meter = FrameMeter(LIMITS, 0.0)
    assert meter.feed(data, 1.0) is None
    assert (meter.waiting_since is not None) is waiting


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("?", "?"),
    ],
)
def test_what_counts_as_one_address(host: str, key: str) -> None:
    assert address_key(host) == key
