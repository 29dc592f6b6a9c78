from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protobuf.wkt import Duration, FieldMask, Timestamp
from tests.harness.made_schema import made, rule

from ubmc.kit.errors import Invalid
from ubmc.kit.schema import load
from ubmc.protocols.rest import Match, Router, decode, encode, resume
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import EventFilter, GetEventRequest, ListEventsRequest
from ubmc.v1alpha1.host_pb import (
    BootOverride,
    BootOverrideMode,
    BootTarget,
    ChangeHostPowerRequest,
    GetHostRequest,
    GetHostResponse,
    Host,
    HostPowerAction,
    HostState,
    HostWatchdog,
    RestorePolicy,
    UpdateHostRequest,
)

REAL = Router(load())
HOST = "/api/v1alpha1/hosts/host.0"
MADE = Router(
    made(
        rule("get", "/v1/get/{name}"),
        rule("post", "/v1/all/{name}", body="*"),
        rule("post", "/v1/nested/{inner.deeper.name}", body="*"),
        rule("post", "/v1/part/{inner.name}", body="inner"),
        rule("post", "/v1/list", body="inners"),
        rule("get", "/v1/color/{color}"),
        rule("get", "/v1/bool/{a_bool}"),
        rule("get", "/v1/number/{an_int64}"),
    )
)


def ask(router: Router, verb: str, path: str, query: str = "", body: object = None) -> Any:
    found = router.find(verb, path.encode())
    assert isinstance(found, Match)
    content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    return decode(found, query.encode(), content)


def refused(router: Router, verb: str, path: str, query: str = "", body: object = None) -> Invalid:
    with pytest.raises(Invalid) as caught:
        ask(router, verb, path, query, body)
    return caught.value


def field_of(error: Invalid) -> str:
    (violation,) = error.violations
    return violation.field


def test_a_path_variable() -> None:
    assert ask(REAL, "GET", HOST) == GetHostRequest(name="host.0")
    assert ask(REAL, "GET", "/api/v1alpha1/events/77") == GetEventRequest(id=77)


def test_query_parameters_nested_and_of_all_spellings() -> None:
    query = (
        "filter.severity=SEVERITY_WARNING&filter.message_id=Host&filter.component=host.0"
        "&filter.since=2024-01-31T12:00:00.5Z&page_size=5&newestFirst=true&pageToken=a%26b+c"
    )
    assert ask(REAL, "GET", "/api/v1alpha1/events", query) == ListEventsRequest(
        filter=EventFilter(
            severity=Severity.WARNING,
            message_id="Host",
            component="host.0",
            since=Timestamp(seconds=1706702400, nanos=500_000_000),
        ),
        page_size=5,
        newest_first=True,
        page_token="a&b c",
    )


def test_query_parameters_of_every_type() -> None:
    query = (
        "aBool=false&anInt32=-5&an_int64=-9007199254740993&aUint64=18446744073709551614&aDouble=1.5&a_float=-Infinity"
        "&someBytes=AAEC&color=2&inner.deeper.aNumber=3&patience=1.5s&updateMask=a_bool,inner.aNumber&maybe=7"
        "&words=a&words=b,c&colors=COLOR_RED&colors=2&choiceText="
    )
    found = ask(MADE, "GET", "/v1/get/x", query)
    assert (found.a_bool, found.an_int32, found.an_int64, found.a_uint64) == (
        False,
        -5,
        -9007199254740993,
        18446744073709551614,
    )
    assert (found.a_double, found.a_float, found.some_bytes, int(found.color)) == (1.5, float("-inf"), b"\0\1\2", 2)
    assert found.inner.deeper.a_number == 3
    assert (found.patience.seconds, found.patience.nanos) == (1, 500_000_000)
    assert found.update_mask.paths == ["a_bool", "inner.a_number"]
    assert found.maybe.value == 7
    assert found.words == ["a", "b,c"]
    assert [int(color) for color in found.colors] == [1, 2]
    assert (found.choice.field, found.choice.value) == ("choice_text", "")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("filter.severty=1", "filter.severty"),
        ("filter=1", "filter"),
        ("nothing=1", "nothing"),
        ("=", ""),
        ("filter.severity=SEVERITY_NONE", "filter.severity"),
        ("filter.severity=9", "filter.severity"),
        ("filter.severity=99999999999", "filter.severity"),
        ("filter.severity=", "filter.severity"),
        ("filter.since=yesterday", "filter.since"),
        ("pageSize=many", "pageSize"),
        ("pageSize=1_0", "pageSize"),
        ("pageSize=", "pageSize"),
        ("pageSize=3000000000", "pageSize"),
        ("pageSize=1&page_size=1", "pageSize"),
        ("newestFirst=yes", "newestFirst"),
        ("newestFirst=1", "newestFirst"),
    ],
)
def test_a_wrong_query_names_the_parameter(query: str, field: str) -> None:
    assert field_of(refused(REAL, "GET", "/api/v1alpha1/events", query)) == field


