"""The second factor: time-based codes (RFC 6238: SHA-1, 30 s, six digits) and recovery codes.

A code is good one step before and after its time, and once: the step of the last one is kept, and none up to it is
taken again (RFC 6238, 5.2). Recovery codes have 80 random bits, so a plain SHA-256 of them cannot be guessed backwards.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import replace

import pyotp

from ubmc.services.usermgr.accounts import Account

STEP_SECONDS = 30
DRIFT_STEPS = 1
RECOVERY_CODES = 10
_SEED_CHARACTERS = 32  # 160 bits, as RFC 4226 (4, R6) recommends
_RECOVERY_BYTES = 10
_GROUP = 4


def new_seed() -> str:
    """A seed in base32."""
    return pyotp.random_base32(_SEED_CHARACTERS)


def uri(seed: str, user: str, issuer: str) -> str:
    """What an authenticator reads from a QR code."""
    return pyotp.TOTP(seed).provisioning_uri(name=user, issuer_name=issuer)


def step_of(seed: str, code: str, now: float, after: int) -> int | None:
    """The time step that a code is of; None if it is wrong, or not newer than the step `after`.

    Args:
        seed: in base32.
        code: six digits.
        now: Unix seconds.
        after: the step of the last code that was taken.
    """
    present = int(now // STEP_SECONDS)
    generator = pyotp.TOTP(seed)
    found = None
    for step in range(present - DRIFT_STEPS, present + DRIFT_STEPS + 1):
        right = hmac.compare_digest(generator.generate_otp(step).encode(), code.encode("utf-8", "replace"))
        if right and step > after:
            found = step
    return found


def new_recovery_codes() -> tuple[list[str], tuple[str, ...]]:
    """Fresh recovery codes for people, and their hashes for the database."""
    made = [base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower() for _ in range(RECOVERY_CODES)]
    shown = ["-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP)) for code in made]
    return shown, tuple(_hash(code) for code in made)


def spend(account: Account, seed: str, code: str, now: float) -> Account | None:
    """The account after a code or a recovery code was taken; None if it is neither."""
    packed = "".join(character for character in code.lower() if character.isalnum())
    if len(packed) == 6 and packed.isdecimal() and packed.isascii():
        step = step_of(seed, packed, now, account.totp_step)
        return replace(account, totp_step=step) if step is not None else None
    hashed = _hash(packed)
    if hashed not in account.recovery:
        return None
    return replace(account, recovery=tuple(each for each in account.recovery if each != hashed))


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
