"""Walls around one process, each tried from inside by a process of its own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ubmc.kit import walls
from ubmc.kit.walls import Access, landlock_version, rights

NOBODY = 65534
BEGIN = """
import ctypes, errno, json, os, resource, signal, socket, subprocess, sys, encodings.idna
from pathlib import Path
from ubmc.kit import walls
from ubmc.kit.walls import Capability, Walls

def tried(what, *values):
    try:
        what(*values)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

def opened(path, flags=os.O_RDONLY):
    return tried(lambda: os.close(os.open(path, flags, 0o600)))
"""


def inside(code: str, *values: str | Path, env: dict[str, str] | None = None) -> Any:
    """Run Python that prints JSON; `values` are in sys.argv."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code, *map(str, values)],
        capture_output=True, text=True, timeout=60, check=False, cwd="/", env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def need_landlock(version: int = 1) -> None:
    if landlock_version() < version:
        pytest.skip(f"the kernel has no Landlock of version {version}: boot one with landlock in lsm=")


def need_root() -> None:
    if os.geteuid():
        pytest.skip("another account is needed: run the tests as root")


@pytest.mark.parametrize(
    ("version", "last"),
    [(1, Access.MAKE_SYM), (2, Access.REFER), (3, Access.TRUNCATE), (4, Access.TRUNCATE), (5, Access.IOCTL_DEV),
     (6, Access.IOCTL_DEV), (7, Access.IOCTL_DEV), (99, Access.IOCTL_DEV)],
)  # fmt: skip
def test_only_what_a_version_knows_is_asked_of_it(version: int, last: Access) -> None:
    """As in the table of landlock(7): 13 rights in version 1, then one more in 2, 3 and 5."""
    assert rights(version) == sum(each for each in Access if each <= last)
    assert rights(0) == 0


