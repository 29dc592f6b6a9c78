"""The second factor: the vectors of RFC 6238, drift, replay, recovery codes."""

from __future__ import annotations

import base64
from dataclasses import replace

import pyotp
import pytest

from ubmc.services.usermgr import totp
from ubmc.services.usermgr.accounts import Account

OLGA = Account("olga", "ReadOnly", True, False, False, "hash", 1.0, 1.0)
SEED = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("now", "code"),  # RFC 6238, appendix B, the last six of its eight digits
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037")],
)
def test_vectors_of_the_standard(now: int, code: str) -> None:
    assert totp.step_of(SEED, code, float(now), 0) == now // 30
    assert totp.step_of(SEED, str((int(code) + 1) % 10**6).zfill(6), float(now), 0) is None


def test_one_step_of_drift_and_no_more() -> None:
    now = 1_800_000_000.0
    made = pyotp.TOTP(SEED)
    for steps, good in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
        found = totp.step_of(SEED, made.at(int(now) + 30 * steps), now, 0)
        assert (found is not None) is good, steps


def test_no_code_is_good_twice_nor_one_before_it() -> None:
    now = 1_800_000_000.0
    made = pyotp.TOTP(SEED)
    account = totp.spend(OLGA, SEED, made.at(int(now)), now)
    assert account is not None
    assert totp.spend(account, SEED, made.at(int(now)), now + 5) is None
    assert totp.spend(account, SEED, made.at(int(now) - 30), now) is None
    assert totp.spend(account, SEED, made.at(int(now) + 30), now + 29) is not None


def test_recovery_codes_open_once_each() -> None:
    shown, hashes = totp.new_recovery_codes()
    assert len(set(shown)) == len(set(hashes)) == 10
    assert all(code not in " ".join(hashes) for code in shown)
    account: Account | None = replace(OLGA, recovery=hashes)
    for left, code in zip(range(9, -1, -1), shown, strict=True):
        assert account is not None
        typed = code.upper().replace("-", " ")
        after = totp.spend(account, SEED, typed, 0.0)
        assert after is not None
        assert len(after.recovery) == left
        assert totp.spend(after, SEED, typed, 0.0) is None
        account = after


@pytest.mark.parametrize("code", ["", "12345", "1234567", "٠١٢٣٤٥", "x" * 200, "aaaa-bbbb-cccc-dddd"])
def test_what_is_no_code(code: str) -> None:
    assert totp.spend(replace(OLGA, recovery=totp.new_recovery_codes()[1]), SEED, code, 0.0) is None


def test_uri_is_for_an_authenticator() -> None:
    seed = totp.new_seed()
    parsed = pyotp.parse_uri(totp.uri(seed, "olga", "bmc-7"))
    assert (parsed.secret, parsed.name, parsed.issuer) == (seed, "olga", "bmc-7")
    assert len(base64.b32decode(seed)) == 20
