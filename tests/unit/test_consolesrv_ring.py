"""The ring of a console, where readers begin in it, and what settings may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.hw.console.port import Abilities, FlowControl
from ubmc.kit.errors import Invalid, Refused
from ubmc.services.consolesrv import messages
from ubmc.services.consolesrv.attachment import Who
from ubmc.services.consolesrv.plan import Settings
from ubmc.services.consolesrv.ring import PIECE_BYTES, Ring
from ubmc.services.consolesrv.start import Opening, begin
from ubmc.v1alpha1.console_pb import ConsoleSettings, ConsoleWriting

WHO = Who("ann", "s", "192.0.2.1", "ssh", may_write=True)
PARTS = st.lists(
    st.one_of(st.binary(min_size=1, max_size=3 * PIECE_BYTES), st.integers(min_value=1, max_value=5000)), max_size=30
)


def read_all(ring: Ring, start: int, piece: int = 1000) -> dict[int, int]:
    """Every byte by its offset."""
    found: dict[int, int] = {}
    while True:
        got = ring.read(start, piece)
        assert got.offset >= start
        assert len(got.data) <= piece
        if not got.data:
            assert got.offset == ring.end
            return found
        found |= dict(enumerate(got.data, got.offset))
        start = got.end


@given(PARTS, st.integers(min_value=1, max_value=20_000), st.floats(min_value=0.0, max_value=3.0))
def test_a_ring_keeps_the_last_bytes_each_at_its_offset(parts: list[bytes | int], limit: int, pause: float) -> None:
    whole: dict[int, int] = {}
    ring, time = Ring(limit, start=7), 100.0
    for part in parts:
        if isinstance(part, int):
            assert ring.skip(ring.end + part) == part
            assert ring.skip(ring.end) == 0
            continue
        whole |= dict(enumerate(part, ring.end))
        ring.append(part, time)
        time += pause
    kept = read_all(ring, 0)
    assert kept == dict(sorted(whole.items())[-limit:])
    if kept:
        assert ring.start == min(kept)
        assert max(kept) < ring.end
    for count in (1, limit // 2 + 1, limit):
        before = ring.before(count)
        assert len(read_all(ring, before)) == min(count, len(kept))
    for offset in (*kept,)[:: max(len(kept) // 7, 1)]:
        assert ring.read(offset, 1) == ring.read(offset, 1)
        assert ring.read(offset, 1).data[0] == kept[offset]


def test_bytes_have_about_the_time_at_which_they_came() -> None:
    ring = Ring(1 << 20)
    ring.append(b"a" * 10, 100.0)
    ring.append(b"b" * 10, 100.5)  # the same piece
    ring.append(b"c" * 10, 102.0)
    assert list(ring.marks(5, 30)) == [(5, 100.0), (20, 102.0)]
    assert list(ring.marks(0, 20)) == [(0, 100.0)]
    assert ring.last_time == 102.0


def test_a_smaller_ring_lets_the_oldest_go() -> None:
    ring = Ring(100)
    ring.append(bytes(range(100)), 1.0)
    ring.resize(10)
    assert (ring.start, ring.end) == (90, 100)
    assert ring.read(0, 100).data == bytes(range(90, 100))


def opened(offset: int | None = None, epoch: str = "e", replay: int = 0) -> Opening:
    return Opening("host.0", WHO, ConsoleWriting.UNSPECIFIED, offset, epoch, replay)


def test_where_readers_begin() -> None:
    ring = Ring(100)
    ring.append(b"x" * 150, 1.0)
    ring.skip(160)
    ring.append(b"y" * 10, 2.0)
    found = {
        key: begin(ring, "e", opening)
        for key, opening in {
            "live": opened(), "replay": opened(replay=15), "much": opened(replay=1000), "exact": opened(120),
            "old": opened(10), "hole": opened(155), "end": opened(170), "beyond": opened(171),
            "other": opened(120, "f"),
        }.items()
    }  # fmt: skip
    assert {key: (each.position, each.shown, each.resumed) for key, each in found.items()} == {
        "live": (170, 170, "live"),
        "replay": (145, 145, "replay"),
        "much": (60, 60, "replay"),
        "exact": (120, 120, "exact"),
        "old": (10, 60, "gap"),
        "hole": (155, 160, "gap"),
        "end": (170, 170, "exact"),
        "beyond": (60, 60, "unknown"),
        "other": (60, 60, "unknown"),
    }


WIRE = Abilities(baud_rate=True, flow_controls=tuple(FlowControl), sends_break=True)
VIRTUAL = Abilities(baud_rate=False, flow_controls=(FlowControl.NONE,), sends_break=True)


def test_only_what_an_update_names_changes() -> None:
    given = ConsoleSettings(baud_rate=9600, recording=True)
    assert messages.paths(None, given) == {"baud_rate", "recording"}
    changed = messages.changed(Settings(), given, frozenset({"baud_rate"}), WIRE)
    assert changed == Settings(baud_rate=9600)
    with pytest.raises(Refused, match="virtual"):
        messages.changed(Settings(), given, frozenset({"baud_rate"}), VIRTUAL)
    small = ConsoleSettings(baud_rate=10, replay_bytes=100, recording_bytes=100)
    for name in ("baud_rate", "replay_bytes", "recording_bytes"):
        with pytest.raises(Invalid):
            messages.changed(Settings(), small, frozenset({name}), WIRE)
