"""What the client says and hears in the Connect protocol, without I/O.

Source: connectrpc.com/docs/protocol. Answers come from the network and are not believed: sizes are bounded, and what
cannot be read is an error of ours, never an exception of a parser.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from protobuf import Message

from ubmc.kit.errors import ERRORS, FACES, Internal, Invalid, NotFound, UbmcError, Unavailable, Violation
from ubmc.rpc import Req, Res, ServerStream, Unary

MOST_BYTES = 16 << 20
"""The largest answer, and the largest message of a stream, that is taken."""

UNARY_TYPE = "application/proto"
STREAM_TYPE = "application/connect+proto"
_ERROR_TYPE = "application/json"

_HEAD = struct.Struct(">BI")
_END = 0b10

_CODES: Mapping[str, type[UbmcError]] = MappingProxyType(
    {face.connect: ERRORS[name] for name, face in FACES.items()}
    | {"canceled": Unavailable, "out_of_range": Invalid, "unimplemented": NotFound}
)

# What a proxy between us and the BMC may answer by itself (protocol, "HTTP to error code").
_STATUSES: Mapping[int, str] = MappingProxyType(
    {
        400: "internal", 401: "unauthenticated", 403: "permission_denied", 404: "unimplemented", 408: "unavailable",
        429: "unavailable", 502: "unavailable", 503: "unavailable", 504: "unavailable",
    }
)  # fmt: skip


def is_read(method: Unary[Any, Any] | ServerStream[Any, Any]) -> bool:
    """Whether the schema says that the method has no side effects."""
    for service in method.request.desc().file.services:
        if service.type_name == method.service:
            found = next(m for m in service.methods if m.name == method.method)
            return str(found.idempotency.name) == "NO_SIDE_EFFECTS"
    return False


def headers(*, token: str, content_type: str, timeout_seconds: float | None, key: str = "") -> dict[str, str]:
    """The headers of one request; `key` is the idempotency key of a call that changes something."""
    found = {
        "content-type": content_type,
        "connect-protocol-version": "1",
        "accept-encoding": "identity",
        "user-agent": "ubmc",
    }
    if timeout_seconds is not None:
        found["connect-timeout-ms"] = str(min(max(int(timeout_seconds * 1000), 1), 9_999_999_999))
    if token:
        found["authorization"] = f"Bearer {token}"
    if key:
        found["idempotency-key"] = key
    return found


def decode_answer(method: Unary[Req, Res] | ServerStream[Req, Res], body: bytes) -> Res:
    """The message of an answer.

    Raises:
        Internal: the bytes are not such a message.
    """
    try:
        return method.response.from_binary(body)
    except ValueError as error:
        raise Internal(f"the answer to {method.short}.{method.method} cannot be read") from error


def check_answer(status: int, content_type: str, wanted: str, body: bytes) -> None:
    """Raise what the answer says, unless it is the wanted one.

    Raises:
        UbmcError: the error of the BMC; NotFound when nothing that speaks our API answered.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if status == 200 and kind == wanted:
        return
    if status != 200 and kind == _ERROR_TYPE:
        try:
            content = json.loads(body)
        except ValueError:
            content = None
        if isinstance(content, Mapping) and isinstance(content.get("code"), str):
            raise decode_error(content)
    if 200 <= status < 400:
        raise NotFound("what answers there is no u-bmc; check the URL")
    code = _STATUSES.get(status, "internal")
    raise _CODES[code](f"the server answered HTTP {status} without saying why")


def decode_error(content: Mapping[str, Any]) -> UbmcError:
    """The error in the JSON form of the protocol."""
    code = content.get("code")
    message = content.get("message")
    cls = _CODES.get(code, Internal) if isinstance(code, str) else Internal
    text = message if isinstance(message, str) and message else f"the BMC answered {code} without saying why"
    details = content.get("details")
    return cls(text, violations=tuple(_violations(details if isinstance(details, list) else [])))


def _violations(details: list[Any]) -> Iterator[Violation]:
    from ubmc.v1alpha1.deps.buf.validate.validate_pb import Violations

    for detail in details:
        if not isinstance(detail, Mapping) or detail.get("type") != "buf.validate.Violations":
            continue
        try:
            raw = str(detail.get("value", ""))
            found = Violations.from_binary(base64.b64decode(raw + "=" * (-len(raw) % 4)))
        except ValueError:
            continue  # the message alone has to do
        for violation in found.violations:
            path = _path(violation.field) if violation.field else ""
            yield Violation(path, violation.rule_id or "", violation.message or "")


def _path(field: Message[Any]) -> str:
    """A path as in the JSON form: `bootOverride.target`, `users[2].name`."""
    path = ""
    for element in getattr(field, "elements", ()):
        first, *rest = (element.field_name or "").split("_")
        path += ("." if path else "") + first + "".join(part.title() for part in rest)
        subscript = element.subscript
        if subscript is not None:
            path += f"[{json.dumps(subscript.value)}]"
    return path


def envelope(body: bytes) -> bytes:
    """A message of a stream: flags, length, bytes."""
    return _HEAD.pack(0, len(body)) + body


class Frames:
    """Cuts the bytes of a stream into its messages, in whatever pieces they arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are whole now.

        Raises:
            UbmcError: the stream ended with this error.
            Internal: the bytes are no stream of this protocol.
        """
        self._buffer += data
        while not self.ended and len(self._buffer) >= _HEAD.size:
            flags, size = _HEAD.unpack_from(self._buffer)
            if size > MOST_BYTES or flags & ~_END:
                raise Internal("the stream cannot be read: a message is too large or has unknown flags")
            if len(self._buffer) < _HEAD.size + size:
                return
            body = bytes(self._buffer[_HEAD.size : _HEAD.size + size])
            del self._buffer[: _HEAD.size + size]
            if flags & _END:
                self.ended = True
                _check_end(body)
            else:
                yield body


def _check_end(body: bytes) -> None:
    try:
        content = json.loads(body)
    except ValueError as error:
        raise Internal("the end of the stream cannot be read") from error
    error_part = content.get("error") if isinstance(content, Mapping) else None
    if isinstance(error_part, Mapping):
        raise decode_error(error_part)
