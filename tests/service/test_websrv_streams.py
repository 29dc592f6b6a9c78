"""The door, stream by stream: events that resume, ends and errors, sessions that end, clients that leave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import struct
from pathlib import Path

import pytest
from tests.service.websrv_house import HOST, Events, connect, structured, world

from ubmc.kit.errors import (
    Unavailable,
)
from ubmc.services.websrv import rest
from ubmc.services.websrv.service import DoorOptions, WebServer
from ubmc.v1alpha1.host_pb import (
    Host,
    WatchHostsResponse,
)

# --- streams ------------------------------------------------------------------------------------------------------


def update(number: int) -> WatchHostsResponse:
    return WatchHostsResponse(host=Host(name=f"host.{number}"), cursor=f"e:{number}")


async def test_a_stream_is_events_that_resume() -> None:
    async with world() as w:
        client = w.client("ReadOnly-of-olga")
        async with client.stream("GET", "/api/v1alpha1/hosts:watch") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert len(answer.headers["trace-id"]) == 32
            events = Events(answer)
            assert (await events.next())["id"] == "e:1"
            w.hosts.news.put_nowait(update(2))
            second = await events.next()
            assert second["id"] == "e:2"
            assert json.loads(second["data"])["host"]["name"] == "host.2"
        await w.until(lambda: not w.hosts.open)
        async with client.stream("GET", "/api/v1alpha1/hosts:watch", headers={"last-event-id": "e:2"}) as answer:
            await Events(answer).next()
        assert w.hosts.cursors == ["", "e:2"]


async def test_a_stream_ends_in_order_or_with_an_error_event() -> None:
    async with world() as w:
        client = w.client("ReadOnly-of-olga")
        for last in (None, Unavailable("the wires are away")):
            async with client.stream("GET", "/api/v1alpha1/hosts:watch") as answer:
                events = Events(answer)
                await events.next()
                w.hosts.news.put_nowait(last)
                if last is None:
                    with pytest.raises(StopAsyncIteration):
                        await events.next()
                    continue
                ended = await events.next()
                assert ended["event"] == "error"
                body = json.loads(ended["data"])
                assert body["code"] == "unavailable"
                assert body["message"] == "the wires are away"
                assert body["traceId"] == answer.headers["trace-id"]


async def test_a_stream_that_is_refused_is_an_ordinary_error() -> None:
    async with world() as w:
        client = w.client("ReadOnly-of-olga")
        structured(await client.get("/api/v1alpha1/hosts:watch?name=host.1"), 404, "not_found")
        structured(await client.get("/api/v1alpha1/hosts:watch?name=" + "x" * 40), 400, "invalid_argument")
        structured(await w.client("").get("/api/v1alpha1/hosts:watch"), 401, "unauthenticated")
        assert w.hosts.open == 0


async def test_a_silent_stream_begins_and_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "FIRST_HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(rest, "HEARTBEAT_SECONDS", 0.1)
    async with world() as w:
        client = w.client("ReadOnly-of-olga")
        async with client.stream("GET", "/api/v1alpha1/hosts:watch?name=host.2") as answer:
            assert answer.status_code == 200
            events = Events(answer)
            asyncio.get_running_loop().call_later(0.5, lambda: w.hosts.news.put_nowait(update(7)))
            assert (await events.next())["id"] == "e:7"
            assert events.comments >= 3
        await w.until(lambda: not w.hosts.open)


async def test_the_end_of_a_session_ends_its_streams_and_calls_at_once() -> None:
    async with world() as w:
        olga, other = w.client("Operator-of-olga"), w.client("Operator-of-other")
        async with (
            olga.stream("GET", "/api/v1alpha1/hosts:watch") as answer,
            other.stream("GET", "/api/v1alpha1/hosts:watch") as others,
        ):
            events, theirs = Events(answer), Events(others)
            await events.next()
            await theirs.next()
            assert (await w.client("Operator-of-olga").get(HOST)).status_code == 200
            await w.end_session("Operator-of-olga")
            ended = await events.next()
            assert json.loads(ended["data"])["code"] == "unauthenticated"
            structured(await w.client("Operator-of-olga").get(HOST), 401, "unauthenticated")
            w.hosts.news.put_nowait(update(5))
            w.hosts.news.put_nowait(update(5))
            assert (await theirs.next())["id"] == "e:5"
            assert (await w.client("Operator-of-other").get(HOST)).status_code == 200


async def test_a_session_whose_end_was_not_heard_of_is_found_by_looking() -> None:
    async with world() as w:
        w.users.keep_seconds = 0.0
        async with w.client("Operator-of-olga").stream("GET", "/api/v1alpha1/hosts:watch") as answer:
            events = Events(answer)
            await events.next()
            w.users.ended.add("Operator-of-olga")
            server = next(service for service in w.door.answerer._serving if isinstance(service, WebServer))
            assert server._forwarder is not None
            await server._forwarder.recheck_streams()
            assert json.loads((await events.next())["data"])["code"] == "unauthenticated"


async def test_streams_over_connect() -> None:
    async with world() as w:
        w.hosts.news.put_nowait(update(2))
        w.hosts.news.put_nowait(Unavailable("the wires are away"))
        answer = await w.client("ReadOnly-of-olga").post(
            connect("WatchHosts"),
            content=struct.pack(">BI", 0, 2) + b"{}",
            headers={"content-type": "application/connect+json"},
        )
        assert answer.status_code == 200
        assert len(answer.headers["trace-id"]) == 32
        frames, body = [], answer.content
        while body:
            flags, size = struct.unpack(">BI", body[:5])
            frames.append((flags, json.loads(body[5 : 5 + size])))
            body = body[5 + size :]
        assert [frame["cursor"] for flags, frame in frames if not flags] == ["e:1", "e:2"]
        assert frames[-1][0] == 2
        assert frames[-1][1]["error"]["code"] == "unavailable"


async def test_who_is_disconnected_leaves_nothing_behind() -> None:
    async with world() as w:
        client = w.client("ReadOnly-of-olga")
        for _ in range(5):
            async with client.stream("GET", "/api/v1alpha1/hosts:watch") as answer:
                await Events(answer).next()
        await w.until(lambda: not w.hosts.open)
        await w.until(lambda: len(w.door._reading) == 1)  # the one that securitymgr tells by
        asking = asyncio.create_task(client.get("/api/v1alpha1/hosts/host.9"))
        await asyncio.sleep(0.2)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert (await client.get(HOST)).status_code == 200


async def test_a_body_length_that_no_number_is() -> None:
    async with world() as w:
        port = int(w.url.rpartition(":")[2])
        for length in ("9" * 5000, "9" * 19, "-1", "1e3", "\u00b2", ""):
            context = ssl.create_default_context(cafile=str(w.certificate))
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            head = f"POST {HOST}:changePower HTTP/1.1\r\nhost: x\r\nauthorization: Bearer Operator-of-olga\r\n"
            writer.write((head + f"content-length: {length}\r\n\r\n").encode("latin-1"))
            async with asyncio.timeout(30):
                status = int((await reader.readline()).split()[1])
            assert 400 <= status < 500, length
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    async with world() as w:
        port = int(w.url.rpartition(":")[2])
        second = WebServer(w.made.schema, DoorOptions((("127.0.0.1", 0), ("127.0.0.1", port))), lambda *_: None)
        second.bus = w.door
        with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{port}"):
            await second.run(lambda: None)
        assert second._listeners == []
