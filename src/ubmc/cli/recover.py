"""`ubmc user recover`: get in again on the device itself, whatever the passwords and locks.

It leaves a request in the state directory, which the BMC takes while it runs, or when it starts. Only the hash of the
new password is written.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from pathlib import Path

import click

from ubmc.cli.prompt import ask_secret, is_terminal, secret_line
from ubmc.cli.settings import Leaf, Settings, pass_settings
from ubmc.cli.terminal import note, printable
from ubmc.kit.errors import Invalid, Refused, TimedOut, Unavailable

_WAIT_SECONDS = 20.0
_POLL_SECONDS = 0.1


@click.command("recover", cls=Leaf)
@click.argument("name", default="admin")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="The state directory of the BMC.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="The owner's file.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Read the new password from a file.",
)
@click.option("--password-stdin", is_flag=True, help="Read the new password from stdin.")
@click.option("--remove-second-factor", is_flag=True, help="Take the second factor away too.")
@pass_settings
def recover(
    settings: Settings,
    name: str,
    state: Path | None,
    config: Path | None,
    password_file: Path | None,
    password_stdin: bool,
    remove_second_factor: bool,
) -> None:
    """Give an account a new password, enable and unlock it. Works on the device itself, as the user of the BMC."""
    from ubmc.boards.owner import load_owner
    from ubmc.cli.run import state_directory
    from ubmc.services.usermgr import recovery

    folder = state_directory(state or load_owner(config).state)
    managers = folder / "managers"  # as ubmc.layout says; before it there was only the folder itself
    if not any((place / "precious.db").exists() for place in (managers, folder)):
        raise Unavailable(f"no BMC has its state in {folder}; say where it is by --state")
    managers.mkdir(mode=0o700, exist_ok=True)
    password = _password(password_file, from_stdin=password_stdin)
    request = recovery.Recovery(name, asyncio.run(_hash(name, password)), remove_second_factor)
    recovery.write(managers, request)
    if not _runs(folder):
        note("the BMC does not run")
        settings.output.text(f"the password of {printable(name)} will be changed when it starts")
        return
    deadline = time.monotonic() + _WAIT_SECONDS
    while (problem := recovery.outcome(managers, request)) is None:
        if time.monotonic() > deadline:
            raise TimedOut("the BMC has not taken the request yet; it will when it can, or at its next start")
        time.sleep(_POLL_SECONDS)
    if problem:
        raise Refused(problem)
    settings.output.text(f"the password of {printable(name)} is changed, and it can log in")


async def _hash(name: str, password: str) -> str:
    from ubmc.services.usermgr.passwords import Hasher, check_new

    check_new(name, password, "password")
    hasher = Hasher()
    try:
        return await hasher.hash(password)
    finally:
        hasher.close()


def _password(file: Path | None, *, from_stdin: bool) -> str:
    if file is not None:
        try:
            return file.read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"the password file {file} cannot be read: {error}") from error
    if not from_stdin and not is_terminal():
        raise click.UsageError("there is no terminal to ask for the password; use --password-file or --password-stdin")
    return secret_line() if from_stdin else ask_secret("New password", twice=True)


def _runs(folder: Path) -> bool:
    """Whether a BMC holds the state directory."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
