"""What is seen in a console, what is recorded of it, and what is kept of its settings."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from ubmc.boards.load import load_board
from ubmc.hw.console.port import FlowControl
from ubmc.hw.sim.plant import Plant
from ubmc.kit.errors import Invalid
from ubmc.services.consolesrv import recording
from ubmc.services.consolesrv.plan import Settings
from ubmc.services.consolesrv.recording import Recorder, Redactor, compiled
from ubmc.services.consolesrv.sights import Seen, SightPlan, Watcher
from ubmc.services.consolesrv.store import Numbering, Store
from ubmc.v1alpha1.console_pb import ConsoleSight
from ubmc.v1alpha1.host_pb import BootProgress

LOGIN = SightPlan(ConsoleSight.LOGIN_PROMPT, r"login: $")
LINUX = SightPlan(ConsoleSight.BOOT_PROGRESS, r"^\[ *\d+\.\d+\] Linux version \d", BootProgress.OS_BOOT_STARTED)


def look(watcher: Watcher, *parts: bytes, at: float = 0.0) -> list[Seen]:
    return [seen for part in parts for seen in watcher.feed(part, at)]


def test_a_prompt_is_seen_although_its_line_never_ends_and_however_it_is_cut() -> None:
    for size in (1, 2, 5, 100):
        text = b"Debian 12\r\n\x1b[1;32mhost\x1b[0m log\x00in: "
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        assert look(Watcher([LOGIN]), *parts) == [Seen(LOGIN.sight, LOGIN.progress, "host login:")], size


def test_the_same_line_is_told_once_and_a_flood_of_it_seldom() -> None:
    watcher = Watcher([LINUX])
    line = b"[    0.000000] Linux version 6.1.0 (gcc)\r\n"
    assert len(look(watcher, line, line, line)) == 1
    assert len(look(watcher, line, at=4.0)) == 0
    assert len(look(watcher, line, at=8.9)) == 0  # it was seen 4.9 s before
    assert len(look(watcher, line, at=30.0)) == 1
    watcher.forget()
    assert len(look(watcher, line, at=30.1)) == 1, "the line was opened anew: that is another boot"


def test_what_a_host_writes_is_bounded_and_harmless() -> None:
    watcher = Watcher([SightPlan(ConsoleSight.PANIC, "Kernel panic")])
    assert look(watcher, b"x" * 1_000_000) == []
    (seen,) = look(watcher, b"\r\n\x1b]52;c;ZXZpbA==\x07Kernel \x1b[31mpanic" + b"!" * 500 + b"\n")
    assert seen.text == ("Kernel panic" + "!" * 500)[:120]


def test_the_usual_sights_see_the_boot_of_the_simulated_host() -> None:
    from ubmc.plans.consoles import console_plans

    (plan,) = console_plans(load_board("sim").spec, Path("/nowhere"))
    plant = Plant()
    plant.drive("power-button-0", active=True)
    plant.advance(0.3)
    plant.drive("power-button-0", active=False)
    plant.advance(20.0)
    _, data = plant.host.console.since(0, 1 << 20)
    seen = look(Watcher(plan.sights), data)
    assert [each.progress.name for each in seen] == [
        "MEMORY_INITIALIZATION",
        "PCI_RESOURCE_CONFIG",
        "HARDWARE_INITIALIZATION_COMPLETE",
        "OS_BOOT_STARTED",
        "OS_RUNNING",
    ]
    assert seen[-1].sight is ConsoleSight.LOGIN_PROMPT, "one prompt is one thing"


def test_a_line_that_shows_two_things_is_told_once_with_both() -> None:
    running = SightPlan(ConsoleSight.BOOT_PROGRESS, r"login: $", BootProgress.OS_RUNNING)
    for plans in ([LOGIN, running], [running, LOGIN]):
        watcher = Watcher(plans)
        joined = Seen(ConsoleSight.LOGIN_PROMPT, BootProgress.OS_RUNNING, "host login:")
        assert look(watcher, b"host login: ") == [joined]
        assert look(watcher, b"\r\nhost login: ", at=60.0) == [joined]
    other = SightPlan(ConsoleSight.BOOT_PROGRESS, r"host", BootProgress.OS_BOOT_STARTED)
    assert [seen.progress for seen in look(Watcher([other, running]), b"host login: ")] == [
        BootProgress.OS_BOOT_STARTED,
        BootProgress.OS_RUNNING,
    ]


def test_patterns_are_taken_out_of_whole_lines_however_they_come() -> None:
    text = b"user: olga\r\ntoken=secret rest\r\n" + b"y" * 5000
    for size in (1, 3, 7, 10_000):
        redactor = Redactor(["token=[a-z]+", r"olg."])
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        found = b"".join(map(redactor.feed, parts)) + redactor.flush()
        assert found == b"user: [redacted]\r\n[redacted] rest\r\n" + b"y" * 5000


@pytest.mark.parametrize("pattern", ["(", "[a", "(a+)+", "(a*){3,}", "x{2,}*"])
def test_patterns_that_cannot_work_or_may_never_end_are_refused(pattern: str) -> None:
    with pytest.raises(Invalid, match=r"regular expression|repetition"):
        compiled(["fine", pattern])


async def record(recorder: Recorder, *parts: bytes) -> None:
    recorder.start()
    await asyncio.sleep(0)
    for part in parts:
        recorder.feed(part)
    await recorder.stop()


async def test_a_recording_stays_within_its_limit_and_keeps_the_newest(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "host.0.log", 1000, [])
    lines = [b"line %04d\n" % number for number in range(500)]
    await record(recorder, *lines)
    assert 500 <= recorder.size <= 1000
    whole = recorder.read(0, 1 << 20)
    assert b"".join(lines).endswith(whole)
    assert b"".join(recorder.read(at, 7) for at in range(0, len(whole), 7)) == whole
    assert (tmp_path / "host.0.log").stat().st_mode & 0o777 == 0o600
    recorder.change(200, [])
    await record(recorder, *lines[:2])
    assert lines[1] in recorder.read(0, 1 << 20)
    assert recorder.size <= 200, "a smaller limit holds from the next write on"
    recorder.delete()
    assert (recorder.size, list(tmp_path.iterdir())) == (0, [])


async def test_a_recording_that_cannot_be_written_says_so_and_what_was_too_much_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tmp_path / "missing" / "log", 1 << 20, [])
    await record(recorder, b"hello\n")
    assert recorder.problem == "No such file or directory"
    (tmp_path / "missing").mkdir()
    monkeypatch.setattr(recording, "MOST_WAITING", 10)
    await record(recorder, b"0123456789\n")
    assert recorder.problem == ""
    assert b"bytes could not be recorded" in recorder.read(0, 1000)


async def test_what_is_being_written_when_a_recording_stops_stays_before_what_comes_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "FLUSH_SECONDS", 0.0)
    recorder = Recorder(tmp_path / "log", 1 << 20, [])
    begun, disk = asyncio.Event(), threading.Event()
    append, loop = recorder._append, asyncio.get_running_loop()

    def slow(data: bytes) -> None:
        if b"first" in data:
            loop.call_soon_threadsafe(begun.set)
            assert disk.wait(30)
        append(data)

    monkeypatch.setattr(recorder, "_append", slow)
    recorder.start()
    recorder.feed(b"first\n")
    await begun.wait()
    recorder.feed(b"second\n")
    stopping = asyncio.create_task(recorder.stop())
    await asyncio.sleep(0.1)  # long enough for a second thread to overtake the first
    assert not stopping.done()
    disk.set()
    await stopping
    recorded = recorder.read(0, 1 << 20)
    assert recorded.index(b"first") < recorded.index(b"second")


async def test_settings_and_numbers_survive_and_a_broken_file_does_no_harm(tmp_path: Path) -> None:
    store = Store(tmp_path / "consoles.json")
    store.load()
    settings = Settings(9600, FlowControl.RTS_CTS, 8192, True, 65536, ("a", "b"))
    await store.keep_settings("host.0", settings)
    await store.keep_numbering("host.0", Numbering("id", "epoch", 12))
    again = Store(tmp_path / "consoles.json")
    again.load()
    assert again.settings("host.0", Settings()) == settings
    assert again.settings("host.1", Settings()) == Settings()
    assert again.numbering("host.0") == Numbering("id", "epoch", 12)
    (tmp_path / "consoles.json").write_text('{"version": 1, "settings": 3}')
    broken = Store(tmp_path / "consoles.json")
    broken.load()
    assert broken.settings("host.0", Settings()) == Settings()
