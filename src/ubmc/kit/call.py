"""What travels with every call over the bus, beside its message: deadline, trace, idempotency key, principal.

All of it is one NATS header, `Ubmc`, of five fields between spaces; an empty field is `-`, because header values are
stripped on the way. The deadline is the monotonic clock of this boot, the same for all processes and indifferent to
steps of the time of day.
"""

from __future__ import annotations

import base64
import math
import re
from contextvars import ContextVar
from dataclasses import dataclass, field

import orjson

from ubmc.kit.errors import ERRORS, Exhausted, Internal, Invalid, UbmcError, Violation
from ubmc.kit.tracing import Trace
from ubmc.v1alpha1.session_pb import Principal

HEADER = "Ubmc"
ERROR_HEADER = "Ubmc-Error"
_KEY = re.compile(r"[!-~]{1,64}")
_EMPTY = "-"


@dataclass(frozen=True, slots=True)
class Call:
    """What is known about the call that is being answered."""

    deadline: float  # monotonic seconds
    trace: Trace
    key: str = ""  # idempotency key: the same key means the same call
    source: str = ""  # network address of who asks, as the door saw it
    signed: bytes = field(default=b"", repr=False)  # the signed principal
    principal: Principal | None = None  # set once verified

    def within(self, trace: Trace, principal: Principal | None = None) -> Call:
        """This call in another span and with its principal verified; `dataclasses.replace` takes four times as long."""
        return Call(self.deadline, trace, self.key, self.source, self.signed, principal)

    def header(self) -> str:
        """The value of the header."""
        signed = base64.b64encode(self.signed).decode() if self.signed else _EMPTY
        return f"{self.deadline:.4f} {self.trace} {self.key or _EMPTY} {self.source or _EMPTY} {signed}"

    @staticmethod
    def parse(value: str) -> Call:
        """The call of a header value.

        Raises:
            Invalid: the value is not one of ours.
        """
        try:
            deadline, traceparent, key, source, signed = value.split(" ")
            trace = Trace.parse(traceparent)
            if trace is None or math.isnan(float(deadline)):  # which is neither early nor late
                raise ValueError(traceparent)
            return Call(
                deadline=float(deadline),
                trace=trace,
                key="" if key == _EMPTY else key,
                source="" if source == _EMPTY else source,
                signed=b"" if signed == _EMPTY else base64.b64decode(signed, validate=True),
            )
        except ValueError as error:
            raise Invalid("the header of the call cannot be read") from error


def check_key(key: str) -> str:
    """The idempotency key, if it can be one: 1 to 64 visible ASCII characters.

    Raises:
        Invalid: it cannot.
    """
    if key and (not _KEY.fullmatch(key) or key == _EMPTY):
        raise Invalid("an idempotency key is 1 to 64 visible ASCII characters")
    return key


current: ContextVar[Call | None] = ContextVar("ubmc_call", default=None)


def asking() -> Principal | None:
    """Who asked for what is being done now; None when nobody did."""
    call = current.get()
    return call.principal if call is not None else None


def encode_error(error: UbmcError) -> tuple[str, bytes]:
    """The name for the header, and the body."""
    body: dict[str, object] = {"message": error.message}
    if error.violations:
        body["violations"] = [[v.field, v.rule, v.message] for v in error.violations]
    if isinstance(error, Exhausted):
        body["retry_seconds"] = error.retry_seconds
    return error.name, orjson.dumps(body)


def decode_error(name: str, body: bytes) -> UbmcError:
    """The error that somebody answered."""
    try:
        content = orjson.loads(body)
        violations = [Violation(*(str(part) for part in v)) for v in content.get("violations", [])]
        error = ERRORS[name](str(content["message"]), violations=violations)
        if isinstance(error, Exhausted):
            error.retry_seconds = float(content.get("retry_seconds", error.retry_seconds))
        return error
    except (ValueError, KeyError, TypeError, AttributeError):
        return Internal("an error came that cannot be read")
