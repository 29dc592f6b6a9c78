"""Logging in and out."""

from __future__ import annotations

from protobuf.wkt import FieldMask

from ubmc.kit.errors import NotFound, Unauthenticated
from ubmc.protocols.redfish import sessions
from ubmc.protocols.redfish.messages import Message, RedfishError
from ubmc.protocols.redfish.query import Query
from ubmc.protocols.redfish.resource import Body
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.redfish.context import By, Context, Family, Made, Unit, text
from ubmc.v1alpha1.account_pb import AccountPolicy, UpdateAccountPolicyRequest
from ubmc.v1alpha1.account_rpc import AccountService
from ubmc.v1alpha1.session_pb import DeleteSessionRequest, ListSessionsRequest, LoginRequest, Session
from ubmc.v1alpha1.session_rpc import SessionService

PAGE = 1000


async def _seen(context: Context) -> list[Session]:
    """The sessions that the caller may see: their own, or all with ConfigureUsers."""
    found: list[Session] = []
    request = ListSessionsRequest(page_size=PAGE)
    while True:
        answer = await context.call(SessionService.ListSessions, request)
        found += answer.sessions
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def _list(context: Context, _query: Query) -> Body:
    return sessions.collection(await _seen(context))


async def _one(context: Context, _query: Query) -> Body | None:
    wanted = context.params["session"]
    return next((sessions.one(each) for each in await _seen(context) if each.id == wanted), None)


async def _login(context: Context, values: Values) -> Made:
    request = LoginRequest(
        user=values["UserName"], password=values["Password"], one_time_code=text(values.get("Token"))
    )
    try:
        answer = await context.call(SessionService.Login, request)
    except Unauthenticated as error:
        key = "NoValidSession" if not error.violations else "ResourceAtUriUnauthorized"
        args = (sessions.SESSIONS, error.message) if error.violations else ()
        raise RedfishError(401, Message(key, args, text=error.message)) from None
    assert answer.session is not None
    path = sessions.SESSION.format(session=answer.session.id)
    return Made(path, sessions.opened(answer), headers=(("x-auth-token", answer.token),))


async def _logout(context: Context) -> None:
    try:
        await context.call(SessionService.DeleteSession, DeleteSessionRequest(id=context.params["session"]))
    except NotFound:
        return  # it has ended meanwhile, which is what was wanted


async def _timeout(context: Context, values: Values) -> None:
    policy = AccountPolicy(session_idle_seconds=values["SessionTimeout"])
    request = UpdateAccountPolicyRequest(policy=policy, update_mask=FieldMask(paths=["session_idle_seconds"]))
    answer = await context.call(AccountService.UpdateAccountPolicy, request)
    context.model.put("policy", "", answer.policy)


FAMILY = Family(
    patches={sessions.SERVICE: (Unit(("SessionTimeout",), _timeout, AccountService.UpdateAccountPolicy),)},
    creates={sessions.SESSIONS: By(_login, SessionService.Login)},
    deletes={sessions.SESSION: By(_logout, SessionService.DeleteSession)},
    loads={sessions.SESSIONS: _list, sessions.SESSION: _one},
)
