"""Clients that are not ours: the generated Connect client over its own HTTP stack, and gRPC-Web frames by hand."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import httpx
import pyqwest
import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.protocol import ProtocolType
from tests.harness.program import Program

from ubmc.v1alpha1.host_connect import HostServiceClient
from ubmc.v1alpha1.host_pb import (
    ChangeHostPowerRequest,
    GetHostRequest,
    GetHostResponse,
    HostPowerAction,
    HostState,
    WatchHostsRequest,
)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("connect") / "state") as made:
        made.login()
        yield made


def client_of(program: Program, protocol: ProtocolType) -> HostServiceClient:
    transport = pyqwest.HTTPTransport(tls_ca_cert=(program.state / "tls" / "server.pem").read_bytes())
    url = program.url.replace("127.0.0.1", "localhost")
    return HostServiceClient(url, http_client=pyqwest.Client(transport), protocol=protocol)


@pytest.mark.parametrize("protocol", list(ProtocolType))
async def test_generated_client_asks_refuses_and_watches(program: Program, protocol: ProtocolType) -> None:
    client = client_of(program, protocol)
    bearer = {"authorization": f"Bearer {program.token}"}
    answer = await client.get_host(GetHostRequest(name="host.0"), headers=bearer)
    assert answer.host is not None
    assert answer.host.name == "host.0"
    with pytest.raises(ConnectError) as caught:
        await client.get_host(GetHostRequest(name="host.0"))
    assert caught.value.code is Code.UNAUTHENTICATED
    with pytest.raises(ConnectError) as caught:
        await client.get_host(GetHostRequest(name="host.9"), headers=bearer)
    assert caught.value.code is Code.NOT_FOUND
    with pytest.raises(ConnectError) as caught:
        await client.change_host_power(ChangeHostPowerRequest(name="host.0"), headers=bearer)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.details
    off = ChangeHostPowerRequest(name="host.0", action=HostPowerAction.FORCE_OFF)
    await client.change_host_power(off, headers=bearer)
    program.wait_state("OFF")
    on = ChangeHostPowerRequest(name="host.0", action=HostPowerAction.ON)
    changed = await client.change_host_power(on, headers=bearer)
    assert changed.host is not None
    async for update in client.watch_hosts(WatchHostsRequest(), headers=bearer):
        assert update.host is not None
        if update.host.state is HostState.ON:
            break
    program.wait_state("ON")


def test_grpc_web(program: Program) -> None:
    request = GetHostRequest(name="host.0").to_binary()
    frame = struct.pack(">BI", 0, len(request)) + request
    headers = {"authorization": f"Bearer {program.token}", "content-type": "application/grpc-web+proto"}
    with program.client(headers=headers) as client:
        answer = client.post("/ubmc.v1alpha1.HostService/GetHost", content=frame)
    assert answer.status_code == 200
    flags, size = struct.unpack(">BI", answer.content[:5])
    assert flags == 0
    host = GetHostResponse.from_binary(answer.content[5 : 5 + size]).host
    assert host is not None
    assert host.name == "host.0"
    trailer_flags, trailer_size = struct.unpack(">BI", answer.content[5 + size : 10 + size])
    assert trailer_flags == 0x80
    assert b"grpc-status: 0" in answer.content[10 + size : 10 + size + trailer_size]


def test_connect_json_with_curls_eyes(program: Program) -> None:
    headers = {"authorization": f"Bearer {program.token}", "content-type": "application/json"}
    with program.client(headers=headers) as client:
        good = client.post("/ubmc.v1alpha1.HostService/GetHost", content=b'{"name":"host.0"}')
        assert good.json()["host"]["name"] == "host.0"
        for body, status in ((b"{", 400), (b'{"name":7}', 400), (b"x" * 200_000, 413)):
            bad: httpx.Response = client.post("/ubmc.v1alpha1.HostService/GetHost", content=body)
            assert bad.status_code == status, bad.text
            assert "Traceback" not in bad.text
        late = client.post(
            "/ubmc.v1alpha1.HostService/GetHost", content=b'{"name":"host.0"}', headers={"connect-timeout-ms": "x"}
        )
        assert late.status_code == 400
        internal = client.post("/ubmc.v1alpha1.PowerService/DriveHost", content=b'{"name":"host.0"}')
        assert internal.status_code == 404