def test_only_named_files_are_opened(tmp_path: Path) -> None:
    need_landlock()
    for name in ("mine", "read", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    code = """
base = Path(sys.argv[1])
walls.enter(Walls(writable=(base / "mine", base / "missing"), readable=(*walls.code(), *walls.system(), base / "read")))
print(json.dumps({
    "mine": opened(base / "mine" / "file", os.O_RDWR | os.O_TRUNC),
    "new": opened(base / "mine" / "new", os.O_WRONLY | os.O_CREAT),
    "renamed": tried(os.rename, base / "mine" / "new", base / "mine" / "newer"),
    "read": opened(base / "read" / "file"),
    "changed": opened(base / "read" / "file", os.O_WRONLY),
    "other": opened(base / "other" / "file"),
    "made": tried(os.mkdir, base / "made"),
    "removed": tried(os.unlink, base / "read" / "file"),
    "device": tried(os.mknod, base / "mine" / "device", 0o600 | 0o020000, os.makedev(1, 3)),
    "missing": tried(os.mkdir, base / "missing"),
    "root": walls.enclosed(),
    "import": __import__("ssl").__name__,
    "child": subprocess.run([sys.executable, "-c", "open('" + str(base / "other" / "file") + "')"],
                            capture_output=True).returncode,
}))
"""
    assert inside(code, tmp_path) == {
        "mine": "done", "new": "done", "renamed": "done", "read": "done", "changed": "EACCES", "other": "EACCES",
        "made": "EACCES", "removed": "EACCES", "device": "EACCES", "missing": "EACCES", "root": True,
        "import": "ssl", "child": 1,
    }  # fmt: skip


def test_without_walls_nothing_of_that_is_refused(tmp_path: Path) -> None:
    """Else the test above proves nothing."""
    (tmp_path / "file").write_text("x")
    code = "print(json.dumps([opened(sys.argv[1]), walls.enclosed()]))"
    assert inside(code, tmp_path / "file") == ["done", False]


def test_nobody_outside_is_signalled_or_traced() -> None:
    need_landlock(6)
    code = """
outside = os.getppid()
trace = lambda pid: tried(lambda: checked(libc.ptrace(16, pid, 0, 0)))  # PTRACE_ATTACH
libc = ctypes.CDLL(None, use_errno=True)

def checked(outcome):
    if outcome < 0:
        raise OSError(ctypes.get_errno(), "ptrace")

walls.enter(Walls(readable=(*walls.code(), *walls.system())))
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(json.dumps({"signal": tried(os.kill, outside, 0), "trace": trace(outside), "own": tried(os.kill, child.pid, 9)}))
child.wait()
child.stdin.close()
"""
    assert inside(code) == {"signal": "EPERM", "trace": "EPERM", "own": "done"}


def test_a_process_that_starts_what_its_owner_brings_has_no_walls_of_files(tmp_path: Path) -> None:
    (tmp_path / "disk").write_text("x")
    code = "walls.enter(Walls(files=False)); print(json.dumps([opened(sys.argv[1], os.O_RDWR), walls.enclosed()]))"
    assert inside(code, tmp_path / "disk") == ["done", False]


STATUS = """
status = dict(line.split(":\\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\\t" in line)
libc = ctypes.CDLL(None)
death = ctypes.c_int()
libc.prctl(2, ctypes.byref(death), 0, 0, 0)
print(json.dumps({
    "uid": status["Uid"].split(), "gid": status["Gid"].split(), "groups": status["Groups"].split(),
    "nnp": status["NoNewPrivs"], "dumpable": libc.prctl(3, 0, 0, 0, 0), "death": death.value,
    **{name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh")},
}))
"""


@pytest.mark.parametrize("kept", [0, 10, 1])
def test_a_user_of_its_own_and_no_more_of_roots_power_than_named(kept: int) -> None:
    need_root()
    code = f"""
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
capabilities = frozenset({{Capability({kept})}}) if {kept} else frozenset()
walls.enter(Walls(65534, 65534, capabilities, readable=(*walls.code(), *walls.system())))
{STATUS}"""
    mask = 1 << kept if kept else 0
    found = inside(code)
    assert found == {
        "uid": ["65534"] * 4, "gid": ["65534"] * 4, "groups": [], "nnp": "1", "dumpable": 0, "death": 9,
        "CapEff": mask, "CapPrm": mask, "CapBnd": mask, "CapAmb": mask, "CapInh": mask,
    }  # fmt: skip


def test_a_plain_user_stays_who_it_is_and_gains_nothing() -> None:
    before = inside(STATUS)
    after = inside("walls.enter(Walls(readable=(*walls.code(), *walls.system())))" + STATUS)
    assert after["uid"] == before["uid"]
    assert after["nnp"] == "1"


def test_the_current_folder_is_nobodys_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert tmp_path not in walls.code()
    assert Path("/") not in walls.code()
    assert Path(sys.prefix) in walls.code()


# --- what root does before ------------------------------------------------------------------------------------------


def test_what_others_cannot_pass_is_named(tmp_path: Path) -> None:
    reachable = Path("/usr/lib")
    assert walls.unreachable([reachable], [reachable]) == ()
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    assert closed in walls.unreachable([closed / "inner"])
    assert closed in walls.unreachable([], [closed])
    closed.chmod(0o711)
    assert closed not in walls.unreachable([closed / "inner"])
    assert closed in walls.unreachable([closed]), "it can be passed and not be read"
    assert closed not in walls.unreachable([], [closed]), "it has to be passed only"
    link = tmp_path / "link"
    closed.chmod(0o700)
    link.symlink_to(closed / "inner")
    assert closed in walls.unreachable([link]), "where a link leads counts"


def test_a_plain_user_cannot_start_others() -> None:
    need_root()
    code = f"os.setuid({NOBODY}); print(json.dumps(walls.can_become([60578])))"
    assert "plain user" in inside(code)
    assert "CAP_SETUID" in inside(
        "libc = ctypes.CDLL(None); walls._set_capabilities(libc, []); print(json.dumps(walls.can_become([60578])))"
    )
    assert walls.can_become([60578]) == ""


def test_what_is_given_away_is_only_what_is_in_the_folder(tmp_path: Path) -> None:
    need_root()
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    (folder / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("x")
    (folder / "deep" / "file").write_text("x")
    (folder / "link").symlink_to(outside / "secret")
    (folder / "folder-link").symlink_to(outside)
    os.link(outside / "secret", folder / "hard")
    walls.give(folder, NOBODY, NOBODY)
    owners = {path.name: path.lstat().st_uid for path in (folder, *folder.rglob("*"), outside, *outside.iterdir())}
    assert owners == {
        "folder": NOBODY, "deep": NOBODY, "file": NOBODY, "link": NOBODY, "folder-link": NOBODY,
        "hard": 0, "outside": 0, "secret": 0,
    }  # fmt: skip


def test_a_mode_is_never_set_through_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("x")
    target.chmod(0o600)
    link.symlink_to(target)
    with pytest.raises(OSError, match="link"):
        walls.set_mode(link, 0o666)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    walls.set_mode(target, 0o640)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
