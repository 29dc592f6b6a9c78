"""What is changed over IPMI and owned by no other service: who may, and the audit trail.

What has an owner is asked for there, with the privilege that the schema says, and gets into the trail there. For the
rest the door stands in: the same privileges of the session's user, and the same record, under the name of the command.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

from ubmc.kit import call as calls
from ubmc.kit.errors import Denied, Internal, Invalid, TimedOut, UbmcError
from ubmc.protocols.ipmi.codes import Code, Completion
from ubmc.services.ipmisrv.dispatch import Context
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.host_pb import Cause
from ubmc.v1alpha1.system_pb import AuditedCall

TELLS = (AuditedCall,)
_DENIED = frozenset({Code.INSUFFICIENT_PRIVILEGE})


@contextlib.asynccontextmanager
async def changing(context: Context, command: str, privilege: Privilege, target: str) -> AsyncIterator[None]:
    """Change something of the door's own within this; news told meanwhile name who did it.

    A guest has no privileges: what it may change was decided by the policy before.

    Args:
        context: who asks.
        command: its name, as the specification calls it.
        privilege: what the user of a session needs for it.
        target: what it is about.

    Raises:
        Denied: the user lacks the privilege; that is in the trail too.
        UbmcError: who it is cannot be proven now.
    """
    call = await context.call()
    outcome = "ok"
    marked = calls.current.set(call)
    try:
        if call.principal is not None and privilege not in call.principal.privileges:
            name = privilege.name.title().replace("_", "")  # as Redfish spells it
            raise Denied(f"this needs the privilege {name}, which {call.principal.role} has not")
        yield
    except BaseException as error:
        outcome = _outcome(error)
        raise
    finally:
        user = call.principal.user if call.principal is not None else ""
        record = AuditedCall(
            method=method_name(command), user=user, source=context.source, outcome=outcome, target=target
        )
        context.bus.tell(target, record, cause=Cause(kind="guest") if context.inband else None)
        calls.current.reset(marked)


def method_name(command: str) -> str:
    """What the trail calls a command: `Ipmi.SetSolConfigurationParameters`."""
    return "Ipmi." + "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", command))


def _outcome(error: BaseException) -> str:
    """The name of an error of the house, also for what only IPMI has a code for."""
    match error:
        case UbmcError():
            return error.name
        case Completion():
            return Denied.name if error.code in _DENIED else Invalid.name
        case asyncio.CancelledError():  # a command has a time limit
            return TimedOut.name
    return Internal.name
