"""What Linux says of its network, from a tree of files as the kernel writes them, and from this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ubmc.hw.network.linux import LinuxNetwork, ipv4_addresses
from ubmc.hw.network.port import Address, Counters, Facts, Origin
from ubmc.kit.errors import Unavailable

NONE = "0" * 32


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def card(name: str, **attributes: str) -> dict[str, str]:
    known = {"address": "02:00:00:00:00:01", "type": "1", "flags": "0x1003", "mtu": "1500", "addr_assign_type": "0"}
    return {f"sys/class/net/{name}/{key}": f"{value}\n" for key, value in {**known, **attributes}.items()}


async def read(root: Path, *ipv4: tuple[str, str, int]) -> Facts:
    return await LinuxNetwork(root, lambda: ipv4, lambda: True).read()


async def test_a_card_is_read_whole(tmp_path: Path) -> None:
    write(tmp_path, card("eth0", carrier="1", speed="1000", duplex="full"))
    write(tmp_path, card("lo", type="772"))
    write(
        tmp_path,
        {
            "sys/class/net/eth0/statistics/rx_bytes": "17\n",
            "sys/class/net/eth0/statistics/tx_dropped": "3\n",
            "sys/class/net/bonding_masters": "\n",
            "proc/net/route": "Iface\tDestination\tGateway\tFlags\n"
            + _route("eth0", "192.0.2.0", "0.0.0.0", 1)
            + _route("eth0", "0.0.0.0", "192.0.2.1", 3),
            "proc/net/if_inet6": (
                "fe80000000000000000000fffe000001 02 40 20 80     eth0\n"
                "20010db8000000000000000000000005 02 40 00 00     eth0\n"
                "20010db8000000000000000000000006 02 40 00 80     eth0\n"
            ),
            "proc/net/ipv6_route": f"{NONE} 00 {NONE} 00 fe80{NONE[5:]}9 00000400 00000001 00000000 00000003 eth0\n",
            "etc/resolv.conf": "# comment\nnameserver 192.0.2.53\nsearch example.org a.com\nnameserver 192.0.2.54\n",
            "etc/chrony/chrony.conf": "pool ntp.example.org iburst\n",
        },
    )
    facts = await read(tmp_path, ("eth0", "192.0.2.7", 24), ("eth0:1", "169.254.3.3", 16), ("lo", "127.0.0.1", 8))
    assert [each.name for each in facts.interfaces] == ["eth0"]
    eth0 = facts.interfaces[0]
    assert (eth0.link, eth0.speed_mbps, eth0.full_duplex, eth0.mtu, eth0.enabled) == (True, 1000, True, 1500, True)
    assert eth0.permanent_mac_address == "02:00:00:00:00:01"
    assert eth0.ipv4 == (Address("192.0.2.7", 24), Address("169.254.3.3", 16, Origin.LINK_LOCAL))
    assert eth0.ipv4_gateway == "192.0.2.1"
    assert [each.origin for each in eth0.ipv6] == [Origin.LINK_LOCAL, Origin.AUTOCONF, Origin.UNKNOWN]
    assert eth0.ipv6_gateway == "fe80::9"
    assert eth0.counters == Counters(received_bytes=17, sent_dropped=3)
    assert facts.dns_servers == ("192.0.2.53", "192.0.2.54")
    assert facts.ntp_servers == ("ntp.example.org",)
    assert facts.synchronized


def _route(name: str, destination: str, gateway: str, flags: int) -> str:
    def word(address: str) -> str:
        return f"{int.from_bytes(bytes(map(int, address.split('.'))), sys.byteorder):08X}"

    return f"{name}\t{word(destination)}\t{word(gateway)}\t{flags:04X}\t0\t0\t0\t00000000\t0\t0\t0\n"


async def test_what_is_down_or_not_told_is_not_made_up(tmp_path: Path) -> None:
    write(tmp_path, card("eth1", flags="0x1002", addr_assign_type="3", speed="-1"))
    write(tmp_path, {"proc/net/vlan/config": "VLAN Dev name | VLAN ID\nName-Type: RAW\neth1 | 7 | eth0\n"})
    facts = await read(tmp_path)
    (eth1,) = facts.interfaces
    assert (eth1.enabled, eth1.link, eth1.speed_mbps, eth1.permanent_mac_address) == (False, None, 0, "")
    assert eth1.vlan == 7
    assert (eth1.ipv4, eth1.ipv4_gateway, facts.dns_servers) == ((), "", ())


async def test_a_machine_without_a_network_tree_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        await read(tmp_path)


@pytest.mark.skipif(not Path("/sys/class/net/lo").exists(), reason="needs a Linux machine with loopback")
async def test_this_machine_is_read() -> None:
    assert ("lo", "127.0.0.1", 8) in ipv4_addresses()
    facts = await LinuxNetwork().read()
    assert facts.host_name
    assert "lo" not in [each.name for each in facts.interfaces]
