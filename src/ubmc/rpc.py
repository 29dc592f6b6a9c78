"""Tokens which name the methods of the services; the generated `*_rpc.py` modules hold one for each method.

A token is data alone: callers, handlers and the web server all derive what they need from it, so that a type checker
sees the same request and response types everywhere. The type variables are exported, since a function taking a token
has to use variables of the same bound. They are invariant on purpose: a wrong request is then a type error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from protobuf import Message

__all__ = ["Req", "Res", "ServerStream", "Unary"]

Req = TypeVar("Req", bound=Message[Any])
Res = TypeVar("Res", bound=Message[Any])


@dataclass(frozen=True, slots=True)
class _Token(Generic[Req, Res]):
    """What a unary method and a server stream have in common."""

    service: str
    """Full name of the service, "ubmc.v1alpha1.HostService"."""
    method: str
    """Name of the method, "GetHost"."""
    request: type[Req]
    response: type[Res]

    @property
    def short(self) -> str:
        """Name of the service without its package, "HostService"."""
        return self.service.rpartition(".")[2]

    @property
    def path(self) -> str:
        """Path of the method in the Connect and gRPC protocols, "/ubmc.v1alpha1.HostService/GetHost"."""
        return f"/{self.service}/{self.method}"


@dataclass(frozen=True, slots=True)
class Unary(_Token[Req, Res]):
    """A method with one request and one response."""


@dataclass(frozen=True, slots=True)
class ServerStream(_Token[Req, Res]):
    """A method with one request and any number of responses."""
