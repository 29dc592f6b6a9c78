"""What breaks without a sign until something is done: a host that does not obey, and storage that cannot be written.

Injecting it changes nothing in Redfish. What is done then ends as the machine does, and Redfish says so within a second
of the API: power state, boot progress, health with its reason, the task, the log, the answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.harness.breaking import FLASH, HANGS, Hang
from tests.harness.lags import API, FAILED, Seen, bring, host, quickest, watched
from tests.harness.program import KILLS_PEERS, until
from tests.harness.resources import CHASSIS, RESET, SOON, SYSTEM, Door, opened, others

pytestmark = [pytest.mark.e2e, KILLS_PEERS]

OWNER = '[power]\nsoft_off_patience = "4s"\npower_on_patience = "3s"\n'


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One whose owner has little patience."""
    folder = tmp_path_factory.mktemp("hangs")
    (folder / "owner.toml").write_text(OWNER)
    yield from opened(folder / "state", "--config", str(folder / "owner.toml"))


@pytest.mark.parametrize("hang", HANGS, ids=lambda hang: hang.kind)
def test_a_host_that_does_not_do_as_it_is_told(door: Door, hang: Hang) -> None:
    tasks: list[str] = []

    def ask() -> None:
        answer = door.client.post(RESET, json={"ResetType": hang.reset}, headers={"prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        tasks.append(answer.json()["@odata.id"])

    def once() -> Seen:
        bring(door, on=hang.on)
        return watched(door, ask, lambda: host(door).get("powerFailure"))

    bring(door, on=hang.on)
    door.calm()
    sane = door.shapes()
    for kind in filter(None, (hang.kind, hang.besides)):
        door.parts.inject(kind, "host.0")
    try:
        time.sleep(SOON)
        assert not others(sane, door.shapes()), "nobody can know before the power is to be changed"
        seen = quickest(once)
        assert hang.way in seen.powers
        shown = door.get(SYSTEM)
        assert (shown["PowerState"], shown["BootProgress"]["LastState"], shown["Status"]["State"]) == hang.after
        [condition] = shown["Status"]["Conditions"]
        assert (shown["Status"]["Health"], condition["MessageId"]) == ("Warning", FAILED)
        assert hang.advice in condition["Message"].lower()
        task = door.get(tasks[-1])
        assert (task["TaskState"], task["TaskStatus"]) == ("Exception", "Critical")
        assert hang.advice in task["Messages"][0]["Message"].lower()
        [entry, *_] = door.get(f"{SYSTEM}/LogServices/SEL/Entries?$filter=MessageId eq '{FAILED}'")["Members"]
        assert hang.advice in entry["Message"].lower()
        assert entry["Created"][:19] >= condition["Timestamp"][:19]
    finally:
        door.parts.mend()
    bring(door, on=not hang.on)
    until(lambda: "Conditions" not in door.get(SYSTEM)["Status"], SOON, "it obeys again")


def test_flash_that_cannot_be_written_is_said_and_nothing_changes(door: Door) -> None:
    bring(door, on=True)
    door.calm()
    sane = door.shapes()
    tag = {"AssetTag": "rack 9"}
    door.parts.inject(FLASH)
    try:
        refused = door.client.patch(CHASSIS, json=tag)
        assert refused.status_code == 503, refused.text
        assert refused.headers["retry-after"] == "1"
        [info] = refused.json()["error"]["@Message.ExtendedInfo"]
        assert info["MessageId"].endswith(".ServiceTemporarilyUnavailable")
        assert info["RelatedProperties"] == ["/AssetTag"]
        assert "does not take what is written" in info["Message"]
        field = {"fru": {"productVersion": "9"}, "assetTag": "rack 9"}
        path = f"{API}/assets/board.0?updateMask=fru.productVersion,assetTag"
        assert door.program.request("PATCH", path, field).status_code == 503
        time.sleep(SOON)
        assert not others(sane, door.shapes())
        part = door.client.patch(CHASSIS, json={**tag, "LocationIndicatorActive": True})
        assert part.status_code == 200, part.text
        assert part.json()["LocationIndicatorActive"] is True
        [about] = part.json()["AssetTag@Message.ExtendedInfo"]
        assert about["MessageId"].endswith(".ServiceTemporarilyUnavailable")
        assert part.json()["AssetTag"] is None
    finally:
        door.parts.mend()
        door.parts.post("chassis/chassis.0:setIdentify", {"identify": False})
    assert door.client.patch(CHASSIS, json=tag).json()["AssetTag"] == "rack 9"
    assert door.parts.asset("chassis.0")["fru"]["productAssetTag"] == "rack 9"
    assert door.client.patch(CHASSIS, json={"AssetTag": ""}).json()["AssetTag"] is None
    until(lambda: not others(sane, door.shapes()), 10, "it is as it was")
