from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from h2.errors import ErrorCodes

from ubmc.services.websrv.http import Limits, Receive, Scope, Send
from ubmc.services.websrv.http.testing import Http2Client, serving

QUICK = Limits(
    header_seconds=0.3, body_seconds=0.3, idle_seconds=0.5, write_seconds=0.4, linger_seconds=0.2,
    body_bytes=10_000, body_min_rate=1_000_000,
)  # fmt: skip
SMALL = Limits(body_bytes=10_000, linger_seconds=0.3, h2_streams=32)
CALM = int(ErrorCodes.ENHANCE_YOUR_CALM)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        size, more = size + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % size})


class Held:
    """Does not answer until told; counts how many requests it was given at a time."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.running = 0
        self.most = 0
        self.begun = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go.wait()
            await app(scope, receive, send)
        finally:
            self.running -= 1


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """A frame of RFC 9113 section 4.1."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


async def settings_flood(client: Http2Client) -> None:
    await client.send_raw(frame(0x4) * 10_000)


async def ping_flood(client: Http2Client) -> None:
    await client.send_raw(frame(0x6, payload=b"12345678") * 10_000)


async def empty_data_flood(client: Http2Client) -> None:
    stream = client.request("/", method="POST", end=False)
    await client.flush()
    await client.send_raw(frame(0x0, 0, stream) * 10_000)


async def priority_flood(client: Http2Client) -> None:
    await client.send_raw(frame(0x2, 0, 1, struct.pack(">IB", 0, 1)) * 30_000)


async def window_flood(client: Http2Client) -> None:
    await client.send_raw(frame(0x8, 0, 0, b"\0\0\0\1") * 30_000)


async def continuation_flood(client: Http2Client) -> None:
    await client.send_raw(frame(0x1, 0, 1, b"\0" * 100) + frame(0x9, 0, 1, b"\0" * 1000) * 10_000)


async def empty_continuation_flood(client: Http2Client) -> None:
    await client.send_raw(frame(0x1, 0, 1, b"") + frame(0x9, 0, 1) * 10_000)


async def giant_frame(client: Http2Client) -> None:
    await client.send_raw(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"x" * 100_000)


FLOODS = {
    "h2_settings": settings_flood,
    "h2_pings": ping_flood,
    "h2_empty_frames": empty_data_flood,
    "h2_control_frames": priority_flood,
    "h2_control_frames ": window_flood,
    "header_bytes": continuation_flood,
    "h2_empty_frames ": empty_continuation_flood,
    "h2_frame_bytes": giant_frame,
}


@pytest.mark.parametrize("limit", FLOODS)
async def test_a_flood_ends_the_connection(tmp_path: Path, limit: str) -> None:
    flood: Callable[[Http2Client], Awaitable[None]] = FLOODS[limit]
    async with serving(app, tmp_path, SMALL) as door, Http2Client.to(door.port) as client:
        await flood(client)
        await client.hear(lambda: client.goaway is not None)
        assert client.goaway == CALM
        assert door.listener.counts.limited == {limit.strip(): 1}
        await client.hear(lambda: False)
        assert client.closed


async def test_rapid_reset_ends_the_connection_and_does_not_multiply_work(tmp_path: Path) -> None:
    held = Held()
    async with serving(held, tmp_path, SMALL) as door, Http2Client.to(door.port) as client:
        for _ in range(300):
            stream = client.request("/")
            client.h2.reset_stream(stream, ErrorCodes.CANCEL)
        await client.flush()
        await client.hear(lambda: client.goaway is not None)
        assert client.goaway == CALM
        assert door.listener.counts.limited["h2_resets"] == 1
        assert held.most <= SMALL.h2_streams
        held.go.set()


async def test_resets_within_the_budget_still_share_the_stream_limit(tmp_path: Path) -> None:
    held = Held()
    async with serving(held, tmp_path, SMALL) as door, Http2Client.to(door.port) as client:
        for _ in range(90):
            stream = client.request("/")
            client.h2.reset_stream(stream, ErrorCodes.CANCEL)
        last = client.request("/")
        await client.flush()
        assert (await client.answer(last)).reset == int(ErrorCodes.REFUSED_STREAM)
        assert held.begun == SMALL.h2_streams
        held.go.set()
        assert door.listener.counts.limited["h2_streams"] >= 1


async def test_a_browser_may_have_a_hundred_streams_open(tmp_path: Path) -> None:
    held = Held()
    async with serving(held, tmp_path) as door, Http2Client.to(door.port) as client:
        streams = [client.request("/") for _ in range(100)]
        await client.flush()
        await client.hear(lambda: held.begun == 100)
        held.go.set()
        for stream in streams:
            assert (await client.answer(stream)).status == 200
        assert not door.listener.counts.limited


