"""Passwords: argon2id off the event loop, the rules for new ones, and readable random ones.

The parameters are the smallest that OWASP's Password Storage Cheat Sheet recommends for argon2id (19 MiB, two passes,
one lane): a BMC has a small CPU and little memory. Each hash says its own parameters, so they can be raised later: a
hash with others is made anew at the next login.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from ubmc.kit.errors import Exhausted, Invalid, Violation
from ubmc.services.usermgr.denylist import is_common

log = logging.getLogger("ubmc.usermgr")

T = TypeVar("T")

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1
AT_ONCE = 2
WAITING = 8
SHORTEST = 8
LONGEST = 128

_RANDOM_LENGTH = 16
_READABLE = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789"  # nothing that looks like another: 92 bits in 16


def random_password(length: int = _RANDOM_LENGTH) -> str:
    """A password of 16 characters, or of so many, that can be read from a screen and typed."""
    return "".join(secrets.choice(_READABLE) for _ in range(length))


def check_new(name: str, password: str, field: str, *, shortest: int = SHORTEST, deny_common: bool = True) -> None:
    """Refuse what cannot be the password of the account `name`.

    Args:
        name: the login name.
        password: what somebody wants as password.
        field: where it stood in the request, in the JSON form.
        shortest: how many characters it has at least.
        deny_common: what many people choose is refused.

    Raises:
        Invalid: it is too short or too long, little more than the login name, or common.
    """
    if not shortest <= len(password) <= LONGEST:
        _refuse(field, "length", f"a password has {shortest} to {LONGEST} characters")
    plain, own = password.casefold(), name.casefold()
    if plain == own or (len(own) > 1 and own in plain and len(plain.replace(own, "")) < SHORTEST):
        _refuse(field, "not_the_name", "the password must not be the login name, or little more than it")
    if deny_common and is_common(password):
        _refuse(field, "not_common", "this password is one of those that are tried first; choose some unrelated words")


def _refuse(field: str, rule: str, message: str) -> None:
    raise Invalid(f"{field}: {message}", violations=[Violation(field, rule, message)])


def _bytes(password: str) -> bytes:
    # The same letters come composed or decomposed from different keyboards (NIST SP 800-63B, 3.1.1.2: NFKC).
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


class Hasher:
    """Hashes on two worker threads at most, with a bounded number of those who wait."""

    def __init__(self) -> None:
        self._argon2 = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._taken = 0

    def close(self) -> None:
        """Give the threads back; what waits is cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """The hash of a password, in PHC text form.

        Raises:
            Exhausted: too many wait already.
        """
        return await self._run(lambda: self._argon2.hash(_bytes(password)))

    async def verify(self, hashed: str, password: str) -> bool:
        """Whether the hash is of this password.

        Raises:
            Exhausted: too many wait already.
        """
        return await self._run(lambda: self._verify(hashed, password))

    def outdated(self, hashed: str) -> bool:
        """Whether a hash was made with other parameters than those of now."""
        try:
            return self._argon2.check_needs_rehash(hashed)
        except InvalidHashError:
            return False

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._argon2.verify(hashed, _bytes(password))
        except VerifyMismatchError:
            return False
        except (VerificationError, InvalidHashError) as error:
            log.error("a stored password cannot be verified; set it anew", extra={"error": str(error)})
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._taken >= AT_ONCE + WAITING:
            raise Exhausted("too many passwords are being checked; try again in a few seconds")
        loop = asyncio.get_running_loop()
        job = self._threads.submit(work)
        self._taken += 1

        def ended(_job: Future[T]) -> None:  # in whichever thread ended it; a thread that nobody waits for still counts
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._free)

        job.add_done_callback(ended)
        return await asyncio.wrap_future(job)

    def _free(self) -> None:
        self._taken -= 1
