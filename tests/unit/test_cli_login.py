"""Login: whom to trust before a password is sent; on pipes, and on a real (pseudo) terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.harness.connect import PASSWORD, TOKEN, Bmc, Certificate, Server, make_certificate

from ubmc.cli import session
from ubmc.cli.main import cli
from ubmc.client import CaFile, Insecure, Pinned

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls") / "bmc.pem")


@pytest.fixture
def bmc() -> Bmc:
    return Bmc()


@pytest.fixture
def server(bmc: Bmc, certificate: Certificate) -> Iterator[Server]:
    with Server(bmc, certificate) as found:
        yield found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith("UBMC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return lambda *args, **more: CliRunner().invoke(cli, list(args), **more)


def stored() -> session.Stored:
    found = session.load()
    assert found is not None
    return found


def test_login_with_a_fingerprint(run: Run, server: Server, certificate: Certificate, bmc: Bmc) -> None:
    args = ("login", server.url, "--fingerprint", certificate.fingerprint, "--password-stdin")
    result = run(*args, input=PASSWORD + "\n")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"logged in at {server.url} as admin (Administrator)\n"
    assert stored() == session.Stored(
        url=server.url, user="admin", trust=Pinned.parse(certificate.fingerprint), token=TOKEN
    )
    result = run("whoami", "--json")
    assert json.loads(result.stdout)["session"]["user"] == "admin"


def test_the_token_is_not_printed(run: Run, server: Server) -> None:
    result = run("login", server.url, "--insecure", "--password-stdin", "--json", input=PASSWORD)
    assert TOKEN not in result.output
    assert json.loads(result.stdout)["session"]["user"] == "admin"
    assert isinstance(stored().trust, Insecure)
    assert "is not checked" in result.stderr
    assert "is not checked" in run("whoami").stderr


def test_login_with_a_ca_file(run: Run, server: Server, certificate: Certificate) -> None:
    args = ("login", server.url, "--cacert", str(certificate.path), "--password-stdin", "-u", "operator")
    assert run(*args, input=PASSWORD).exit_code == 0
    assert stored().trust == CaFile(certificate.path)
    assert stored().user == "operator"
    assert run("whoami").exit_code == 0


def test_a_wrong_password_is_3(run: Run, server: Server) -> None:
    result = run("login", server.url, "--insecure", "--password-stdin", input="wrong\n")
    assert result.exit_code == 3
    assert result.stderr.splitlines()[-1] == "ubmc: wrong name or password"
    assert session.load() is None


def test_an_unknown_certificate_is_refused_with_the_command_to_use(
    run: Run, server: Server, certificate: Certificate, bmc: Bmc
) -> None:
    result = run("login", server.url, "--password-stdin", input=PASSWORD)
    assert result.exit_code == 7
    assert f"ubmc login {server.url} --fingerprint {Pinned.parse(certificate.fingerprint)}" in result.stderr
    assert bmc.seen == []
    assert session.load() is None


def test_another_certificate_than_the_given_one_is_refused(run: Run, server: Server, bmc: Bmc) -> None:
    result = run("login", server.url, "--fingerprint", "00" * 32, "--password-stdin", input=PASSWORD)
    assert result.exit_code == 7
    assert "nothing was sent" in result.stderr
    assert bmc.seen == []


def test_a_certificate_that_changed_since_is_refused(
    run: Run, bmc: Bmc, certificate: Certificate, tmp_path: Path
) -> None:
    with Server(bmc, certificate) as first:
        port = first.port
        args = ("login", first.url, "--password-stdin")
        assert run(*args, "--fingerprint", certificate.fingerprint, input=PASSWORD).exit_code == 0
        assert run(*args, input=PASSWORD).exit_code == 0  # the pin is remembered
    seen = len(bmc.seen)
    with Server(bmc, make_certificate(tmp_path / "new.pem"), port=port):
        result = run(*args, input=PASSWORD)
        assert result.exit_code == 7
        assert "somebody may sit between" in result.stderr
        assert run("whoami").exit_code == 7
    assert len(bmc.seen) == seen


def test_a_password_that_must_be_changed_on_stdin(run: Run, server: Server, bmc: Bmc) -> None:
    bmc.must_change = True
    args = ("login", server.url, "--insecure", "--password-stdin")
    result = run(*args, input=PASSWORD + "\n")
    assert result.exit_code == 3
    assert "ubmc user password" in result.stderr
    result = run("user", "password", "--password-stdin", input=f"{PASSWORD}\nanother horse\n")
    assert result.exit_code == 0, result.output
    assert bmc.password == "another horse"
    bmc.must_change = True
    assert run(*args, input="another horse\na third horse\n").exit_code == 0
    assert bmc.password == "a third horse"


def test_logout_ends_the_session_everywhere(run: Run, server: Server, bmc: Bmc) -> None:
    run("login", server.url, "--insecure", "--password-stdin", input=PASSWORD)
    result = run("logout")
    assert result.exit_code == 0
    assert bmc.seen[-1].method == "SessionService/Logout"
    assert bmc.seen[-1].headers["authorization"] == f"Bearer {TOKEN}"
    assert session.load() is None


def test_logout_of_a_bmc_that_is_away_forgets_the_token_at_least(run: Run, bmc: Bmc, certificate: Certificate) -> None:
    with Server(bmc, certificate) as server:
        run("login", server.url, "--fingerprint", certificate.fingerprint, "--password-stdin", input=PASSWORD)
    result = run("logout")
    assert result.exit_code == 6
    assert "goes on at the BMC" in result.stderr
    assert session.load() is None


# The pseudo terminal has to be the one that controls the process, as a login shell's is.
_ON_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from ubmc.cli.main import main; main()"


class Terminal:
    """The program on a pseudo terminal, and what it shows there."""

    def __init__(self, *args: str) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ON_TERMINAL, *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.shown = ""

    def expect(self, text: str) -> None:
        """Wait until the text is shown, then take it away with all before it."""
        deadline = time.monotonic() + 20
        while text not in self.shown:
            ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{text!r} is not shown, but {self.shown!r}"
            try:
                data = os.read(self._master, 4096)
            except OSError:
                data = b""  # the other side is closed
            assert data, f"{text!r} is not shown, but {self.shown!r}"
            self.shown += data.decode()
        self.shown = self.shown.split(text, 1)[1]

    def type(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    def end(self) -> int:
        try:
            while os.read(self._master, 4096):
                pass
        except OSError:
            pass  # the other side is closed
        os.close(self._master)
        return self._process.wait(20)


def test_on_a_terminal_everything_is_asked(run: Run, server: Server, certificate: Certificate, bmc: Bmc) -> None:
    bmc.must_change = True
    terminal = Terminal("login", server.url)
    terminal.expect(f"its SHA-256 fingerprint is {Pinned.parse(certificate.fingerprint)}")
    terminal.expect("trusted from now on? [y/N]:")
    assert bmc.seen == []
    terminal.type("y")
    terminal.expect("User at 127.0.0.1 [admin]:")
    terminal.type("")
    terminal.expect("Password:")
    terminal.type(PASSWORD)
    terminal.expect("must be changed")
    terminal.expect("New password:")
    terminal.type("another horse")
    terminal.expect("Repeat for confirmation:")
    terminal.type("another horse")
    terminal.expect("the password is changed")
    terminal.expect(f"logged in at {server.url} as admin")
    assert terminal.end() == 0
    assert bmc.password == "another horse"
    assert stored().trust == Pinned.parse(certificate.fingerprint)


def test_on_a_terminal_states_have_colours(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    run("login", server.url, "--insecure", "--password-stdin", input=PASSWORD)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "")
    terminal = Terminal("health")
    terminal.expect("SERVICE")
    assert terminal.end() == 0
    terminal = Terminal("host", "watch")
    terminal.expect("host.0  \x1b[32mon\x1b[0m")
    assert terminal.end() == 0
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal("host", "watch")
    terminal.expect("host.0  on")
    assert terminal.end() == 0


def test_on_a_terminal_no_means_no(run: Run, server: Server, bmc: Bmc) -> None:
    terminal = Terminal("login", server.url)
    terminal.expect("trusted from now on? [y/N]:")
    terminal.type("")
    terminal.expect("not trusted, nothing was sent")
    assert terminal.end() == 7
    assert bmc.seen == []
    assert session.load() is None
