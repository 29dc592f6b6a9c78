"""The guard for requests that a user can name."""

from __future__ import annotations

import pytest

from ubmc.kit.errors import Invalid, Refused, Unavailable
from ubmc.kit.outgoing import check_address, check_url


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1%eth0", "100.100.100.200",
        "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    ],
)  # fmt: skip
def test_what_belongs_to_the_bmc_or_its_cloud_is_refused_unless_allowed(address: str) -> None:
    with pytest.raises(Refused, match="outgoingToLocal"):
        check_address(address)
    check_address(address, allow_local=True)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1"])
def test_what_is_no_single_host_is_refused_always(address: str) -> None:
    with pytest.raises(Refused):
        check_address(address, allow_local=True)


@pytest.mark.parametrize("address", ["192.0.2.1", "10.1.2.3", "172.16.0.9", "192.168.1.1", "2001:db8::1", "fd12::1"])
def test_networks_of_the_owner_are_fine(address: str) -> None:
    check_address(address)


def test_urls() -> None:
    assert check_url("https://192.0.2.1:8443/x?y", ("https",)) == "192.0.2.1"
    for url in (
        "http://192.0.2.1/",
        "https://",
        "https:///x",
        "file:///etc/shadow",
        "https://u:p@192.0.2.1/",
        "https://[::1",
        "x",
    ):
        with pytest.raises(Invalid):
            check_url(url, ("https",))
    with pytest.raises(Refused):
        check_url("https://localhost/", ("https",))
    with pytest.raises(Unavailable):
        check_url("https://nowhere.invalid/", ("https",))
    with pytest.raises(Invalid):
        check_address("localhost")
