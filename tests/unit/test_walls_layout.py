"""Where things lie and behind which walls processes run, by board and owner's file."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

import pytest

from ubmc.boards.load import load_board
from ubmc.boards.owner import OwnerSpec
from ubmc.compose.processes import process_specs
from ubmc.kit.database import Database
from ubmc.kit.walls import Capability, Walls
from ubmc.layout import BUS, DOOR, MANAGERS, SAFETY, UIDS, Layout, lay_out, walls_of

SERVER = Path("/usr/bin/nats-server")
STATE = Path("/var/lib/ubmc")
APART = Layout(STATE, separate=True)


def wall(process: str, board: str = "sim", layout: Layout = APART, **owner: object) -> Walls:
    return walls_of(process, layout, load_board(board).spec, OwnerSpec.model_validate(owner), SERVER)


def covers(paths: tuple[Path, ...], path: Path) -> bool:
    return any(path.is_relative_to(each) for each in paths)


@pytest.mark.parametrize("board", ["sim", "qemu", "asus/iec"])
def test_every_process_of_every_board_has_walls_and_a_user(board: str) -> None:
    names = [spec.name for spec in process_specs(load_board(board))]
    uids = [wall(name, board).uid for name in (*names, BUS)]
    assert len(set(uids)) == len(names) + 1
    assert all(uid is not None and 60578 <= uid <= 61183 for uid in uids), "free in systemd's table of users"


def test_without_users_of_their_own_everybody_stays_who_they_are() -> None:
    assert [wall(name, layout=Layout(STATE)).uid for name in UIDS] == [None] * len(UIDS)


def test_a_process_that_nobody_knows_has_no_walls_and_is_not_started() -> None:
    with pytest.raises(KeyError):
        wall("new")


@pytest.mark.parametrize("board", ["sim", "asus/iec"])
def test_nobody_writes_or_reads_the_folder_of_another(board: str) -> None:
    folders = {SAFETY: APART.safety, MANAGERS: APART.managers, BUS: APART.bus}
    for process in (SAFETY, MANAGERS, DOOR, BUS):
        found = wall(process, board)
        assert found.files
        for owner, folder in folders.items():
            assert covers(found.writable, folder) == (owner == process), (process, folder)
            assert not covers(found.readable, folder), (process, folder)
        assert not covers((*found.writable, *found.readable), Path("/root"))
        assert not covers((*found.writable, *found.readable), Path("/home/somebody"))


def test_a_door_writes_nothing() -> None:
    assert wall(DOOR).writable == (Path("/dev/null"),)


@pytest.mark.parametrize(
    ("listen", "redirect", "kept"),
    [
        (["127.0.0.1:8443"], [], set()),
        (["0.0.0.0:443"], [], {Capability.NET_BIND_SERVICE}),
        (["127.0.0.1:8443"], ["0.0.0.0:80"], {Capability.NET_BIND_SERVICE}),
        (["127.0.0.1:0"], [], set()),
    ],
)
def test_a_door_keeps_what_a_low_port_needs(listen: list[str], redirect: list[str], kept: set[Capability]) -> None:
    assert wall(DOOR, listen=listen, web={"redirect": redirect}).capabilities == kept


def test_power_over_files_is_kept_only_for_hardware_and_virtual_machines() -> None:
    files = frozenset({Capability.DAC_OVERRIDE})
    assert (wall(SAFETY).capabilities, wall(MANAGERS).capabilities) == (frozenset(), frozenset())
    assert wall(SAFETY, "asus/iec").capabilities == files
    assert wall(SAFETY, "qemu").capabilities == files
    assert wall(BUS, "qemu").capabilities == frozenset()
    assert covers(wall(SAFETY, "asus/iec").writable, Path("/sys/class/hwmon"))
    assert not covers(wall(SAFETY).writable, Path("/sys/class/hwmon"))


def test_a_virtual_machine_opens_what_its_owner_brings() -> None:
    assert not wall(SAFETY, "qemu").files
    assert wall(MANAGERS, "qemu").files
    assert wall(DOOR, "qemu").files


def test_a_command_of_the_owner_can_be_run() -> None:
    hook = "/srv/dns/set-txt"
    assert covers(wall(MANAGERS, security={"acme_dns_hook": [hook, "x"]}).readable, Path(hook))
    assert not covers(wall(MANAGERS).readable, Path(hook))


# --- the folders ----------------------------------------------------------------------------------------------------


def test_what_an_older_release_kept_is_moved_once(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    old = sqlite3.connect(state / "precious.db")
    old.execute("PRAGMA journal_mode=WAL")
    old.execute("CREATE TABLE kept (what TEXT)")
    old.execute("INSERT INTO kept VALUES ('accounts')")
    old.commit()
    (state / "device.key").write_bytes(b"k" * 32)
    assert (state / "precious.db-wal").exists()
    layout = lay_out(state, load_board("sim").spec, SERVER)
    old.close()
    assert not list(state.glob("precious.db"))
    assert (layout.managers / "device.key").read_bytes() == b"k" * 32
    database = Database(layout.managers / "precious.db")
    database.open()
    database.close()
    moved = sqlite3.connect(layout.managers / "precious.db")
    assert moved.execute("SELECT what FROM kept").fetchall() == [("accounts",)]
    moved.close()
    (state / "precious.db").write_bytes(b"something else")
    lay_out(state, load_board("sim").spec, SERVER)
    assert (state / "precious.db").read_bytes() == b"something else", "what is in use is never replaced"


def test_a_state_that_others_cannot_reach_is_said_and_not_shared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if os.geteuid():
        pytest.skip("another account is needed: run the tests as root")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    state = closed / "state"
    state.mkdir(mode=0o700)
    layout = lay_out(state, load_board("sim").spec, SERVER)
    assert not layout.separate
    assert str(closed) in layout.why_not
    assert "--state /var/lib/ubmc" in layout.why_not
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    for folder in (layout.managers, layout.safety, layout.machine, layout.bus, state):
        assert folder.stat().st_mode & 0o077 == 0


def test_temporary_files_of_the_managers_are_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", "/tmp")
    layout = Layout(tmp_path)
    layout.managers.mkdir()
    layout.use_scratch()
    with tempfile.NamedTemporaryFile() as file:
        assert Path(file.name).is_relative_to(layout.managers)