def test_what_does_not_fit_into_a_query_is_no_parameter() -> None:
    for name in ("inners", "inners.name", "labels", "anything", "inner", "name"):
        assert field_of(refused(MADE, "GET", "/v1/get/x", f"{name}=1")) == name


def test_a_query_has_a_bound_and_must_be_utf8() -> None:
    assert "100" in refused(REAL, "GET", "/api/v1alpha1/events", "&".join(["pageSize=1"] * 101)).message
    assert "UTF-8" in refused(REAL, "GET", "/api/v1alpha1/events", "pageToken=%ff").message


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("/v1/color/COLOR_RED", 1, "color"),
        ("/v1/color/2", 2, "color"),
        ("/v1/bool/true", True, "a_bool"),
        ("/v1/number/-12", -12, "an_int64"),
    ],
)
def test_path_variables_have_types(path: str, value: object, field: str) -> None:
    assert getattr(ask(MADE, "GET", path), field) == value


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/color/RED", "color"),
        ("/v1/bool/yes", "aBool"),
        ("/v1/number/x", "anInt64"),
        ("/v1/number/1_0", "anInt64"),
        ("/v1/number/99999999999999999999", "anInt64"),
    ],
)
def test_a_path_variable_of_the_wrong_type_is_named(path: str, field: str) -> None:
    assert field_of(refused(MADE, "GET", path)) == field


def test_a_body_that_is_the_request() -> None:
    wanted = ChangeHostPowerRequest(name="host.0", action=HostPowerAction.ON)
    assert ask(REAL, "POST", f"{HOST}:changePower", "", {"action": "HOST_POWER_ACTION_ON"}) == wanted
    assert ask(REAL, "POST", f"{HOST}:changePower", "", {"action": 1, "name": "host.0"}) == wanted
    assert ask(REAL, "POST", f"{HOST}:changePower") == ChangeHostPowerRequest(name="host.0")
    assert field_of(refused(REAL, "POST", f"{HOST}:changePower", "action=1", {})) == "action"


def test_a_body_that_is_a_field() -> None:
    assert ask(MADE, "POST", "/v1/part/x", "aBool=true", {"a_number": 4}).inner.a_number == 4
    assert [i.name for i in ask(MADE, "POST", "/v1/list", "", [{"name": "a"}, {}]).inners] == ["a", ""]
    assert "empty" in refused(MADE, "POST", "/v1/list").message
    assert field_of(refused(MADE, "POST", "/v1/part/x", "inner.aNumber=1", {})) == "inner.aNumber"


