"""Golden bytes of the network function Application (IPMI 2.0, chapters 20, 22 and 27)."""

from __future__ import annotations

import uuid

import pytest

from ubmc.protocols.ipmi import app
from ubmc.protocols.ipmi.app import Device, NewAccess, PasswordChange, TextDraft, Watchdog
from ubmc.protocols.ipmi.codes import Code, Completion, Level


def test_device_id_has_fifteen_bytes() -> None:
    told = app.device_id(Device(version=(1, 23, 4), manufacturer=0x012345, product=0x6789))
    assert told == bytes.fromhex("20 00 01 23 02 8f 452301 8967 04000000")
    assert len(told) == 15


def test_a_version_that_is_too_large_stays_at_the_end() -> None:
    assert app.device_id(Device(version=(128, 250, 0)))[2:4] == bytes.fromhex("00 99")


def test_self_test_names_what_cannot_be_reached() -> None:
    assert app.self_test(()) == bytes.fromhex("55 00")
    assert app.self_test(["fru", "sel", "sel"]) == bytes.fromhex("57 a0")


def test_guid_begins_with_its_last_byte() -> None:
    value = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    assert app.guid(value) == bytes.fromhex("ffeeddccbbaa99887766554433221100")


# --- watchdog ---------------------------------------------------------------------------------------------------------


def test_watchdog_both_ways() -> None:
    """A timer for the OS: hard reset after 60 s, an interrupt 10 s before; OS load and SMS/OS have expired."""
    wanted = Watchdog.parse(bytes.fromhex("84 21 0a 18 5802"))
    assert wanted == Watchdog(
        use=4,
        running=False,
        dont_log=True,
        action=1,
        pretimeout_action=2,
        pretimeout_seconds=10,
        expired=frozenset({3, 4}),
        timeout_seconds=60.0,
    )
    assert wanted.pack(30.05) == bytes.fromhex("84 21 0a 18 5802 2c01")
    assert Watchdog.parse(bytes.fromhex("44 00 00 00 0000")).running


@pytest.mark.parametrize("data", ["00 00 00 00 0000", "06 00 00 00 0000", "04 04 00 00 0000", "04 40 00 00 0000"])
def test_watchdog_with_a_reserved_value_is_refused(data: str) -> None:
    with pytest.raises(Completion) as refused:
        Watchdog.parse(bytes.fromhex(data))
    assert refused.value.code == Code.INVALID_FIELD


# --- channels ---------------------------------------------------------------------------------------------------------


def test_channels() -> None:
    assert app.lan_channel_info(1, 3) == bytes.fromhex("01 04 01 83 f21b00 0000")
    assert app.system_channel_info(15) == bytes.fromhex("0f 0c 05 00 f21b00 ffff")
    assert app.channel_access(app.ALWAYS_AVAILABLE, Level.ADMINISTRATOR) == bytes.fromhex("22 04")


def test_channel_keys_are_not_used() -> None:
    assert app.security_key(0, 1) == bytes.fromhex("01") + bytes(20)
    for operation, key, code in ((1, 1, 0x80), (0, 2, Code.INVALID_FIELD), (3, 1, Code.INVALID_FIELD)):
        with pytest.raises(Completion) as refused:
            app.security_key(operation, key)
        assert refused.value.code == code


# --- users ------------------------------------------------------------------------------------------------------------


def test_user_access() -> None:
    told = app.user_access([2, 3, 3], enabled=True, messaging=True, limit=4)
    assert told == bytes.fromhex("0f 42 01 14")
    assert app.user_access([], enabled=False, messaging=False, limit=15) == bytes.fromhex("0f 80 01 0f")


def test_new_access() -> None:
    assert NewAccess.parse(bytes.fromhex("91 03 04")) == NewAccess(channel=1, user=3, limit=4, messaging=True)
    assert NewAccess.parse(bytes.fromhex("81 03 0f 00")).messaging is False
    assert NewAccess.parse(bytes.fromhex("11 03 02")).messaging is None
    for wrong in ("91 03 05", "91 03 04 01"):
        with pytest.raises(Completion):
            NewAccess.parse(bytes.fromhex(wrong))


def test_names() -> None:
    assert app.name_of(b"admin" + bytes(11)) == "admin"
    assert app.name_of(b"sixteen_letters_") == "sixteen_letters_"
    assert app.name_field("admin") == b"admin" + bytes(11)
    with pytest.raises(Completion):
        app.name_of(b"\xff" * 16)


def test_passwords_of_both_sizes() -> None:
    short = PasswordChange.parse(bytes((0x03, 0x02)) + b"secret".ljust(16, b"\0"))
    assert short == PasswordChange(user=3, operation=app.SET_PASSWORD, short=True, password=b"secret")
    long = PasswordChange.parse(bytes((0x83, 0x03)) + b"a secret of 20 bytes")
    assert (long.short, long.operation, long.password) == (False, app.TEST_PASSWORD, b"a secret of 20 bytes")
    assert PasswordChange.parse(bytes((0x03, 0x01))).operation == app.ENABLE
    for wrong in (bytes((0x03, 0x02)) + bytes(20), bytes((0x83, 0x02)) + bytes(16), bytes((0x03, 0x02))):
        with pytest.raises(Completion) as refused:
            PasswordChange.parse(wrong)
        assert refused.value.code == Code.LENGTH_INVALID


def test_payload_access() -> None:
    assert app.payload_access(sol=True) == bytes.fromhex("03 00 00 00")
    assert app.payload_access(sol=False) == bytes.fromhex("01 00 00 00")


# --- system information -----------------------------------------------------------------------------------------------


def test_a_text_goes_in_blocks_both_ways() -> None:
    text = "a name of more than sixteen letters"
    blocks = [app.text_block(text, selector) for selector in range(3)]
    assert blocks[0] == b"\x00\x01\x23a name of more"
    assert all(len(block) == 17 for block in blocks)
    with pytest.raises(Completion):
        app.text_block(text, 3)
    draft = TextDraft()
    assert draft.take(0, blocks[0][1:]) == "a name of more"
    draft.take(1, blocks[1][1:])
    assert draft.take(2, blocks[2][1:]) == text


def test_a_block_of_a_text_without_the_one_before_is_refused() -> None:
    with pytest.raises(Completion):
        TextDraft().take(1, bytes(16))
