"""What `ubmc board check` and `ubmc board show` say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ubmc.boards.load import board_names, load_board, targets_folder
from ubmc.boards.report import check_report, list_text, show_json, show_text

SIM = (targets_folder() / "sim" / "board.toml").read_text()


def test_check_of_a_good_board() -> None:
    good, text, data = check_report("sim")
    assert good
    assert "is good: 1 host, 1 chassis, " in text
    assert "97 sensors, 6 fans, 3 zones, 37 assets" in text
    assert "not verified" not in text
    assert data["ok"] is True
    assert data["mistakes"] == []
    assert data["fingerprint"] == load_board("sim").fingerprint
    assert json.loads(json.dumps(data)) == data


def test_check_of_a_bad_board_tells_all(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    bare = SIM.partition("# --- sensors")[0]
    file.write_text(bare.replace("verified = true", "").replace('"host.0"]', '"host.1"]'))
    good, text, data = check_report(str(file))
    assert not good
    assert {mistake["key"] for mistake in data["mistakes"]} == {
        "board.verified",
        "chassis[0].hosts[0]",
        "hosts[0].name",
    }
    for mistake in data["mistakes"]:
        assert f"  {mistake['key']}: {mistake['message']}" in text.splitlines()


def test_check_of_no_board() -> None:
    good, text, data = check_report("nosuch")
    assert not good
    assert "no board" in text
    assert [mistake["rule"] for mistake in data["mistakes"]] == ["not_found"]


def test_check_says_that_nobody_has_seen_it_work(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text(SIM.replace("verified = true", "verified = false"))
    good, text, _ = check_report(str(file))
    assert good
    assert "not verified" in text


@pytest.mark.parametrize("name", board_names())
def test_show(name: str) -> None:
    board = load_board(name)
    text = show_text(board)
    data = json.loads(json.dumps(show_json(board)))
    assert board.fingerprint in text
    assert data["fingerprint"] == board.fingerprint
    for part in (
        *(*board.spec.hosts, *board.spec.chassis, *board.spec.leds, *board.spec.i2c),
        *(*board.spec.sensors, *board.spec.fans, *board.spec.zones, *board.spec.assets),
    ):
        assert part.name in text
    assert [host["name"] for host in data["board"]["hosts"]] == [host.name for host in board.spec.hosts]


def test_show_names_every_line(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text(SIM.replace('"nmi-button-0"', '{ line = "nmi-button-0", active_low = true }'))
    text = show_text(load_board(str(file)))
    for line in ("power-button-0", "reset-button-0", "power-good-0", "psu-enable", "identify-led"):
        assert line in text
    assert "nmi-button-0 (active low)" in text
    assert "press        200ms, hold 5s" in text


def test_show_tells_where_everything_is() -> None:
    text = show_text(load_board("asus/iec"))
    for line in (
        "cpu_temp: temperature, hwmon coretemp temp1, upper 75/85/95, with the power of host.0",
        "p12v: voltage, hwmon nct6775 in0, upper 12.6/13.2/-, lower 11.4/10.8/-, with the power of host.0",
        "chassis_power: state, line gpiochip0:23",
        "fan.0: pwm, hwmon nct6775 pwm1, at least 20 %, fail-safe 100 %",
        "memory: fan.2, fan.4, 15 to 60 %, cuts host.0 after 1m",
    ):
        assert line in text.splitlines()
    board = show_text(load_board("aspeed/ast2600-evb"))
    assert "i2c-7: I2C adapter 7" in board
    assert "bmc.0: management-controller, FRU on i2c-7 at 0x50" in board


def test_list() -> None:
    assert list_text().splitlines() == list(board_names())
