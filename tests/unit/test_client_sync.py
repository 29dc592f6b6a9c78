"""The client against another maker's server (connectrpc), over TLS."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from tests.harness.connect import TOKEN, Bmc, Certificate, Server, make_certificate

from ubmc.client import Client, Pinned
from ubmc.kit.errors import Invalid, NotFound, Refused, TimedOut, Unauthenticated, Unavailable, Violation
from ubmc.v1alpha1.host_pb import (
    ChangeHostPowerRequest,
    GetHostRequest,
    HostPowerAction,
    HostState,
    WatchHostsRequest,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.user_pb import CreateUserRequest, User
from ubmc.v1alpha1.user_rpc import UserService

FORCE_OFF = ChangeHostPowerRequest(name="host.0", action=HostPowerAction.FORCE_OFF)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls") / "bmc.pem")


@pytest.fixture
def bmc() -> Bmc:
    return Bmc()


@pytest.fixture
def server(bmc: Bmc, certificate: Certificate) -> Iterator[Server]:
    with Server(bmc, certificate) as found:
        yield found


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(server: Server, certificate: Certificate, pauses: list[float]) -> Iterator[Client]:
    trust = Pinned.parse(certificate.fingerprint)
    with Client(server.url, token=TOKEN, trust=trust, timeout_seconds=10, pause=pauses.append) as found:
        yield found


def unavailable() -> ConnectError:
    return ConnectError(Code.UNAVAILABLE, "statemgr is not running")


def test_a_call_is_answered(client: Client, bmc: Bmc) -> None:
    host = client.ask(HostService.GetHost, GetHostRequest(name="host.0")).host
    assert host is not None
    assert (host.name, host.state) == ("host.0", HostState.OFF)
    assert "idempotency-key" not in bmc.seen[0].headers
    assert bmc.timeouts_ms[0] is not None
    assert 9_000 < bmc.timeouts_ms[0] <= 10_000


def test_errors_come_back_as_ours(client: Client, bmc: Bmc) -> None:
    with pytest.raises(NotFound, match=r'there is no host "host\.9"'):
        client.ask(HostService.GetHost, GetHostRequest(name="host.9"))
    bmc.failures.append(ConnectError(Code.FAILED_PRECONDITION, "host.0 is on"))
    with pytest.raises(Refused, match=r"host\.0 is on"):
        client.ask(HostService.ChangeHostPower, FORCE_OFF)
    assert len(bmc.seen) == 2  # no error but `unavailable` is tried again


def test_violations_come_back(client: Client) -> None:
    with pytest.raises(Invalid) as caught:
        client.ask(UserService.CreateUser, CreateUserRequest(user=User(name="a"), password="short"))
    assert caught.value.violations == (Violation("newPassword", "string.min_len", "must be at least 8 characters"),)


def test_a_wrong_token_is_told(client: Client) -> None:
    client.token = "another"
    with pytest.raises(Unauthenticated):
        client.ask(HostService.GetHost, GetHostRequest(name="host.0"))


def test_a_write_is_tried_again_once_with_the_same_key(client: Client, bmc: Bmc, pauses: list[float]) -> None:
    bmc.failures.append(unavailable())
    client.ask(HostService.ChangeHostPower, FORCE_OFF)
    assert bmc.actions == [HostPowerAction.FORCE_OFF]
    first, second = (seen.headers["idempotency-key"] for seen in bmc.seen)
    assert first == second
    assert len(pauses) == 1
    client.ask(HostService.ChangeHostPower, FORCE_OFF)
    assert bmc.seen[2].headers["idempotency-key"] != first
    client.ask(HostService.ChangeHostPower, FORCE_OFF, key="mine")
    assert bmc.seen[3].headers["idempotency-key"] == "mine"


def test_it_is_not_tried_a_third_time(client: Client, bmc: Bmc) -> None:
    bmc.failures.extend([unavailable(), unavailable(), unavailable()])
    with pytest.raises(Unavailable, match="statemgr is not running"):
        client.ask(HostService.GetHost, GetHostRequest(name="host.0"))
    assert len(bmc.seen) == 2


def test_a_slow_answer_is_timed_out_and_not_tried_again(client: Client, bmc: Bmc) -> None:
    bmc.slow_seconds = 5
    with pytest.raises(TimedOut):
        client.ask(HostService.ChangeHostPower, FORCE_OFF, timeout_seconds=0.2)
    assert len(bmc.seen) == 1
    assert bmc.actions == []


def test_a_kept_connection_that_the_server_closed_is_made_again(bmc: Bmc, certificate: Certificate) -> None:
    with Server(bmc, certificate) as first:
        port = first.port
        client = Client(first.url, token=TOKEN, trust=Pinned.parse(certificate.fingerprint), timeout_seconds=10)
        with client:
            client.ask(HostService.GetHost, GetHostRequest(name="host.0"))
            first.stop()
            with Server(bmc, certificate, port=port):
                assert client.ask(HostService.GetHost, GetHostRequest(name="host.0")).host


def test_a_stream_is_followed_to_its_end(client: Client, bmc: Bmc) -> None:
    updates = list(client.watch(HostService.WatchHosts, WatchHostsRequest()))
    assert [update.cursor for update in updates] == ["1", "2", "3", "4", "5", "6"]
    assert bmc.timeouts_ms == [None]


def test_a_broken_stream_goes_on_behind_the_last_cursor(client: Client, bmc: Bmc, pauses: list[float]) -> None:
    bmc.cuts.extend([2, 3])
    updates = list(client.watch(HostService.WatchHosts, WatchHostsRequest()))
    assert [update.cursor for update in updates] == ["1", "2", "3", "4", "5", "6"]
    assert bmc.cursors == ["", "2", "5"]
    assert len(pauses) == 2


def test_a_stream_that_ends_as_unavailable_is_resumed_too(client: Client, bmc: Bmc) -> None:
    stream = client.watch(HostService.WatchHosts, WatchHostsRequest())
    with closing(stream):
        bmc.cuts.append(1)
        assert next(stream).cursor == "1"
        bmc.failures.extend([unavailable(), unavailable()])
        assert [update.cursor for update in stream] == ["2", "3", "4", "5", "6"]


def test_waits_grow_and_patience_ends(client: Client, bmc: Bmc, pauses: list[float]) -> None:
    bmc.cuts.append(1)
    stream = client.watch(HostService.WatchHosts, WatchHostsRequest(), patience_seconds=3)
    with closing(stream):
        next(stream)
        bmc.failures.extend(unavailable() for _ in range(50))
        with pytest.raises(Unavailable):
            next(stream)
    assert 3 <= len(pauses) <= 6
    assert all(wait <= 5 for wait in pauses)
    assert pauses[-1] > pauses[0]


def test_a_stream_that_never_began_is_not_tried_for_long(client: Client, bmc: Bmc, pauses: list[float]) -> None:
    bmc.failures.extend([unavailable(), unavailable()])
    with pytest.raises(Unavailable):
        next(client.watch(HostService.WatchHosts, WatchHostsRequest()))
    assert pauses == []


def test_a_session_that_ended_ends_the_watch(client: Client, bmc: Bmc) -> None:
    bmc.cuts.append(1)
    stream = client.watch(HostService.WatchHosts, WatchHostsRequest())
    with closing(stream):
        next(stream)
        client.token = "revoked"
        with pytest.raises(Unauthenticated):
            next(stream)


def test_a_watch_has_a_deadline(client: Client, bmc: Bmc) -> None:
    bmc.slow_seconds = 30
    began = time.monotonic()
    with pytest.raises(TimedOut):
        next(client.watch(HostService.WatchHosts, WatchHostsRequest(), deadline_seconds=0.2))
    assert time.monotonic() - began < 5
    assert bmc.timeouts_ms[0] is not None


def test_a_server_that_says_nothing_is_timed_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with (
            Client(url, trust=Pinned(bytes(32)), timeout_seconds=0.2, pause=lambda _: None) as client,
            pytest.raises(Unavailable),
        ):
            client.ask(HostService.GetHost, GetHostRequest(name="host.0"))
