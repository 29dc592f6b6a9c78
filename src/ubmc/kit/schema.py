"""What the schema says about every call: who may make it, how it looks in REST, whether it may be repeated.

It is read once from the descriptors in the generated modules. A call that does not say who may make it stops
start-up: whatever is not allowed by the schema is denied.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType, ModuleType
from typing import Any

from protobuf import DescFile, DescMethod, Message
from protobuf.wkt.google.protobuf.descriptor_pb import MethodOptions

from ubmc import v1alpha1
from ubmc.rpc import ServerStream, Unary
from ubmc.v1alpha1.access_pb import Access as AccessOption
from ubmc.v1alpha1.access_pb import Internal, Privilege, ext_access
from ubmc.v1alpha1.deps.google.api.annotations_pb import ext_http
from ubmc.v1alpha1.deps.google.api.http_pb import HttpRule
from ubmc.v1alpha1.event_kind_pb import ext_event

PACKAGE = "ubmc.v1alpha1"
_EVERYWHERE = frozenset({f"{PACKAGE}.ProcessService"})  # answered by all processes, not by one owner
_AT_DOOR = frozenset({f"{PACKAGE}.LiveService"})  # made by the door of other calls, answered by nobody on the bus

Token = Unary[Any, Any] | ServerStream[Any, Any]


class Idempotency(Enum):
    """What happens when a call is made twice; the words are those of descriptor.proto."""

    UNKNOWN = "idempotency_unknown"
    IDEMPOTENT = "idempotent"
    NO_SIDE_EFFECTS = "no_side_effects"


_IDEMPOTENCY = {
    MethodOptions.IdempotencyLevel.IDEMPOTENCY_UNKNOWN: Idempotency.UNKNOWN,
    MethodOptions.IdempotencyLevel.IDEMPOTENT: Idempotency.IDEMPOTENT,
    MethodOptions.IdempotencyLevel.NO_SIDE_EFFECTS: Idempotency.NO_SIDE_EFFECTS,
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may make a call: exactly one of a privilege, everybody, or some of our own services."""

    privilege: Privilege = Privilege.UNSPECIFIED
    public: bool = False
    callers: frozenset[str] = frozenset()
    """Names of the services that may, for an internal call; empty for all others."""
    audited: bool = False

    @property
    def internal(self) -> bool:
        """Nobody from the network may make it."""
        return bool(self.callers)

    @property
    def privilege_name(self) -> str:
        """The privilege as Redfish spells it, "ConfigureComponents"; empty if none is needed."""
        return "" if self.privilege is Privilege.UNSPECIFIED else self.privilege.name.title().replace("_", "")


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """One call of the schema."""

    token: Token
    desc: DescMethod = field(repr=False)
    access: Access
    idempotency: Idempotency
    http: HttpRule | None = field(repr=False)
    """Its REST form; None if it has none."""
    name: str
    """Short name for people, logs and metrics, "HostService.GetHost"."""
    internal: bool
    public: bool
    audited: bool
    streams: bool
    """It answers with a stream."""
    everywhere: bool
    """All processes answer it, not one owner."""
    at_door: bool
    """The door makes its answer of other calls; on the bus nobody answers it."""

    @property
    def privilege(self) -> Privilege:
        """What the caller needs; UNSPECIFIED for public and internal calls."""
        return self.access.privilege

    @property
    def privilege_name(self) -> str:
        """The privilege as Redfish spells it; empty for public and internal calls."""
        return self.access.privilege_name

    @property
    def callers(self) -> frozenset[str]:
        """The services that may make an internal call."""
        return self.access.callers

    @property
    def side_effect_free(self) -> bool:
        """It only reads."""
        return self.idempotency is Idempotency.NO_SIDE_EFFECTS


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """All calls and all kinds of news, with every way to look them up."""

    methods: tuple[Method, ...]
    events: Mapping[str, type[Message[Any]]]
    """The messages that are news, by full name."""
    _by_name: Mapping[tuple[str, str], Method] = field(repr=False)
    _by_path: Mapping[str, Method] = field(repr=False)

    def method(self, token: Token) -> Method:
        """The method of a token.

        Raises:
            KeyError: the token is not of this schema.
        """
        return self._by_path[token.path]

    def find(self, service: str, method: str) -> Method | None:
        """The method of a short name, ("HostService", "GetHost")."""
        return self._by_name.get((service, method))

    def at(self, path: str) -> Method | None:
        """The method of a path, "/ubmc.v1alpha1.HostService/GetHost"."""
        return self._by_path.get(path)

    def access_of(self, token: Token) -> Access:
        """Who may make a call.

        Raises:
            KeyError: the token is not of this schema.
        """
        return self.method(token).access


