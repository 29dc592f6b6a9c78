"""What holds for all accounts. The database holds only what was changed; the rest follows the owner's file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ubmc.kit.errors import Invalid, Violation
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.sessions import SessionOptions
from ubmc.v1alpha1.account_pb import AccountPolicy as PolicyMessage

_DAY_SECONDS = 86400.0

LIMITS: Mapping[str, tuple[int, int]] = {
    "min_password_length": (8, 64),
    "password_history": (0, 12),
    "password_max_age_days": (0, 3650),
    "lockout_failures": (0, 100),
    "lockout_window_seconds": (10, 86400),
    "lockout_seconds": (1, 86400),
    "lockout_max_seconds": (1, 86400),
    "source_lockout_failures": (0, 10000),
    "session_idle_seconds": (30, 86400),
    "session_absolute_seconds": (60, 2592000),
    "sessions_per_user": (1, 128),
}


@dataclass(frozen=True, slots=True)
class AccountPolicy:
    """The rules for passwords, lockout and sessions; durations are in seconds. The schema says what each means."""

    min_password_length: int = 8
    password_history: int = 4
    password_max_age_days: int = 0
    deny_common_passwords: bool = True
    lockout_failures: int = 5
    lockout_window_seconds: float = 300.0
    lockout_seconds: float = 300.0
    lockout_max_seconds: float = 1800.0
    source_lockout_failures: int = 20
    session_idle_seconds: float = 1800.0
    session_absolute_seconds: float = 43200.0
    sessions_per_user: int = 16
    second_factor_roles: tuple[str, ...] = ()
    certificate_common_names: bool = False

    def with_sessions(self, options: SessionOptions) -> AccountPolicy:
        """The same with these limits of sessions."""
        return replace(
            self,
            session_idle_seconds=options.idle_seconds,
            session_absolute_seconds=options.absolute_seconds,
            sessions_per_user=options.per_user,
        )

    def session_options(self, options: SessionOptions) -> SessionOptions:
        """The limits of sessions; what no policy is about comes from `options`."""
        return replace(
            options,
            idle_seconds=self.session_idle_seconds,
            absolute_seconds=self.session_absolute_seconds,
            per_user=self.sessions_per_user,
            in_all=max(options.in_all, self.sessions_per_user),
        )

    def expires(self, account: Account) -> float | None:
        """When the password of an account has to be changed, in Unix seconds; None if never."""
        if not self.password_max_age_days or not account.has_password:
            return None
        return account.password_set + self.password_max_age_days * _DAY_SECONDS

    def must_change(self, account: Account, now: float) -> bool:
        """Whether the password has to be changed at `now`, in Unix seconds."""
        until = self.expires(account)
        return account.must_change or (until is not None and now >= until)

    def must_set_up(self, account: Account) -> bool:
        """Whether a second factor has to be set up."""
        return account.role in self.second_factor_roles and not account.totp and not account.service


FIELDS = tuple(asdict(AccountPolicy()))


def message(policy: AccountPolicy) -> PolicyMessage:
    """The policy in the shape of the schema."""
    values: dict[str, Any] = {
        name: int(value) if isinstance(value, float) else value for name, value in asdict(policy).items()
    }
    return PolicyMessage(**values | {"second_factor_roles": list(policy.second_factor_roles)})


def overlaid(defaults: AccountPolicy, stored: Mapping[str, Any]) -> AccountPolicy:
    """The policy that follows from what was changed; a field that this program does not know is left out."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    known: dict[str, Any] = {name: value for name, value in values.items() if name in FIELDS}
    return replace(defaults, **known)


def changes(defaults: AccountPolicy, stored: Mapping[str, Any], wanted: PolicyMessage, paths: Iterable[str]) -> Any:
    """What is stored after an update, as a dictionary.

    Raises:
        Invalid: a field is unknown or out of its range, or fields do not fit together.
    """
    after = dict(stored)
    named = list(dict.fromkeys(paths))
    if not named:
        raise _wrong("updateMask", "required", f"name what is to change: some of {', '.join(FIELDS)}")
    for path in named:
        if path not in FIELDS:
            raise _wrong("updateMask", "known", f"{path} cannot be changed; name some of {', '.join(FIELDS)}")
        value = getattr(wanted, path)
        low, high = LIMITS.get(path, (0, 0))
        if path in LIMITS and not low <= value <= high:
            raise _wrong(f"policy.{path}", "range", f"is from {low} to {high}")
        after[path] = list(value) if path == "second_factor_roles" else value
    policy = overlaid(defaults, after)
    if policy.session_idle_seconds > policy.session_absolute_seconds:
        raise _wrong("policy.session_idle_seconds", "range", "must not be longer than session_absolute_seconds")
    if policy.lockout_seconds > policy.lockout_max_seconds:
        raise _wrong("policy.lockout_seconds", "range", "must not be longer than lockout_max_seconds")
    return after


def _wrong(field: str, rule: str, text: str) -> Invalid:
    head, *rest = field.split("_")
    name = head + "".join(part.title() for part in rest)
    return Invalid(f"{name}: {text}", violations=[Violation(name, rule, text)])