def test_no_body_where_none_is_expected() -> None:
    assert "no body" in refused(REAL, "GET", HOST, "", {}).message


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a":1}x', b"[", b'{"action":NaN}', b"{'a':1}", b"[" * 5000])
def test_a_body_that_is_not_json(body: bytes) -> None:
    assert "not JSON" in refused(REAL, "POST", f"{HOST}:changePower", "", body).message


@pytest.mark.parametrize("body", [[], 1, "x", None])
def test_a_body_that_is_no_object(body: object) -> None:
    assert "object" in refused(REAL, "POST", f"{HOST}:changePower", "", orjson.dumps(body)).message


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"nme": 1}, "nme"),
        ({"aBool": "true"}, "aBool"),
        ({"anInt32": 1.5}, "anInt32"),
        ({"aUint32": -1}, "aUint32"),
        ({"aFloat": 1e39}, "aFloat"),
        ({"someBytes": "*"}, "someBytes"),
        ({"color": "COLOR_NONE"}, "color"),
        ({"color": 3}, "color"),
        ({"color": 2**40}, "color"),
        ({"inner": []}, "inner"),
        ({"inner": {"deeper": {"nme": 1}}}, "inner.deeper.nme"),
        ({"inner": {"deeper": {"aNumber": "x"}}}, "inner.deeper.aNumber"),
        ({"time": "now"}, "time"),
        ({"patience": "1"}, "patience"),
        ({"maybe": "x"}, "maybe"),
        ({"words": "x"}, "words"),
        ({"words": ["x", 1]}, "words[1]"),
        ({"words": [None]}, "words[0]"),
        ({"colors": [1, 7]}, "colors[1]"),
        ({"inners": [{}, {"nme": 1}]}, "inners[1].nme"),
        ({"labels": []}, "labels"),
        ({"labels": {"a": 1, "b": "x"}}, "labels[b]"),
        ({"anything": 1}, "anything"),
        ({"x" * 1000: 1}, "x" * 64 + "..."),
    ],
)
def test_a_wrong_body_names_the_field(body: object, field: str) -> None:
    assert field_of(refused(MADE, "POST", "/v1/all/x", "", body)) == field


@pytest.mark.parametrize("depth", [101, 300, 1000])
def test_a_body_that_is_nested_too_deeply(depth: int) -> None:
    for field, key in (("inner", "deeper"), ("anything", "x")):
        body = f'{{"{field}":' + f'{{"{key}":' * depth + "{}" + "}" * (depth + 1)
        assert refused(MADE, "POST", "/v1/all/x", "", body.encode()).message


def test_path_and_body_may_not_contradict() -> None:
    for plain in ({}, {"name": ""}, {"name": None}, {"name": "x"}):
        assert ask(MADE, "POST", "/v1/all/x", "", plain).name == "x"
    assert field_of(refused(MADE, "POST", "/v1/all/x", "", {"name": "y"})) == "name"
    nested: list[dict[str, Any]] = [{}, {"inner": None}, {"inner": {"deeper": {"name": "x"}}}]
    for same in nested:
        assert ask(MADE, "POST", "/v1/nested/x", "", same).inner.deeper.name == "x"
    assert field_of(refused(MADE, "POST", "/v1/nested/x", "", {"inner": {"deeper": {"name": "y"}}})) == (
        "inner.deeper.name"
    )
    assert field_of(refused(MADE, "POST", "/v1/nested/x", "", {"inner": {"deeper": 1}})) == "inner.deeper"
    assert field_of(refused(MADE, "POST", "/v1/nested/x", "", {"inner": "x"})) == "inner"


def test_an_update_without_a_mask_changes_what_the_body_has() -> None:
    body = {"restore_policy": 1, "bootOverride": {"mode": 1}, "watchdog": None, "name": "host.0"}
    assert ask(REAL, "PATCH", HOST, "", body) == UpdateHostRequest(
        host=Host(
            name="host.0",
            restore_policy=RestorePolicy.ALWAYS_OFF,
            boot_override=BootOverride(mode=BootOverrideMode.DISABLED),
        ),
        update_mask=FieldMask(paths=["restore_policy", "boot_override", "watchdog"]),
    )
    assert ask(REAL, "PATCH", HOST, "", {}).update_mask == FieldMask()


