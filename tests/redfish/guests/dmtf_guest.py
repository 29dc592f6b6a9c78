"""DMTF's Python library: both ways to log in, tags, changes, an action, errors; looked at by our REST API too."""

from __future__ import annotations

import importlib
from typing import Any

from tests.redfish.guests import truth

redfish: Any = importlib.import_module("redfish")

SYSTEM = "/redfish/v1/Systems/host.0"


def tour(auth: str) -> None:
    client = redfish.redfish_client(base_url=truth.URL, username=truth.USER, password=truth.PASSWORD)
    client.login(auth=auth)
    try:
        root = client.get("/redfish/v1/")
        assert root.dict["Systems"]["@odata.id"] == "/redfish/v1/Systems"
        system = client.get(SYSTEM)
        tag = system.getheader("ETag")
        assert system.dict["@odata.etag"] == tag.replace('-gz"', '"')  # other bytes, so another strong tag (RFC 9110)
        assert client.get(SYSTEM, headers={"If-None-Match": tag}).status == 304
        changed = client.patch(SYSTEM, body={"AssetTag": f"by {auth}"}, headers={"If-Match": tag})
        assert changed.status in (200, 204), changed.text
        assert truth.get("assets/host.0")["asset"]["assetTag"] == f"by {auth}"
        assert client.patch(SYSTEM, body={"AssetTag": "late"}, headers={"If-Match": tag}).status == 412
        assert truth.get("assets/host.0")["asset"]["assetTag"] == f"by {auth}"
        wrong = client.patch(SYSTEM, body={"Boot": {"BootSourceOverrideTarget": "Gramophone"}})
        info = wrong.dict["error"]["@Message.ExtendedInfo"][0]
        assert (wrong.status, info["MessageId"].rpartition(".")[2]) == (400, "PropertyValueNotInList"), wrong.text
        assert info["RelatedProperties"] == ["/Boot/BootSourceOverrideTarget"]
        assert client.get("/redfish/v1/Systems/nobody").status == 404
        expanded = client.get("/redfish/v1/Chassis/chassis.0/Sensors?$expand=*")
        names = {each["name"] for each in truth.get("sensors?page_size=1000")["sensors"] if each["unit"]}
        assert {member["Id"] for member in expanded.dict["Members"]} == names
    finally:
        client.logout()


def sessions() -> None:
    """A session is there while it is, and ends with its logout."""
    client = redfish.redfish_client(base_url=truth.URL, username=truth.USER, password=truth.PASSWORD)
    before = {each["id"] for each in truth.get("sessions")["sessions"]}
    client.login(auth="session")
    key, location = client.get_session_key(), client.get_session_location()
    during = {each["id"] for each in truth.get("sessions")["sessions"]}
    assert key
    assert location.rpartition("/")[2] in during - before
    client.logout()
    assert location.rpartition("/")[2] not in {each["id"] for each in truth.get("sessions")["sessions"]}


if __name__ == "__main__":
    tour("session")
    tour("basic")
    sessions()
