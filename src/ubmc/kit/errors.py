"""The errors of the house, and the one table that says what each is called at every door.

Services raise these; everything else that leaves a handler is a bug and is answered as `internal` without detail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that is wrong: its path as in the JSON form (`power.action`), the rule, and what to do about it."""

    field: str
    rule: str
    message: str


class UbmcError(Exception):
    """An answer that a person can act on. `name` is the plain word that crosses the bus."""

    name: ClassVar[str] = "internal"

    def __init__(self, message: str, *, violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.violations = tuple(violations)


class NotFound(UbmcError):
    """There is no such thing."""

    name = "not_found"


class Invalid(UbmcError):
    """The request itself is wrong, whatever the state."""

    name = "invalid"


class Refused(UbmcError):
    """The request is fine, the state is not; says which state."""

    name = "refused"


class Busy(UbmcError):
    """Somebody else is at it; try again later."""

    name = "busy"


class Exists(UbmcError):
    """A thing of that name is there already."""

    name = "exists"


class Denied(UbmcError):
    """Known, but not allowed."""

    name = "denied"


class Unauthenticated(UbmcError):
    """Not known: no credentials, or wrong or expired ones."""

    name = "unauthenticated"


class Unavailable(UbmcError):
    """The part that would answer is not there now."""

    name = "unavailable"


class TimedOut(UbmcError):
    """No answer before the deadline; whether it was done is unknown."""

    name = "timed_out"


class Exhausted(UbmcError):
    """A limit is reached: too many, too large, too often.

    Args:
        message: which limit, and what to do.
        violations: the fields that are wrong.
        retry_seconds: when there may be room again; 0 if waiting does not help, as something has to be deleted first.
    """

    name = "exhausted"

    def __init__(self, message: str, *, violations: Sequence[Violation] = (), retry_seconds: float = 1.0) -> None:
        super().__init__(message, violations=violations)
        self.retry_seconds = retry_seconds


class Internal(UbmcError):
    """A bug of ours; the details are in the log under the trace id."""

    name = "internal"


@dataclass(frozen=True, slots=True)
class Face:
    """What one error is called at the doors.

    `connect` are the codes of the Connect protocol, `http` RFC 9110 status codes, `redfish` MessageIds of the Base
    registry, `ipmi` completion codes of IPMI 2.0 table 5-2.
    """

    connect: str
    http: int
    redfish: str
    ipmi: int


FACES: MappingProxyType[str, Face] = MappingProxyType(
    {
        NotFound.name: Face("not_found", 404, "ResourceMissingAtURI", 0xCB),
        Invalid.name: Face("invalid_argument", 400, "PropertyValueError", 0xCC),
        Refused.name: Face("failed_precondition", 409, "ResourceInUse", 0xD5),
        Busy.name: Face("aborted", 409, "ResourceInUse", 0xC0),
        Exists.name: Face("already_exists", 409, "ResourceAlreadyExists", 0xCC),
        Denied.name: Face("permission_denied", 403, "InsufficientPrivilege", 0xD4),
        Unauthenticated.name: Face("unauthenticated", 401, "NoValidSession", 0xD4),
        Unavailable.name: Face("unavailable", 503, "ServiceTemporarilyUnavailable", 0xC0),
        TimedOut.name: Face("deadline_exceeded", 504, "OperationTimeout", 0xC3),
        Exhausted.name: Face("resource_exhausted", 429, "ServiceTemporarilyUnavailable", 0xC4),
        Internal.name: Face("internal", 500, "InternalError", 0xFF),
    }
)

ERRORS: MappingProxyType[str, type[UbmcError]] = MappingProxyType(
    {
        cls.name: cls
        for cls in (
            NotFound,
            Invalid,
            Refused,
            Busy,
            Exists,
            Denied,
            Unauthenticated,
            Unavailable,
            TimedOut,
            Exhausted,
            Internal,
        )
    }
)
