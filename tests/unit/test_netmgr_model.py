"""The network of a simulated BMC: addresses that follow from settings, and settings that nobody can have."""

from __future__ import annotations

import copy

import pytest

from ubmc.kit.errors import Invalid
from ubmc.services.netmgr import addresses, model
from ubmc.v1alpha1.network_pb import (
    AddressOrigin,
    InterfaceAddress,
    Ipv4,
    Ipv6,
    LinkState,
    Network,
    NetworkInterface,
    Vlan,
)

FRESH = model.fresh_interface("eth0", "seed")


def shown_addresses(interface: NetworkInterface) -> list[str]:
    shown = model.interface(interface, 0)
    assert shown.ipv4 is not None
    assert shown.ipv6 is not None
    return [each.address for each in (*shown.ipv4.addresses, *shown.ipv6.addresses)]


def changed(**fields: object) -> NetworkInterface:
    interface = copy.deepcopy(FRESH)
    for name, value in fields.items():
        setattr(interface, name, value)
    return model.check_interface(interface)


def static(*addresses_given: tuple[str, int], gateway: str = "") -> Ipv4:
    given = [InterfaceAddress(address=address, prefix_length=length) for address, length in addresses_given]
    return Ipv4(static_addresses=given, static_gateway=gateway)


def test_the_address_on_the_link_follows_from_the_card() -> None:
    # RFC 2464, section 4: 34-56-78-9A-BC-DE becomes 36-56-78-FF-FE-9A-BC-DE.
    assert addresses.link_local("34:56:78:9a:bc:de").address == "fe80::3656:78ff:fe9a:bcde"


def test_a_fresh_interface_asks_for_its_addresses() -> None:
    shown = model.interface(FRESH, 0)
    assert shown.ipv4 is not None
    assert [(each.address, each.origin) for each in shown.ipv4.addresses] == [("192.0.2.10", AddressOrigin.DHCP)]
    assert shown.ipv4.gateway == "192.0.2.1"
    assert shown.ipv6 is not None
    assert [each.origin for each in shown.ipv6.addresses] == [AddressOrigin.LINK_LOCAL, AddressOrigin.AUTOCONF]
    assert int(FRESH.mac_address[:2], 16) == 2  # locally administered, of one card
    assert model.fresh_interface("eth1", "seed").mac_address != FRESH.mac_address


def test_static_addresses_hold_without_dhcp_only() -> None:
    ipv4 = static(("198.51.100.7", 24), gateway="198.51.100.1")
    assert "198.51.100.7" in shown_addresses(changed(ipv4=ipv4))
    ipv4.dhcp = True
    assert shown_addresses(changed(ipv4=ipv4))[0] == "192.0.2.10"


def test_an_interface_that_is_not_used_has_nothing() -> None:
    interface = changed(enabled=False)
    assert shown_addresses(interface) == []
    shown = model.interface(interface, 0)
    assert (shown.link, shown.speed_mbps) == (LinkState.DOWN, 0)
    network = model.network(Network(static_dns_servers=["192.0.2.99"]), {"eth0": shown})
    assert (network.dns_servers, network.ipv4_gateway) == (["192.0.2.99"], "")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"mac_address": "01:00:00:00:00:01"}, "single card"),
        ({"mac_address": "00:00:00:00:00:00"}, "single card"),
        ({"mtu": 1200}, "from 1280"),
        ({"mtu": 9001}, "to 9000"),
        ({"auto_negotiation": False, "speed_mbps": 7}, "one of 10, 100, 1000"),
        ({"vlan": Vlan(enabled=True)}, "1 to 4094"),
        ({"ipv4": static(("2001:db8::1", 24))}, "no IPv4 address"),
        ({"ipv4": static(("192.0.2.0", 24))}, "address of the network"),
        ({"ipv4": static(("192.0.2.255", 24))}, "everybody"),
        ({"ipv4": static(("127.0.0.1", 8))}, "BMC can have"),
        ({"ipv4": static(("224.0.0.5", 24))}, "BMC can have"),
        ({"ipv4": static(("240.0.0.5", 24))}, "reserved"),
        ({"ipv4": static(("192.0.2.7", 33))}, "1 to 32 bits"),
        ({"ipv4": static(("192.0.2.7", 24), ("192.0.2.7", 25))}, "twice"),
        ({"ipv4": static(("192.0.2.7", 24), gateway="198.51.100.1")}, "network of none"),
        ({"ipv6": Ipv6(enabled=True, static_addresses=[InterfaceAddress(address="::", prefix_length=64)])}, "can have"),
        ({"ipv6": Ipv6(enabled=True, static_gateway="2001:db8:1::1")}, "neither link-local"),
    ],
)
def test_what_no_interface_can_have_is_said(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        changed(**fields)


def test_small_networks_have_no_address_for_everybody() -> None:
    assert shown_addresses(changed(ipv4=static(("192.0.2.8", 31))))[0] == "192.0.2.8"


def test_empty_means_as_it_was_made() -> None:
    assert changed(mac_address="").mac_address == FRESH.permanent_mac_address
    assert changed(mac_address="02:AB:00:00:00:01").mac_address == "02:ab:00:00:00:01"
