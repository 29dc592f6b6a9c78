"""Which fields an update takes."""

from __future__ import annotations

import pytest
from protobuf.wkt import FieldMask

from ubmc.kit.errors import Invalid
from ubmc.kit.masks import merged
from ubmc.v1alpha1.network_pb import Ipv4, Network, NetworkInterface
from ubmc.v1alpha1.subscription_pb import Subscription

CHANGEABLE = ("mtu", "ipv4.dhcp", "ipv4.static_gateway")
BEFORE = NetworkInterface(name="eth0", mtu=1500, ipv4=Ipv4(dhcp=True, static_gateway="192.0.2.1", gateway="192.0.2.9"))


def take(wanted: NetworkInterface, *paths: str) -> NetworkInterface:
    return merged(BEFORE, wanted, FieldMask(paths=list(paths)), CHANGEABLE)[0]


def test_a_path_takes_its_field_alone() -> None:
    after = take(NetworkInterface(name="x", mtu=9000, ipv4=Ipv4(dhcp=False)), "ipv4.dhcp")
    assert after.ipv4 == Ipv4(dhcp=False, static_gateway="192.0.2.1", gateway="192.0.2.9")
    assert (after.name, after.mtu) == ("eth0", 1500)
    assert BEFORE.ipv4 is not None
    assert BEFORE.ipv4.dhcp


def test_an_outer_path_takes_what_can_be_changed_of_it() -> None:
    after, taken = merged(
        BEFORE, NetworkInterface(ipv4=Ipv4(gateway="198.51.100.1")), FieldMask(paths=["ipv4"]), CHANGEABLE
    )
    assert after.ipv4 == Ipv4(gateway="192.0.2.9")
    assert taken == {"ipv4.dhcp", "ipv4.static_gateway"}


def test_an_inner_message_that_is_not_there_is_made_or_taken_for_empty() -> None:
    bare = NetworkInterface(name="eth0")
    after, _ = merged(bare, NetworkInterface(ipv4=Ipv4(dhcp=True)), FieldMask(paths=["ipv4.dhcp"]), CHANGEABLE)
    assert after.ipv4 == Ipv4(dhcp=True)
    assert merged(bare, bare, FieldMask(paths=["ipv4.dhcp"]), CHANGEABLE)[0] == bare
    assert take(NetworkInterface(), "ipv4.dhcp").ipv4 == Ipv4(static_gateway="192.0.2.1", gateway="192.0.2.9")


def test_without_a_mask_what_is_set_is_taken() -> None:
    after, taken = merged(BEFORE, NetworkInterface(mtu=9000), None, CHANGEABLE)
    assert after.mtu == 9000
    assert taken == {"mtu"}
    other, _ = merged(
        Network(static_dns_servers=["a"]), Network(static_dns_servers=["b"]), None, ("static_dns_servers",)
    )
    assert other.static_dns_servers == ["b"]


def test_a_field_that_is_named_and_absent_is_absent_then() -> None:
    before = Subscription(verify_certificate=False)
    after, _ = merged(before, Subscription(), FieldMask(paths=["verify_certificate"]), ("verify_certificate",))
    assert not after.has_field("verify_certificate")
    after, _ = merged(Subscription(), before, None, ("verify_certificate",))
    assert after.has_field("verify_certificate")
    assert not after.verify_certificate


@pytest.mark.parametrize("path", ["name", "ipv4.gateway", "ipv", "ipv4.", ""])
def test_what_cannot_be_changed_is_named(path: str) -> None:
    with pytest.raises(Invalid, match="cannot be changed; name some of mtu"):
        take(NetworkInterface(), path)


def test_nothing_to_change_is_said() -> None:
    with pytest.raises(Invalid, match="name what is to change"):
        merged(BEFORE, NetworkInterface(), None, CHANGEABLE)
