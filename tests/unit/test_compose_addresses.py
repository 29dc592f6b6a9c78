"""Addresses that are taken are found before anything is started; those that only look so are not."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from ubmc.boards.owner import OwnerSpec
from ubmc.compose.addresses import check_free
from ubmc.kit.errors import Busy


def again(flag: str, taken: str, free: str) -> str:
    return f"{flag} instead of {taken}: {free}"


def owner(kind: str, where: str) -> OwnerSpec:
    nowhere = {"listen": ["127.0.0.1:0"]}
    if kind == "listen":
        return OwnerSpec.model_validate({"listen": [where]})
    section, _, key = kind.partition(".")
    return OwnerSpec.model_validate({**nowhere, section: {key: [where]}})


@contextlib.contextmanager
def held(kind: str, host: str = "127.0.0.1") -> Iterator[int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    datagrams = kind == "ipmi.listen"
    with socket.socket(family, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM) as holder:
        holder.bind((host, 0))
        if not datagrams:
            holder.listen()
        yield int(holder.getsockname()[1])


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("listen", "--listen instead of"),
        ("ssh.listen", "--ssh instead of"),
        ("ipmi.listen", "--ipmi instead of"),
        ("web.redirect", "change web.redirect"),
    ],
)
def test_what_is_taken_is_refused_with_advice_and_is_free_afterwards(kind: str, advice: str) -> None:
    with held(kind) as port:
        with pytest.raises(Busy, match=rf"127\.0\.0\.1:{port} is taken; ") as refused:
            check_free(owner(kind, f"127.0.0.1:{port}"), again)
        assert advice in refused.value.message
        with pytest.raises(Busy):
            check_free(owner(kind, f"0.0.0.0:{port}"), again)
    check_free(owner(kind, f"127.0.0.1:{port}"), again)


def test_the_other_address_is_free_and_written_as_it_has_to_be() -> None:
    with held("listen", "::1") as port:
        with pytest.raises(Busy) as refused:
            check_free(owner("listen", f"[::1]:{port}"), again)
        offered = refused.value.message.rpartition(": ")[2]
        assert offered.startswith("[::1]:")
        check_free(owner("listen", offered), again)


def test_a_datagram_socket_does_not_take_the_port_of_a_stream() -> None:
    with held("ipmi.listen") as port:
        check_free(owner("listen", f"127.0.0.1:{port}"), again)


def test_connections_that_have_ended_hold_no_port() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        where = listener.getsockname()
        with socket.create_connection(where) as client:
            server, _peer = listener.accept()
            server.close()  # who closes first waits (TIME_WAIT)
            assert client.recv(1) == b""
    with socket.socket() as plain, pytest.raises(OSError, match="in use"):
        plain.bind(where)
    check_free(owner("listen", f"127.0.0.1:{where[1]}"), again)


def test_an_address_that_is_not_there_yet_is_left_to_the_door() -> None:
    check_free(owner("listen", "192.0.2.77:8443"), again)
