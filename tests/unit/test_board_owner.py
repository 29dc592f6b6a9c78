"""The owner's file, and the flags that lie over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ubmc.boards import owner
from ubmc.boards.owner import LogLevel, OwnerSpec, RestorePolicy, load_owner, parse_endpoint
from ubmc.kit.errors import Invalid, Unavailable


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ubmc.toml"


@pytest.fixture(autouse=True)
def no_file_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "OWNER_FILE", tmp_path / "etc" / "ubmc.toml")


def test_without_a_file_everything_has_its_default() -> None:
    spec = load_owner()
    assert spec == OwnerSpec()
    assert spec.listen == ("127.0.0.1:8443",)
    assert (spec.power.soft_off_patience, spec.power.power_on_patience) == (300.0, 60.0)
    assert (spec.sessions.idle, spec.sessions.absolute) == (1800.0, 43200.0)
    assert spec.telemetry.otlp_endpoint is None
    assert not spec.ephemeral


def test_the_file_of_this_machine_is_read_when_it_is_there() -> None:
    owner.OWNER_FILE.parent.mkdir()
    owner.OWNER_FILE.write_text("ephemeral = true")
    assert load_owner().ephemeral


def test_a_whole_file(file: Path) -> None:
    file.write_text(
        """
        board = "asus/iec"
        listen = ["0.0.0.0:443", "[::]:443"]
        state = "/var/lib/ubmc"
        [power]
        restore_policy = "always-on"
        soft_off_patience = "10m"
        power_on_patience = "90s"
        [log]
        format = "json"
        level = "debug"
        [telemetry]
        otlp_endpoint = "https://collector.example:4318"
        [sessions]
        idle = "5m"
        absolute = "1h"
        """
    )
    spec = load_owner(file)
    assert spec.board == "asus/iec"
    assert spec.listen == ("0.0.0.0:443", "[::]:443")
    assert spec.state == Path("/var/lib/ubmc")
    assert spec.power.restore_policy is RestorePolicy.ALWAYS_ON
    assert spec.power.soft_off_patience == 600.0
    assert spec.log.level is LogLevel.DEBUG


def test_flags_win_and_flags_that_were_not_given_do_not(file: Path) -> None:
    file.write_text('listen = ["0.0.0.0:443"]\nboard = "qemu"\n[log]\nlevel = "error"\nformat = "json"\n')
    spec = load_owner(file, {"listen": ["127.0.0.1:0"], "board": None, "log.level": "debug", "power": None})
    assert spec.listen == ("127.0.0.1:0",)
    assert spec.board == "qemu"
    assert (spec.log.level, spec.log.format) == (LogLevel.DEBUG, owner.LogFormat.JSON)


def test_all_mistakes_at_once_and_whether_a_flag_made_them(file: Path) -> None:
    file.write_text(
        """
        lisen = []
        ephemeral = "no"
        log = "json"
        [power]
        restore_policy = "on"
        soft_off_patience = 300
        [sessions]
        idle = "13h"
        [telemetry]
        otlp_endpoint = "localhost:4317"
        """
    )
    with pytest.raises(Invalid) as caught:
        load_owner(file, {"listen": ["8443"], "log.level": "debug"})
    found = {violation.field: violation.message for violation in caught.value.violations}
    assert found["lisen"] == "is no key here; did you mean listen?"
    assert found["ephemeral"] == "must be true or false, without quotes; write for example: ephemeral = true"
    assert found["log"] == "must be a table"
    assert found["power.restore_policy"] == "must be one of 'always-on', 'always-off' or 'last-state'"
    assert 'write "300s"' in found["power.soft_off_patience"]
    assert found["sessions"] == "idle must not be longer than absolute"
    assert '"http://127.0.0.1:4318"' in found["telemetry.otlp_endpoint"]
    assert found["listen[0]"].endswith("(given on the command line)")
    assert len(found) == 8
    assert str(file) in caught.value.message


def test_a_file_that_was_asked_for_must_be_there(file: Path) -> None:
    with pytest.raises(Unavailable, match="cannot read"):
        load_owner(file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8443", ("127.0.0.1", 8443)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("[fe80::1%eth0]:443", ("fe80::1%eth0", 443)),
    ],
)
def test_endpoints(text: str, expected: tuple[str, int]) -> None:
    assert parse_endpoint(text) == expected


@pytest.mark.parametrize("text", ["", "8443", ":8443", "::1:8443", "[::1]", "h:65536", "h:-1", "h:", "a b:1", "h:1\n"])
def test_no_endpoints(text: str) -> None:
    with pytest.raises(ValueError, match="no address and port"):
        parse_endpoint(text)


@pytest.mark.parametrize("scheme", ["https", "ftp"])
def test_secrets_do_not_belong_into_a_url(file: Path, scheme: str) -> None:
    file.write_text(f'[telemetry]\notlp_endpoint = "{scheme}://me:hunter2@collector.example"\n')
    with pytest.raises(Invalid, match="must not hold a user name") as caught:
        load_owner(file)
    assert "hunter2" not in caught.value.message
