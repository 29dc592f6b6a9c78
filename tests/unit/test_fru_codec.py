"""FRU storage: golden bytes, round trips, damage, and many thousand random inputs."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.kit.errors import Invalid, Refused, UbmcError
from ubmc.protocols import fru
from ubmc.protocols.fru import FIELDS, Area, Encoding, Field, Fru, InfoArea, Parsed, parse, update


def golden() -> bytes:
    """Written by hand after the specification: chassis, board of 2020-01-01 and product, in all encodings."""
    chassis = bytes.fromhex("0102 17 c4 43483031 42 1234 c1 000000".replace(" ", ""))
    board = bytes.fromhex("0104 00 c09cc0 c4 41636d65 83 29dca6 c2 5331 02 beef c0 c2 7a7a c1".replace(" ", ""))
    board += bytes(31 - len(board))
    product = bytes.fromhex("0103 19 c2 4142 c0 c0 c2 5632 c0 c3 546167 c0 c1".replace(" ", ""))
    product += bytes(23 - len(product))
    header = bytes.fromhex("01 00 01 03 07 00 00")
    return b"".join(part + bytes([-sum(part) & 0xFF]) for part in (header, chassis, board, product))


def test_golden_bytes_are_read() -> None:
    parsed = parse(golden())
    assert parsed.faults == ()
    chassis, board, product = (parsed.fru.info[area] for area in FIELDS)
    assert chassis.chassis_type == 0x17
    assert (chassis.text("part_number"), chassis.text("serial_number"), chassis.custom) == ("CH01", "1234", ())
    assert fru.from_minutes(board.minutes) == datetime(2020, 1, 1, tzinfo=UTC)
    assert board.text("manufacturer") == "Acme"
    assert board.text("product") == "IPMI"  # 29 DC A6: the example of section 13
    assert board.text("serial_number") == "S1"
    assert board.text("part_number") == "BEEF"
    assert board.custom_texts() == ["zz"]
    assert product.language == 25
    assert [product.text(name) for name in FIELDS[Area.PRODUCT]] == ["AB", "", "", "V2", "", "Tag", ""]
    assert parsed.places == {Area.CHASSIS: (8, 16), Area.BOARD: (24, 32), Area.PRODUCT: (56, 24)}


def test_golden_bytes_are_built_again() -> None:
    assert fru.build(parse(golden()).fru) == golden()


def test_encodings() -> None:
    assert Field(Encoding.BCD_PLUS, bytes.fromhex("12ab3c")).text() == "12 -3."
    assert Field(Encoding.SIX_BIT, bytes.fromhex("29dca6")).text() == "IPMI"
    assert Field(Encoding.TEXT, "Grüße".encode("latin-1")).text(25) == "Grüße"
    assert Field(Encoding.TEXT, "日本".encode("utf-16-le")).text(21) == "日本"
    assert Field(Encoding.TEXT, b"\x00\xd8").text(21) == "\ufffd"
    assert Field(Encoding.TEXT, b"pad  \0\0").text() == "pad"
    assert fru.encode_text("A").encode() == bytes.fromhex("8121")
    assert fru.encode_text("a").encode() == b"\xc2a "
    assert fru.encode_text("").encode() == b"\xc0"
    assert fru.encode_text("日", 21).encode() == b"\xc2\xe5\x65"


@pytest.mark.parametrize("text", ["x" * 64, "日本", "a\x1b[31m", "a\nb"])
def test_what_cannot_be_stored_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="the tag"):
        fru.encode_text(text, what="the tag")


def test_times() -> None:
    assert fru.from_minutes(0) is None
    assert fru.to_minutes(None) == 0
    assert fru.from_minutes(0xFFFFFF) == datetime(2027, 11, 24, 20, 15, tzinfo=UTC)
    for wrong in (
        datetime(1996, 1, 1, tzinfo=UTC),
        datetime(2027, 11, 25, tzinfo=UTC),
        datetime(1990, 1, 1, tzinfo=UTC),
    ):
        with pytest.raises(Invalid, match="1996-01-01 to 2027-11-24"):
            fru.to_minutes(wrong)


latin = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF).filter(str.isprintable), max_size=63)
texts = latin.map(str.rstrip).filter(lambda text: len(text.encode("latin-1")) <= 63)
fields = st.builds(
    Field,
    st.sampled_from([Encoding.BINARY, Encoding.BCD_PLUS, Encoding.SIX_BIT]),
    st.binary(max_size=63),
) | texts.map(fru.encode_text)


@st.composite
def frus(draw: st.DrawFn) -> Fru:
    info = {}
    for area in draw(st.sets(st.sampled_from(list(FIELDS)))):
        own = len(FIELDS[area])
        info[area] = InfoArea(
            area,
            tuple(draw(st.lists(fields, min_size=own, max_size=own))),
            tuple(draw(st.lists(fields, max_size=4))),
            language=draw(st.integers(0, 255)) if area is not Area.CHASSIS else 0,
            chassis_type=draw(st.integers(0, 255)) if area is Area.CHASSIS else 0,
            minutes=draw(st.integers(0, 0xFFFFFF)) if area is Area.BOARD else 0,
        )
    internal = draw(st.none() | st.binary(max_size=15).map(lambda data: fru.build(Fru())[:1] + data))
    records = draw(st.none() | st.binary(max_size=60).map(record))
    return Fru(info, internal and internal + bytes(-len(internal) % 8), records)


def record(data: bytes, last: bool = True) -> bytes:
    head = bytes([0xC0, 0x82 if last else 0x02, len(data), -sum(data) & 0xFF])
    return head + bytes([-sum(head) & 0xFF]) + data


@given(frus())
def test_what_is_built_is_read_the_same(content: Fru) -> None:
    data = fru.build(content)
    parsed = parse(data + bytes(8) * (content.internal is None))
    assert parsed.faults == ()
    assert dict(parsed.fru.info) == dict(content.info)
    assert (parsed.fru.internal, parsed.fru.multirecord) == (content.internal, content.multirecord)
    assert len(data) % 8 == 0


def values(parsed: Parsed, left_out: str) -> dict[str, object]:
    found: dict[str, object] = {"internal": parsed.fru.internal, "multirecord": parsed.fru.multirecord}
    for area, info in parsed.fru.info.items():
        found |= {f"{area.name}.{name}": info.text(name) for name in FIELDS[area] if info.text(name)}
        found[f"{area.name}.custom"] = info.custom
        found[f"{area.name}.rest"] = (info.language, info.chassis_type, info.minutes)
    return {name: value for name, value in found.items() if name != left_out}


@given(frus(), texts)
def test_an_update_changes_one_field_and_nothing_else(content: Fru, text: str) -> None:
    data = fru.build(content)
    before = parse(data)
    if content.info.get(Area.PRODUCT, InfoArea(Area.PRODUCT)).language not in (0, 25) and len(text) > 31:
        text = text[:31].rstrip()
    new = update(data, {"product_asset_tag": text}, 2048)
    after = parse(new)
    assert after.faults == ()
    assert after.fru.info[Area.PRODUCT].text("asset_tag") == text
    expected = values(before, "PRODUCT.asset_tag")
    expected.setdefault("PRODUCT.custom", ())
    expected.setdefault("PRODUCT.rest", (0, 0, 0))
    assert values(after, "PRODUCT.asset_tag") == expected
    assert len(new) >= len(data)


def test_an_update_of_all_kinds_of_fields() -> None:
    made = datetime(2024, 5, 6, 7, 8, 59, tzinfo=UTC)
    new = update(
        golden(),
        {
            "chassis_type": 2,
            "chassis_custom": ["one", "two"],
            "board_manufacture_time": made,
            "board_custom": ["zz", "yy"],
            "product_version": "V3",
        },
        256,
    )
    parsed = parse(new)
    assert parsed.faults == ()
    chassis, board, product = (parsed.fru.info[area] for area in FIELDS)
    assert (chassis.chassis_type, chassis.custom_texts()) == (2, ["one", "two"])
    assert fru.from_minutes(board.minutes) == made - timedelta(seconds=59)
    assert board.get("product").encoding is Encoding.SIX_BIT  # what is not changed keeps its bytes
    assert board.custom[0] == parse(golden()).fru.info[Area.BOARD].custom[0]
    assert (board.custom_texts(), product.text("version"), product.text("asset_tag")) == (["zz", "yy"], "V3", "Tag")


def test_an_area_stays_in_its_place_if_it_fits_and_moves_others_only_into_blank_room() -> None:
    data = golden() + b"\xff" * 48
    fits = update(data, {"board_serial_number": "S22"})
    assert parse(fits).places == parse(data).places
    assert fits[:24] == data[:24]
    assert fits[56:] == data[56:]
    grown = update(data, {"board_serial_number": "S" * 20})
    assert parse(grown).places == {Area.CHASSIS: (8, 16), Area.BOARD: (24, 48), Area.PRODUCT: (72, 24)}
    assert grown[72:96] == data[56:80]
    assert len(grown) == len(data)
    assert grown[96:] == b"\xff" * 32
    somebodys = golden() + b"vendor  " + b"\xff" * 40
    with pytest.raises(Refused, match="belong to no area"):
        update(somebodys, {"board_serial_number": "S" * 20})


def test_an_update_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Refused, match=r"needs 9\d bytes; the storage has 80"):
        update(golden(), {"board_serial_number": "S" * 20})
    with pytest.raises(Invalid, match="no field"):
        update(golden(), {"product_colour": "red"})
    with pytest.raises(Invalid, match="2040"):
        update(golden(), {"product_custom": ["x" * 60] * 60}, 4096)


@pytest.mark.parametrize("filling", [b"\0", b"\xff"])
def test_a_blank_storage_is_said_so_and_can_be_filled(filling: bytes) -> None:
    blank = filling * 256
    assert [each.text for each in parse(blank).faults] == ["the storage is blank: nothing was ever written"]
    new = update(blank, {"product_asset_tag": "mine", "product_manufacturer": "Acme"})
    assert len(new) == 256
    assert parse(new).faults == ()
    assert parse(new).fru.info[Area.PRODUCT].text("asset_tag") == "mine"


def test_damage_is_listed_with_its_place_and_the_rest_is_read() -> None:
    data = bytearray(golden())
    data[60] ^= 0x01  # in the product area
    parsed = parse(bytes(data))
    assert [(each.offset, each.text) for each in parsed.faults] == [(79, "the checksum of the product area is wrong")]
    assert parsed.fru.info[Area.BOARD].text("manufacturer") == "Acme"
    assert parsed.fru.info[Area.PRODUCT].text("version") == "V2"
    with pytest.raises(Refused, match="product area is damaged"):
        update(bytes(data), {"product_asset_tag": "x"})
    assert parse(update(bytes(data), {"board_part_number": "P"})).damaged == {Area.PRODUCT}

    header = bytearray(golden())
    header[7] ^= 0xFF
    parsed = parse(bytes(header))
    assert parsed.faults[0].offset == 7
    assert parsed.fru.info[Area.BOARD].text("manufacturer") == "Acme"  # its own checksum speaks for it
    with pytest.raises(Refused, match="write all"):
        update(bytes(header), {"product_asset_tag": "x"})


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [
        (0, 2, "version 2"),
        (3, 99, "behind the end"),
        (2, 3, "where another one does"),
        (8, 7, "version 7"),
        (9, 0, "no bytes"),
        (9, 3, "into the next one"),
        (57, 200, "are left"),
        (11, 0xFF, "reaches over the end"),
    ],
)
def test_each_kind_of_damage_has_its_words(place: int, value: int, text: str) -> None:
    data = bytearray(golden())
    data[place] = value
    assert any(text in str(each) for each in parse(bytes(data)).faults)


def test_short_storage_and_missing_end_mark() -> None:
    assert "5 bytes" in parse(golden()[:5]).faults[0].text
    area = bytes([1, 1, 2, 0xC3]) + b"abc"
    data = bytes.fromhex("010001000000 00fe".replace(" ", "")) + area + bytes([-sum(area) & 0xFF])
    parsed = parse(data)
    assert any("no end mark" in each.text for each in parsed.faults)
    assert parsed.fru.info[Area.CHASSIS].text("part_number") == "abc"


def test_records_are_carried_through_and_their_damage_is_said() -> None:
    records = record(b"power supply", last=False) + record(b"the end")
    data = fru.build(Fru(parse(golden()).fru.info, multirecord=records))
    new = update(data, {"product_name": "a longer name than before"}, 256)
    assert parse(new).fru.multirecord == records
    broken = bytearray(data)
    start = parse(data).places[Area.MULTIRECORD][0]
    broken[start + 8] ^= 1
    assert [each.text for each in parse(bytes(broken)).faults] == ["the checksum of a record is wrong"]
    broken[start + 2] = 0xEE
    assert any("record's header" in each.text for each in parse(bytes(broken)).faults)


def test_an_internal_use_area_that_takes_all_the_rest_is_not_cut() -> None:
    data = fru.build(Fru(internal=b"\x01" + bytes(23)))
    with pytest.raises(Refused, match="storage has 32"):
        update(data, {"product_asset_tag": "x"})
    assert parse(update(data, {"product_asset_tag": "x"}, 256)).fru.internal == b"\x01" + bytes(23)


def check(data: bytes) -> None:
    """Whatever the bytes are: an answer, faults within the storage, texts, and an update that is refused or right."""
    parsed = parse(data)
    for fault in parsed.faults:
        assert 0 <= fault.offset <= len(data)
    for info in parsed.fru.info.values():
        assert all(isinstance(info.text(name), str) for name in FIELDS[info.area])
        info.custom_texts()


def test_a_hundred_thousand_random_inputs() -> None:
    dice = random.Random(3)
    for _ in range(60_000):
        data = bytearray(dice.randbytes(dice.randrange(0, 96)))
        if data and dice.random() < 0.7:
            data[0] = 1
            if len(data) > 7:
                data[1:6] = bytes(dice.choices(range(12), k=5))
                data[7] = (-sum(data[:7])) & 0xFF
        check(bytes(data))
    valid = fru.build(Fru(parse(golden()).fru.info, b"\x01internal" + bytes(7), record(b"some record")))
    for _ in range(40_000):
        data = bytearray(valid[: dice.choice((len(valid), dice.randrange(len(valid))))])
        for _ in range(dice.randrange(1, 4)):
            if data:
                data[dice.randrange(len(data))] = dice.randrange(256)
        check(bytes(data))


def test_an_update_of_damaged_storage_is_refused_or_keeps_what_was_right() -> None:
    dice = random.Random(4)
    valid = fru.build(Fru(parse(golden()).fru.info, b"\x01internal" + bytes(7), record(b"some record"))) + bytes(32)
    done = 0
    for _ in range(5_000):
        data = bytearray(valid)
        for _ in range(dice.randrange(1, 3)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        before = parse(bytes(data))
        try:
            new = update(bytes(data), {"product_asset_tag": "tag " * dice.randrange(1, 8)})
        except UbmcError:
            continue
        done += 1
        after = parse(new)
        assert after.fru.info[Area.PRODUCT].text("asset_tag").startswith("tag")
        assert after.fru.multirecord == before.fru.multirecord
        assert after.fru.info.get(Area.BOARD) == before.fru.info.get(Area.BOARD)
        assert after.damaged == before.damaged
    assert done > 1_000
