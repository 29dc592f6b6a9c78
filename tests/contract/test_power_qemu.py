"""What only the driver for a virtual machine promises: a life that outlasts ours, and honesty when QEMU is silent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contract.power_qemu import BINARY, PATIENCE, QemuBench, needs_qemu, qemu_power, until

from ubmc.hw.power.port import Action, Level, News, Sight
from ubmc.hw.qemu import process
from ubmc.hw.qemu.line import Patience
from ubmc.hw.qemu.machine import Drive
from ubmc.hw.qemu.power import QemuPower
from ubmc.kit.errors import Exists, Invalid, Refused, Unavailable

pytestmark = [pytest.mark.qemu, needs_qemu]


class Witness:
    """Keeps all that a driver tells."""

    def __init__(self, power: QemuPower) -> None:
        self.seen: list[Sight] = []
        self._task = asyncio.create_task(self._watch(power))

    async def _watch(self, power: QemuPower) -> None:
        async for sight in power.watch():
            self.seen.append(sight)

    @property
    def level(self) -> Level | None:
        return self.seen[-1].level if self.seen else None

    def news(self) -> list[News]:
        return [sight.news for sight in self.seen if sight.news is not None]

    async def level_is(self, level: Level) -> None:
        await until(lambda: self.level is level, f"level {level.value}, seen {self.seen}")

    async def news_is(self, news: News) -> Sight:
        await until(lambda: news in self.news(), f"news {news.value}, seen {self.seen}")
        return next(sight for sight in self.seen if sight.news is news)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


@contextlib.asynccontextmanager
async def setting(patience: Patience = PATIENCE) -> AsyncIterator[tuple[QemuPower, QemuBench, Witness]]:
    async with qemu_power(patience) as (power, bench):
        assert isinstance(power, QemuPower)
        witness = Witness(power)
        try:
            yield power, bench, witness
        finally:
            await witness.stop()


async def test_a_cycle_of_on_reset_and_off() -> None:
    async with setting() as (power, bench, witness):
        await witness.level_is(Level.OFF)
        await power.do(Action.ON)
        await bench.booted()
        assert await bench.truth() is Level.ON
        assert len(machines(bench)) == 1
        await power.do(Action.RESET)
        await bench.booted(2)
        await power.do(Action.FORCE_OFF)
        assert await bench.truth() is Level.OFF
        assert process.find(bench.layout) is None
        assert not bench.layout.qmp.exists()
        await power.do(Action.ON)  # at once again: the lock must be free as soon as the process has ended
        await bench.booted()
        await power.do(Action.FORCE_OFF)
        await witness.level_is(Level.OFF)
        assert [sight.level for sight in witness.seen] == [Level.OFF, Level.ON, Level.OFF, Level.ON, Level.OFF]
        assert witness.news() == []


async def test_off_and_on_again_in_a_hurry_is_never_unknown() -> None:
    async with setting() as (power, bench, witness):
        for _ in range(5):
            await asyncio.gather(power.do(Action.FORCE_OFF), power.do(Action.ON), return_exceptions=True)
            await asyncio.gather(power.do(Action.FORCE_OFF), power.do(Action.ON), return_exceptions=True)
        assert await bench.truth() is Level.ON
        await witness.level_is(Level.ON)
        assert {sight.level for sight in witness.seen} == {Level.ON, Level.OFF}
        assert witness.news() == []


async def test_soft_off_by_the_power_button_and_on_again_in_the_same_process() -> None:
    async with setting() as (power, bench, witness):
        await power.do(Action.ON)
        await bench.booted()
        before = bench.process()
        await power.do(Action.SOFT_OFF)
        assert (await witness.news_is(News.GUEST_SHUTDOWN)).level is Level.OFF
        assert await bench.truth() is Level.OFF
        for refused in (Action.SOFT_OFF, Action.RESET, Action.NMI):
            with pytest.raises(Refused, match="is off"):
                await power.do(refused)
        await power.do(Action.ON)
        await bench.booted(2)
        after = bench.process()
        assert before.pid == after.pid
        before.close()
        after.close()
        assert News.BUTTON_PRESSED not in witness.news()  # our own press is no news


async def test_a_guest_that_ignores_the_button_stays_on() -> None:
    async with setting() as (power, bench, witness):
        await power.do(Action.ON)
        await bench.booted()
        await bench.guest_ignores_button()
        await asyncio.sleep(0.2)  # the guest looks 18 times a second
        await power.do(Action.SOFT_OFF)
        await asyncio.sleep(0.5)  # it would take 0.06 s to obey
        assert await bench.truth() is Level.ON
        assert witness.news() == []
        await power.do(Action.FORCE_OFF)
        assert await bench.truth() is Level.OFF


async def test_what_others_do_is_news() -> None:
    async with setting() as (power, bench, witness):
        await power.do(Action.ON)
        await bench.booted()
        await bench.guest_reset()
        await bench.booted(2)
        await bench.press_button()
        await witness.news_is(News.GUEST_SHUTDOWN)
        # Once each: the firmware's second reset after the guest's is an echo.
        assert witness.news() == [News.GUEST_RESET, News.BUTTON_PRESSED, News.GUEST_SHUTDOWN]


async def test_a_reset_by_another_client_changes_nothing() -> None:
    async with setting() as (power, bench, witness):
        await power.do(Action.ON)
        await bench.booted()
        await bench.qmp("system_reset")
        await bench.booted(2)
        await asyncio.sleep(2 * PATIENCE.poll_seconds)
        assert witness.news() == []
        assert witness.level is Level.ON


async def test_a_machine_that_another_client_pauses_is_on() -> None:
    async with setting() as (power, bench, witness):
        await power.do(Action.ON)
        await bench.booted()  # SeaBIOS does not survive a reset in the first moments of its life
        await bench.qmp("stop")
        await asyncio.sleep(2 * PATIENCE.poll_seconds)
        assert witness.level is Level.ON
        with pytest.raises(Refused, match="paused"):
            await power.do(Action.ON)
        await power.do(Action.RESET)  # the reset line does not care who stopped it
        await bench.booted(2)


async def test_nmi_arrives() -> None:
    async with setting() as (power, bench, _):
        await power.do(Action.ON)
        await bench.booted()
        await power.do(Action.NMI)
        await until(lambda: "N" in bench.printed().replace("READY", ""), "the guest's answer to the NMI")


@pytest.mark.parametrize("cure", [Action.ON, Action.RESET])
async def test_a_panic_is_told_and_cured(cure: Action) -> None:
    async with setting() as (power, bench, witness):
        await power.do(Action.ON)
        await bench.booted()
        await bench.guest_panic()
        assert (await witness.news_is(News.PANICKED)).level is Level.ON
        assert await bench.qmp("query-status") == {"running": False, "singlestep": False, "status": "guest-panicked"}
        await power.do(cure)
        await bench.booted(2)
        assert witness.news() == [News.PANICKED]


async def test_a_second_start_is_refused() -> None:
    async with setting() as (power, bench, _):
        await power.do(Action.ON)
        with pytest.raises(Refused, match="is on already"):
            await power.do(Action.ON)
        with pytest.raises(Exists, match="runs already"):
            process.start(bench.layout, ["/bin/true"], bench.spec.uuid)
        other = bench.driver()
        try:
            assert await other.open() == ()
            with pytest.raises((Refused, Unavailable)):  # the first driver holds the control socket
                await other.do(Action.ON)
        finally:
            await other.close()


async def test_the_machine_outlives_the_driver_and_is_adopted() -> None:
    async with setting() as (power, bench, _):
        await power.do(Action.ON)
        await bench.booted()
        before = bench.process()
        before.close()
        await power.close()
        assert await bench.truth() is Level.ON
        heir = bench.driver()
        await heir.open()
        witness = Witness(heir)
        await witness.level_is(Level.ON)
        after = bench.process()
        after.close()
        assert (before.pid, True) == (after.pid, after.adopted)
        await bench.guest_shutdown()
        await witness.news_is(News.GUEST_SHUTDOWN)
        await witness.stop()
        await heir.end()
        assert process.find(bench.layout) is None


OWNER = """
    import asyncio, sys, tempfile, uuid
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from power_qemu import PATIENCE, QemuBench, make_spec
    from ubmc.hw.power.port import Action
    from ubmc.hw.qemu.machine import Layout

    async def main():
        directory = Path(sys.argv[2])
        power = QemuBench(make_spec(directory), Layout(directory / "host.0"), PATIENCE).driver()
        await power.open()
        await power.do(Action.ON)
        print("on", flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
"""


async def start_owner(bench: QemuBench) -> asyncio.subprocess.Process:
    """A process of its own group that starts the machine."""
    argv = [sys.executable, "-c", textwrap.dedent(OWNER), str(Path(__file__).parent)]
    return await asyncio.create_subprocess_exec(
        *argv, str(bench.layout.directory.parent), stdout=subprocess.PIPE, start_new_session=True
    )


def machines(bench: QemuBench) -> list[int]:
    """The processes that have anything to do with this machine's directory, whatever our records say."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes()
            if entry.name.isdigit() and str(bench.layout.qmp).encode() in line:
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("record", ["kept", "lost", "wrong"])
async def test_the_machine_outlives_a_killed_owner(record: str) -> None:
    async with setting() as (power, bench, _):
        await power.close()
        owner = await start_owner(bench)
        assert owner.stdout is not None
        async with asyncio.timeout(30):
            assert await owner.stdout.readline() == b"on\n"
        os.killpg(owner.pid, signal.SIGKILL)  # its whole group: the machine is not part of it
        await owner.wait()
        if record == "lost":  # as if the owner had died between the start and the note
            bench.layout.record.unlink()
        elif record == "wrong":  # as if the number had been given to another process since
            data = json.loads(bench.layout.record.read_text())
            bench.layout.record.write_text(json.dumps(data | {"pid": os.getpid()}))
        heir = bench.driver()
        try:
            await heir.open()
            witness = Witness(heir)
            await witness.level_is(Level.ON)
            with pytest.raises(Refused, match="is on already"):
                await heir.do(Action.ON)
            await heir.do(Action.FORCE_OFF)
            assert process.find(bench.layout) is None
            await witness.level_is(Level.OFF)
            assert witness.news() == []
            await witness.stop()
        finally:
            await heir.close()


@pytest.mark.parametrize("delay_seconds", [0.0, 0.002, 0.01, 0.05])
async def test_never_two_and_never_a_lost_one(delay_seconds: float) -> None:
    """The owner is killed at some moment of the start; whatever it has left, its heir finds it or starts one."""
    async with setting() as (power, bench, _):
        await power.close()
        owner = await start_owner(bench)
        await until(bench.layout.lock.exists, "the start", timeout_seconds=30)
        await asyncio.sleep(delay_seconds)
        os.killpg(owner.pid, signal.SIGKILL)
        await owner.communicate()
        heir = bench.driver()
        try:
            await heir.open()
            with contextlib.suppress(Refused):
                await heir.do(Action.ON)
            await bench.booted()
            assert len(machines(bench)) == 1
        finally:
            await heir.close()
            bench.clean()
        assert machines(bench) == []


async def test_a_stopped_qemu_is_unknown_and_comes_back() -> None:
    async with setting(replace(PATIENCE, call_seconds=0.5)) as (power, bench, witness):
        await power.do(Action.ON)
        await bench.booted()
        bench.signal(signal.SIGSTOP)
        try:
            await witness.level_is(Level.UNKNOWN)
            for action in (Action.ON, Action.SOFT_OFF, Action.RESET, Action.NMI):
                async with asyncio.timeout(30):
                    with pytest.raises(Unavailable, match=r"answer|lost|reached"):
                        await power.do(action)
        finally:
            bench.signal(signal.SIGCONT)
        await witness.level_is(Level.ON)
        await bench.guest_shutdown()  # events are heard again
        await witness.news_is(News.GUEST_SHUTDOWN)
        assert bench.printed().count("READY") == 1  # none of the refused actions was carried out late
        assert witness.news() == [News.GUEST_SHUTDOWN]


async def test_a_long_silence_ends_the_session_and_a_new_one_is_made() -> None:
    async with setting(replace(PATIENCE, call_seconds=0.2, poll_seconds=0.1)) as (power, bench, witness):
        await power.do(Action.ON)
        await bench.booted()
        bench.signal(signal.SIGSTOP)
        try:
            await until(lambda: power._line._session is None, "the end of the session")
            await asyncio.sleep(1.5)  # some attempts to connect, which queue up unanswered
        finally:
            bench.signal(signal.SIGCONT)
        await witness.level_is(Level.ON)
        await bench.guest_shutdown()
        await witness.level_is(Level.OFF)


async def test_a_stopped_qemu_is_adopted_unknown_and_can_be_forced_off() -> None:
    async with setting(replace(PATIENCE, call_seconds=0.5, end_seconds=0.5)) as (power, bench, _):
        await power.do(Action.ON)
        await power.close()
        bench.signal(signal.SIGSTOP)
        heir = bench.driver()
        async with asyncio.timeout(30):
            await heir.open()
        witness = Witness(heir)
        await witness.level_is(Level.UNKNOWN)
        async with asyncio.timeout(30):
            await heir.do(Action.FORCE_OFF)
        assert process.find(bench.layout) is None
        await witness.level_is(Level.OFF)
        assert witness.news() == []
        await witness.stop()
        await heir.close()


async def test_a_process_that_ends_by_itself_is_a_crash() -> None:
    async with setting() as (power, bench, witness):
        await power.do(Action.ON)
        await bench.crash()
        assert (await witness.news_is(News.CRASHED)).level is Level.OFF
        assert Level.UNKNOWN not in [sight.level for sight in witness.seen]
        assert await bench.truth() is Level.OFF
        await power.do(Action.ON)
        await bench.booted()


async def test_events_are_heard_after_the_connection_was_lost() -> None:
    async with setting() as (power, bench, witness):
        await power.do(Action.ON)
        await bench.booted()
        session = await power._line.reach(1)
        await session._client.disconnect()  # QEMU itself has no way to drop a client
        await until(lambda: power._line._session not in {None, session}, "a new session")
        await bench.press_button()
        await witness.news_is(News.GUEST_SHUTDOWN)
        assert witness.level is Level.OFF


async def test_a_cancelled_power_on_is_finished() -> None:
    async with setting() as (power, bench, witness):
        task = asyncio.create_task(power.do(Action.ON))
        await until(bench.layout.lock.exists, "the start")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await bench.booted()
        await witness.level_is(Level.ON)


async def test_a_start_that_fails_says_why() -> None:
    async with setting() as (_, bench, _):
        wrong = bench.driver(replace(bench.spec, extra=("-device", "no-such-device")))
        await wrong.open()
        witness = Witness(wrong)
        try:
            with pytest.raises(Unavailable, match="no-such-device"):
                await wrong.do(Action.ON)
            assert await bench.truth() is Level.OFF
            assert witness.news() == []
        finally:
            await witness.stop()
            await wrong.close()


async def test_a_machine_with_another_identity_takes_no_orders_but_off() -> None:
    async with setting() as (power, bench, _):
        await power.do(Action.ON)
        await power.close()
        heir = bench.driver(replace(bench.spec, uuid=uuid.uuid4()))
        try:
            await heir.open()
            witness = Witness(heir)
            await witness.level_is(Level.UNKNOWN)
            with pytest.raises(Unavailable, match=str(bench.spec.uuid)):
                await heir.do(Action.RESET)
            assert await bench.truth() is Level.ON
            await heir.do(Action.FORCE_OFF)
            assert await bench.truth() is Level.OFF
            await witness.stop()
        finally:
            await heir.close()


async def test_ended_without_a_loop() -> None:
    async with setting() as (power, bench, witness):
        await power.do(Action.ON)
        assert process.end(bench.layout) is True
        assert process.end(bench.layout) is False
        await witness.news_is(News.CRASHED)  # the driver that is still there did not ask for it


async def test_the_wrong_paths_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    async with setting() as (_, bench, _):
        deep = QemuPower(bench.spec, tmp_path / ("x" * 100), binary=BINARY)
        with pytest.raises(Invalid, match="too long for a unix socket"):
            await deep.open()
        missing = QemuPower(bench.spec, tmp_path / "m", binary="qemu-system-none")
        with pytest.raises(Unavailable, match="is not installed"):
            await missing.open()
        assert list(tmp_path.iterdir()) == []


async def test_the_guest_sees_who_it_is_and_logs_are_there() -> None:
    async with setting() as (power, bench, _):
        await power.do(Action.ON)
        await bench.booted()
        assert await bench.qmp("query-uuid") == {"UUID": str(bench.spec.uuid)}
        assert "SeaBIOS" in bench.layout.firmware_log.read_text("ascii", "replace")
        assert bench.layout.directory.stat().st_mode & 0o777 == 0o700


async def test_mains_epoch_is_this_boot() -> None:
    async with setting() as (power, _, _):
        assert await power.mains_epoch() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


async def test_every_option_of_a_machine_is_understood_by_qemu() -> None:
    """A machine with all there is, on paths with commas and blanks, starts."""
    async with setting() as (_, bench, _):
        odd = bench.layout.directory.parent / "a, b"
        odd.mkdir()
        image = odd / "disk,1.img"
        other = odd / "disk 2.raw"
        for path in (image, other):
            path.write_bytes(bytes(1 << 20))
        drives = (
            Drive(image, read_only=True),
            Drive(image, kind="cdrom", format="raw", bus="sata"),
            Drive(image, kind="cdrom"),
            Drive(other, bus="sata"),
        )
        spec = replace(bench.spec, drives=drives, network=True, cpus=2, serial="A,B")
        power = QemuPower(spec, odd / "m", binary=BINARY, patience=PATIENCE)
        await power.open()
        try:
            await power.do(Action.ON)
            assert await bench.truth() is Level.OFF  # the bench's own machine has another directory
        finally:
            await power.end()


async def test_what_waited_for_a_hung_machine_does_not_start_it_after_a_forced_off() -> None:
    async with setting(replace(PATIENCE, call_seconds=3)) as (power, bench, witness):
        await power.do(Action.ON)
        await bench.booted()
        bench.signal(signal.SIGSTOP)
        holder = asyncio.create_task(power.do(Action.SOFT_OFF))
        await until(power._lock.locked, "the action that hangs")
        given_up = asyncio.create_task(power.do(Action.ON))
        waiting = asyncio.create_task(power.do(Action.ON))
        await asyncio.sleep(0.1)
        given_up.cancel()
        await asyncio.wait([given_up])
        assert given_up.cancelled()
        assert not waiting.done()
        await power.do(Action.FORCE_OFF)
        with pytest.raises(Refused, match="a forced off came first"):
            await waiting
        with pytest.raises((Refused, Unavailable)):
            await holder
        await until(lambda: not power._deeds, "the end of all actions")
        assert machines(bench) == []
        assert await bench.truth() is Level.OFF
        assert witness.level is Level.OFF
        await power.do(Action.ON)  # asked for after the forced off
        await bench.booted()


async def test_a_cancelled_caller_that_still_waits_has_done_nothing() -> None:
    async with setting() as (power, bench, _):
        async with power._lock:
            task = asyncio.create_task(power.do(Action.ON))
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled()
        assert power._deeds == set()
        assert machines(bench) == []
