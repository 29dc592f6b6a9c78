"""Passwords that are tried first are refused, and phrases of people are not."""

from __future__ import annotations

import pytest

from ubmc.kit.errors import Invalid
from ubmc.services.usermgr import passwords
from ubmc.services.usermgr.denylist import is_common


@pytest.mark.parametrize(
    "password",
    [
        "password", "Passw0rd!", "P@$$w0rd", "password123", "PASSWORD 2024", "letmein!", "adm1nadm1n", "0penBmc",
        "calvin12", "superuser", "qwertyuiop", "1qaz2wsx", "asdfghjkl;", "poiuytrewq", "12345678", "87654321",
        "20260101", "123456789012", "abcdefgh", "aaaaaaaa", "abababab", "abcabcabc", "welcome1", "Summer2026!",
        "changeme", "secret secret", "trustno1", "iloveyou2", "!!!!!!!!", "zxcvbnm,./", "serverroom1"[:6] + "12",
    ],
)  # fmt: skip
def test_common(password: str) -> None:
    assert is_common(password)
    with pytest.raises(Invalid) as caught:
        passwords.check_new("olga", password, "newPassword", shortest=1)
    assert caught.value.violations[0].rule == "not_common"
    passwords.check_new("olga", password, "newPassword", shortest=1, deny_common=False)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery", "XNJZxh5KH3Qr8Dq4", "a new day dawns", "kuzpumba", "for the first day", "Haus am See",
        "7391846250173", "zwölf Boxkämpfer",
    ],
)  # fmt: skip
def test_not_common(password: str) -> None:
    assert not is_common(password)


def test_random_passwords_are_never_refused() -> None:
    for _ in range(500):
        passwords.check_new("admin", passwords.random_password(), "password", shortest=16)


@pytest.mark.parametrize("password", ["olga1234", "OLGAolga", "1olga!!!", "myolgaaa"])
def test_the_name_adds_nothing(password: str) -> None:
    with pytest.raises(Invalid) as caught:
        passwords.check_new("olga", password, "password")
    assert caught.value.violations[0].rule == "not_the_name"
