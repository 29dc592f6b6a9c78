"""Lines and controls of the simulated machine over its socket protocol, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ubmc.hw.gpio.port import How
from ubmc.hw.sim.control import Control
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.lines import SimLines
from ubmc.hw.sim.protocol import LONGEST_REQUEST_BYTES, decode_answer, socket_path
from ubmc.hw.sim.server import GREETING_SECONDS, MOST_LINKS, Server
from ubmc.hw.sim.wires import Change
from ubmc.kit.errors import Busy, Exhausted, Internal, Invalid, NotFound, Refused, Unavailable
from ubmc.kit.testing import run_virtual

BUTTON, GOOD = "power-button-0", "power-good-0"


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtual(test())

    run.__name__ = test.__name__
    return run


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[tuple[InProcessMachine, SimLines]]:
    machine = InProcessMachine()
    lines = SimLines(machine.dial)
    try:
        yield machine, lines
    finally:
        await lines.close()
        machine.close()


async def say(machine: InProcessMachine, data: bytes) -> list[dict[str, Any]]:
    """All answers to these bytes until the machine has nothing more to say."""
    heard = b""
    with await machine.dial() as sock:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, data)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while True:
                async with asyncio.timeout(1):
                    if not (more := await loop.sock_recv(sock, 65536)):
                        break
                    heard += more
    return [json.loads(line) for line in heard.splitlines()]


@virtual
async def test_a_line_belongs_to_whoever_has_a_duplicate_and_keeps_its_level() -> None:
    async with world() as (machine, lines):
        enable = await lines.output("psu-enable", momentary=False)
        assert machine.plant.read("psu-enable"), "a held line is not touched"
        release = enable.release()
        assert release.how is How.WRITE
        await enable.set(active=False)
        await enable.close()
        assert not machine.plant.read("psu-enable")
        with pytest.raises(Busy, match="psu-enable"):
            await lines.output("psu-enable", momentary=False)
        os.write(release.fd, b"1")
        await asyncio.sleep(0.1)
        assert machine.plant.read("psu-enable")
        os.close(release.fd)
        await asyncio.sleep(0.1)
        assert machine.plant.read("psu-enable"), "closing keeps the level"
        again = await lines.output("psu-enable", momentary=False)
        await again.set(active=False)
        assert not machine.plant.read("psu-enable")


@virtual
async def test_momentary_lines_are_inactive_at_open_and_after_close() -> None:
    async with world() as (machine, lines):
        machine.act(lambda plant: plant.drive(BUTTON, active=True))
        button = await lines.output(BUTTON)
        assert not machine.plant.read(BUTTON)
        await button.set(active=True)
        assert machine.plant.read(BUTTON)
        await button.close()
        assert not machine.plant.read(BUTTON)
        await button.close()
        with pytest.raises(Unavailable, match="closed"):
            button.release()


@virtual
async def test_what_another_holder_wrote_does_not_confuse_the_next_set() -> None:
    async with world() as (machine, lines):
        button = await lines.output(BUTTON)
        release = button.release()
        await button.set(active=True)
        for _ in range(100):
            release.drive_inactive()
        await button.set(active=True)
        assert machine.plant.read(BUTTON)
        release.drive_inactive()
        await button.set(active=False)
        assert not machine.plant.read(BUTTON)
        os.close(release.fd)


@virtual
async def test_inputs_tell_the_level_now_and_each_change() -> None:
    async with world() as (machine, lines):
        front = await lines.input("front-power-button")
        assert not await front.get()
        levels = front.watch()
        assert not await anext(levels)
        machine.act(lambda plant: plant.press("front-power-button", 0.2))
        assert await anext(levels)
        assert await front.get()
        before = asyncio.get_running_loop().time()
        assert not await anext(levels)
        assert asyncio.get_running_loop().time() - before == pytest.approx(0.2)
        machine.unplug()
        with pytest.raises(Unavailable):
            await anext(levels)
        with pytest.raises(Unavailable):
            await front.get()
        with pytest.raises(Unavailable):
            await lines.input("front-power-button")


@virtual
async def test_debounce_forgets_what_is_shorter() -> None:
    async with world() as (machine, lines):
        front = await lines.input("front-power-button", debounce_seconds=0.05)
        seen: dict[float, bool] = {}

        async def follow() -> None:
            with contextlib.suppress(Unavailable):
                async for level in front.watch():
                    seen[round(asyncio.get_running_loop().time(), 3)] = level

        task = asyncio.create_task(follow())
        for seconds in (0.04, 0.3):
            await asyncio.sleep(1)
            await Control(machine.dial).press("front-power-button", seconds)
        await asyncio.sleep(1)
        assert seen == {0.0: False, 2.05: True, 2.35: False}
        machine.unplug()
        await task


@virtual
async def test_active_low_is_turned_round_at_the_wire() -> None:
    async with world() as (machine, lines):
        await lines.output(BUTTON, active_low=True)
        assert machine.plant.read(BUTTON)
        good = await lines.input(GOOD, active_low=True)
        assert await good.get()


@virtual
async def test_refusals_of_lines() -> None:
    async with world() as (machine, lines):
        with pytest.raises(NotFound, match="nonsense"):
            await lines.output("nonsense")
        with pytest.raises(Invalid, match="request it as input"):
            await lines.output(GOOD)
        button = await lines.output(BUTTON)
        machine.unplug()
        await asyncio.sleep(0.1)
        with pytest.raises(Unavailable, match=BUTTON):
            await button.set(active=True)


@virtual
async def test_controls() -> None:
    async with world() as (machine, lines):
        control = Control(machine.dial)
        button = await lines.output(BUTTON)
        await button.set(active=True)
        await asyncio.sleep(0.2)
        await button.set(active=False)
        await asyncio.sleep(15)
        state = await control.state()
        assert state["hosts"]["host.0"]["stage"] == "up"
        assert state["time_seconds"] == pytest.approx(15.2)
        place, text = await control.console()
        assert (place, text[-7:]) == (0, "login: ")
        await control.set_fault("hang-off", on=True)
        assert (await control.state())["hosts"]["host.0"]["faults"] == ["hang-off"]
        with pytest.raises(NotFound, match="hang-hard"):
            await control.set_fault("nonsense", on=True)
        await control.choose_boot("cd")
        assert (await control.state())["hosts"]["host.0"]["boot_next"] == "cd"
        with pytest.raises(NotFound, match="firmware-setup"):
            await control.choose_boot("tape")
        await control.choose_boot(None)
        assert (await control.state())["hosts"]["host.0"]["boot_next"] is None
        await control.guest("panic")
        with pytest.raises(Refused, match="panicked"):
            await control.guest("shutdown")
        await control.set_mains(on=False)
        assert await control.mains_epoch() == "in-process:0!"
        await control.set_mains(on=True)
        assert await control.mains_epoch() == "in-process:1"
        await control.end()
        with pytest.raises(Unavailable):
            await control.state()
        assert await control.mains_epoch() is None


@virtual
async def test_watchers_see_the_state_and_then_changes_in_order() -> None:
    async with world() as (machine, _):
        control = Control(machine.dial)
        async with contextlib.aclosing(control.watch()) as news:
            first = await anext(news)
            assert isinstance(first, dict)
            assert first["lines"]["front-power-button"] is False
            await control.press("front-power-button", 0.5)
            found = [await anext(news), await anext(news)]
            assert found == [Change(0.0, "front-power-button", True), Change(0.5, "front-power-button", False)]
            machine.close()
            with pytest.raises(Unavailable):
                await anext(news)


@virtual
async def test_a_watcher_who_does_not_read_is_dropped_and_harms_nobody() -> None:
    async with world() as (machine, lines):
        with await machine.dial() as deaf:
            await asyncio.get_running_loop().sock_sendall(deaf, b'{"watch": true}\n')
            await asyncio.sleep(0.1)
            button = await lines.output(BUTTON)
            for _ in range(5000):
                await button.set(active=True)
                await button.set(active=False)
            got = 0
            with contextlib.suppress(BlockingIOError):
                while data := deaf.recv(1 << 20):
                    got += len(data)
                got = -got  # the end of the stream was reached
            assert got < 0
        assert (await Control(machine.dial).state())["lines"][BUTTON] is False


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\n",
        b"[1]\n",
        b"{}\n",
        b'{"control": 7}\n',
        b'{"line": 7, "direction": "input"}\n',
        b'{"line": "power-good-0"}\n',
        b'{"line": "power-good-0", "direction": "sideways"}\n',
        b'{"watch": 1}\n',
        b"[" * 4000 + b"\n",
        b"\xff\xfe\n",
        b"x" * (LONGEST_REQUEST_BYTES + 1),
        b'{"line": "power-button-0", "direction": "output"}\n2',
        b'{"line": "power-good-0", "direction": "input"}\n{"watch": true}\n',
        b'{"watch": true}\nmore\n',
    ],
)
def test_bad_beginnings_are_told_and_dropped(data: bytes) -> None:
    async def body() -> None:
        async with world() as (machine, _):
            with await machine.dial() as sock:
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(sock, data)
                heard = b""
                async with asyncio.timeout(1):
                    while more := await loop.sock_recv(sock, 65536):
                        heard += more
            last = heard.splitlines()[-1]
            answer = json.loads(last[last.index(b"{") :])
            assert answer["error"] in {"invalid", "exhausted", "not_found"}
            assert (await Control(machine.dial).state())["lines"][BUTTON] is False

    run_virtual(body())


@virtual
async def test_bad_controls_are_told_and_the_connection_goes_on() -> None:
    async with world() as (machine, _):
        bad = [
            {"do": "nonsense"},
            {},
            {"do": "fault", "name": "hang-on"},
            {"do": "fault", "name": "hang-on", "on": 1},
            {"do": "mains", "on": "yes"},
            {"do": "press", "button": "front-power-button", "seconds": "long"},
            {"do": "press", "button": "front-power-button", "seconds": -1},
            {"do": "press", "button": "front-power-button", "seconds": 1e308},
            {"do": "press", "button": 3},
            {"do": "guest", "what": None},
            {"do": "guest", "what": "reset"},
            {"do": "console", "from": -1},
            {"do": "console", "from": 1.5},
        ]
        requests = [{"control": {"do": "state"}}, *({"control": one} for one in bad), {"control": {"do": "state"}}]
        answers = await say(machine, b"".join(json.dumps(one).encode() + b"\n" for one in requests))
        assert len(answers) == len(requests)
        assert [one["error"] for one in answers[1:-1]] == [
            *["invalid"] * 8,
            "not_found",
            "not_found",
            "refused",
            "invalid",
            "invalid",
        ]
        assert answers[0]["ok"] is answers[-1]["ok"] is True
        assert answers[-1]["state"]["hosts"] == answers[0]["state"]["hosts"]


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_no_bytes_break_the_machine(data: bytes) -> None:
    async def body() -> None:
        async with world() as (machine, _):
            await say(machine, data)
            assert (await Control(machine.dial).state())["mains"] is True

    run_virtual(body())


@virtual
async def test_connections_are_capped() -> None:
    async with world() as (machine, lines):
        with contextlib.ExitStack() as stack:
            for _ in range(MOST_LINKS):
                stack.enter_context(await machine.dial())
            with pytest.raises(Exhausted, match=str(MOST_LINKS)):
                await lines.input(GOOD)
        await asyncio.sleep(0.1)
        await lines.input(GOOD)


@virtual
async def test_who_says_nothing_is_dropped() -> None:
    machine = InProcessMachine()
    server = Server(machine, asyncio.get_running_loop(), instance="x")
    pairs = [socket.socketpair() for _ in range(2)]
    for number, (_, theirs) in enumerate(pairs):
        server.adopt(theirs, float(number))
    assert server.expire(1.0) == GREETING_SECONDS
    assert server.expire(GREETING_SECONDS) == 1.0 + GREETING_SECONDS
    assert pairs[0][0].recv(1) == b""
    pairs[1][0].send(b'{"control": {"do": "state"}}\n')
    await asyncio.sleep(0.1)
    assert server.expire(1e9) is None
    server.close()
    for ours, _ in pairs:
        ours.close()
    machine.close()


def test_errors_cross_the_socket_by_name() -> None:
    with pytest.raises(Busy, match="why"):
        decode_answer(b'{"error": "busy", "message": "why"}')
    with pytest.raises(Internal, match="no reason"):
        decode_answer(b'{"error": "unheard-of"}')
    assert decode_answer(b'{"ok": true}') == {"ok": True}


def test_a_path_that_is_too_long_is_refused_with_its_length() -> None:
    assert socket_path(Path("/run/ubmc")) == Path("/run/ubmc/sim.sock")
    fits = Path("/" + "a" * (107 - len("//sim.sock")))
    assert len(str(socket_path(fits))) == 107
    with pytest.raises(Invalid, match="108 bytes and unix sockets allow 107"):
        socket_path(Path(str(fits) + "a"))
