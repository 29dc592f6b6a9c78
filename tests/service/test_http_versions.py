from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ubmc.services.websrv.http import Limits, Receive, Scope, Send, TooLarge, read_body
from ubmc.services.websrv.http.testing import HOST, Door, Http2Client, client_context, self_signed, serving

BIG = 5 << 20


async def facts(request: Request) -> Response:
    scope = request.scope
    return JSONResponse(
        {
            "version": scope["http_version"],
            "scheme": scope["scheme"],
            "client": scope["client"][0],
            "path": scope["path"],
            "query": scope["query_string"].decode(),
            "hosts": [value.decode() for name, value in scope["headers"] if name == b"host"],
            "tls": scope["extensions"]["tls"]["tls_version"],
            "certificates": len(scope["extensions"]["tls"]["client_cert_chain"]),
            "trailers": "http.response.trailers" in scope["extensions"],
        }
    )


async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


async def fail(request: Request) -> Response:
    raise ValueError(f"a secret at {request.url.path}")


async def letters(request: Request) -> Response:
    def pieces() -> Iterator[bytes]:
        for letter in b"abc":
            yield bytes([letter]) * 1000

    return StreamingResponse(pieces())


APP = Starlette(
    routes=[
        Route("/echo", echo, methods=["POST"]),
        Route("/fail", fail),
        Route("/letters", letters),
        Route("/{rest:path}", facts),
    ]
)


