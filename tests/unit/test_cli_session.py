"""The stored session: who may read it, and what is done with a bad one."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from ubmc.cli import session
from ubmc.cli.session import Stored
from ubmc.client import CaFile, Insecure, Pinned, SystemTrust, Trust
from ubmc.kit.errors import Refused, Unavailable

STORED = Stored(url="https://bmc:8443", user="admin", trust=Pinned(bytes(range(32))), token="secret")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "ubmc"


def test_nothing_is_stored_at_first() -> None:
    assert session.load() is None
    session.forget()


@pytest.mark.parametrize("trust", [SystemTrust(), CaFile(Path("/etc/ca.pem")), STORED.trust, Insecure()])
def test_what_is_stored_comes_back(trust: Trust) -> None:
    stored = Stored(url="https://bmc", user="admin", trust=trust, token="secret")
    session.save(stored)
    assert session.load() == stored


def test_only_its_owner_may_read_it(home: Path) -> None:
    session.save(STORED)
    session.save(STORED)
    assert stat.S_IMODE((home / "session.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert [file.name for file in home.iterdir()] == ["session.json"]
    assert "secret" not in repr(STORED)


def test_a_file_that_others_can_read_is_not_used(home: Path) -> None:
    session.save(STORED)
    (home / "session.json").chmod(0o640)
    with pytest.raises(Refused, match="others can read"):
        session.load()


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"token": 5}, {"url": None}, {"trust": {"kind": "magic"}}, {"trust": {}}, {"trust": []},
     {"trust": {"kind": "fingerprint", "value": "ab"}}],
)  # fmt: skip
def test_a_file_that_is_none_of_ours_is_said_so(home: Path, change: dict[str, object]) -> None:
    session.save(STORED)
    file = home / "session.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(Refused, match="log in again"):
        session.load()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_file_that_is_no_json_is_said_so(home: Path, content: bytes) -> None:
    session.save(STORED)
    (home / "session.json").write_bytes(content)
    with pytest.raises(Refused, match="log in again"):
        session.load()


def test_it_is_replaced_as_a_whole(home: Path) -> None:
    session.save(STORED)
    (home / "session.json").chmod(0o400)  # a new file takes its place, whatever the old one was
    session.save(Stored(url="https://other", user="a", trust=SystemTrust(), token="t"))
    found = session.load()
    assert found is not None
    assert found.url == "https://other"


def test_a_folder_that_cannot_be_made_is_said_so(home: Path) -> None:
    home.parent.mkdir()
    home.write_text("a file is in the way")
    with pytest.raises(Unavailable, match="cannot write"):
        session.save(STORED)


def test_without_xdg_it_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
        assert session.path() == tmp_path / ".config" / "ubmc" / "session.json"
