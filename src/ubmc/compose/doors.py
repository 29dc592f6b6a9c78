"""What runs in the processes that the network reaches."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import partial
from importlib import import_module

from ubmc.boards.build import IPMI_SOCKET, host_directory
from ubmc.boards.owner import parse_endpoint
from ubmc.boards.spec import QemuSpec
from ubmc.compose.processes import absent
from ubmc.compose.program import Program, machine_folder, version
from ubmc.kit.process import Factory, Place
from ubmc.kit.service import Service
from ubmc.layout import Layout
from ubmc.plans.consoles import console_plans
from ubmc.services.consolesrv.service import ConsoleServer
from ubmc.services.sshsrv.options import SshOptions
from ubmc.services.sshsrv.service import SshServer
from ubmc.services.websrv.service import DoorOptions, WebServer


def door(program: Program, place: Place) -> Sequence[Service]:
    """The services of the HTTPS door."""

    def listening(url: str, fingerprint: str) -> None:
        place.channel.send("say", what="listening", url=url, fingerprint=fingerprint)

    owner = program.owner
    options = DoorOptions(
        addresses=tuple(parse_endpoint(each) for each in owner.listen),
        redirect=tuple(parse_endpoint(each) for each in owner.web.redirect),
        proxies=tuple(ipaddress.ip_network(each) for each in owner.web.trusted_proxies),
        access_log=owner.log.access,
        absent=absent(program.board),
    )
    return (WebServer(place.schema, options, listening),)


def consoles(program: Program, layout: Layout, _place: Place) -> Sequence[Service]:
    """The serial consoles."""
    plans = console_plans(program.board.spec, machine_folder(program.state))
    return (ConsoleServer(plans, layout.console, socket_mode=0o666 if layout.separate else 0o600),)


def ssh(program: Program, layout: Layout, place: Place) -> Sequence[Service]:
    """Consoles over SSH."""

    def listening(host: str, port: int, fingerprint: str) -> None:
        place.channel.send("say", what="ssh", host=host, port=port, fingerprint=fingerprint)

    options = SshOptions(
        addresses=tuple(parse_endpoint(each) for each in program.owner.ssh.listen),
        host_key=layout.ssh / "host_key",
        consoles=tuple(each.name for each in program.board.spec.hosts if each.console is not None),
    )
    return (SshServer(options, listening),)


def before_ssh(program: Program, layout: Layout) -> Factory:
    """Load asyncssh outside of the walls: it looks for libraries by programs and files that are not within them."""
    import_module("ubmc.services.sshsrv.server")
    return partial(ssh, program, layout)


def ipmi(program: Program, layout: Layout, place: Place) -> Sequence[Service]:
    """IPMI over LAN, and for the guests of virtual machines."""
    from ubmc.services.ipmisrv.commands.suite import SuiteOptions
    from ubmc.services.ipmisrv.door import IpmiOptions
    from ubmc.services.ipmisrv.service import IpmiServer

    def listening(host: str, port: int) -> None:
        place.channel.send("say", what="ipmi", host=host, port=port)

    spec, owner = program.board.spec, program.owner.ipmi
    listen = tuple(parse_endpoint(each) for each in owner.listen)
    options = IpmiOptions(
        listen=listen,
        settings=layout.ipmi / "settings.json",
        cipher_suites=owner.cipher_suites,
        in_band=owner.in_band.value,
        guests=tuple(
            (host.name, host_directory(layout.machine, host.name) / IPMI_SOCKET)
            for host in spec.hosts
            if isinstance(host.power, QemuSpec) and host.power.ipmi
        ),
        consoles=tuple(host.name for host in spec.hosts if host.console is not None),
    )
    major, minor, patch = (int(part) for part in version().split(".")[:3])
    suite = SuiteOptions(
        host=spec.hosts[0].name,
        chassis=spec.chassis[0].name,
        controller=spec.bmc.name,
        sensors=tuple(sensor.name for sensor in spec.sensors),
        assets=tuple(asset.name for asset in spec.assets),
        board=spec.board.name,
        version=(major, minor, patch),
        absent=frozenset(absent(program.board)),
        port=listen[0][1],
        cipher_suites=owner.cipher_suites,
    )
    return (IpmiServer(options, suite, listening),)
