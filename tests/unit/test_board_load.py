"""Finding and reading board files, and the fingerprint."""

from __future__ import annotations

from pathlib import Path

import pytest

from ubmc.boards.load import board_names, find_board, json_schema, load_board, targets_folder
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
    assert {"sim", "qemu"} <= set(board_names())


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
    text = SIM.replace('console = { kind = "sim" }\n', "")
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
