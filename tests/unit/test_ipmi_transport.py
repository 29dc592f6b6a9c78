"""Golden bytes of LAN and SOL parameters, PEF and DCMI (IPMI 2.0, chapters 23, 26, 30; DCMI 1.5, chapter 6)."""

from __future__ import annotations

import pytest

from ubmc.protocols.ipmi import dcmi, pef, transport
from ubmc.protocols.ipmi.codes import Completion, Level
from ubmc.protocols.ipmi.dcmi import Power, TextDraft
from ubmc.protocols.ipmi.transport import Lan, LanFacts

FACTS = LanFacts(
    address="192.0.2.10",
    prefix=26,
    dhcp=True,
    mac=bytes.fromhex("020000000001"),
    gateway="192.0.2.1",
    port=623,
    vlan=42,
    vlan_priority=3,
    cipher_suites=(17, 3),
    ipv6=True,
    ipv6_static=(("2001:db8::5", 48),),
    ipv6_dynamic=(("fe80::1%eth0", 64, transport.SLAAC), ("2001:db8::9", 128, transport.DHCPV6)),
)


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        (Lan.SET_IN_PROGRESS, "00"),
        (Lan.AUTH_SUPPORT, "00"),
        (Lan.ADDRESS, "c000020a"),
        (Lan.ADDRESS_SOURCE, "02"),
        (Lan.MAC, "020000000001"),
        (Lan.MASK, "ffffffc0"),
        (Lan.PORT, "6f02"),
        (Lan.GATEWAY, "c0000201"),
        (Lan.VLAN_ID, "2a80"),
        (Lan.VLAN_PRIORITY, "03"),
        (Lan.CIPHER_COUNT, "02"),
        (Lan.CIPHER_SUITES, "00 11 03"),
        (Lan.CIPHER_LEVELS, "00 00 40 00 00 00 00 00 00"),
        (Lan.IPV6_SUPPORT, "03"),
        (Lan.IPV6_ENABLES, "02"),
        (Lan.IPV6_STATUS, "08 08 03"),
        (Lan.IPV6_DYNAMIC, "00 01 fe800000000000000000000000000001 40 00"),
        (Lan.IPV6_STATIC, "00 80 20010db8000000000000000000000005 30 00"),
    ],
)
def test_lan_parameters(parameter: Lan, told: str) -> None:
    assert transport.lan(parameter, FACTS) == bytes.fromhex(told)


def test_addresses_of_ipv6_are_those_of_a_selector() -> None:
    second = transport.lan(Lan.IPV6_DYNAMIC, FACTS, 1)
    assert second == bytes.fromhex("01 02 20010db8000000000000000000000009 80 00")
    for parameter in (Lan.IPV6_STATIC, Lan.IPV6_DYNAMIC):
        assert transport.lan(parameter, FACTS, 7) == b"\x07" + bytes(18) + b"\x01", "there is none, so it is disabled"
        with pytest.raises(Completion) as refused:
            transport.lan(parameter, FACTS, 8)
        assert refused.value.code == 0xC9


def test_a_lan_parameter_that_is_none() -> None:
    assert transport.lan(Lan.DESTINATION_TYPE, FACTS) == bytes(4)
    with pytest.raises(Completion) as refused:
        transport.lan(Lan.DESTINATION_ADDRESS, FACTS, 1)
    assert refused.value.code == 0xC9
    for number in (24 + 1, 99, 200):
        with pytest.raises(Completion) as refused:
            transport.lan(number, FACTS)
        assert refused.value.code == 0x80


def test_addresses_and_masks() -> None:
    assert transport.address_of(bytes((198, 51, 100, 7))) == "198.51.100.7"
    assert transport.prefix_of(bytes((255, 255, 240, 0))) == 20
    for wrong in (bytes((255, 0, 255, 0)), bytes(3)):
        with pytest.raises(Completion):
            transport.prefix_of(wrong)


def test_statistics_stay_at_their_end() -> None:
    told = transport.statistics((1, 2, 3, 4, 5, 6, 7, 8, 70000))
    assert told == bytes.fromhex("0100 0200 0300 0400 0500 0600 0700 0800 ffff")


def test_sol_authentication() -> None:
    assert transport.sol_authentication(Level.OPERATOR, encryption=True, authentication=True) == b"\xc3"
    assert transport.new_sol_authentication(b"\x84") == (Level.ADMINISTRATOR, True, False)
    with pytest.raises(Completion):
        transport.new_sol_authentication(b"\x81")


# --- PEF --------------------------------------------------------------------------------------------------------------


def test_pef_has_nothing_to_do() -> None:
    assert bytes.fromhex("51 00 00") == pef.CAPABILITIES
    assert pef.parameter(5) == b"\x00"
    assert pef.parameter(12) == bytes(3)
    assert pef.parameter(13, 0, 1) == b"\x00\x01" + bytes(16)
    with pytest.raises(Completion) as refused:
        pef.parameter(6)
    assert refused.value.code == 0x80
    pef.check_set(1, b"\x00")
    with pytest.raises(Completion) as refused:
        pef.check_set(1, b"\x01")
    assert refused.value.code == 0x82
    assert pef.last_processed(0x0102, 0x65000000) == bytes.fromhex("00000065 0201 ffff 0000")


# --- DCMI -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "told"),
    [(1, "00 01 01"), (2, "ffaf 00 00 01"), (3, "20 00"), (4, "01 ff ff"), (5, "03 1e 41 45")],
)
def test_dcmi_capabilities(parameter: int, told: str) -> None:
    found = dcmi.capabilities(parameter, power=True, lan_channel=1, sel_entries=10000, temperature_seconds=1)
    assert found == bytes.fromhex("01 05 02") + bytes.fromhex(told)


def test_dcmi_power() -> None:
    power = Power(current=120.4, lowest=80, highest=300.6, average=119.5, seconds=0x65000000, period_seconds=60.0)
    assert dcmi.power_reading(power) == bytes.fromhex("7800 5000 2d01 7800 00000065 60ea0000 40")


def test_dcmi_texts() -> None:
    assert dcmi.text_part(b"rack 7", 0, 16) == b"\x06rack 7"
    assert dcmi.text_part(b"rack 7", 5, 16) == b"\x067"
    with pytest.raises(Completion):
        dcmi.text_part(b"rack 7", 0, 17)
    draft = TextDraft(20)
    assert draft.take(b"\x00\x10" + b"0123456789abcdef", b"") == b"0123456789abcdef"
    assert draft.take(b"\x10\x02" + b"gh", b"") == b"0123456789abcdefgh"
    assert TextDraft(20).take(b"\x04\x01Z", b"rack 7") == b"rackZ"
    for wrong in (b"\x00\x05abc", b"\x10\x05abcde", b"\x07\x01a"):
        with pytest.raises(Completion):
            TextDraft(20).take(wrong, b"rack 7")


def test_dcmi_sensors_and_temperatures() -> None:
    assert dcmi.sensors(10, range(1, 11)) == bytes.fromhex("0a 08 0100 0200 0300 0400 0500 0600 0700 0800")
    assert dcmi.temperatures(2, [(1, 25.4), (2, -3.0)]) == bytes.fromhex("02 02 19 01 83 02")


def test_dcmi_configuration() -> None:
    assert dcmi.configuration(4, dhcp_identifier=True) == bytes.fromhex("01 05 01 7800")
    with pytest.raises(Completion):
        dcmi.configuration(9, dhcp_identifier=True)
