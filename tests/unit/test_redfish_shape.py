"""Bodies: what is taken, and which message each mistake gets."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.redfish_world import body, facts

from ubmc.protocols.redfish import boot, systems
from ubmc.protocols.redfish.messages import Message, RedfishError
from ubmc.protocols.redfish.render import annotate
from ubmc.protocols.redfish.shape import (
    Prop,
    Removable,
    Shape,
    check_action,
    check_apply_time,
    check_new,
    check_patch,
    leaves,
    parse,
)
from ubmc.v1alpha1.host_pb import BootFirmware, BootOverride, BootOverrideMode, BootTarget, Host

SHAPE: Shape = {
    "Name": Prop(required=True, longest=4),
    "Count": Prop("integer", minimum=1, maximum=9),
    "Kind": Prop(values=("A", "B")),
    "At": Prop("time"),
    "Mac": Prop(pattern="[0-9a-f]{2}"),
    "List": Prop("strings", longest=2, values=("x", "y")),
    "To": Prop("link"),
    "Toes": Prop("links", longest=3),
    "Shelf": Prop(
        "array", longest=3, items={"Book": Prop(longest=9), "Pages": Prop("integer"), "By": Prop(nullable=True)}
    ),
    "Limit": Removable({"Reading": Prop("number", nullable=True), "Hard": Prop("boolean")}),
    "Empty": Prop(nullable=True),
    "Inner": {"Flag": Prop("boolean"), "Choice": Prop()},
}
CURRENT = {
    "Id": "1",
    "Name": "n",
    "Shelf": [{"Book": "A", "Shelfmark": "Z7"}],
    "Inner": {"Flag": True, "Fixed": 1, "Choice@Redfish.AllowableValues": ["P", "Q"]},
}


@pytest.mark.parametrize(
    ("sent", "key", "related"),
    [
        ({"Nope": 1}, "PropertyUnknown", "/Nope"),
        ({"Id": "2"}, "PropertyNotWritable", "/Id"),
        ({"Name": 5}, "PropertyValueTypeError", "/Name"),
        ({"Name": None}, "PropertyValueTypeError", "/Name"),
        ({"Name": "longer"}, "StringValueTooLong", "/Name"),
        ({"Count": 10}, "PropertyValueOutOfRange", "/Count"),
        ({"Count": True}, "PropertyValueTypeError", "/Count"),
        ({"Count": 1.5}, "PropertyValueTypeError", "/Count"),
        ({"Kind": "C"}, "PropertyValueNotInList", "/Kind"),
        ({"At": "yesterday"}, "PropertyValueFormatError", "/At"),
        ({"At": "2026-01-01T00:00:00"}, "PropertyValueFormatError", "/At"),
        ({"At": "0001-01-01T00:00:00+14:00"}, "PropertyValueFormatError", "/At"),  # UTC has no such day
        ({"At": "9999-12-31T23:59:59-14:00"}, "PropertyValueFormatError", "/At"),
        ({"Mac": "zz"}, "PropertyValueFormatError", "/Mac"),
        ({"List": ["x", "y", "x"]}, "ArraySizeTooLong", "/List"),
        ({"List": ["z"]}, "PropertyValueNotInList", "/List"),
        ({"List": "x"}, "PropertyValueTypeError", "/List"),
        ({"To": {"id": "x"}}, "PropertyValueFormatError", "/To"),
        ({"Toes": [{"@odata.id": "/x"}, {"@odata.id": 5}]}, "PropertyValueFormatError", "/Toes"),
        ({"Links/Chassis~x": 1}, "PropertyUnknown", "/Links~1Chassis~0x"),
        ({"Shelf": {}}, "PropertyValueTypeError", "/Shelf"),
        ({"Shelf": ["A"]}, "PropertyValueTypeError", "/Shelf/0"),
        ({"Shelf": [{"Book": 5}]}, "PropertyValueTypeError", "/Shelf/0/Book"),
        ({"Shelf": [{"Book": "A"}, {"Book": "B", "Pages": True}]}, "PropertyValueTypeError", "/Shelf/1/Pages"),
        ({"Shelf": [{"Bogus": 1}]}, "PropertyUnknown", "/Shelf/0/Bogus"),
        ({"Shelf": [{"Shelfmark": 1}]}, "PropertyNotWritable", "/Shelf/0/Shelfmark"),
        ({"Limit": 5}, "PropertyValueTypeError", "/Limit"),
        ({"Inner": None}, "PropertyValueTypeError", "/Inner"),
        ({"Inner": 1}, "PropertyValueTypeError", "/Inner"),
        ({"Inner": {"Flag": "yes"}}, "PropertyValueTypeError", "/Inner/Flag"),
        ({"Inner": {"Fixed": 2}}, "PropertyNotWritable", "/Inner/Fixed"),
        ({"Inner": {"Choice": "R"}}, "PropertyValueNotInList", "/Inner/Choice"),
    ],
)
def test_every_mistake_has_its_message(sent: dict[str, Any], key: str, related: str) -> None:
    checked = check_patch(SHAPE, sent, CURRENT)
    assert checked.values == {}
    assert [(each.key, each.related) for each in checked.problems] == [(key, (related,))]
    said = checked.problems[0].body()
    assert said["MessageId"] == f"Base.1.22.{key}"
    assert said["RelatedProperties"] == [related]
    assert "%" not in said["Message"]


def test_what_is_right_is_taken_beside_what_is_wrong() -> None:
    sent = {"Name": "x", "Nope": 1, "Inner": {"Flag": False, "Choice": "Q"}, "@odata.type": "#T", "Empty": None}
    checked = check_patch(SHAPE, sent, CURRENT)
    assert checked.values == {"Name": "x", "Inner/Flag": False, "Inner/Choice": "Q", "Empty": None}
    assert len(checked.problems) == 1


def test_what_there_is_not_is_told_and_the_rest_of_an_object_taken() -> None:
    checked = check_patch(SHAPE, {"Shelf": [{"Book": "C", "Bogus": 1, "By": None}, None, {}]}, CURRENT)
    assert checked.values == {"Shelf": [{"Book": "C", "By": None}, None, {}]}
    assert [each.related for each in checked.problems] == [("/Shelf/0/Bogus",)]


def test_null_takes_away_what_can_be_taken_away() -> None:
    assert check_patch(SHAPE, {"Limit": None}, CURRENT).values == {"Limit/Reading": None}


def test_an_empty_list_of_what_is_offered_offers_nothing() -> None:
    shape: Shape = {"Kind": Prop(values=("A", "B")), "Any": Prop()}
    for offered, taken in ((["A"], ["A"]), ([], []), (None, ["A", "B"])):
        near = {} if offered is None else {"Kind@Redfish.AllowableValues": offered, "Any@Redfish.AllowableValues": []}
        assert [kind for kind in ("A", "B", "C") if check_patch(shape, {"Kind": kind}, near).values] == taken
        assert bool(check_patch(shape, {"Any": "x"}, near).values) == (offered is None)
        assert [kind for kind in ("A", "B", "C") if check_action("X.Y", shape, {"Kind": kind}, near).values] == taken


def test_a_message_stands_beside_its_property_and_replaces_nothing() -> None:
    now: dict[str, Any] = {"Links": {"Chassis": [{"@odata.id": "/c"}]}, "Shelf": [{"Book": "A"}, "B"], "Id": "1"}
    kept = orjson.dumps(now)
    names = (
        "/Links~1Chassis~1x",
        "/Links/Chassis/x",
        "/Id/x",
        "/Gone/x",
        "/Shelf/0/Book",
        "/Shelf/1/Book",
        "/Shelf/9/Book",
    )
    told = annotate(now, (*(Message("PropertyUnknown", (name,), (name,)) for name in names), Message("NoOperation")))
    assert orjson.dumps(now) == kept

    def beside(node: dict[str, Any], name: str) -> list[str]:
        return [each["RelatedProperties"][0] for each in node.pop(f"{name}@Message.ExtendedInfo")]

    assert beside(told, "Links/Chassis/x") == ["/Links~1Chassis~1x"]
    assert beside(told["Links"], "Chassis") == ["/Links/Chassis/x"]
    assert beside(told, "Id") == ["/Id/x"]
    assert beside(told, "Gone") == ["/Gone/x"]
    assert beside(told["Shelf"][0], "Book") == ["/Shelf/0/Book"]
    assert beside(told, "Shelf") == ["/Shelf/1/Book", "/Shelf/9/Book"]
    assert len(told.pop("@Message.ExtendedInfo")) == len(names) + 1
    assert told == now


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ({"ApplyTime": "OnReset"}, ""),
        ({"ApplyTime": "OnReset", "@odata.type": "#Settings.v1_4_0.PreferredApplyTime"}, ""),
        ({"ApplyTime": "Immediate"}, "PropertyValueNotInList"),
        ({"ApplyTime": 7}, "PropertyValueTypeError"),
        ({}, "PropertyValueTypeError"),
        ("OnReset", "PropertyValueTypeError"),
        (None, "PropertyValueTypeError"),
    ],
)
def test_a_change_at_another_time_is_none(sent: object, key: str) -> None:
    body = {"Attributes": {}, "@Redfish.SettingsApplyTime": sent}
    check_apply_time({"Attributes": {}}, ("OnReset",))
    if not key:
        check_apply_time(body, ("OnReset",))
        return
    with pytest.raises(RedfishError) as caught:
        check_apply_time(body, ("OnReset",))
    (told,) = caught.value.messages
    assert (caught.value.status, told.key) == (400, key)
    assert told.related == ("/@Redfish.SettingsApplyTime/ApplyTime",)


def test_a_new_member_needs_what_is_required() -> None:
    checked = check_new(SHAPE, {"Count": 3})
    assert [each.key for each in checked.problems] == ["CreateFailedMissingReqProperties"]
    assert check_new(SHAPE, {"Name": "x"}).problems == ()
    assert [each.key for each in check_new(SHAPE, {"Name": 1}).problems] == ["PropertyValueTypeError"]


def test_actions_have_messages_of_their_own() -> None:
    shape: Shape = {"ResetType": Prop(required=True), "Delay": Prop("integer", maximum=5)}
    offered = {"ResetType@Redfish.AllowableValues": ["On"]}
    for sent, key in (
        ({}, "ActionParameterMissing"),
        ({"ResetType": "Off"}, "ActionParameterValueNotInList"),
        ({"ResetType": 1}, "ActionParameterValueTypeError"),
        ({"ResetType": "On", "Delay": 9}, "ActionParameterValueOutOfRange"),
        ({"ResetType": "On", "Nope": 9}, "ActionParameterUnknown"),
    ):
        assert [each.key for each in check_action("X.Reset", shape, sent, offered).problems] == [key], sent
    assert check_action("X.Reset", shape, {"ResetType": "On"}, offered).values == {"ResetType": "On"}


def test_leaves_are_all_paths() -> None:
    assert "Inner/Flag" in leaves(SHAPE)
    assert "Name" in leaves(SHAPE)
    assert "Inner" not in leaves(SHAPE)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (b"", "MalformedJSON"),
        (b"{", "MalformedJSON"),
        (b"[" * 5000, "MalformedJSON"),
        (b"[]", "UnrecognizedRequestBody"),
        (b"1", "UnrecognizedRequestBody"),
    ],
)
def test_bodies_that_are_none(data: bytes, key: str) -> None:
    with pytest.raises(RedfishError) as caught:
        parse(data)
    assert (caught.value.status, caught.value.messages[0].key) == (400, key)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@cache
def _system() -> dict[str, Any]:
    made = body(facts("on"), "/redfish/v1/Systems/host.0")
    assert made is not None
    return made


@given(st.dictionaries(st.sampled_from(leaves(systems.PATCH)).map(lambda path: path.split("/")[0]), JSON))
def test_nothing_that_can_be_sent_breaks_the_check(sent: dict[str, Any]) -> None:
    checked = check_patch(systems.PATCH, orjson.loads(orjson.dumps(sent)), _system())
    assert set(checked.values) <= set(leaves(systems.PATCH))
    for problem in checked.problems:
        orjson.dumps(problem.body())


PXE_ONCE = BootOverride(mode=BootOverrideMode.ONCE, target=BootTarget.PXE, firmware=BootFirmware.UEFI)


@pytest.mark.parametrize(
    ("sent", "mode", "target", "firmware"),
    [
        ({"Target": "Cd", "Enabled": "Continuous"}, "CONTINUOUS", "CD", "UEFI"),
        ({"Target": "Cd"}, "ONCE", "CD", "UEFI"),
        ({"Target": "None"}, "DISABLED", "UNSPECIFIED", "UEFI"),
        ({"Target": "None", "Enabled": "Once"}, "DISABLED", "UNSPECIFIED", "UEFI"),
        ({"Enabled": "Disabled"}, "DISABLED", "UNSPECIFIED", "UEFI"),
        ({"Enabled": "Disabled", "Target": "Cd"}, "DISABLED", "UNSPECIFIED", "UEFI"),
        ({"Mode": "Legacy"}, "ONCE", "PXE", "LEGACY"),
    ],
)
def test_boot_override(sent: dict[str, str], mode: str, target: str, firmware: str) -> None:
    values = {f"Boot/BootSourceOverride{name}": value for name, value in sent.items()}
    made = boot.changed(Host(name="host.0", boot_override=PXE_ONCE), values)
    assert (made.mode.name, made.target.name, made.firmware.name) == (mode, target, firmware)


def test_a_target_alone_is_for_the_next_boot() -> None:
    made = boot.changed(Host(name="host.0"), {"Boot/BootSourceOverrideTarget": "Pxe"})
    assert (made.mode, made.target) == (BootOverrideMode.ONCE, BootTarget.PXE)