async def test_streams_over_the_limit_are_refused_one_by_one(tmp_path: Path) -> None:
    held = Held()
    async with serving(held, tmp_path, SMALL) as door, Http2Client.to(door.port) as client:
        streams = [client.request("/") for _ in range(40)]
        await client.flush()
        await client.hear(lambda: sum(answer.reset is not None for answer in client.answers.values()) == 8)
        held.go.set()
        for stream in streams[:32]:
            assert (await client.answer(stream)).status == 200
        assert {client.answers[stream].reset for stream in streams[32:]} == {int(ErrorCodes.REFUSED_STREAM)}
        assert door.listener.counts.limited["h2_streams"] == 8
        assert client.goaway is None


async def test_refused_streams_have_a_budget_too(tmp_path: Path) -> None:
    held = Held()
    async with serving(held, tmp_path, SMALL) as door, Http2Client.to(door.port) as client:
        counts = door.listener.counts
        # the client does not read, so that it does not learn of the limit and keeps to it
        for batch in range(1, 5):
            for _ in range(32):
                client.request("/")
            await client.flush()
            async with asyncio.timeout(30):
                while counts.limited["h2_streams"] < 32 * (batch - 1) or held.begun < 32:
                    await asyncio.sleep(0.01)
            assert counts.limited["h2_resets"] == 0
        for _ in range(32):
            client.request("/")
        await client.flush()
        await client.hear(lambda: client.goaway is not None)
        assert client.goaway == CALM
        assert counts.limited["h2_resets"] == 1
        assert held.begun == SMALL.h2_streams
        held.go.set()


async def test_large_headers_are_answered_431(tmp_path: Path) -> None:
    many = [(f"x-{number}", "y") for number in range(65)]
    # short on the wire and long when decoded, by HPACK's table: too long for a request, short enough to answer
    large = [("a", "b" * 3000)] * 3
    async with serving(app, tmp_path) as door, Http2Client.to(door.port) as client:
        for headers in (many, large):
            stream = client.request("/", headers=headers)
            await client.flush()
            assert (await client.answer(stream)).status == 431
        good = client.request("/")
        await client.flush()
        assert (await client.answer(good)).status == 200
        assert door.listener.counts.limited == {"header_count": 1, "header_bytes": 1}


async def test_an_hpack_bomb_ends_the_connection(tmp_path: Path) -> None:
    async with serving(app, tmp_path, SMALL) as door, Http2Client.to(door.port) as client:
        client.request("/", headers=[("a", "b" * 3000)] * 50)
        await client.flush()
        await client.hear(lambda: client.goaway is not None)
        assert client.goaway == CALM
        assert door.listener.counts.requests.total() == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("content-length", "10001")], 413),
        ([("content-length", "1"), ("content-length", "1")], 400),
    ],
)
async def test_a_bad_head_is_answered_without_the_application(
    tmp_path: Path, headers: list[tuple[str, str]], status: int
) -> None:
    held = Held()
    async with serving(held, tmp_path, SMALL) as door, Http2Client.to(door.port) as client:
        client.h2.config.validate_outbound_headers = False
        stream = client.request("/", method="POST", headers=headers, end=False)
        await client.flush()
        assert (await client.answer(stream)).status == status
        assert held.begun == 0


@pytest.mark.parametrize(
    "headers",
    [
        [("content-length", "4"), ("transfer-encoding", "chunked")],
        [("transfer-encoding", "chunked")],
        [("host", "localhost"), ("host", "localhost")],
    ],
)
async def test_two_framings_or_hosts_end_the_connection(tmp_path: Path, headers: list[tuple[str, str]]) -> None:
    held = Held()
    async with serving(held, tmp_path, SMALL) as door, Http2Client.to(door.port) as client:
        client.h2.config.validate_outbound_headers = client.h2.config.normalize_outbound_headers = False
        client.request("/", method="POST", headers=headers, end=False)
        await client.flush()
        await client.hear(lambda: client.goaway is not None)
        assert client.goaway == int(ErrorCodes.PROTOCOL_ERROR)
        assert held.begun == 0


async def test_a_body_over_the_limit_is_answered_413_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with serving(app, tmp_path, SMALL) as door, Http2Client.to(door.port) as client:
        stream = client.request("/", method="POST", end=False)
        client.h2.send_data(stream, b"x" * 10_000)
        client.h2.send_data(stream, b"x")
        await client.flush()
        answer = await client.answer(stream)
        assert answer.status == 413
        good = client.request("/", method="POST", end=False)
        client.h2.send_data(good, b"x" * 10_000, end_stream=True)
        await client.flush()
        assert (await client.answer(good)).body == b"10000"


