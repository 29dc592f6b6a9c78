"""The parts of the virtual machine that need no QEMU: the command line, identity, small files, the feed, the lock."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from ubmc.hw.power.port import Level, News, Sight
from ubmc.hw.qemu import identity, process
from ubmc.hw.qemu.feed import Feed
from ubmc.hw.qemu.files import bound_log, last_line, write_durably
from ubmc.hw.qemu.machine import Accelerator, Drive, Layout, MachineSpec, choose_accelerator, command
from ubmc.kit.errors import Exists, Invalid, Refused, Unavailable

SPEC = MachineSpec(name="host.0", uuid=uuid.UUID(int=7), serial="S1")
LAYOUT = Layout(Path("/run/m"))


@pytest.mark.parametrize(
    ("wanted", "flags", "writable", "chosen"),
    [
        ("auto", {"vmx"}, True, "kvm"),
        ("auto", {"svm"}, True, "kvm"),
        ("auto", {"fpu"}, True, "tcg"),  # /dev/kvm is there and useless
        ("auto", {"vmx"}, False, "tcg"),
        ("tcg", {"vmx"}, True, "tcg"),
        ("kvm", {"fpu"}, True, "kvm"),  # the owner insists
    ],
)
def test_the_accelerator_is_chosen_by_proof(wanted: str, flags: set[str], writable: bool, chosen: str) -> None:
    assert choose_accelerator(Accelerator(wanted), flags, kvm_writable=writable) is Accelerator(chosen)


def test_kvm_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(Refused, match="group kvm"):
        choose_accelerator(Accelerator.KVM, {"vmx"}, kvm_writable=False)


def option(argv: list[str], name: str) -> list[str]:
    return [value for flag, value in itertools.pairwise(argv) if flag == name]


def test_the_command_line_says_who_the_machine_is_and_that_it_stays() -> None:
    argv = command(replace(SPEC, serial="A,B"), LAYOUT, "/usr/bin/qemu", Accelerator.TCG)
    assert argv[0] == "/usr/bin/qemu"
    assert option(argv, "-uuid") == [str(SPEC.uuid)]
    assert "serial=A,,B," in option(argv, "-smbios")[0]
    assert "shutdown=pause" in option(argv, "-action")[0]
    assert option(argv, "-machine") == ["q35,accel=tcg"]
    assert option(argv, "-cpu") == ["max"]
    assert option(command(SPEC, LAYOUT, "q", Accelerator.KVM), "-cpu") == ["host"]


def test_optional_parts_come_only_when_asked_for() -> None:
    plain = " ".join(command(SPEC, LAYOUT, "q", Accelerator.TCG))
    rich = replace(SPEC, second_qmp=True, firmware_log=True, network=True, firmware=Path("/f/OVMF.fd"), extra=("-S",))
    full = " ".join(command(rich, LAYOUT, "q", Accelerator.TCG))
    for part in ("qmp-second.sock", "isa-debugcon", "-netdev user", "-bios /f/OVMF.fd", " -S"):
        assert part not in plain
        assert part in full


def test_drives_are_given_without_guessing_their_format() -> None:
    drives = (Drive(Path("/d/a, b.qcow2")), Drive(Path("/d/c.iso"), kind="cdrom"), Drive(Path("/d/e.img"), bus="sata"))
    argv = command(replace(SPEC, drives=drives), LAYOUT, "q", Accelerator.TCG)
    blocks = [json.loads(text) for text in option(argv, "-blockdev")]
    assert [(block["driver"], block["read-only"], block["file"]["filename"]) for block in blocks] == [
        ("qcow2", False, "/d/a, b.qcow2"),
        ("raw", True, "/d/c.iso"),
        ("raw", False, "/d/e.img"),
    ]
    devices = [text for text in option(argv, "-device") if ",drive=" in text]
    assert [text.split(",")[0] for text in devices] == ["virtio-blk-pci", "scsi-cd", "ide-hd"]
    assert [text.rpartition("=")[2] for text in devices] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a,b"}, "no name"),
        ({"name": ""}, "no name"),
        ({"cpus": 0}, "processors"),
        ({"memory_mb": 1}, "memory"),
        ({"append": "x"}, "go with a kernel"),
        ({"kernel": Path("vmlinuz")}, "absolute"),
        ({"drives": (Drive(Path("/d/disk.vmdk")),)}, "say raw or qcow2"),
        ({"drives": (Drive(Path("/d/x.raw"), bus="sata", read_only=True),)}, "read only"),
    ],
)
def test_a_wrong_machine_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        command(replace(SPEC, **change), LAYOUT, "q", Accelerator.TCG)  # type: ignore[arg-type]


def test_paths_of_sockets_have_an_end() -> None:
    fits = Layout(Path("/" + "x" * (107 - len("/qmp-second.sock") - 1)))
    assert len(str(fits.second_qmp)) == 107
    fits.check()
    with pytest.raises(Invalid, match="108 bytes"):
        Layout(fits.directory.with_name(fits.directory.name + "x")).check()
    with pytest.raises(Invalid, match="absolute"):
        Layout(Path("m")).check()


def test_an_identity_is_drawn_once(tmp_path: Path) -> None:
    first = identity.load_or_draw(tmp_path / "m")
    assert identity.load_or_draw(tmp_path / "m") == first
    assert identity.load_or_draw(tmp_path / "n") != first
    (tmp_path / "m" / "identity.json").write_text("{}")
    with pytest.raises(Invalid, match=r"identity\.json"):
        identity.load_or_draw(tmp_path / "m")
    assert (tmp_path / "m" / "identity.json").read_text() == "{}"


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_durably(path, b"one")
    write_durably(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_log_is_kept_within_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "log"
    bound_log(path, 10)  # not there: nothing to do
    with path.open("ab", buffering=0) as writer:
        writer.write(b"0123456789")
        bound_log(path, 10)
        assert path.read_bytes() == b"0123456789"
        writer.write(b"abc")
        bound_log(path, 10)
        assert path.read_bytes() == b""
        assert (tmp_path / "log.1").read_bytes() == b"3456789abc"
        writer.write(b"next")  # the writer appends, so it does not leave a hole
        assert path.read_bytes() == b"next"


def test_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert last_line(path) == ""
    path.write_bytes(b"x" * 9000 + b"\nsay \xff why\n\n")
    assert last_line(path) == "say � why"


async def _take(sights: AsyncIterator[Sight], count: int) -> list[Sight]:
    return [await anext(sights) for _ in range(count)]


async def test_a_slow_watcher_loses_old_news_but_never_the_level() -> None:
    feed = Feed(limit=3)
    sights = feed.follow(lambda: Sight(Level.OFF))
    assert await anext(sights) == Sight(Level.OFF)
    for _ in range(10):
        feed.publish(Sight(Level.ON, News.GUEST_RESET))
    feed.publish(Sight(Level.UNKNOWN))
    feed.publish(Sight(Level.OFF))
    reset = Sight(Level.ON, News.GUEST_RESET)
    assert await _take(sights, 3) == [reset, reset, Sight(Level.OFF)]
    feed.close()
    with pytest.raises(StopAsyncIteration):
        await anext(sights)


async def test_each_watcher_begins_with_now() -> None:
    feed = Feed()
    level = Level.OFF
    sights = feed.follow(lambda: Sight(level))
    level = Level.ON  # changed before anybody has read
    assert await anext(sights) == Sight(Level.ON)
    waiting = asyncio.ensure_future(anext(sights))
    await asyncio.sleep(0)
    feed.publish(Sight(Level.OFF))
    assert await waiting == Sight(Level.OFF)
    feed.close()


SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


def test_the_lock_lives_as_long_as_the_process(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "m")
    assert process.find(layout) is None
    started = process.start(layout, SLEEPER, SPEC.uuid)
    try:
        with pytest.raises(Exists):
            process.start(layout, SLEEPER, SPEC.uuid)
        for spoil in ("", "{", json.dumps({"pid": 1, "started": 1, "boot": "b", "uuid": ""}), "[]"):
            if spoil:
                layout.record.write_text(spoil)
            found = process.find(layout)
            assert found is not None
            assert found.pid == started.pid
            found.close()
    finally:
        started.signal(signal.SIGKILL)
        assert started.ended(10)
        started.reap()
        started.close()
    assert process.find(layout) is None
    assert process.end(layout) is False


def test_a_process_that_ignores_sigterm_is_ended(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "m")
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    process.start(layout, [sys.executable, "-c", code], SPEC.uuid).close()
    deadline = time.monotonic() + 20
    while last_line(layout.qemu_log) != "deaf":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.end(layout, grace_seconds=0.2) is True
    assert process.find(layout) is None
    assert not layout.record.exists()


def test_a_lock_held_by_somebody_unknown_is_not_ours_to_touch(tmp_path: Path) -> None:
    import fcntl

    layout = Layout(tmp_path)
    with layout.lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="cannot see"):
            process.find(layout)
        with pytest.raises(Exists):
            process.start(layout, SLEEPER, SPEC.uuid)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not installed"):
        process.locate("qemu-system-none")
    with pytest.raises(Unavailable, match="cannot be started"):
        process.start(Layout(tmp_path / "m"), ["/nowhere/qemu"], SPEC.uuid)
    assert process.find(Layout(tmp_path / "m")) is None
