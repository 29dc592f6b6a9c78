"""Who may publish and subscribe to what, for the processes of the real program."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ubmc.boards.load import load_board
from ubmc.boards.owner import IpmiSettings, OwnerSpec, SshSettings
from ubmc.compose.processes import process_specs
from ubmc.kit import subjects
from ubmc.kit.handlers import handlers_of
from ubmc.kit.schema import Schema, load
from ubmc.kit.service import Service
from ubmc.services.ipc.permissions import Permissions, ProcessSpec, matrix
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.internal_rpc import OperatorService, PowerService
from ubmc.v1alpha1.session_rpc import SessionService

EVERYTHING = OwnerSpec(ssh=SshSettings(listen=("127.0.0.1:0",)), ipmi=IpmiSettings(listen=("127.0.0.1:0",)))
"""All doors open."""


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load()


@pytest.fixture(scope="module")
def specs() -> tuple[ProcessSpec, ...]:
    return process_specs(load_board("sim"), EVERYTHING)


@pytest.fixture(scope="module")
def rights(schema: Schema, specs: tuple[ProcessSpec, ...]) -> Mapping[str, Permissions]:
    return matrix(specs, schema)


def starting(rules: frozenset[str], prefix: str) -> set[str]:
    return {rule for rule in rules if rule.startswith(prefix)}


def test_the_processes(rights: Mapping[str, Permissions]) -> None:
    assert set(rights) == {"safety", "managers", "websrv", "consolesrv", "sshsrv", "ipmisrv"}
    assert {spec.name for spec in process_specs(load_board("sim"))} == set(rights) - {"sshsrv", "ipmisrv"}


def test_the_door_asks_for_others_and_as_itself_only_for_principals_and_what_everybody_may_read(
    rights: Mapping[str, Permissions], schema: Schema
) -> None:
    publish = rights["websrv"].publish
    reads = {
        subjects.peer(each.token)
        for each in schema.methods
        if each.privilege is Privilege.LOGIN and each.side_effect_free and not each.at_door
    }
    assert starting(publish, "peer.") - reads == {
        "peer.SessionService.ExchangeToken",
        "peer.SessionService.ExchangeBasic",
        "peer.SessionService.ExchangeCertificate",
        "peer.SecurityService.WatchDoor",
        "peer.ConsoleService.OpenConsole",
    }
    assert starting(publish, "rpc.") == {
        subjects.rpc(each.token) for each in schema.methods if not (each.internal or each.at_door)
    }
    assert {rule.split(".")[0] for rule in publish} == {"rpc", "peer", "stream"}
    assert starting(publish, "stream.") == {"stream.managers.*", "stream.safety.*", "stream.consolesrv.*"}
    assert rights["websrv"].allow_responses


def test_the_door_hears_only_its_own(rights: Mapping[str, Permissions]) -> None:
    assert rights["websrv"].subscribe == {
        "_INBOX_websrv.>",
        "stream.websrv.*",
        "peer.ProcessService.GetProcessMetrics",
        "event.session.*.session_end",
        # after which a password that comes with each request is proven again
        "event.user.*.user_change",
        "event.user.*.user_locked",
        "event.user.*.second_factor_change",
        "event.user.*.source_locked",
        "event.user.*.role_change",
        # what has no stream of its own, and Redfish shows
        "event.bmc.*.management_controller_restart",
        "event.service.*.service_health_change",
        "event.user.*.account_policy_change",
    }


def test_safety_answers_and_calls_nobody(rights: Mapping[str, Permissions]) -> None:
    safety = rights["safety"]
    news = {rule for rule in safety.publish if rule.startswith(("event.sensor.", "event.thermal."))}
    assert len(news) == 8
    inboxes = {f"_INBOX_{each}.>" for each in ("managers", "websrv", "sshsrv", "ipmisrv")}  # who may ask
    assert safety.publish - news == inboxes | {"event.audit.*.audited_call"}
    answered = starting(safety.subscribe, "rpc.SensorService.") | starting(safety.subscribe, "rpc.ThermalService.")
    asked = {"peer." + rule.removeprefix("rpc.") for rule in answered}  # by other services, as themselves
    assert len(answered) == 16
    assert safety.subscribe - answered - asked == {
        "_INBOX_safety.>",
        "stream.safety.*",
        "peer.PowerService.DriveHost",
        "peer.PowerService.DriveChassis",
        "peer.PowerService.WatchPower",
        "peer.ProcessService.GetProcessMetrics",
    }
    assert not safety.allow_responses


def test_only_the_managers_have_jetstream_and_only_one_stream(rights: Mapping[str, Permissions]) -> None:
    for name in ("safety", "websrv"):
        assert not starting(rights[name].publish | rights[name].subscribe, "$")
    for rule in starting(rights["managers"].publish, "$"):
        assert rule == "$JS.API.INFO" or rule.split(".")[-1] == "EVENTS" or ".EVENTS." in rule, rule
    assert not any("DELETE" in rule or "PURGE" in rule for rule in rights["managers"].publish)


def test_internal_calls_are_only_for_their_callers(
    rights: Mapping[str, Permissions], schema: Schema, specs: tuple[ProcessSpec, ...]
) -> None:
    internal = [method for method in schema.methods if method.internal]
    assert len(internal) >= 6
    for method in internal:
        callers = {spec.name for spec in specs for each in spec.services if each.name in method.callers}
        may = {name for name, rule in rights.items() if subjects.peer(method.token) in rule.publish}
        assert may <= callers, method.name
        for rule in rights.values():
            assert subjects.rpc(method.token) not in rule.publish | rule.subscribe


def test_each_call_is_answered_by_one_process(
    rights: Mapping[str, Permissions], schema: Schema, specs: tuple[ProcessSpec, ...]
) -> None:
    for method in schema.methods:
        owners = [name for name, rule in rights.items() if subjects.peer(method.token) in rule.subscribe]
        if method.at_door:
            assert owners == [], method.name
        else:
            assert len(owners) == (len(specs) if method.everywhere else 1), method.name


def test_news_come_only_from_whoever_says_so(rights: Mapping[str, Permissions], specs: tuple[ProcessSpec, ...]) -> None:
    for spec in specs:
        told = {subjects.event(news) for service in spec.services for news in service.tells}
        published = {rule for rule in rights[spec.name].publish if rule.startswith(("event.", "signal."))}
        assert published - told <= {"event.audit.*.audited_call"}, spec.name
        assert told <= published
        assert all(rule.count("*") == 1 for rule in published)


def test_no_rule_is_wider_than_an_inbox(rights: Mapping[str, Permissions]) -> None:
    for name, rule in rights.items():
        for each in rule.publish | rule.subscribe:
            head, _, tail = each.partition(".")
            assert head not in {"*", ">"}
            if tail == ">":
                assert head.startswith("_INBOX_")
        assert {each for each in rule.subscribe if each.startswith("_INBOX")} == {f"_INBOX_{name}.>"}


def test_what_services_follow_and_answer_they_may_subscribe(
    rights: Mapping[str, Permissions], specs: tuple[ProcessSpec, ...]
) -> None:
    for spec in specs:
        for service in spec.services:
            for handler in handlers_of(service):
                place = subjects.event(handler.what) if isinstance(handler.what, type) else subjects.peer(handler.what)
                assert place in rights[spec.name].subscribe


def test_who_is_no_caller_cannot_declare_the_call(schema: Schema) -> None:
    class Impostor(Service):
        name = "ledmgr"
        calls = (PowerService.DriveHost,)

    with pytest.raises(ValueError, match="does not name it as a caller"):
        matrix([ProcessSpec("x", (Impostor,))], schema)


@pytest.mark.parametrize("token", [SessionService.ExchangeToken, OperatorService.RestartServices])
def test_nor_those_of_others(token: object, schema: Schema) -> None:
    impostor = type("Impostor", (Service,), {"name": "powermgr", "calls": (token,)})
    with pytest.raises(ValueError, match="powermgr calls"):
        matrix([ProcessSpec("x", (impostor,))], schema)


def test_two_processes_cannot_answer_the_same_call(schema: Schema) -> None:
    spec = next(each for each in process_specs(load_board("sim")) if each.name == "safety")
    with pytest.raises(ValueError, match="is answered by safety and by other"):
        matrix([spec, ProcessSpec("other", spec.services[:1])], schema)


def test_a_second_reader_may_steer_only_the_streams_that_it_reads(schema: Schema) -> None:
    class Reader(Service):
        name = "someone"
        calls = (HostService.WatchHosts,)

    rights = matrix([*process_specs(load_board("sim")), ProcessSpec("third", (Reader,))], schema)
    assert rights["third"].publish == {"peer.HostService.WatchHosts", "stream.managers.*"}
    assert "_INBOX_third.>" in rights["managers"].publish
    assert "_INBOX_third.>" not in rights["safety"].publish
