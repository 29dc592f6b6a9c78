"""Query parameters: what they mean, and that nothing a client can send breaks them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.protocols.redfish.filter import parse_filter
from ubmc.protocols.redfish.messages import RedfishError
from ubmc.protocols.redfish.query import NOTHING, Expand, Query, page, parse_query, select

BODY = {
    "@odata.id": "/redfish/v1/Systems/host.0",
    "@odata.type": "#T",
    "Id": "host.0",
    "PowerState": "On",
    "Boot": {"Target": "Pxe", "Target@Redfish.AllowableValues": ["Pxe"], "Mode": "UEFI"},
    "Members": [{"@odata.id": "/a"}, {"@odata.id": "/b"}, {"@odata.id": "/c"}],
    "Reading": 51.5,
    "Status": {"Health": "OK", "State": None},
    "Name": "it's",
}
NAMES = st.sampled_from(["Reading", "Status/Health", "PowerState", "Name", "Nothing", "Boot"])
LITERALS = st.one_of(
    st.integers(-1000, 1000).map(str),
    st.floats(-1000, 1000).map(lambda number: f"{number:.3f}"),
    st.text(st.characters(exclude_characters="'", exclude_categories=["Cs"]), max_size=8).map(lambda text: f"'{text}'"),
    st.sampled_from(["true", "false", "null"]),
)
COMPARISONS = st.builds(
    lambda name, verb, literal: f"{name} {verb} {literal}",
    NAMES,
    st.sampled_from(["eq", "ne", "gt", "ge", "lt", "le"]),
    LITERALS,
)
FILTERS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.builds(lambda one, verb, other: f"({one} {verb} {other})", inner, st.sampled_from(["and", "or"]), inner),
        inner.map(lambda one: f"not ({one})"),
    ),
    max_leaves=6,
)


def test_what_there_is() -> None:
    found = parse_query("$select=Id,Boot/Mode&$expand=*($levels=2)&$top=5&$skip=1&unknown=7")
    assert found.select == {"Id": {}, "Boot": {"Mode": {}}}
    assert found.expand == Expand(subordinate=True, dependent=True, levels=2)
    assert (found.top, found.skip) == (5, 1)
    assert parse_query("only") == Query(only=True)
    assert parse_query("excerpt") == Query(excerpt=True)
    assert parse_query("a=b&c") == NOTHING


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (".", Expand(subordinate=True, dependent=False)),
        ("~", Expand(subordinate=False, dependent=True)),
        ("*", Expand(subordinate=True, dependent=True)),
        (".($levels=2)", Expand(subordinate=True, dependent=False, levels=2)),
    ],
)
def test_expand(text: str, how: Expand) -> None:
    assert parse_query(f"$expand={quote(text)}").expand == how


@pytest.mark.parametrize(
    ("query", "status", "key"),
    [
        ("$bogus=1", 501, "QueryParameterUnsupported"),
        ("$top=x", 400, "QueryParameterValueTypeError"),
        ("$top=-1", 400, "QueryParameterOutOfRange"),
        ("$top=" + "9" * 30, 400, "QueryParameterOutOfRange"),
        ("$skip=", 400, "QueryParameterValueTypeError"),
        ("$expand=", 400, "QueryParameterValueFormatError"),
        ("$expand=.($levels=3)", 400, "QueryParameterOutOfRange"),
        ("$expand=.($levels=0)", 400, "QueryParameterOutOfRange"),
        ("$expand=.($levels=2", 400, "QueryParameterValueFormatError"),
        ("$select=", 400, "QueryParameterValueFormatError"),
        ("$select=a//b", 400, "QueryParameterValueFormatError"),
        ("$filter=Id", 400, "QueryParameterValueFormatError"),
        ("$filter=Id eq 'x' or", 400, "QueryParameterValueFormatError"),
        ("$filter=(Id eq 'x'", 400, "QueryParameterValueFormatError"),
        ("$filter=" + "(" * 100, 400, "QueryParameterValueFormatError"),
        ("$filter=" + "not " * 300, 400, "QueryParameterValueError"),
        ("only&$expand=.", 400, "QueryCombinationInvalid"),
        ("excerpt&$select=Id", 400, "QueryCombinationInvalid"),
        ("$top=1&$top=2", 400, "QueryCombinationInvalid"),
        ("x=" + "y" * 5000, 400, "QueryParameterValueError"),
        ("only=false", 400, "QueryParameterValueError"),
    ],
)
def test_what_is_wrong(query: str, status: int, key: str) -> None:
    with pytest.raises(RedfishError) as caught:
        parse_query(query)
    assert (caught.value.status, caught.value.messages[0].key) == (status, key)


def test_select_keeps_what_says_which_resource_it_is() -> None:
    found = select(BODY, {"Boot": {"Target": {}}, "Nothing": {}})
    assert found == {
        "@odata.id": "/redfish/v1/Systems/host.0",
        "@odata.type": "#T",
        "Boot": {"Target": "Pxe", "Target@Redfish.AllowableValues": ["Pxe"]},
    }


def test_select_reaches_into_lists() -> None:
    body = {"List": [{"A": 1, "B": 2}, {"A": 3, "B": 4}]}
    assert select(body, {"List": {"A": {}}}) == {"List": [{"A": 1}, {"A": 3}]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PowerState eq 'On'", True),
        ("PowerState ne 'On'", False),
        ("Reading gt 51 and Reading lt 52", True),
        ("Reading ge 51.5", True),
        ("Reading gt 'x'", False),
        ("Status/Health eq 'OK' or Reading eq 0", True),
        ("not (Status/Health eq 'OK')", False),
        ("not Status/Health eq 'OK' or Id eq 'host.0'", True),
        ("Name eq 'it''s'", True),
        ("Nothing eq null", True),
        ("Status/State eq null", True),
        ("'Pxe' eq Boot/Target", True),
        ("Reading eq 51.5 or Reading eq 1 and Id eq 'x'", True),  # `and` binds closer
    ],
)
def test_filter(text: str, expected: bool) -> None:
    assert parse_filter(text)(BODY) is expected


@given(FILTERS)
def test_every_filter_that_can_be_written_can_be_used(text: str) -> None:
    if len(text) > 1024:
        return
    found = parse_filter(text)
    assert isinstance(found(BODY), bool)
    assert isinstance(found({}), bool)


@given(FILTERS, FILTERS)
def test_filters_follow_logic(one: str, other: str) -> None:
    if len(one) + len(other) > 900:
        return
    first, second = parse_filter(one)(BODY), parse_filter(other)(BODY)
    assert parse_filter(f"({one}) and ({other})")(BODY) == (first and second)
    assert parse_filter(f"({one}) or ({other})")(BODY) == (first or second)
    assert parse_filter(f"not ({one})")(BODY) == (not first)


def _refusal(query: str) -> RedfishError | None:
    try:
        parse_query(query)
    except RedfishError as error:
        return error
    return None


@given(st.text(max_size=200))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    for name in ("$filter=", "$select=", "$expand=", "$top=", "$skip=", "only=", ""):
        error = _refusal(f"{name}{text}")
        assert error is None or error.status in (400, 501)
        assert error is None or error.body()["error"]["@Message.ExtendedInfo"]


@given(st.integers(0, 5), st.integers(0, 5))
def test_pages_are_slices(skip: int, top: int) -> None:
    found: dict[str, Any] = page(BODY, Query(top=top, skip=skip))
    assert found["Members"] == BODY["Members"][skip : skip + top]  # type: ignore[index]  # a list of the test's own