def test_an_update_with_a_mask() -> None:
    for query in ("updateMask=restorePolicy,watchdog.action", "update_mask=restore_policy,watchdog.action"):
        found = ask(REAL, "PATCH", HOST, query, {"restorePolicy": 1})
        assert found.update_mask == FieldMask(paths=["restore_policy", "watchdog.action"])
    assert ask(REAL, "PATCH", HOST, "updateMask=*", {}).update_mask == FieldMask(paths=["*"])


@pytest.mark.parametrize("mask", ["tls12", "tls_1_2", "tls1_2"])
def test_a_mask_may_have_lost_the_underscores_before_digits(mask: str) -> None:
    found = ask(REAL, "PATCH", "/api/v1alpha1/security-policy", f"updateMask={mask}", {"tls12": True})
    assert found.update_mask == FieldMask(paths=["tls_1_2"])


@pytest.mark.parametrize("mask", ["nothing", "watchdog.nothing", "name.x", "powerActions.x", ",", "watchdog..action"])
def test_a_mask_that_names_no_field(mask: str) -> None:
    assert field_of(refused(REAL, "PATCH", HOST, f"updateMask={mask}", {})) == "updateMask"


def test_last_event_id_goes_before_the_cursor_in_the_url() -> None:
    found = REAL.find("GET", b"/api/v1alpha1/hosts:watch")
    assert isinstance(found, Match)
    request: Any = decode(found, b"cursor=old")
    resume(found.route, request, b"")
    assert request.cursor == "old"
    resume(found.route, request, b"new")
    assert request.cursor == "new"
    with pytest.raises(Invalid):
        resume(found.route, request, b"\xff")
    other = REAL.find("GET", HOST.encode())
    assert isinstance(other, Match)
    assert not other.route.resumes
    resume(other.route, decode(other), b"new")


times = st.builds(Timestamp, seconds=st.integers(-62135596800, 253402300799), nanos=st.integers(0, 999_999_999))
durations = st.builds(Duration, seconds=st.integers(0, 315_576_000_000), nanos=st.integers(0, 999_999_999))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
hosts = st.builds(
    Host,
    name=texts,
    state=st.sampled_from(HostState),
    state_time=st.none() | times,
    power_actions=st.lists(st.sampled_from(HostPowerAction), max_size=4),
    restore_policy=st.sampled_from(RestorePolicy),
    boot_override=st.none() | st.builds(BootOverride, target=st.sampled_from(BootTarget)),
    watchdog=st.none() | st.builds(HostWatchdog, running=st.booleans(), timeout=st.none() | durations),
    power_on_time=st.none() | durations,
)


@settings(deadline=None)  # the machine may be busy
@given(hosts)
def test_what_is_encoded_can_be_decoded(host: Host) -> None:
    assert GetHostResponse.from_json(encode(GetHostResponse(host=host))) == GetHostResponse(host=host)
    found = REAL.find("PATCH", HOST.encode())
    assert isinstance(found, Match)
    host.name = ""
    request: Any = decode(found, b"", encode(host))
    host.name = "host.0"
    assert request.host == host


def every_route() -> list[Match]:
    return [Match(r, tuple("1" for _ in r.bound)) for router in (REAL, MADE) for r in router.routes]


names = sorted({name for match in every_route() for name in match.route.query})
keys = sorted({f.json_name for match in every_route() for f in match.route.method.desc.input.fields})
words = st.sampled_from(["1", "true", "", "x", "-1", "1e9", "%ff", "1s", "a,b"])
pairs = st.lists(st.tuples(st.sampled_from(names), words), max_size=4)
queries = st.binary(max_size=40) | pairs.map(lambda chosen: "&".join(f"{n}={w}" for n, w in chosen).encode())
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(keys), inner, max_size=4)
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(every_route()), queries, st.binary(max_size=40) | values.map(orjson.dumps))
def test_whatever_is_sent_is_a_message_or_an_error_of_ours(match: Match, query: bytes, body: bytes) -> None:
    try:
        found = decode(match, query, body)
    except Invalid as error:
        answered = str(error)
    else:
        answered = str(found)
        again = type(found).from_binary(found.to_binary())
        assert again.to_binary() == found.to_binary()
    assert answered
