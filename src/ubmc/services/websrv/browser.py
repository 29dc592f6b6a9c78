"""Sessions of browsers: the token goes into a cookie that no script can read.

A page asks for that by a header at its login. It only chooses where the token is put, never who somebody is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protobuf import Message

from ubmc.kit.schema import Method
from ubmc.services.websrv.peer import cookie_of, cookies
from ubmc.v1alpha1.session_pb import LoginResponse
from ubmc.v1alpha1.session_rpc import SessionService

WANTED_HEADER = "x-session-cookie"


def cookies_for(method: Method, headers: Mapping[str, str], answer: Message[Any]) -> list[tuple[bytes, bytes]]:
    """The cookies that go with an answer; the token of a login is then taken out of its body."""
    if method.token is SessionService.Login and isinstance(answer, LoginResponse) and headers.get(WANTED_HEADER) == "1":
        token, answer.token = answer.token, ""
        return cookies(token)
    if method.token is SessionService.Logout and cookie_of(headers):
        return cookies("")
    return []
