"""`ubmc run`: the BMC of one board, from start to Ctrl-C; and `ubmc machine`: what runs on after it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ubmc.cli.exits import exit_code
from ubmc.cli.terminal import emit, note, printable, printable_lines
from ubmc.compose.lock import ever_locked, locked
from ubmc.kit.errors import Busy, Invalid, UbmcError, Unavailable

if TYPE_CHECKING:
    from ubmc.boards.owner import OwnerSpec

PASSWORD = "UBMC_ADMIN_PASSWORD"  # noqa: S105  the name of a variable
_PASSWORD_FD = "UBMC_ADMIN_PASSWORD_FD"  # noqa: S105
_ALSO = {"ssh": "SSH", "ipmi": "IPMI"}
_CREDENTIAL = "admin-password"
_LONGEST = 1024


def state_directory(given: Path | None) -> Path:
    """Where the state is: the flag or the owner's file, else what systemd says, else where this user keeps state."""
    if given is not None:
        return given.absolute()
    if os.environ.get("STATE_DIRECTORY"):
        return Path(os.environ["STATE_DIRECTORY"].split(":")[0])
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "state") / "ubmc"


@contextmanager
def _files_explained() -> Iterator[None]:
    """Show all mistakes of a file, each on a line."""
    try:
        yield
    except Invalid as error:
        note(printable_lines(error.message))
        raise SystemExit(exit_code(error)) from error