def load() -> Schema:
    """The schema of this program.

    Raises:
        ValueError: a call does not say who may make it, or generated modules do not fit together.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(v1alpha1.__path__))
    files = [_module(name).desc() for name in names if name.endswith("_pb")]
    tokens = [token for name in names if name.endswith("_rpc") for token in _tokens(_module(name))]
    return build(files, tokens)


def build(files: Iterable[DescFile], tokens: Iterable[Token]) -> Schema:
    """The schema of some descriptors and the tokens generated from them.

    Raises:
        ValueError: a call has not exactly one kind of access, has no token, or a token has no call.
    """
    described = tuple(files)
    by_path = {token.path: token for token in tokens}
    descs = {_path(method): method for file in described for service in file.services for method in service.methods}
    if strays := sorted(by_path.keys() ^ descs.keys()):
        raise ValueError(f"descriptors and tokens differ in {', '.join(strays)}; run tools/generate.py")
    methods = {path: _method(by_path[path], desc) for path, desc in descs.items()}
    return Schema(
        methods=tuple(methods.values()),
        events=MappingProxyType({
            message.type_name: message.type
            for file in described
            for message in file.messages
            if message.proto.options is not None and ext_event in message.proto.options
        }),
        _by_name=MappingProxyType({(m.token.short, m.token.method): m for m in methods.values()}),
        _by_path=MappingProxyType(methods),
    )  # fmt: skip


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{v1alpha1.__name__}.{name}")


def _tokens(module: ModuleType) -> Iterable[Token]:
    for service in vars(module).values():
        if isinstance(service, type) and service.__module__ == module.__name__:
            yield from (value for value in vars(service).values() if isinstance(value, Unary | ServerStream))


def _path(method: DescMethod) -> str:
    return f"/{method.parent.type_name}/{method.name}"


def _method(token: Token, desc: DescMethod) -> Method:
    options = desc.proto.options
    access = _access(desc)
    return Method(
        token=token,
        desc=desc,
        access=access,
        idempotency=_IDEMPOTENCY[desc.idempotency],
        http=options[ext_http] if options is not None and ext_http in options else None,
        name=f"{token.short}.{token.method}",
        internal=access.internal,
        public=access.public,
        audited=access.audited,
        streams=isinstance(token, ServerStream),
        everywhere=token.service in _EVERYWHERE,
        at_door=token.service in _AT_DOOR,
    )


def _access(desc: DescMethod) -> Access:
    """The access option of a method, which is a oneof: two kinds at once cannot even be written."""
    options = desc.proto.options
    option: AccessOption | None = options[ext_access] if options is not None and ext_access in options else None
    if option is None or option.kind is None:
        raise ValueError(f"{_path(desc)} does not say who may call it: option (ubmc.v1alpha1.access) is missing")
    match option.kind.value:
        case Privilege() as privilege if privilege is not Privilege.UNSPECIFIED:
            return Access(privilege=privilege, audited=option.audited)
        case True:
            return Access(public=True, audited=option.audited)
        case Internal(callers=callers) if callers:
            return Access(callers=frozenset(callers), audited=option.audited)
        case _:
            raise ValueError(f"{_path(desc)}: option (ubmc.v1alpha1.access) names nobody who may call it")
