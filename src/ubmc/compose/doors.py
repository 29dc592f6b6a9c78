"""What runs in the processes that the network reaches."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from ubmc.boards.owner import parse_endpoint
from ubmc.compose.processes import absent
from ubmc.compose.program import Program
from ubmc.kit.process import Place
from ubmc.kit.service import Service
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
