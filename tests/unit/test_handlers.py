"""The marks of a service's handlers."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ubmc.kit.handlers import handlers_of, on, rpc, stream
from ubmc.v1alpha1.host_pb import (
    GetHostRequest,
    GetHostResponse,
    HostStateChange,
    WatchHostsRequest,
    WatchHostsResponse,
)
from ubmc.v1alpha1.host_rpc import HostService


class Parent:
    @rpc(HostService.GetHost)
    async def get(self, request: GetHostRequest) -> GetHostResponse:
        return GetHostResponse()

    @on(HostStateChange)
    async def follow(self, change: HostStateChange) -> None:
        pass

    async def other(self) -> None:
        pass


class Child(Parent):
    @stream(HostService.WatchHosts)
    async def watch(self, request: WatchHostsRequest) -> AsyncIterator[WatchHostsResponse]:
        yield WatchHostsResponse()

    @property
    def trap(self) -> str:
        raise AssertionError("looking for handlers must not run properties")


def test_of_an_instance_they_are_bound_also_inherited_ones() -> None:
    child = Child()
    found = {handler.what: handler.method for handler in handlers_of(child)}
    assert set(found) == {HostService.GetHost, HostService.WatchHosts, HostStateChange}
    assert all(getattr(method, "__self__", None) is child for method in found.values())


def test_of_a_class_they_are_what_permissions_are_made_of() -> None:
    assert {handler.what for handler in handlers_of(Parent)} == {HostService.GetHost, HostStateChange}
    assert list(handlers_of(object)) == []
