"""The marks by which a service says which calls it answers and which news it follows.

A mark carries the typed token, so a wrong request or response type is an error of the type checker.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from protobuf import Message

from ubmc.rpc import Req, Res, ServerStream, Unary

_MARK = "__ubmc_handler__"

S = TypeVar("S")
News = TypeVar("News", bound=Message[Any])


@dataclass(frozen=True, slots=True)
class Handler:
    """One method of a service that answers or follows something."""

    what: Unary[Any, Any] | ServerStream[Any, Any] | type[Message[Any]]
    method: Callable[..., Any]


def rpc(
    token: Unary[Req, Res],
) -> Callable[[Callable[[S, Req], Awaitable[Res]]], Callable[[S, Req], Awaitable[Res]]]:
    """Mark the method that answers a unary call."""

    def mark(method: Callable[[S, Req], Awaitable[Res]]) -> Callable[[S, Req], Awaitable[Res]]:
        setattr(method, _MARK, token)
        return method

    return mark


def stream(
    token: ServerStream[Req, Res],
) -> Callable[[Callable[[S, Req], AsyncIterator[Res]]], Callable[[S, Req], AsyncIterator[Res]]]:
    """Mark the asynchronous generator that answers a server stream."""

    def mark(method: Callable[[S, Req], AsyncIterator[Res]]) -> Callable[[S, Req], AsyncIterator[Res]]:
        setattr(method, _MARK, token)
        return method

    return mark


def on(
    news: type[News],
) -> Callable[[Callable[[S, News], Awaitable[None]]], Callable[[S, News], Awaitable[None]]]:
    """Mark the method that follows news of this kind, about all components."""

    def mark(method: Callable[[S, News], Awaitable[None]]) -> Callable[[S, News], Awaitable[None]]:
        setattr(method, _MARK, news)
        return method

    return mark


def handlers_of(service: object) -> Iterator[Handler]:
    """All marked methods; of an instance they come bound, of a class as they are."""
    cls = service if isinstance(service, type) else type(service)
    for name in dir(cls):
        what = getattr(getattr(cls, name, None), _MARK, None)
        if what is not None:
            yield Handler(what, getattr(service, name))