def _make(folder: Path) -> Path:
    """The state directory, made if it is not there, so that a wrong one is said in one line.

    Raises:
        Unavailable: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"cannot make the state directory {folder}: {error.strerror}; give another by --state"
        ) from error
    return folder


def own_name() -> str:
    """What to type to get this program: `ubmc` if the shell finds that, else as it was started."""
    started = sys.argv[0]
    found = shutil.which("ubmc")
    if Path(started).name != "ubmc" or (found is not None and Path(found).resolve() == Path(started).resolve()):
        return "ubmc"
    return started


def _hide_password() -> None:
    """Start again without the password in the environment, where every process of the same user could read it."""
    password = os.environ.pop(PASSWORD, None)
    if password is None:
        return
    descriptor = os.memfd_create("admin-password", 0)
    os.write(descriptor, password.encode())
    os.set_inheritable(descriptor, True)
    os.environ[_PASSWORD_FD] = str(descriptor)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


class FirstPassword:
    """The password of the first account, as its owner gave it: by file, by systemd credential, or by environment."""

    def __init__(self, file: Path | None) -> None:
        """Take note of where it is; nothing is read yet."""
        self._file = file
        if file is None and os.environ.get("CREDENTIALS_DIRECTORY"):
            credential = Path(os.environ["CREDENTIALS_DIRECTORY"]) / _CREDENTIAL
            self._file = credential if credential.exists() else None
        descriptor = os.environ.pop(_PASSWORD_FD, "")
        self._descriptor = int(descriptor) if descriptor.isdecimal() else -1

    @property
    def descriptors(self) -> frozenset[int]:
        """Those that only the process of usermgr may keep."""
        return frozenset({self._descriptor} - {-1})

    def __call__(self) -> str | None:
        """The password; None if none was given.

        Raises:
            Invalid: the file cannot be read.
        """
        if self._file is not None:
            try:
                return self._file.read_text().rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise Invalid(f"the password file {self._file} cannot be read: {error}") from error
        if self._descriptor >= 0:
            return os.pread(self._descriptor, _LONGEST, 0).decode()
        return None


class Banner:
    """What a person at the terminal is told, once, when everything is ready."""

    def __init__(self, title: str, end: str | None, state: Path, given: Path | None = None) -> None:
        """Make it for this board.

        Args:
            title: what is ready.
            end: the command that ends its machine, if that runs on.
            state: where the first password goes when there is no terminal to show it on (a journal keeps it for ever).
            given: the file of the owner's first password, which is theirs.
        """
        self._given = given
        self._file = state / "first-password"
        self._title = title
        self._end = end
        self._urls: list[str] = []
        self._also: list[str] = []
        self._fingerprint = ""
        self._password: tuple[str, str] | None = None
        self._shown = False

    def said(self, what: str, fields: Mapping[str, Any]) -> None:
        """Take what a process says."""
        if what == "listening":
            self._fingerprint = str(fields["fingerprint"])
            if not self._shown:
                self._urls.append(str(fields["url"]))
        elif what in _ALSO and not self._shown:
            place = f"  {_ALSO[what]:<9} {fields['host']} port {fields['port']}\n"
            key = f"  host key  {fields['fingerprint']}\n" if "fingerprint" in fields else ""
            self._also.append(place + key)
        elif what == "first-password":
            self._password = (str(fields["user"]), str(fields["password"]))
            if self._shown:
                self._show_password()
        elif what == "first-password-changed" and not self._is_given():
            self._file.unlink(missing_ok=True)

    def _is_given(self) -> bool:
        return self._given is not None and self._given.resolve() == self._file.resolve()

    def show(self) -> None:
        """Print it."""
        self._shown = True
        print(f"\n{self._title} is ready.\n")
        for url in self._urls:
            print(f"  {url}")
        print(f"  certificate SHA-256  {self._fingerprint}\n")
        for also in self._also:
            print(also)
        self._show_password()
        if self._urls:
            print(f"  {own_name()} login {self._urls[0]} --fingerprint {self._fingerprint}\n")
        if self._end is None:
            print("Ctrl-C ends the BMC and its machine.", flush=True)
        else:
            print(f"Ctrl-C ends the BMC; the machine runs on. To end it too: {self._end}", flush=True)

    def _show_password(self) -> None:
        if self._password is None:
            return
        user, password = self._password
        self._password = None
        print(f"  user      {user}")
        if sys.stdout.isatty():
            print(f"  password  {password}    shown only now; to be changed at the first login\n", flush=True)
            return
        self._file.unlink(missing_ok=True)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(password + "\n")
        print(f"  password  in {self._file}; to be changed at the first login\n", flush=True)


@click.command()
@click.option("--board", metavar="NAME|FILE", help="The board: a name that u-bmc knows, or a board file. [sim]")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="The state directory.")
@click.option("--listen", multiple=True, metavar="HOST:PORT", help="Where to listen; may be repeated. [127.0.0.1:8443]")
@click.option(
    "--admin-password-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The first password of admin; else it is random and shown once.",
)
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="The owner's file. [/etc/ubmc/ubmc.toml]"
)
@click.option("--ssh", multiple=True, metavar="HOST:PORT", help="Consoles over SSH, here; may be repeated. [off]")
@click.option("--ipmi", multiple=True, metavar="HOST:PORT", help="IPMI over LAN, here (UDP); may be repeated. [off]")
@click.option("--otlp", metavar="URL", help="Push traces to this OpenTelemetry collector (OTLP over HTTP).")
@click.option("--ephemeral", is_flag=True, default=None, help="End the machine together with the BMC.")
@click.option("--log-format", type=click.Choice(["human", "json"]))
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
def run(
    board: str | None,
    state: Path | None,
    listen: tuple[str, ...],
    admin_password_file: Path | None,
    config: Path | None,
    ssh: tuple[str, ...],
    ipmi: tuple[str, ...],
    otlp: str | None,
    ephemeral: bool | None,
    log_format: str | None,
    log_level: str | None,
) -> None:
    """Run the BMC of a board until Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the tree minds its own signals
    _hide_password()
    from ubmc.boards.owner import load_owner

    flags = {
        "board": board,
        "listen": list(listen) or None,
        "ssh.listen": list(ssh) or None,
        "ipmi.listen": list(ipmi) or None,
        "state": str(state.absolute()) if state is not None else None,
        "ephemeral": ephemeral,
        "telemetry.otlp_endpoint": otlp,
        "log.format": log_format,
        "log.level": log_level,
    }
    with _files_explained():
        owner = load_owner(config, flags)
    folder = _make(state_directory(owner.state))
    first_password = FirstPassword(admin_password_file)
    with locked(folder) as lock:
        _operate(owner, folder, lock, first_password, admin_password_file)


