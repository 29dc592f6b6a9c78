"""Secrets at rest: the key file, what it seals, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.kit.errors import Unavailable
from ubmc.kit.secrets import FILE_NAME, KEY_BYTES, DeviceKey

KEY = DeviceKey(bytes(range(KEY_BYTES)))


@given(st.binary(max_size=300), st.text(max_size=40))
def test_there_and_back(data: bytes, context: str) -> None:
    sealed = KEY.seal(data, context)
    assert KEY.open(sealed, context) == data
    assert KEY.seal(data, context) != sealed


def test_a_secret_is_bound_to_its_purpose_its_key_and_its_bytes() -> None:
    sealed = KEY.seal(b"a seed", "totp:admin")
    assert b"a seed" not in sealed
    with pytest.raises(Unavailable, match="cannot be opened"):
        KEY.open(sealed, "totp:olga")
    with pytest.raises(Unavailable, match="cannot be opened"):
        DeviceKey(bytes(KEY_BYTES)).open(sealed, "totp:admin")
    for at in range(len(sealed)):
        damaged = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(Unavailable):
            KEY.open(damaged, "totp:admin")
    for cut in range(len(sealed)):
        with pytest.raises(Unavailable):
            KEY.open(sealed[:cut], "totp:admin")


def test_the_key_is_made_once_and_only_for_us(tmp_path: Path) -> None:
    path = tmp_path / "state" / FILE_NAME
    sealed = DeviceKey.load(path).seal(b"x", "c")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == KEY_BYTES
    assert DeviceKey.load(path).open(sealed, "c") == b"x"
    assert [each.name for each in path.parent.iterdir()] == [FILE_NAME]


def test_keys_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="unseal"):
        DeviceKey.load(tmp_path / "sealed", make=False)
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(Unavailable, match="32"):
        DeviceKey.load(tmp_path / "short")
    with pytest.raises(Unavailable, match="read"):
        DeviceKey.load(tmp_path)
