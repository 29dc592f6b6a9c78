"""Refusals of services, told about what the client has sent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ubmc
from ubmc.kit.errors import Denied, Exhausted, Invalid, UbmcError, Violation
from ubmc.protocols.redfish import messages
from ubmc.protocols.redfish.managers import asked_for
from ubmc.protocols.redfish.messages import Message, RedfishError, of_error, pointer
from ubmc.protocols.redfish.shape import of_action
from ubmc.services.websrv.redfish.families.blame import blamed, blaming
from ubmc.v1alpha1.security_pb import ClientCertificates


def invalid(*fields: str) -> Invalid:
    return Invalid("no", violations=[Violation(field, "rule", "that cannot be") for field in fields])


@pytest.mark.parametrize(
    "field",
    ["http_headers", "httpHeaders", "subscription.http_headers", "subscription.httpHeaders", 'http_headers["X-A"]'],
)
def test_services_may_spell_a_field_either_way(field: str) -> None:
    for known in ("httpHeaders", "http_headers"):
        assert blamed(invalid(field), {known: "HttpHeaders", "destination": "Destination"}) == ("HttpHeaders",)


def test_what_nobody_knows_is_blamed_on_what_else_was_sent() -> None:
    with pytest.raises(RedfishError) as caught, blaming("/x", {"destination": "Destination"}, ("Context",)):
        raise invalid("subscription.strange")
    assert caught.value.messages[0].related == ("Context",)
    with pytest.raises(RedfishError) as caught, blaming("/x", {"destination": "Destination", "id": "Id"}, ("Context",)):
        raise invalid("id", "destination", "destination")
    assert caught.value.messages[0].related == ("Id", "Destination")
    with pytest.raises(UbmcError), blaming("/x", {}):  # who may not is told so, and not about a property
        raise Denied("no")


def test_an_action_is_told_about_its_parameter() -> None:
    told = of_action(Message("PropertyValueError", ("messageArgs",), text="too many"), "X.Y", "MessageArgs").body()
    assert told["MessageId"].endswith(".ActionParameterValueError")
    assert (told["MessageArgs"], told["RelatedProperties"]) == (["MessageArgs", "X.Y"], ["/MessageArgs"])
    assert told["Message"] == "too many"


@pytest.mark.parametrize(
    ("retry", "status", "key", "args", "seconds"),
    [
        (0, 400, "CreateLimitReachedForResource", (), 0),
        (1.0, 429, "ServiceTemporarilyUnavailable", ("1",), 1),
        (299.25, 429, "ServiceTemporarilyUnavailable", ("300",), 300),
    ],
)
def test_a_limit_is_told_with_what_helps(
    retry: float, status: int, key: str, args: tuple[str, ...], seconds: int
) -> None:
    """Room that comes by itself is waited for; where something has to be deleted nobody is told to come again."""
    with pytest.raises(Exhausted) as caught, blaming("/x", {"name": "Name"}, ("Name",)):
        raise Exhausted("there are too many", retry_seconds=retry)
    told = of_error(caught.value, "/x")
    assert (told.status, told.retry_seconds) == (status, seconds)
    assert told.messages == (Message(key, args, (), "there are too many"),)


def test_pointers_are_escaped() -> None:
    assert pointer("Attributes", "a/b~c") == "/Attributes/a~1b~0c"


@pytest.mark.parametrize(
    ("now", "verify", "wanted"),
    [
        ("OFF", True, "OPTIONAL"),
        ("OPTIONAL", True, "OPTIONAL"),
        ("REQUIRED", True, "REQUIRED"),  # asking for less would let people in without one
        ("UNSPECIFIED", True, "OPTIONAL"),
        ("REQUIRED", False, "OFF"),
    ],
)
def test_verifying_certificates_is_never_less_than_before(now: str, verify: bool, wanted: str) -> None:
    assert asked_for(ClientCertificates[now], verify=verify) is ClientCertificates[wanted]


def test_every_text_is_used() -> None:
    here = Path(messages.__file__).read_text()
    table, rest = here.split("}  # fmt: skip", 1)
    keys = re.findall(r'^    "(\w+)": \(', table, re.MULTILINE)
    files = [file for file in Path(ubmc.__file__).parent.rglob("*.py") if file.name != "messages.py"]
    text = rest + "".join(file.read_text() for file in files)
    assert len(keys) > 30
    assert [key for key in keys if f'"{key}"' not in text] == []