async def curl(*arguments: str, stdin: bytes = b"") -> tuple[str, bytes]:
    """Head and body as curl saw them."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    process = await asyncio.create_subprocess_exec(
        "curl", "-sk", "-D", "/dev/stderr", "--max-time", "20", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    body, head = await process.communicate(stdin)
    assert process.returncode == 0, head
    return head.decode().lower(), body


async def raw(door: Door, request: bytes) -> bytes:
    """Everything the server says to `request` until it closes."""
    reader, writer = await asyncio.open_connection(HOST, door.port, ssl=client_context("http/1.1"))
    writer.write(request)
    try:
        async with asyncio.timeout(30):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(("option", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
async def test_curl_gets_an_answer_without_a_name_or_a_date(tmp_path: Path, option: str, version: str) -> None:
    async with serving(APP, tmp_path) as door:
        head, body = await curl(option, f"{door.url}/a%20b?x=1")
        seen = httpx.Response(200, content=body).json()
        assert seen == {
            "version": version, "scheme": "https", "client": HOST, "path": "/a b", "query": "x=1",
            "hosts": [f"{HOST}:{door.port}"], "tls": 0x0304, "certificates": 0, "trailers": version == "2",
        }  # fmt: skip
        assert head.startswith(f"http/{version} 200")
        assert "server:" not in head
        assert "date:" not in head
        assert door.listener.counts.requests == {version: 1}


@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
async def test_curl_uploads_five_megabytes(tmp_path: Path, option: str) -> None:
    data = bytes(range(256)) * (BIG // 256)
    async with serving(APP, tmp_path, Limits(body_bytes=BIG)) as door:
        head, body = await curl(option, "--data-binary", "@-", f"{door.url}/echo", stdin=data)
        assert " 200" in head
        assert body == data


async def test_h2_upload_passes_the_default_window(tmp_path: Path) -> None:
    async with serving(APP, tmp_path, Limits(body_bytes=BIG)) as door, Http2Client.to(door.port) as client:
        stream = client.request("/echo", method="POST", end=False)
        await client.upload(stream, b"u" * BIG)
        answer = await client.answer(stream, seconds=20)
        assert (answer.status, len(answer.body)) == (200, BIG)


async def test_keep_alive_uses_one_connection(tmp_path: Path) -> None:
    async with serving(APP, tmp_path) as door, httpx.AsyncClient(verify=client_context("http/1.1")) as client:
        for number in range(5):
            answer = await client.get(f"{door.url}/{number}")
            assert answer.json()["path"] == f"/{number}"
        assert door.listener.counts.accepted == 1
        assert door.listener.counts.requests == {"1.1": 5}


async def test_h1_reads_a_chunked_body(tmp_path: Path) -> None:
    async def body() -> Any:
        for piece in (b"one ", b"two ", b"three"):
            yield piece

    async with serving(APP, tmp_path) as door, httpx.AsyncClient(verify=client_context("http/1.1")) as client:
        answer = await client.post(f"{door.url}/echo", content=body())
        assert answer.content == b"one two three"


async def test_h2_answers_many_streams_on_one_connection(tmp_path: Path) -> None:
    async with serving(APP, tmp_path) as door, Http2Client.to(door.port) as client:
        streams = [client.request(f"/{number}") for number in range(30)]
        await client.flush()
        for number, stream in enumerate(streams):
            answer = await client.answer(stream)
            assert answer.status == 200
            assert f'"path":"/{number}"'.encode() in answer.body
        assert door.listener.counts.accepted == 1


async def test_streamed_answers_arrive_whole(tmp_path: Path) -> None:
    whole = b"a" * 1000 + b"b" * 1000 + b"c" * 1000
    async with serving(APP, tmp_path) as door:
        for option in ("--http1.1", "--http2"):
            _, body = await curl(option, f"{door.url}/letters")
            assert body == whole


async def test_head_has_no_body(tmp_path: Path) -> None:
    async with serving(APP, tmp_path) as door:
        for option in ("--http1.1", "--http2"):
            head, body = await curl(option, "--head", f"{door.url}/x")
            assert "content-length:" in head
            assert b"{" not in body.partition(b"\r\n\r\n")[2]


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    one = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with serving(APP, tmp_path) as door:
        said = await raw(door, one % 0 + one % 1 + last)
        places = [said.find(b'"path":"/%d"' % number) for number in range(3)]
        assert min(places) > 0
        assert places == sorted(places)


async def test_http_1_0_is_answered_and_closed(tmp_path: Path) -> None:
    async with serving(APP, tmp_path) as door:
        assert b"200 OK" in await raw(door, b"GET / HTTP/1.0\r\n\r\n")


async def test_expect_continue(tmp_path: Path) -> None:
    async with serving(APP, tmp_path) as door:
        head, body = await curl("--http1.1", "-H", "Expect: 100-continue", "-d", "hello", f"{door.url}/echo")
        assert "100 continue" in head
        assert body == b"hello"


async def test_head_and_body_leave_in_one_tls_record(tmp_path: Path) -> None:
    def ask(port: int) -> bytes:
        import socket  # a blocking client, whose recv returns one record at most

        context = client_context("http/1.1")
        with socket.create_connection((HOST, port)) as plain, context.wrap_socket(plain) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return tls.recv(65536)

    async with serving(APP, tmp_path) as door:
        record = await asyncio.to_thread(ask, door.port)
        assert record.startswith(b"HTTP/1.1 200")
        assert record.endswith(b"}")


@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
async def test_a_failing_application_says_nothing_of_itself(
    tmp_path: Path, option: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(APP, tmp_path) as door:
        head, body = await curl(option, f"{door.url}/fail")
        assert " 500" in head
        assert b"secret" not in body
    assert "a secret at /fail" in caplog.text


@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
async def test_an_application_without_an_answer_is_answered_for(tmp_path: Path, option: str) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    async with serving(silent, tmp_path) as door:
        head, _ = await curl(option, f"{door.url}/")
        assert " 500" in head


async def test_trailers_reach_an_h2_client(tmp_path: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"data", "more_body": False})
        await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"grpc-message", b"ok")]})

    async with serving(app, tmp_path) as door, Http2Client.to(door.port) as client:
        stream = client.request("/", method="POST", headers=[("te", "trailers")])
        await client.flush()
        answer = await client.answer(stream)
        assert bytes(answer.body) == b"data"
        assert answer.trailers == {b"grpc-status": b"0", b"grpc-message": b"ok"}
        assert answer.ended


async def test_old_tls_is_refused(tmp_path: Path) -> None:
    context = client_context("http/1.1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(APP, tmp_path) as door:
        with pytest.raises(OSError):
            await asyncio.open_connection(HOST, door.port, ssl=context)
        async with asyncio.timeout(30):
            while not door.listener.counts.refused["handshake"]:
                await asyncio.sleep(0.01)


async def test_a_client_certificate_is_in_the_scope(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path / "client", "operator")
    async with serving(APP, tmp_path) as door:
        door.context.load_verify_locations(cert)
        door.context.verify_mode = ssl.CERT_OPTIONAL
        context = client_context("http/1.1")
        context.load_cert_chain(cert, key)
        async with httpx.AsyncClient(verify=context) as client:
            assert (await client.get(f"{door.url}/")).json()["certificates"] == 1


@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
async def test_read_body_holds_the_applications_own_limit(tmp_path: Path, option: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            status, text = 200, b"%d" % len(await read_body(receive, 4096))
        except TooLarge as error:
            status, text = 413, error.message.encode()
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(text))]}
        )
        await send({"type": "http.response.body", "body": text})

    async with serving(app, tmp_path) as door:
        _, body = await curl(option, "--data-binary", "@-", door.url, stdin=b"x" * 4096)
        assert body == b"4096"
        head, body = await curl(option, "--data-binary", "@-", door.url, stdin=b"x" * 4097)
        assert " 413" in head
        assert b"4096 bytes" in body
