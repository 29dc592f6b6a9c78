"""`ubmc user second-factor`: set it up, take it away, make new recovery codes."""

from __future__ import annotations

import click

from ubmc.cli.prompt import ask_secret, ask_text, is_terminal, secret_line
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import note, printable
from ubmc.client import Client
from ubmc.v1alpha1.session_pb import GetCurrentSessionRequest
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.user_pb import (
    ConfirmTotpRequest,
    RegenerateRecoveryCodesRequest,
    RemoveTotpRequest,
    StartTotpRequest,
)
from ubmc.v1alpha1.user_rpc import UserService

second_factor = Noun("second-factor", help="The second factor of an account: codes by the time (TOTP).")
_stdin = click.option("--stdin", "from_stdin", is_flag=True, help="Read what is asked for from stdin, each on a line.")


def own_name(client: Client) -> str:
    """Who is logged in."""
    who = client.ask(SessionService.GetCurrentSession, GetCurrentSessionRequest()).session
    return who.user if who else ""


def _secret(text: str, *, from_stdin: bool) -> str:
    if not from_stdin and not is_terminal():
        raise click.UsageError("there is no terminal to ask; give it on stdin with --stdin")
    return secret_line() if from_stdin else ask_secret(text)


@second_factor.command("set")
@_stdin
@pass_settings
def set_up(settings: Settings, from_stdin: bool) -> None:
    """Set up a second factor for the own account, and show its recovery codes once.

    On stdin stand the current password and, when the secret has been shown on stderr, a code of it.
    """
    with settings.connect() as client:
        name = own_name(client)
        password = _secret("Current password", from_stdin=from_stdin)
        started = client.ask(UserService.StartTotp, StartTotpRequest(name=name, current_password=password))
        note("give this to an authenticator, then type the code that it shows:")
        note(f"  secret  {printable(started.secret)}")
        note(f"  or      {printable(started.uri)}")
        code = secret_line() if from_stdin else ask_text("Code", "")
        answer = client.ask(UserService.ConfirmTotp, ConfirmTotpRequest(name=name, one_time_code=code))
    note("the second factor is set up; each of these recovery codes opens the account once without it:")
    settings.output.say(answer, "\n".join(printable(each) for each in answer.recovery_codes))


@second_factor.command("remove")
@click.argument("name", required=False)
@_stdin
@pass_settings
def remove(settings: Settings, name: str | None, from_stdin: bool) -> None:
    """Take the second factor away: the own by a code or a recovery code, or with NAME another's."""
    with settings.connect() as client:
        own = own_name(client)
        name = name or own
        code = _secret("Code, or a recovery code", from_stdin=from_stdin) if name == own else ""
        answer = client.ask(UserService.RemoveTotp, RemoveTotpRequest(name=name, one_time_code=code))
    settings.output.say(answer, f"{printable(name)} has no second factor")


@second_factor.command("recovery-codes")
@_stdin
@pass_settings
def recovery_codes(settings: Settings, from_stdin: bool) -> None:
    """Make new recovery codes for the own account, and show them once; the old ones are worth nothing then."""
    with settings.connect() as client:
        name = own_name(client)
        code = _secret("Code", from_stdin=from_stdin)
        request = RegenerateRecoveryCodesRequest(name=name, one_time_code=code)
        answer = client.ask(UserService.RegenerateRecoveryCodes, request)
    settings.output.say(answer, "\n".join(printable(each) for each in answer.recovery_codes))
