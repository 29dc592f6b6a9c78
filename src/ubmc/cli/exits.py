"""The exit codes of `ubmc`, and the one line that goes with them.

| code | meaning |
|---|---|
| 0 | done |
| 1 | accepted, but it ended otherwise (`--wait`, `health`, `board check`), or an error inside the BMC |
| 2 | the command or the request is wrong |
| 3 | not logged in, or not allowed |
| 4 | there is no such thing |
| 5 | refused: the wrong state, busy, exists already, or a limit is reached |
| 6 | the BMC cannot be reached, or did not answer in time |
| 7 | the certificate of the BMC is not trusted |
| 130 | ended by Ctrl-C |
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ubmc.cli.terminal import printable
from ubmc.kit.errors import UbmcError, Violation

FAILED = 1
INTERRUPTED = 130

CODES: Mapping[str, int] = MappingProxyType(
    {
        "internal": 1,
        "invalid": 2,
        "unauthenticated": 3,
        "denied": 3,
        "not_found": 4,
        "refused": 5,
        "busy": 5,
        "exists": 5,
        "exhausted": 5,
        "unavailable": 6,
        "timed_out": 6,
        "not_trusted": 7,
    }
)

_ADVICE: Mapping[str, str] = MappingProxyType({"unauthenticated": "log in with: ubmc login URL"})


def exit_code(error: UbmcError) -> int:
    """The exit code for an error."""
    return CODES.get(error.name, FAILED)


def _violation(violation: Violation) -> str:
    said = violation.message or violation.rule
    return said if not violation.field or said.startswith(violation.field) else f"{violation.field}: {said}"


def explain(error: UbmcError) -> str:
    """The error in one line: what is wrong, which fields, and what to do."""
    text = error.message
    missing = [field for field in map(_violation, error.violations) if field not in text]
    if missing:
        text += f" ({'; '.join(missing)})"
    advice = _ADVICE.get(error.name, "")
    if advice and "ubmc login" not in text:
        text += f"; {advice}"
    return printable(text)
