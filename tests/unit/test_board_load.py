"""Finding and reading board files, and the fingerprint."""

from __future__ import annotations

from pathlib import Path

import pytest

from ubmc.boards.load import board_names, find_board, json_schema, load_board, targets_folder
from ubmc.boards.quantities import quantities_of
from ubmc.boards.spec import SimLinesSpec
from ubmc.boards.spec_sensors import Quantity, SimSensorSpec, VirtualSensorSpec
from ubmc.hw.sim.catalogue import machine_named
from ubmc.kit.errors import Invalid, NotFound, Unavailable

SIM = (targets_folder() / "sim" / "board.toml").read_text()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "board.toml"
    path.write_text(SIM)
    return path


@pytest.mark.parametrize("name", board_names())
def test_every_board_of_the_package_is_whole(name: str) -> None:
    board = load_board(name)
    assert board.path.name == "board.toml"
    assert (board.path.parent / "README.md").is_file()


def test_the_boards_everybody_starts_with() -> None:
    assert {"sim", "sim-large", "qemu", "asus/iec", "aspeed/ast2600-evb"} <= set(board_names())


@pytest.mark.parametrize(("name", "sensors"), [("sim", 80), ("sim-large", 300)])
def test_simulated_boards_have_all_that_their_machines_have(name: str, sensors: int) -> None:
    spec = load_board(name).spec
    assert len(spec.sensors) >= sensors
    assert isinstance(spec.lines, SimLinesSpec)
    machine = machine_named(spec.lines.machine.value)
    read = {sensor.name: sensor for sensor in spec.sensors if isinstance(sensor, SimSensorSpec)}
    assert read.keys() == {sensor.name for sensor in machine.sensors}
    assert {fan.name for fan in spec.fans} == {fan.name for fan in machine.fans}
    assert {asset.name for asset in spec.assets} == {asset.name for asset in machine.assets}
    for sensor in machine.sensors:
        limits = read[sensor.name]
        for side, physical in ((limits.upper, sensor.upper), (limits.lower, sensor.lower)):
            for level in ("warning", "critical", "fatal"):
                said, true = getattr(side, level), getattr(physical, level)
                assert (said is None) == (true is None)
                assert true is None or said == pytest.approx(true, rel=1e-3), (sensor.name, level)
        assert not sensor.host or limits.powered_by == "host.0", sensor.name


@pytest.mark.parametrize("name", [name for name in board_names() if load_board(name).spec.zones])
def test_every_warm_part_of_every_board_with_zones_is_cooled(name: str) -> None:
    spec = load_board(name).spec
    cooled = {sensor for zone in spec.zones for each in zone.controllers for sensor in each.sensors}
    cooled |= {sensor for zone in spec.zones for sensor in zone.watched}
    known = quantities_of(spec.sensors)
    hot = {
        sensor.name
        for sensor in spec.sensors
        if known[sensor.name] is Quantity.TEMPERATURE and not isinstance(sensor, VirtualSensorSpec)
    }
    own_fan = {name for name in hot if name.startswith("psu")}  # a supply cools itself
    assert hot - own_fan <= cooled


def test_by_file_and_by_folder(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_name = load_board("sim")
    for given in (str(file), str(file.parent)):
        assert load_board(given).spec == by_name.spec
        assert load_board(given).fingerprint == by_name.fingerprint
        assert load_board(given).path == file
    monkeypatch.chdir(file.parent)
    assert load_board("board.toml").path == file


@pytest.mark.parametrize(
    ("name", "hint"), [("sin", "did you mean sim"), ("zzzz", "there is .*qemu, sim"), ("../sim", "sim"), ("", "sim")]
)
def test_no_such_board(name: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match=hint):
        find_board(name)


def test_a_file_that_is_no_toml_is_told_with_its_line(file: Path) -> None:
    file.write_text('[board]\nname = "x"\nvendor = \n')
    with pytest.raises(Invalid, match="line 3") as caught:
        load_board(str(file))
    assert [violation.rule for violation in caught.value.violations] == ["toml"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[board]\nname = "\xff"\n', "line 2 is no UTF-8"),
        (b"#" * ((1 << 20) + 1), "larger than 1 MiB"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"", "board: is missing"),
    ],
)
def test_files_that_nobody_meant(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(Invalid, match=message):
        load_board(str(file))


def test_a_file_that_cannot_be_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so the kernel's answer is played
    with pytest.raises(Unavailable, match=r"cannot read .*: Permission denied"):
        load_board(str(file))


def changed(file: Path, old: str, new: str) -> str:
    assert old in SIM
    file.write_text(SIM.replace(old, new, 1))
    return load_board(str(file)).fingerprint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[board]", "# another remark\n[board]"),
        ('name = "sim"\nvendor = "u-bmc"', 'vendor = "u-bmc"\nname = "sim"'),
        ("verified = true", "verified = false"),
        ('description = "', 'description = "Once upon a time: '),
        ('press = "200ms"', 'press = "0.2s"'),
        ('nmi = "nmi-button-0"', 'nmi = { line = "nmi-button-0", active_low = false }'),
        ('nmi = "nmi-button-0"', 'nmi = "nmi-button-0"\nnmi_press = "200ms"'),
        ("upper = { warning = 80,", "upper = { warning = 79,"),
        ("set_point = 70", "set_point = 69"),
        ("fail_safe = 80", "fail_safe = 90"),
    ],
)
def test_fingerprint_of_the_same_hardware_stays(file: Path, old: str, new: str) -> None:
    assert changed(file, old, new) == load_board("sim").fingerprint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('nmi = "nmi-button-0"\n', ""),
        ('nmi = "nmi-button-0"', 'nmi = { line = "nmi-button-0", active_low = true }'),
        ('hold = "5s"', 'hold = "6s"'),
        ('kind = "sim"', 'kind = "gpio"'),
        ('model = "Simulated board"', 'model = "Another board"'),
    ],
)
def test_fingerprint_of_other_hardware_differs(file: Path, old: str, new: str) -> None:
    text = SIM.partition("# --- sensors")[0].replace('console = { kind = "sim" }\n', "")
    file.write_text(text)
    before = load_board(str(file)).fingerprint
    assert old in text
    file.write_text(text.replace(old, new, 1))
    assert load_board(str(file)).fingerprint != before


def test_paths_start_at_the_board_file(tmp_path: Path) -> None:
    text = (targets_folder() / "qemu" / "board.toml").read_text()
    extra = 'cdrom = "iso/install.iso"\nfirmware = "/usr/share/OVMF.fd"\ndisks = [{ path = "a.img", format = "raw" }]\n'
    file = tmp_path / "board.toml"
    file.write_text(text.replace("memory_mb = 512\n", "memory_mb = 512\n" + extra))
    power = load_board(str(file)).spec.host("host.0").power
    assert power.kind == "qemu"
    assert power.cdrom == tmp_path / "iso/install.iso"
    assert power.firmware == Path("/usr/share/OVMF.fd")
    assert power.disks[0].path == tmp_path / "a.img"


def test_json_schema_knows_the_forms_of_the_file() -> None:
    schema = json_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert set(schema["required"]) == {"board", "hosts", "chassis"}
    assert schema["additionalProperties"] is False
    buttons = schema["$defs"]["ButtonsSpec"]["properties"]
    assert buttons["press"]["type"] == "string"
    assert {"type": "string", "title": "Line"} in schema["$defs"]["LineSpec"]["anyOf"]
