"""Traces: the text form, the tree of spans, and what the OpenTelemetry SDK is given."""

from __future__ import annotations

import asyncio
import http.server
import os
import re
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.kit import tracing
from ubmc.kit.tracing import Trace, span

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # the example of W3C Trace Context


def test_the_example_of_the_standard() -> None:
    trace = Trace.parse(GOOD)
    assert trace == Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
    assert str(trace) == GOOD
    unsampled = Trace.parse(GOOD[:-2] + "00")
    assert unsampled is not None
    assert not unsampled.sampled
    assert str(unsampled.child()).endswith("-00")


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.upper(),
        GOOD + " ",
        GOOD + "-x",
        "01" + GOOD[2:],
        GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        GOOD.replace("00f067aa0ba902b7", "0" * 16),
        GOOD[:-1],
        GOOD + "\n",
    ],
)
def test_what_is_none(text: str) -> None:
    assert Trace.parse(text) is None


@given(st.text(max_size=80))
def test_anything_may_come(text: str) -> None:
    trace = Trace.parse(text)
    assert trace is None or str(trace)[:-2] == text[:-2]


def test_new_ones_differ_also_after_a_fork() -> None:
    assert len({Trace.new().trace_id for _ in range(1000)}) == 1000
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        tracing.after_fork()
        os.write(writer, Trace.new().trace_id.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    ours = Trace.new().trace_id
    assert os.read(reader, 64).decode() != ours
    os.close(reader)
    os.close(writer)


def test_spans_nest_and_end() -> None:
    assert tracing.current.get() is None
    with span("outer") as outer:
        assert tracing.current.get() == outer
        with span("inner") as inner:
            assert inner.trace_id == outer.trace_id
            assert inner.span_id != outer.span_id
        with span("elsewhere", Trace.parse(GOOD)) as other:
            assert other.trace_id != outer.trace_id
        assert tracing.current.get() == outer
        with pytest.raises(RuntimeError), span("broken"):
            raise RuntimeError
        assert tracing.current.get() == outer
    assert tracing.current.get() is None


async def test_tasks_have_their_own() -> None:
    async def work(name: str) -> tuple[str, str]:
        with span(name) as trace:
            await asyncio.sleep(0)
            seen = tracing.current.get()
            assert seen == trace
            return trace.trace_id, trace.span_id

    with span("all") as trace:
        results = await asyncio.gather(*(work(str(count)) for count in range(10)))
    assert {one for one, _ in results} == {trace.trace_id}
    assert len({two for _, two in results}) == 10


def test_without_a_collector_the_sdk_is_not_loaded() -> None:
    code = (
        "import sys; from ubmc.kit import tracing\nwith tracing.span('x'): pass\nprint('opentelemetry' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.strip() == "False"


def test_a_collector_gets_the_spans_of_one_trace() -> None:
    bodies: list[bytes] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.path.encode() + b"\n" + self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    exporter = tracing.Exporter()
    try:
        exporter.start(f"http://127.0.0.1:{server.server_port}/", "managers")
        with exporter.span("door", Trace.parse(GOOD), {"k": "v"}) as outer:
            assert outer.trace_id == GOOD[3:35]
            assert re.fullmatch("[0-9a-f]{16}", outer.span_id)
            assert tracing.current.get() == outer
            with exporter.span("bus", outer, {}) as inner:
                assert inner.trace_id == outer.trace_id
    finally:
        exporter.stop()
        server.shutdown()
        thread.join()
        server.server_close()
    data = b"".join(bodies)
    assert data.startswith(b"/v1/traces\n")
    for wanted in (b"door", b"bus", b"managers", bytes.fromhex(GOOD[3:35]), bytes.fromhex(inner.span_id)):
        assert wanted in data
