"""Golden bytes of the SEL, the SDR repository and FRU devices (IPMI 2.0, chapters 29.3, 31 to 34)."""

from __future__ import annotations

import pytest

from ubmc.protocols.ipmi import sel, storage
from ubmc.protocols.ipmi.codes import Code, Completion

RAW = bytes.fromhex("02 00000000 8100 04 04 30 01 57 ffff")  # a fan, upper non-critical going high


def test_system_record() -> None:
    event = sel.Event(kind=0x01, number=0x30, event=0x01, offset=0x09, data=(0x5F, 0x5A))
    assert sel.system_record(0x0102, 0x65000000, event.pack()) == bytes.fromhex(
        "0201 02 00000065 2000 04 01 30 01 59 5f 5a"
    )
    back = sel.Event(kind=0x08, number=0x31, event=0x6F, offset=0x00, deasserted=True, lun=3)
    assert back.pack() == bytes.fromhex("2003 04 08 31 ef 00 ff ff")


def test_a_record_that_was_given_comes_back_with_our_time() -> None:
    assert sel.given_record(7, 0x01020304, RAW) == bytes.fromhex("0700 02 04030201 8100 04 04 30 01 57 ffff")
    timed = bytes((0xC0,)) + bytes(range(1, 14))
    assert sel.given_record(7, 0x01020304, timed)[:7] == bytes.fromhex("0700 c0 04030201")
    timeless = bytes((0xE0,)) + bytes(range(1, 14))
    assert sel.given_record(7, 0x01020304, timeless) == bytes.fromhex("0700") + timeless


def test_only_known_record_types_are_added() -> None:
    assert sel.check_added(bytes(2) + RAW) == RAW
    with pytest.raises(Completion) as refused:
        sel.check_added(bytes.fromhex("0000 03") + bytes(13))
    assert refused.value.code == 0x80


def test_platform_events_of_both_sides() -> None:
    over_lan = bytes.fromhex("04 01 30 01 57 ff ff")
    assert sel.platform_event(over_lan, inband=False, software=0x81) == bytes.fromhex(
        "02 00000000 8100 04 01 30 01 57 ff ff"
    )
    from_guest = bytes.fromhex("41 04 01 30 01 57 ff ff")
    assert sel.platform_event(from_guest, inband=True)[5:7] == bytes.fromhex("4100")
    for data, inband in ((over_lan, True), (from_guest, False)):
        with pytest.raises(Completion) as refused:
            sel.platform_event(data, inband=inband)
        assert refused.value.code == Code.LENGTH_INVALID


def test_record_ids_are_neither_first_nor_last() -> None:
    assert [sel.record_id(each) for each in (1, 2, 65534, 65535, 65536)] == [1, 2, 65534, 1, 2]


def test_info() -> None:
    assert sel.info(3, 160, 0x65000000, sel.NO_TIME, overflow=False) == bytes.fromhex(
        "51 0300 a000 00000065 ffffffff 0b"
    )
    assert sel.info(70000, 1 << 20, 0, 0, overflow=True) == bytes.fromhex("51 ffff ffff 00000000 00000000 8b")
    assert sel.allocation(10000, 9990) == bytes.fromhex("1027 1000 0627 0627 01")


def test_parts_of_records() -> None:
    record = bytes(range(16))
    assert sel.part(record, 0xFFFF, 0, 0xFF) == bytes.fromhex("ffff") + record
    assert sel.part(record, 2, 5, 3) == bytes.fromhex("0200 050607")
    assert sel.part(record, 2, 14, 10) == bytes.fromhex("0200 0e0f")
    with pytest.raises(Completion) as refused:
        sel.part(record, 2, 16, 1)
    assert refused.value.code == Code.OUT_OF_RANGE


def test_repository() -> None:
    assert storage.repository_info(5, 0x01020304, 0) == bytes.fromhex("51 0500 0000 04030201 00000000 23")
    assert storage.repository_allocation(5) == bytes.fromhex("0500 4000 0000 0000 01")


def test_fru() -> None:
    assert storage.fru_info(256) == bytes.fromhex("0001 00")
    assert storage.fru_part(b"abcdef", 2, 3) == b"\x03cde"
    assert storage.fru_part(b"abcdef", 4, 9) == b"\x02ef"
    for offset, count in ((6, 1), (0, 0)):
        with pytest.raises(Completion):
            storage.fru_part(b"abcdef", offset, count)
