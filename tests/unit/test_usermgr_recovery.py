"""The request that stands in the state directory: who may leave one, and that it is taken once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ubmc.kit.errors import Invalid, Refused, Unavailable
from ubmc.services.usermgr import recovery
from ubmc.services.usermgr.recovery import Recovery

REQUEST = Recovery("admin", "$argon2id$...", remove_second_factor=True)


def test_there_and_back_once(tmp_path: Path) -> None:
    assert recovery.take(tmp_path) is None
    recovery.write(tmp_path, REQUEST)
    assert (tmp_path / recovery.REQUEST).stat().st_mode & 0o777 == 0o600
    assert recovery.take(tmp_path) == REQUEST
    assert recovery.take(tmp_path) is None
    assert recovery.outcome(tmp_path, REQUEST) is None
    recovery.answer(tmp_path, REQUEST, "no such account")
    assert recovery.outcome(tmp_path, Recovery("other", "")) is None
    assert recovery.outcome(tmp_path, REQUEST) == "no such account"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    recovery.write(tmp_path, REQUEST)
    (tmp_path / recovery.REQUEST).chmod(mode)
    with pytest.raises(Refused, match="only this user"):
        recovery.take(tmp_path)
    assert recovery.take(tmp_path) is None


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    recovery.write(tmp_path, REQUEST)
    (tmp_path / recovery.REQUEST).rename(tmp_path / "elsewhere")
    (tmp_path / recovery.REQUEST).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused):
        recovery.take(tmp_path)
    os.mkfifo(tmp_path / recovery.REQUEST, 0o600)
    with pytest.raises(Refused):
        recovery.take(tmp_path)
    assert recovery.take(tmp_path) is None


def test_somebody_elses_file_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    recovery.write(tmp_path, REQUEST)
    os.chown(tmp_path / recovery.REQUEST, 12345, 12345)
    with pytest.raises(Refused):
        recovery.take(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": "x"}', "\x00"])
def test_what_cannot_be_read(tmp_path: Path, content: str) -> None:
    recovery.write(tmp_path, REQUEST)
    (tmp_path / recovery.REQUEST).write_text(content)
    with pytest.raises(Invalid):
        recovery.take(tmp_path)
    assert recovery.take(tmp_path) is None


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be written"):
        recovery.write(tmp_path / "missing", REQUEST)
