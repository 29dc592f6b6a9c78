"""Server-sent events: what happens is seen, nothing is missed over a break, and each open stream is a subscription."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.harness.program import until
from tests.redfish.conftest import Bmc

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

STREAM = "/redfish/v1/EventService/SSE"


class Reader:
    """One open stream."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()
        self.last = ""

    def next(self) -> dict[str, Any]:
        """The next event; the client's read time-out is its deadline."""
        for line in self._lines:
            if line.startswith("id: "):
                self.last = line[4:]
            elif line.startswith("data: "):
                return dict(json.loads(line[6:]))
        raise AssertionError("the stream has ended")

    def until(self, message: str) -> dict[str, Any]:
        """The next event with this message."""
        while True:
            event = dict(self.next()["Events"][0])
            if event["MessageId"] == f"Ubmc.1.0.{message}":
                return event

    def opened(self) -> None:
        """Wait for the first sign of life."""
        for line in self._lines:
            if line.startswith(":"):
                return

    def ended(self) -> bool:
        """Whether nothing comes any more; read to the end."""
        for _ in self._lines:
            pass
        return True


@contextmanager
def stream(bmc: Bmc, query: str = "", last: str = "") -> Iterator[Reader]:
    headers = {"X-Auth-Token": bmc.program.token, **({"Last-Event-ID": last} if last else {})}
    with bmc.program.client() as client, client.stream("GET", f"{STREAM}{query}", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        reader = Reader(answer)
        if not last:
            reader.opened()
        yield reader


def identify(bmc: Bmc, *, lit: bool) -> None:
    bmc.post("chassis/chassis.0:setIdentify", {"identify": lit})


def members(bmc: Bmc) -> list[str]:
    return [member["@odata.id"] for member in bmc.redfish("/EventService/Subscriptions")["Members"]]


def test_what_happens_is_seen_and_nothing_is_missed(bmc: Bmc) -> None:
    with stream(bmc) as reader:
        identify(bmc, lit=True)
        seen = reader.until("ChassisIdentifyChanged")
        last = reader.last
    assert seen["OriginOfCondition"]["@odata.id"] == "/redfish/v1/Chassis/chassis.0"
    entry = bmc.redfish(seen["LogEntry"]["@odata.id"].removeprefix("/redfish/v1"))
    assert (entry["Message"], entry["EventId"]) == (seen["Message"], seen["EventId"])
    identify(bmc, lit=False)
    identify(bmc, lit=True)
    identify(bmc, lit=False)
    with stream(bmc, last=last) as reader:
        missed = [reader.until("ChassisIdentifyChanged")["EventId"] for _ in range(3)]
    assert len({seen["EventId"], *missed}) == 4


def test_only_what_was_asked_for_comes(bmc: Bmc) -> None:
    with stream(bmc, "?$filter=ResourceType eq 'Chassis'") as reader:
        bmc.program.login()
        identify(bmc, lit=True)
        first = reader.next()["Events"][0]
    identify(bmc, lit=False)
    assert first["MessageId"] == "Ubmc.1.0.ChassisIdentifyChanged"


def test_a_stream_is_a_subscription_while_it_is_open(bmc: Bmc) -> None:
    assert not members(bmc)
    with stream(bmc):
        (path,) = members(bmc)
        shown = bmc.redfish(path.removeprefix("/redfish/v1"))
        assert (shown["SubscriptionType"], shown["Protocol"]) == ("SSE", "Redfish")
    until(lambda: not members(bmc))
    assert bmc.program.request("GET", path).status_code == 404


def test_deleting_the_subscription_ends_its_stream(bmc: Bmc) -> None:
    with stream(bmc) as reader:
        (path,) = members(bmc)
        assert bmc.program.request("DELETE", path).status_code == 204
        assert reader.ended()


def test_a_stream_needs_a_login_and_a_filter_that_can_be_read(bmc: Bmc) -> None:
    with bmc.program.client() as client:
        assert client.get(STREAM).status_code == 401
        headers = {"X-Auth-Token": bmc.program.token}
        wrong = client.get(f"{STREAM}?$filter=Severity like 'x'", headers=headers)
        assert wrong.status_code == 400
        assert wrong.json()["error"]["@Message.ExtendedInfo"]
        assert client.post(STREAM, headers=headers).status_code == 405