async def test_unread_bodies_do_not_use_up_the_connection(tmp_path: Path) -> None:
    async def rude(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    limits = Limits(h2_window_bytes=65_535)
    async with serving(rude, tmp_path, limits) as door, Http2Client.to(door.port) as client:
        for _ in range(40):  # 40 x 16 KiB is five times the connection's window
            stream = client.request("/", method="POST", end=False)
            client.h2.send_data(stream, b"x" * 16_384)
            await client.flush()
            assert (await client.answer(stream)).status == 401


async def test_a_slow_body_is_answered_408(tmp_path: Path) -> None:
    async with serving(app, tmp_path, QUICK) as door, Http2Client.to(door.port) as client:
        stream = client.request("/", method="POST", end=False)
        client.h2.send_data(stream, b"x")
        await client.flush()
        assert (await client.answer(stream)).status == 408
        assert door.listener.counts.limited["body_seconds"] == 1


@pytest.mark.parametrize("sent", [frame(0x1, 0, 3, b"\x82"), frame(0x1, 0x5, 3, b"\x82" * 9)[:12], b"\0\0"])
async def test_an_unfinished_head_is_cut_off(tmp_path: Path, sent: bytes) -> None:
    limits = Limits(header_seconds=0.3, linger_seconds=0.2)
    async with serving(app, tmp_path, limits) as door, Http2Client.to(door.port) as client:
        stream = client.request("/")  # so that the exchange of settings is over
        await client.flush()
        await client.answer(stream)
        await client.send_raw(sent)
        await client.hear(lambda: False)
        assert client.closed
        assert door.listener.counts.limited == {"header_seconds": 1}


async def test_an_idle_connection_is_told_and_closed(tmp_path: Path) -> None:
    async with serving(app, tmp_path, QUICK) as door, Http2Client.to(door.port) as client:
        stream = client.request("/")
        await client.flush()
        assert (await client.answer(stream)).status == 200
        await client.hear(lambda: False)
        assert client.goaway == 0
        assert door.listener.counts.limited == {"idle_seconds": 1}


async def test_a_client_that_never_opens_its_window_loses_its_stream(tmp_path: Path) -> None:
    limits = Limits(write_seconds=0.3, linger_seconds=0.2)
    async with serving(app, tmp_path, limits) as door, Http2Client.to(door.port, window_bytes=0) as client:
        stream = client.request("/")
        await client.flush()
        answer = await client.answer(stream)
        assert answer.status == 200
        assert answer.reset == int(ErrorCodes.CANCEL)
        assert door.listener.counts.limited["write_seconds"] == 1


@pytest.mark.parametrize("sent", [frame(0x0, 0, 1, b"x"), frame(0x8, 0, 0, b"\0\0\0\0"), frame(0x1, 0x5, 2, b"\x82")])
async def test_a_broken_rule_ends_the_connection(tmp_path: Path, sent: bytes) -> None:
    async with serving(app, tmp_path, SMALL) as door, Http2Client.to(door.port) as client:
        await client.send_raw(sent)
        await client.hear(lambda: client.goaway is not None)
        assert client.goaway not in {None, 0}
        assert door.listener.counts.limited["malformed"] == 1


async def test_not_http2_at_all(tmp_path: Path) -> None:
    from ubmc.services.websrv.http.testing import HOST, client_context

    async with serving(app, tmp_path, SMALL) as door:
        reader, writer = await asyncio.open_connection(HOST, door.port, ssl=client_context("h2"))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(30):
            await reader.read()
        assert door.listener.counts.limited["malformed"] == 1
        writer.close()
        await writer.wait_closed()


async def test_mangled_frames_cost_one_connection_each(tmp_path: Path) -> None:
    """Seeded, so that a failure comes back; `serving` fails if anything reaches the loop unhandled."""
    dice = random.Random(21)
    head = bytes.fromhex("828684418aa0e41d139d09b8f3cf")  # GET https / with an :authority, of RFC 7541
    good = frame(0x1, 0x4, 3, head) + frame(0x0, 0x1, 3, b"hello") + frame(0x6, 0, 0, b"12345678") + frame(0x4)
    async with serving(app, tmp_path, SMALL) as door:
        for _ in range(60):
            data = bytearray(good)
            for _ in range(dice.randint(1, 6)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            async with Http2Client.to(door.port) as client:
                await client.send_raw(bytes(data))
                client.writer.close()  # and not an abort, which would take the bytes along
                with contextlib.suppress(OSError):
                    await client.writer.wait_closed()
        async with Http2Client.to(door.port) as client:
            stream = client.request("/")
            await client.flush()
            assert (await client.answer(stream)).status == 200