def _operate(owner: OwnerSpec, folder: Path, lock: int, first_password: FirstPassword, given: Path | None) -> None:
    """Run it; what takes long to load is loaded only here, where the state directory is ours."""
    from ubmc import app
    from ubmc.boards.build import end_machines
    from ubmc.boards.load import load_board
    from ubmc.boards.owner import LogFormat
    from ubmc.compose.addresses import check_free
    from ubmc.compose.program import Program, fitted, machine_folder, version
    from ubmc.kit import log

    log.configure(json=owner.log.format is LogFormat.JSON, level=owner.log.level.value)
    with _files_explained():
        chosen = load_board(owner.board or "sim")
    if not os.environ.get("NOTIFY_SOCKET"):
        # A person is told. Under systemd nobody looks on and fans need us: the door tries again and says so.
        check_free(owner, _again)
    end = None if owner.ephemeral else _end_command(owner.board, owner.state)
    banner = Banner(f"u-bmc {version()} for {chosen.spec.board.model}", end, folder, given)
    app.operate(
        Program(
            board=fitted(chosen, owner),
            owner=owner,
            state=folder,
            first_password=first_password,
            said=banner.said,
            ready=banner.show,
            private=first_password.descriptors,
        ),
        lock,
    )
    if owner.ephemeral:
        end_machines(chosen.spec, machine_folder(folder))


def _again(flag: str, taken: str, free: str) -> str:
    """The command as it was typed, with another address."""
    words, found = [], False
    for word in sys.argv[1:]:
        given = word in {taken, f"{flag}={taken}"}
        words.append(word.removesuffix(taken) + free if given else word)
        found = found or given
    if not found:
        words += [flag, free]
    if "MAKELEVEL" in os.environ and Path(sys.argv[0]).name == "ubmc":
        return f"make run ARGS={shlex.quote(shlex.join(words[1:]))}"
    return f"{shlex.quote(own_name())} {shlex.join(words)}"


def _end_command(board: str | None, state: Path | None) -> str:
    words = [own_name(), "machine", "end"]
    words += ["--board", board] if board else []
    words += ["--state", str(state)] if state is not None else []
    return shlex.join(words)


@click.group()
def machine() -> None:
    """The simulated or virtual machine that runs on when the BMC has ended."""


@machine.command("end")
@click.option("--board", metavar="NAME|FILE", default="sim", show_default=True, help="The board whose machine it is.")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="The state directory.")
@click.option("--force", is_flag=True, help="Even while the BMC runs on it.")
def end(board: str, state: Path | None, force: bool) -> None:
    """End the machine of a board: its power is cut."""
    from ubmc.boards.build import end_machines
    from ubmc.boards.load import load_board
    from ubmc.compose.program import machine_folder

    folder = state_directory(state)
    try:
        with nullcontext() if force or not ever_locked(folder) else _without_bmc(folder):
            ended = end_machines(load_board(board).spec, machine_folder(folder))
    except ExceptionGroup as group:
        for error in group.exceptions:
            note(printable(error.message if isinstance(error, UbmcError) else str(error)))
        raise SystemExit(1) from group
    emit("the machine has ended" if ended else "there is no machine that runs")


@contextmanager
def _without_bmc(folder: Path) -> Iterator[None]:
    """Keep the BMC away for the time of the block.

    Raises:
        Busy: it runs.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder))
        except Busy as error:
            raise Busy(f"the BMC runs on {folder}; end it first (--force ends its machine all the same)") from error
        yield
