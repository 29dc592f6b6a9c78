"""`ubmc account-policy` and `ubmc ldap`: what holds for all accounts, and how the directory is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from protobuf.wkt import FieldMask

from ubmc.cli.prompt import ask_secret, is_terminal, secret_line
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.text import columns
from ubmc.kit.errors import Invalid
from ubmc.v1alpha1.account_pb import (
    AccountPolicy,
    GetAccountPolicyRequest,
    GetLdapRequest,
    Ldap,
    TestLdapRequest,
    UpdateAccountPolicyRequest,
    UpdateLdapRequest,
)
from ubmc.v1alpha1.account_rpc import AccountService

account_policy = Noun("account-policy", help="What holds for all accounts: show it, change it.")
ldap = Noun("ldap", help="The directory: show, change and try how it is asked.")

POLICY = columns(*(field.name for field in AccountPolicy.desc().fields))
DIRECTORY = columns(*(field.name for field in Ldap.desc().fields if field.name not in ("bind_password", "ca_pem")))
_settings = click.argument("values", nargs=-1, required=True, metavar="FIELD=VALUE...")


def parsed(kind: Any, values: tuple[str, ...]) -> tuple[Any, FieldMask]:
    """A message of the values of `field=value`, and the mask of its fields; values are JSON, or plain text.

    Raises:
        Invalid: a field does not exist, or does not take its value.
    """
    names = {field.name for field in kind.desc().fields}
    content: dict[str, Any] = {}
    for each in values:
        name, equals, text = each.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in names:
            raise Invalid(f"{each} is no FIELD=VALUE; fields are {', '.join(sorted(names))}")
        try:
            content[name] = json.loads(text)
        except ValueError:
            content[name] = text
    try:
        return kind.from_json(json.dumps(content)), FieldMask(paths=list(content))
    except (ValueError, TypeError) as error:
        raise Invalid(f"a value does not fit its field: {error}") from error


@account_policy.command("show")
@pass_settings
def show_policy(settings: Settings) -> None:
    """Show what holds for all accounts."""
    with settings.connect() as client:
        answer = client.ask(AccountService.GetAccountPolicy, GetAccountPolicyRequest())
    settings.output.show(answer, POLICY, answer.policy)


@account_policy.command("set")
@_settings
@pass_settings
def set_policy(settings: Settings, values: tuple[str, ...]) -> None:
    """Change what holds for all accounts, as `min_password_length=12 lockout_failures=3`."""
    policy, mask = parsed(AccountPolicy, values)
    with settings.connect() as client:
        request = UpdateAccountPolicyRequest(policy=policy, update_mask=mask)
        answer = client.ask(AccountService.UpdateAccountPolicy, request)
    settings.output.show(answer, POLICY, answer.policy)


@ldap.command("show")
@pass_settings
def show_ldap(settings: Settings) -> None:
    """Show how the directory is asked."""
    with settings.connect() as client:
        answer = client.ask(AccountService.GetLdap, GetLdapRequest())
    settings.output.show(answer, DIRECTORY, answer.ldap)


@ldap.command("set")
@_settings
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The authorities of the servers' certificates, PEM.",
)
@click.option("--bind-password-stdin", is_flag=True, help="Read the password of bind_dn from stdin.")
@pass_settings
def set_ldap(settings: Settings, values: tuple[str, ...], ca_file: Path | None, bind_password_stdin: bool) -> None:
    """Change how the directory is asked, as `enabled=true servers='["ldap.example.org"]'`."""
    if any(each.partition("=")[0].strip().replace("-", "_") == "bind_password" for each in values):
        raise click.UsageError("others see arguments; give the password on stdin with --bind-password-stdin")
    wanted, mask = parsed(Ldap, values)
    if ca_file is not None:
        try:
            wanted.ca_pem = ca_file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{ca_file} cannot be read: {error}") from error
        mask.paths.append("ca_pem")
    if bind_password_stdin:
        wanted.bind_password = secret_line()
        mask.paths.append("bind_password")
    with settings.connect() as client:
        answer = client.ask(AccountService.UpdateLdap, UpdateLdapRequest(ldap=wanted, update_mask=mask))
    settings.output.show(answer, DIRECTORY, answer.ldap)


@ldap.command("test")
@click.argument("user", required=False)
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin.")
@pass_settings
def test_ldap(settings: Settings, user: str | None, password_stdin: bool) -> None:
    """Ask the directory, with USER as a login of them would, and show what it answers."""
    if user and not password_stdin and not is_terminal():
        raise click.UsageError("there is no terminal to ask for the password; give it on stdin with --password-stdin")
    password = "" if not user else secret_line() if password_stdin else ask_secret("Password")
    with settings.connect() as client:
        answer = client.ask(AccountService.TestLdap, TestLdapRequest(user=user or "", password=password))
    settings.output.show(answer, columns("server", "dn", "groups", "role"), answer)
