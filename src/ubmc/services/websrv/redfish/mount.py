"""The ASGI application below /redfish: who asks for what, and the answer in the form that DSP0266 wants.

The way of a GET of something that is cached is short on purpose: one look-up for the caller, one for the bytes.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from ubmc.kit.bus import Bus
from ubmc.kit.errors import Denied, Internal, UbmcError, Unauthenticated
from ubmc.kit.schema import Schema
from ubmc.protocols.redfish.messages import Message, RedfishError, missing, of_error
from ubmc.protocols.redfish.query import NOTHING, Query, parse_query
from ubmc.protocols.redfish.resource import LOGIN, Found, Resource
from ubmc.protocols.redfish.root import METADATA, ODATA, VERSIONS_URI, metadata, service_document, versions
from ubmc.protocols.redfish.shape import leaves
from ubmc.protocols.redfish.tree import TREE
from ubmc.protocols.redfish.types import ROOT
from ubmc.services.websrv.forward import Forwarder
from ubmc.services.websrv.front import PLAIN
from ubmc.services.websrv.http.asgi import Disconnected, Receive, Scope, Send, TooLarge, read_body
from ubmc.services.websrv.identities import Identity
from ubmc.services.websrv.peer import Peer, peer_of
from ubmc.services.websrv.redfish.cache import JSON, Cache, Rendered
from ubmc.services.websrv.redfish.context import Context, Families
from ubmc.services.websrv.redfish.families import families
from ubmc.services.websrv.redfish.model import Model
from ubmc.services.websrv.redfish.reader import Reader
from ubmc.services.websrv.redfish.refusals import have_recorded
from ubmc.services.websrv.redfish.writer import Outcome, Writer
from ubmc.services.websrv.responses import COMMON, declared_length, headers_of
from ubmc.v1alpha1.access_pb import Privilege

log = logging.getLogger("ubmc.redfish")

PUBLIC_BODY = 4 * 1024
BODY = 256 * 1024
ODATA_VERSION = (b"odata-version", b"4.0")
_COMMON = (
    *(header for header in COMMON if header[0] != b"cache-control"),
    (b"cache-control", b"no-cache"),
    ODATA_VERSION,
)
_READING = ("GET", "HEAD")
_METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS")
_READ_ONLY = ("GET", "HEAD", "OPTIONS")
_XML = b"application/xml"
_LIMIT_OF_PATH = 1024
_WORTH_COMPRESSING = 32 * 1024
_BUG = "something went wrong; the log has it under the trace id"
Header = tuple[bytes, bytes]


class Redfish:
    """The Redfish service."""

    def __init__(self, schema: Schema, forwarder: Forwarder, bus: Bus, absent: Mapping[str, str]) -> None:
        self._schema = schema
        self._forwarder = forwarder
        self.model = Model(bus, absent)
        self._cache = Cache(TREE, self.model)
        self._families = Families(families(), offered(TREE))
        self._reader = Reader(self._cache, self.model, self._families.loads)
        self._writer = Writer(self._reader, self._families)
        types = {resource.type for resource in TREE}
        served = [resource.template for resource in TREE]
        self._documents: dict[str, tuple[bytes, bytes]] = {
            VERSIONS_URI: (orjson.dumps(versions()), JSON),
            ODATA: (orjson.dumps(service_document(served)), JSON),
            METADATA: (metadata(types).encode(), _XML),
        }

    async def close(self) -> None:
        """Stop following the services."""
        await self.model.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"]
        headers = _with_token(headers_of(scope))
        try:
            if headers.get("odata-version", "4.0") != "4.0":
                raise RedfishError(412, Message("HeaderInvalid", ("OData-Version",)))
            self.model.use()
            if scope["method"] == "GET" and not scope["query_string"]:
                kept = self._cache.kept(path)
                if kept is not None:
                    await self._allowed(kept.found.resource, headers, peer_of(scope))
                    await _send_rendered(send, kept)
                    return
            await self._answer(scope, receive, send, headers)
        except Disconnected:
            return
        except RedfishError as error:
            await self._refuse(send, error)
        except UbmcError as error:
            await self._refuse(send, _refusal(error, path))
        except Exception:
            log.exception(
                "a bug: a request failed", extra={"path": path[:200], "traceparent": headers.get("traceparent")}
            )
            await self._refuse(send, of_error(Internal(_BUG), path))

    async def _refuse(self, send: Send, error: RedfishError) -> None:
        """Answer a refusal; one for who is not known says how to log in (RFC 9110, section 11.6.1)."""
        extra: list[Header] = []
        if error.status == 401:
            scheme = b"Basic" if self._forwarder.basic_allowed else b"Bearer"  # a session's token comes as either form
            extra.append((b"www-authenticate", scheme + b' realm="u-bmc"'))
        if error.allow:
            extra.append((b"allow", ", ".join(error.allow).encode()))
        if error.retry_seconds:
            extra.append((b"retry-after", b"%d" % error.retry_seconds))
        await _send(send, error.status, orjson.dumps(error.body()), JSON, extra)

    # --- who ------------------------------------------------------------------------------------------------------

    async def _allowed(self, resource: Resource, headers: Mapping[str, str], peer: Peer) -> Identity | None:
        """Who reads; None where everybody may."""
        if resource.read:
            return await self._identified(resource.read, headers, peer)
        if "authorization" in headers:  # what everybody may read has links to what not everybody may
            return await self._forwarder.identify(headers, peer)
        return None

    async def _identified(self, needs: Iterable[Any], headers: Mapping[str, str], peer: Peer) -> Identity:
        identity = await self._forwarder.identify(headers, peer)
        held = identity.principal.privileges
        if not any(each in held for each in needs):
            raise _denied(identity)
        return identity

    # --- what -----------------------------------------------------------------------------------------------------

    async def _answer(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str]) -> None:
        method, path = scope["method"], _bare(scope["path"])
        if method not in _METHODS:
            raise RedfishError(501, Message("OperationNotAllowed"))
        document = self._documents.get(path)
        if document is not None:
            await self._document(send, method, *document)
            return
        place = path if path in self._families.streams else f"{path.rpartition('/')[0]}/*"
        if place in self._families.streams:
            await self._stream(scope, receive, send, headers, path, place)
            return
        if method == "POST":  # a member may also be sent to the list of members (DSP0266, "POST (create)")
            path = path.removesuffix("/Members")
        found = self._cache.tree.find(path) if len(path) <= _LIMIT_OF_PATH else None
        public = found is not None and (not found.resource.read or (method == "POST" and found.resource.open_create))
        if not public and (found is None or method not in _methods(found) or method == "OPTIONS"):
            await self._forwarder.identify(headers, peer_of(scope))  # nobody else learns what there is
        if found is None:
            raise missing(path)
        if method == "OPTIONS":
            await _send(send, 204, b"", JSON, [(b"allow", _allow(found).encode())])
            return
        if method not in _methods(found):
            raise RedfishError(405, Message("OperationNotAllowed"), allow=_methods(found))
        query = self._query(scope, method)
        if method in _READING:
            await self._read(scope, send, headers, path, found, query)
        else:
            await self._change(scope, receive, send, headers, path, found)

    async def _stream(
        self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str], path: str, place: str
    ) -> None:
        if scope["method"] == "OPTIONS":
            await _send(send, 204, b"", JSON, [(b"allow", b"GET, OPTIONS")])
            return
        if scope["method"] != "GET":
            raise RedfishError(405, Message("OperationNotAllowed"), allow=("GET", "OPTIONS"))
        peer = peer_of(scope)
        identity = await self._identified(LOGIN, headers, peer)
        context = self._context(path, Found(TREE.resources[0], {}), headers, peer, identity)
        await self._families.streams[place](context, scope, receive, send)

    @staticmethod
    def _query(scope: Scope, method: str) -> Query:
        raw = scope["query_string"]
        if not raw:
            return NOTHING
        query = parse_query(raw.decode("latin-1"))
        if method not in _READING and query != NOTHING:
            raise RedfishError(400, Message("QueryNotSupportedOnOperation"))
        return query

    async def _document(self, send: Send, method: str, data: bytes, kind: bytes) -> None:
        if method == "OPTIONS":
            await _send(send, 204, b"", kind, [(b"allow", ", ".join(_READ_ONLY).encode())])
        elif method in _READING:
            await _send(send, 200, data, kind, [(b"allow", ", ".join(_READ_ONLY).encode())])
        else:
            raise RedfishError(405, Message("OperationNotAllowed"), allow=_READ_ONLY)

    async def _read(
        self, scope: Scope, send: Send, headers: Mapping[str, str], path: str, found: Found, query: Query
    ) -> None:
        peer = peer_of(scope)
        identity = await self._allowed(found.resource, headers, peer)
        context = self._context(path, found, headers, peer, identity)
        await _send_rendered(send, await self._reader.read(context, query))

    async def _change(
        self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str], path: str, found: Found
    ) -> None:
        peer, resource, method = peer_of(scope), found.resource, scope["method"]
        identity: Identity | None = None
        limit = PUBLIC_BODY
        if not (method == "POST" and resource.open_create and found.action is None):
            identity = await self._forwarder.identify(headers, peer)
            await self._check_writer(receive, method, self._context(path, found, headers, peer, identity))
            limit = BODY
        if declared_length(headers) > limit:
            raise TooLarge("the body is too large")
        data = await read_body(receive, limit)
        if found.action is not None:
            bare = Found(resource, found.params)
            path = path.rpartition("/Actions/")[0]
            context = self._context(path, bare, headers, peer, identity)
            outcome = await self._writer.act(context, found.action, data)
        else:
            context = self._context(path, found, headers, peer, identity)
            match method:
                case "PATCH":
                    outcome = await self._writer.patch(context, data)
                case "POST":
                    outcome = await self._writer.create(context, data)
                case _:
                    outcome = await self._writer.delete(context)
        await _send_outcome(send, outcome)

    async def _check_writer(self, receive: Receive, method: str, context: Context) -> None:
        """Refuse whoever may not change this, and let the audit trail know.

        Raises:
            RedfishError: they may not.
        """
        found = context.found
        if context.may(*(found.action.needs if found.action is not None else found.resource.needs(method))):
            return
        data = b""
        if method == "PATCH":
            with contextlib.suppress(TooLarge):
                data = await read_body(receive, PUBLIC_BODY)
        await have_recorded(context, self._families, method, data)
        assert context.identity is not None
        raise _denied(context.identity)

    def _context(
        self, path: str, found: Found, headers: Mapping[str, str], peer: Peer, identity: Identity | None
    ) -> Context:
        return Context(
            path, found, headers, peer, identity, self._cache.view(), self.model, self._forwarder, self._schema
        )


def offered(resources: Iterable[Resource]) -> frozenset[tuple[str, str]]:
    """What the resources say that can be done with them, in the words of `Families`."""
    found: set[tuple[str, str]] = set()
    for resource in resources:
        at = resource.template
        found |= {(at, f"patch {path}") for path in leaves(resource.patch or {})}
        found |= {(at, f"action {action.name}") for action in resource.actions}
        found |= {(at, "create")} if resource.create is not None else set()
        found |= {(at, "delete")} if resource.delete else set()
        found |= {(at, "load")} if resource.build is None else set()
    return frozenset(found)


def _with_token(headers: Mapping[str, str]) -> Mapping[str, str]:
    """`X-Auth-Token` is the token of a session (DSP0266, "Redfish session login authentication"), and comes first."""
    token = headers.get("x-auth-token")
    if token is None:
        return headers
    return {**headers, "authorization": f"Bearer {token}"}


def _bare(path: str) -> str:
    return path[:-1] if path.endswith("/") and not path.endswith("//") and len(path) > 1 else path


def _methods(found: Found) -> tuple[str, ...]:
    return ("POST", "OPTIONS") if found.action is not None else found.resource.methods


def _allow(found: Found) -> str:
    return ", ".join(_methods(found))


def _denied(identity: Identity) -> RedfishError:
    if Privilege.LOGIN not in identity.principal.privileges:
        account = f"{ROOT}/AccountService/Accounts/{identity.principal.user}"
        return RedfishError(403, Message("PasswordChangeRequired", (account,)))
    return RedfishError(403, Message("InsufficientPrivilege"))


def _refusal(error: UbmcError, path: str) -> RedfishError:
    if isinstance(error, TooLarge):
        return RedfishError(413, Message("PayloadTooLarge"))
    if isinstance(error, Denied):
        return RedfishError(403, Message("InsufficientPrivilege", text=error.message))
    if isinstance(error, Unauthenticated):
        return RedfishError(401, Message("NoValidSession"))
    return of_error(error, path)


# --- answers ------------------------------------------------------------------------------------------------------


async def _send(send: Send, status: int, data: bytes, kind: bytes, extra: Iterable[Header] = ()) -> None:
    headers: list[Header] = [(b"content-length", b"%d" % len(data)), *_COMMON, *extra]
    if data:
        headers.append((b"content-type", kind))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def _send_rendered(send: Send, rendered: Rendered, status: int = 200, extra: Iterable[Header] = ()) -> None:
    headers = [(b"content-length", b"%d" % len(rendered.data)), *rendered.headers, *_COMMON, *extra]
    start = {"type": "http.response.start", "status": status, "headers": headers}
    if len(rendered.data) < _WORTH_COMPRESSING:  # so that the tag is that in the body, and the way stays short
        start[PLAIN] = True
    await send(start)
    await send({"type": "http.response.body", "body": rendered.data})


async def _send_outcome(send: Send, outcome: Outcome) -> None:
    extra = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in outcome.headers]
    if outcome.resource is not None:
        await _send_rendered(send, outcome.resource, outcome.status, extra)
        return
    data = orjson.dumps(outcome.body) if outcome.body is not None else b""
    await _send(send, outcome.status, data, JSON, extra)
