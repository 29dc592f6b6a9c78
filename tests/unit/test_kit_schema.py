from __future__ import annotations

from typing import Literal

import pytest
from protobuf import Oneof
from tests.harness.made_schema import INTERNAL, made, rule

from ubmc.kit.schema import PACKAGE, Access, Idempotency, build, load
from ubmc.v1alpha1 import host_pb
from ubmc.v1alpha1.access_pb import Access as AccessOption
from ubmc.v1alpha1.access_pb import Internal, Privilege
from ubmc.v1alpha1.event_pb import EventEnvelope
from ubmc.v1alpha1.host_pb import HostStateChange
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.internal_rpc import PowerService, ProcessService
from ubmc.v1alpha1.live_rpc import LiveService
from ubmc.v1alpha1.session_rpc import SessionService

SCHEMA = load()
NOBODY: Oneof[Literal["privilege"], Privilege] = Oneof("privilege", Privilege.UNSPECIFIED)
NOT_PUBLIC: Oneof[Literal["public"], bool] = Oneof("public", False)
NO_CALLERS: Oneof[Literal["internal"], Internal] = Oneof("internal", Internal())


def test_a_method_is_found_in_every_way() -> None:
    method = SCHEMA.method(HostService.ChangeHostPower)
    assert method is SCHEMA.find("HostService", "ChangeHostPower")
    assert method is SCHEMA.at("/ubmc.v1alpha1.HostService/ChangeHostPower")
    assert method.name == "HostService.ChangeHostPower"
    assert (method.audited, method.privilege, method.privilege_name) == (
        True,
        Privilege.CONFIGURE_COMPONENTS,
        "ConfigureComponents",
    )
    assert SCHEMA.find("HostService", "Nothing") is None
    assert SCHEMA.at("/ubmc.v1alpha1.HostService/") is None
    with pytest.raises(KeyError):
        SCHEMA.method(made(None).methods[0].token)


def test_each_kind_of_access() -> None:
    assert SCHEMA.access_of(HostService.GetHost) == Access(privilege=Privilege.LOGIN)
    assert SCHEMA.access_of(SessionService.Login) == Access(public=True)
    internal = SCHEMA.method(PowerService.DriveHost)
    assert (internal.internal, internal.callers, internal.public) == (True, frozenset({"statemgr"}), False)
    assert internal.privilege_name == ""


def test_facts_about_methods() -> None:
    assert SCHEMA.method(HostService.GetHost).side_effect_free
    assert SCHEMA.method(HostService.UpdateHost).idempotency is Idempotency.UNKNOWN
    assert SCHEMA.method(HostService.WatchHosts).streams
    assert not SCHEMA.method(HostService.GetHost).streams
    assert [m.token for m in SCHEMA.methods if m.everywhere] == [ProcessService.GetProcessMetrics]
    assert [m.token for m in SCHEMA.methods if m.at_door] == [LiveService.WatchLive]


def test_every_watch_that_tells_a_snapshot_can_say_where_it_ends() -> None:
    for method in SCHEMA.methods:
        fields = {each.name for each in method.desc.output.fields}
        assert ("snapshot" in fields) == ("complete" in fields), method.name


def test_everything_described_is_there() -> None:
    described = {m.name for service in host_pb.desc().services for m in service.methods}
    assert described == {m.token.method for m in SCHEMA.methods if m.token.short == "HostService"}
    assert SCHEMA.events[f"{PACKAGE}.HostStateChange"] is HostStateChange
    assert EventEnvelope.desc().type_name not in SCHEMA.events


@pytest.mark.parametrize(
    "access",
    [
        None,
        AccessOption(audited=True),
        AccessOption(kind=NOBODY),
        AccessOption(kind=NOT_PUBLIC),
        AccessOption(kind=NO_CALLERS),
    ],
)
def test_a_call_that_does_not_say_who_may_make_it_stops_the_start(access: AccessOption | None) -> None:
    with pytest.raises(ValueError, match=r"/made\.Made/M0"):
        made(rule("get", "/v1/x"), access=access)


def test_tokens_and_descriptors_must_fit_together() -> None:
    tokens = [method.token for method in SCHEMA.methods if method.token.short == "HostService"]
    assert len(build([host_pb.desc()], tokens).methods) == len(tokens)
    with pytest.raises(ValueError, match=r"HostService/GetHost"):
        build([host_pb.desc()], [token for token in tokens if token is not HostService.GetHost])
    with pytest.raises(ValueError, match=r"PowerService/DriveHost"):
        build([host_pb.desc()], [*tokens, PowerService.DriveHost])


def test_an_internal_call_needs_no_rest_form() -> None:
    assert made(None, access=INTERNAL).methods[0].http is None
