"""The inventory from the outside: parts that are tagged, pulled and damaged, and the storage that they carry."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from tests.harness.parts import API, Parts, Stream
from tests.harness.program import KILLS_PEERS, Program, until

pytestmark = [pytest.mark.e2e, KILLS_PEERS]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with Program(tmp_path_factory.mktemp("inventory") / "state") as program:
        program.login()
        yield Parts(program)


@pytest.fixture
def parts(house: Parts) -> Iterator[Parts]:
    yield house
    house.mend()


def tag(parts: Parts, name: str, text: str) -> None:
    answer = parts.program.request("PATCH", f"{API}/assets/{name}?updateMask=assetTag", {"assetTag": text})
    assert answer.status_code == 200, answer.text
    assert answer.json()["asset"]["assetTag"] == text


def fru(parts: Parts, name: str) -> bytes:
    return base64.b64decode(parts.program.get(f"{API}/assets/{name}:readFru")["data"])


def test_a_new_bmc_knows_everything_and_complains_of_nothing(parts: Parts) -> None:
    assets = {each["name"]: each for each in parts.program.get(f"{API}/assets?pageSize=1000")["assets"]}
    assert {"bmc.0", "board.0", "chassis.0", "cpu.0", "dimm.15", "drive.7", "fan.5", "host.0", "psu.1"} <= set(assets)
    assert assets["psu.0"]["serialNumber"] == "PS0000"
    assert assets["dimm.3"]["details"]["capacity_bytes"] == str(32 << 30)
    assert [each["name"] for each in assets.values() if each.get("faults")] == []
    assert parts.events(0, "Asset") == []
    only = parts.program.get(f"{API}/assets?kind=ASSET_KIND_POWER_SUPPLY")["assets"]
    assert [each["name"] for each in only] == ["psu.0", "psu.1"]


def test_tags_survive_a_restart(parts: Parts) -> None:
    tag(parts, "drive.0", "archive 7")  # it has no storage: the BMC keeps it
    tag(parts, "board.0", "rack 12")  # in the storage of the board
    assert parts.asset("board.0")["fru"]["productAssetTag"] == "rack 12"
    parts.restart()
    until(lambda: parts.asset("drive.0").get("assetTag") == "archive 7", 10)
    until(lambda: parts.asset("board.0").get("assetTag") == "rack 12", 10)
    assert b"rack 12" in fru(parts, "board.0")
    assert not parts.asset("drive.1").get("assetTag")


def test_a_part_that_is_pulled_and_put_back(parts: Parts) -> None:
    begun = parts.newest()
    with Stream(parts.program, "assets:watch?name=drive.3") as stream:
        parts.inject("asset-unplugged", "drive.3")
        [gone] = until(lambda: parts.events(begun, "Asset.Removed"), 15)
        assert (gone["component"], gone["severity"]) == ("drive.3", "SEVERITY_WARNING")
        assert not parts.asset("drive.3").get("present")
        stream.wait(lambda update: not update["asset"].get("present"))
        parts.mend()
        [back] = until(lambda: parts.events(begun, "Asset.Added"), 15)
        assert back["component"] == "drive.3"
        assert parts.asset("drive.3")["serialNumber"] == "DR0003"
    names = [update["asset"].get("present", False) for update in stream.updates]
    assert names == [True, False, True]


def test_damaged_storage_is_shown_and_nothing_breaks(parts: Parts) -> None:
    begun = parts.newest()
    before = fru(parts, "psu.1")
    parts.inject("fru-damaged", "psu.1")
    parts.restart()  # storage is read every 30 s, and at the start
    asset = until(lambda: parts.asset("psu.1") if parts.asset("psu.1").get("faults") else None, 15)
    assert asset["present"] is True
    assert "checksum" in " ".join(asset["faults"])
    told = until(lambda: parts.events(begun, "Asset.Changed", "psu.1"), 5)
    assert "damaged" in told[0]["message"]
    assert fru(parts, "psu.1") != before, "the bytes can be read as they are"
    assert parts.asset("psu.0")["serialNumber"] == "PS0000"
    parts.mend()
    assert fru(parts, "psu.1") == before


def test_storage_is_written_whole_or_not_at_all(parts: Parts) -> None:
    data = fru(parts, "board.0")
    broken = bytearray(data)
    broken[20] ^= 0xFF
    write = f"{API}/assets/board.0:writeFru"
    refused = parts.program.request("POST", write, {"data": base64.b64encode(bytes(broken)).decode()})
    assert refused.status_code == 400
    assert "checksum" in refused.json()["message"]
    assert fru(parts, "board.0") == data
    fixed = {"fru": {"productVersion": "2.5"}}
    answer = parts.program.request("PATCH", f"{API}/assets/board.0?updateMask=fru.productVersion", fixed)
    assert answer.status_code == 200, answer.text
    assert parts.asset("board.0")["version"] == "2.5"
    parts.post("assets/board.0:writeFru", {"data": base64.b64encode(data).decode()})
    assert fru(parts, "board.0") == data
    assert parts.asset("board.0")["version"] == "1.0"
    read_only = parts.program.request("POST", f"{API}/assets/psu.0:writeFru", {"data": base64.b64encode(data).decode()})
    assert read_only.status_code == 409
    assert "cannot be written" in read_only.json()["message"]
