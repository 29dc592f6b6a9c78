"""Mangled datagrams at the IPMI door: no crash, no more for strangers than the specification demands, flat memory."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import random
import struct
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.abuse.fuzzing import INPUTS, LONGEST_SECONDS, TURNS, Mangler
from tests.harness.ipmi import Keys, lan_message, open_request, plain, sessionless15
from tests.harness.ipmi_door import SECRET, Door

from ubmc.protocols.ipmi import rmcpplus, vm
from ubmc.protocols.ipmi.codes import SYSTEM_INTERFACE, Code, Level
from ubmc.services.ipmisrv import dispatch
from ubmc.services.ipmisrv.dispatch import Command, Context
from ubmc.services.ipmisrv.limits import Limits

MANY = 1e9
"""So many are let through, where the limits themselves are not what is tested."""
OPEN = Limits(
    outside_per_second=MANY,
    outside_burst=MANY,
    outside_in_all_per_second=MANY,
    outside_in_all_burst=MANY,
    forged_per_second=MANY,
    forged_burst=MANY,
)
FACTOR = 3
"""RAKP 2 has 88 bytes for the 45 of RAKP 1: no more than that is ever sent to a stranger."""
LONGEST_ANSWER = 400
"""To somebody who is logged in: a message has at most 255 bytes of data."""
GROWTH = 512 * 1024
PING = bytes.fromhex("0600ff06000011be80010000")
turns = pytest.mark.parametrize("turns", TURNS)


LATER = {0x13: 88, 0x15: 40}
"""What comes a moment later to strangers, by its payload type, and how many bytes at most: RAKP 2 and RAKP 4."""


async def works(door: Door, keys: Keys, sequence: int) -> None:
    """Whether a session is still served."""
    answer = await door.answer(keys.seal(0, lan_message(0x06, 0x3D, b"\x00", sequence % 64), sequence))
    _kind, _sequence, payload = keys.unseal(answer)
    assert payload[6] == 0


class Overheard:
    """What the door has sent to strangers some time after it was asked, and whether that is too much."""

    def __init__(self) -> None:
        self.asked: Counter[int] = Counter()
        self.told: Counter[int] = Counter()

    def fed(self, datagram: bytes) -> None:
        self.asked[datagram[5] & 0x3F if len(datagram) > 5 else -1] += 1

    def check(self, answers: list[bytes]) -> None:
        for answer in answers:
            kind = answer[5]
            assert kind in LATER, f"{answer!r} came unasked"
            assert len(answer) <= LATER[kind]
            self.told[kind] += 1
            assert self.told[kind] <= self.asked[kind - 1], "no more answers than questions"


def corpus(keys: Keys) -> list[bytes]:
    """Good datagrams of every kind."""
    half = Keys(17, b"nobody", SECRET)
    half.system_id, half.system_random = 0x01020304, bytes(16)
    return [
        PING,
        sessionless15(0x06, 0x38, b"\x8e\x04"),
        plain(0x00, lan_message(0x06, 0x54, b"\x0e\x00\x80", 1)),
        open_request(0x0A0B0C0D, 17),
        open_request(0x0A0B0C0D, 3, tag=9),
        half.rakp1(),
        half.rakp3(),
        keys.rakp1(),
        keys.rakp3(),
        keys.seal(0x00, lan_message(0x06, 0x3D, b"\x00", 3), 1000),
        keys.seal(0x01, bytes.fromhex("01000000") + b"typed", 1001),
    ]


async def flooded(door: Door, datagrams: Any, count: int, overheard: Overheard | None = None) -> tuple[int, int]:
    """Feed many; how many were answered, and by how much memory grew from the first tenth to the end.

    Args:
        door: where they are fed.
        datagrams: they come from there.
        count: so many.
        overheard: of strangers; None: they come from somebody who is logged in.
    """
    answered, slowest, worst, first = 0, 0.0, b"", 0
    tracemalloc.start()
    try:
        for turn in range(count):
            datagram = next(datagrams)
            began = time.thread_time()
            answers = door.feed(datagram)
            took = time.thread_time() - began
            if took > slowest:
                slowest, worst = took, datagram
            if answers:
                answered += 1
                most = FACTOR * len(datagram) if overheard is not None else LONGEST_ANSWER
                assert sum(map(len, answers)) <= most, f"{datagram!r} brought {answers!r}"
            if overheard is not None:
                overheard.fed(datagram)
            if turn % 500 == 0:
                await asyncio.sleep(0.011 if turn % 5000 == 0 else 0)
                later = door.wire.taken()
                if overheard is not None:
                    overheard.check(later)
                door.handshake.sweep(time.monotonic())
            if turn == count // 10:
                gc.collect()
                first = tracemalloc.get_traced_memory()[0]
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - first
    finally:
        tracemalloc.stop()
    assert slowest < LONGEST_SECONDS, f"{slowest:.2f} s for {worst!r}"
    return answered, grown


HALF = (b"olga", b"nobody", b"n" * 16)


def half_open(door: Door, mangler: Mangler, before: list[Keys]) -> Iterator[bytes]:
    """Begin to open a session, and go on with the one that was begun before: mangled, and as it should be."""
    for keys in before:
        yield mangler.mangle(keys.rakp3())
        yield keys.rakp3()
    keys = Keys(17, HALF[mangler.dice.randrange(len(HALF))], b"a wrong secret")
    keys.system_random = bytes(16)
    (answer,) = door.feed(open_request(keys.console_id, 17))
    (keys.system_id,) = struct.unpack_from("<I", answer, 16 + 8)
    yield mangler.mangle(keys.rakp1())
    yield keys.rakp1()
    before[:] = [keys]


@turns
async def test_mangled_datagrams_do_no_harm(turns: int) -> None:
    door = Door(OPEN)
    try:
        keys = await door.login()
        good = corpus(keys)
        mangler = Mangler(1)

        def mangled() -> Any:
            turn = 0
            before: list[Keys] = []
            while True:
                if turn % 100 == 0:
                    yield from half_open(door, mangler, before)
                yield mangler.mangle(good[turn % len(good)], good[int(mangler.dice.random() * len(good))])
                turn += 1

        count = INPUTS * turns
        overheard = Overheard()
        answered, grown = await flooded(door, mangled(), count, overheard)
        assert 0 < answered < count // 2
        assert overheard.told[0x13] > 10
        assert overheard.told[0x15] > 10
        assert grown < GROWTH, f"memory grew by {grown} bytes"
        assert len(door.handshake) <= OPEN.half_open
        assert len(door.sessions.active()) == 1
        await works(door, keys, 2000)
    finally:
        await door.close()


@turns
async def test_mangled_payloads_of_somebody_who_is_logged_in_do_no_harm(turns: int) -> None:
    """The codes are right and what is in the packets is not: commands, SOL, and payload types that nobody has."""
    door = Door(OPEN)
    try:
        keys = await door.login()
        dice = random.Random(2)
        mangler = Mangler(2)
        commands = [each for each in door.table if not inspect.iscoroutinefunction(each.handler)]
        assert len(commands) > 60

        def payload(number: int) -> tuple[int, bytes]:
            if number % 8 == 0:
                return 0x01, mangler.mangle(b"\x01\x00\x00\x10abc")[:900]
            command = commands[number % len(commands)]
            good = lan_message(command.netfn, command.number, request(command, dice), number % 64)
            return 0x00, mangler.mangle(good)[:900] if dice.random() < 0.2 else good

        def sealed() -> Any:
            for number in range(1, 2**31):
                kind, data = payload(number)
                if dice.random() < 0.05:
                    kind = dice.randrange(64)
                yield keys.seal(kind, data, number)

        count = INPUTS * turns // 4  # each is sealed and opened
        answered, grown = await flooded(door, sealed(), count)
        assert answered > count // 20
        assert grown < GROWTH, f"memory grew by {grown} bytes"
        await works(door, keys, 2**31 - 2)
    finally:
        await door.close()


def request(command: Command, dice: random.Random) -> bytes:
    """Data for a command: mostly of a length that it takes, of bytes that often mean something."""
    length = dice.randint(command.shortest, min(max(command.shortest, command.longest), command.shortest + 30))
    if dice.random() < 0.1:
        length = dice.randrange(0, 60)
    data = bytes(dice.choice((0, 1, 2, 3, 4, 5, 0x0E, 0x80, 0xFF, dice.randrange(256))) for _ in range(length))
    return data if command.group is None else bytes((command.group,)) + data


@turns
async def test_no_command_stumbles_over_what_it_is_asked(
    turns: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every command, also those that wait for others; what they ask fails, for nobody is there."""
    monkeypatch.setattr(dispatch, "COMMAND_SECONDS", 0.02)
    caplog.set_level(logging.ERROR)
    door = Door(OPEN, settings=tmp_path / "settings.json")
    try:
        dice, codes = random.Random(5), Counter[int]()
        commands = list(door.table)
        for turn in range(INPUTS * turns // 10):
            command = commands[turn % len(commands)]
            data = request(command, dice)
            lun = dice.choice((0, 0, 0, 1, 3))
            where = Context(door.bus, SYSTEM_INTERFACE, lun, Level.ADMINISTRATOR, source="guest")
            answer = await door.table.answer(where, command.netfn, command.number, data)
            codes[answer[0]] += 1
            assert answer[0] != Code.UNSPECIFIED, f"{command.name} with {data.hex()}"
            assert len(answer) < LONGEST_ANSWER
        assert codes[Code.OK] > INPUTS * turns // 100
        assert caplog.records == []
    finally:
        await door.close()


@turns
async def test_only_what_is_new_and_whole_is_taken(turns: int) -> None:
    """Each packet of a session comes several times, late, or with one bit changed: it is done once, or not at all."""
    door = Door(OPEN)
    try:
        keys = await door.login(3)
        dice, highest = random.Random(3), 0
        answered: dict[int, int] = {}
        waiting: list[tuple[int, bytes]] = []
        for number in range(1, 2_000 * turns):
            # The handle that is looked up differs, so that no request is a repetition of another.
            data = b"\xff" + struct.pack("<I", number)
            waiting.append((number, keys.seal(0, lan_message(0x06, 0x3D, data, number % 64), number)))
            dice.shuffle(waiting)
            while len(waiting) > 6:
                which, datagram = waiting.pop()
                changed = bytearray(datagram)
                changed[dice.randrange(5, len(changed))] ^= 1 << dice.randrange(8)
                assert door.feed(bytes(changed)) == []
                highest = max(highest, which)
                for turn in range(3):
                    answers = door.feed(datagram)
                    assert len(answers) == (1 if turn == 0 and highest - which < 32 else 0)
                    answered[which] = answered.get(which, 0) + len(answers)
        assert all(count <= 1 for count in answered.values())
        assert sum(answered.values()) > 1_900 * turns
    finally:
        await door.close()


async def test_the_limits_hold_a_flood_back() -> None:
    limits = Limits()
    door = Door(limits)
    try:
        request = open_request(1)
        answers = sum(len(door.feed(request)) for _ in range(20_000))
        assert limits.outside_burst <= answers < limits.outside_burst + 2_000
        assert len(door.handshake) == 1, "the same request is the same session"
        different = sum(len(door.feed(open_request(number), "198.51.100.9")) for number in range(2, 3_000))
        assert different > 0
        assert len(door.handshake) <= limits.half_open_per_address + 1
    finally:
        await door.close()


def test_constant_bytes_are_no_messages() -> None:
    for length in range(0, 1500, 7):
        for byte in (0x00, 0x06, 0xFF):
            assert rmcpplus.header(bytes((byte,)) * length) is None or byte == 0x06


@turns
def test_mangled_streams_of_a_guest_do_no_harm(turns: int) -> None:
    mangler = Mangler(4)
    good = [vm.request(number, 0x06, 0x01, bytes(range(0x98, 0xB0))) for number in range(16)]
    decoder = vm.Decoder()
    frames = 0
    for turn in range(INPUTS * turns):
        for frame in decoder.feed(mangler.mangle(good[turn % len(good)], good[0])):
            frames += 1
            if isinstance(frame, vm.VmRequest):
                assert list(vm.Decoder().feed(vm.respond(frame, b"\x00"))) == []
    assert frames > INPUTS // 50
