"""Sessions: logging in and out. Who sees which session is usermgr's business, so sessions are read live."""

from __future__ import annotations

from collections.abc import Iterable

from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.messages import Message
from ubmc.protocols.redfish.resource import (
    LOGIN,
    SELF,
    USERS,
    Body,
    Params,
    Resource,
    known,
    link,
    members,
)
from ubmc.protocols.redfish.shape import Prop, Shape
from ubmc.protocols.redfish.types import ROOT
from ubmc.protocols.redfish.when import stamp
from ubmc.v1alpha1.account_pb import AccountPolicy
from ubmc.v1alpha1.session_pb import LoginResponse, Session

SERVICE = f"{ROOT}/SessionService"
SESSIONS = f"{SERVICE}/Sessions"
SESSION = f"{SESSIONS}/{{session}}"
SHORTEST, LONGEST = 30, 86400


def service(view: View, _params: Params) -> Body:
    """The rules for sessions."""
    policy: AccountPolicy | None = view.table("policy").get("")
    return known(
        {
            "Id": "SessionService",
            "Name": "Session Service",
            "ServiceEnabled": True,
            "SessionTimeout": policy.session_idle_seconds if policy is not None else None,
            "Status": {"State": "Enabled", "Health": "OK"},
            "Sessions": link(SESSIONS),
        }
    )


def collection(sessions: Iterable[Session]) -> Body:
    """The sessions that the caller may see."""
    return {"Name": "Sessions", **members(SESSIONS, [each.id for each in sessions])}


def one(session: Session) -> Body:
    """One session; its token is never shown again."""
    return known(
        {
            "Id": session.id,
            "Name": f"Session of {session.user}",
            "UserName": session.user,
            "SessionType": "Redfish",
            "ClientOriginIPAddress": session.source,
            "CreatedTime": stamp(session.create_time),
            "ExpirationTime": stamp(session.expire_time),
            "Roles": [session.role] if session.role else None,
        }
    )


def opened(answer: LoginResponse) -> Body:
    """The body that answers a login."""
    assert answer.session is not None
    session = answer.session
    path = SESSION.format(session=session.id)
    body = {"@odata.id": path, "@odata.type": "#Session.v1_8_0.Session", **one(session)}
    account = f"{ROOT}/AccountService/Accounts/{session.user}"
    if answer.must_change_password:
        body["@Message.ExtendedInfo"] = [Message("PasswordChangeRequired", (account,)).body()]
    elif answer.must_set_up_second_factor:
        body["@Message.ExtendedInfo"] = [Message("GenerateSecretKeyRequired", (account,)).body()]
    return body


CREATE: Shape = {
    "UserName": Prop(required=True, longest=64),
    "Password": Prop(required=True, longest=128),
    "Token": Prop(nullable=True, longest=32),
    "SessionType": Prop(values=("Redfish",)),
    "Context": Prop(nullable=True, longest=256),
}
PATCH: Shape = {"SessionTimeout": Prop("integer", minimum=SHORTEST, maximum=LONGEST)}

RESOURCES = (
    Resource(SERVICE, "SessionService", service, write=USERS, patch=PATCH, about="The rules for sessions."),
    Resource(
        SESSIONS,
        "SessionCollection",
        read=LOGIN,
        create=CREATE,
        open_create=True,
        about="Who is logged in; POST name and password here to log in.",
    ),
    Resource(
        SESSION,
        "Session",
        read=SELF,
        write=SELF,
        delete=True,
        volatile=("ExpirationTime",),
        about="One session; DELETE logs out.",
    ),
)
