"""`ubmc user` and `ubmc session`: accounts, and who is logged in."""

from __future__ import annotations

import click
from protobuf.wkt import FieldMask

from ubmc.cli.factor import second_factor
from ubmc.cli.prompt import ask_secret, is_terminal, secret_line
from ubmc.cli.recover import recover
from ubmc.cli.resource import Listing, Resource, add_list, add_show
from ubmc.cli.session import load
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.ssh_key import ssh_key
from ubmc.cli.terminal import printable
from ubmc.cli.text import columns, format_value
from ubmc.client import Client
from ubmc.v1alpha1.session_pb import DeleteSessionRequest, GetCurrentSessionRequest
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.user_pb import (
    ChangePasswordRequest,
    CreateUserRequest,
    DeleteIpmiSecretRequest,
    DeleteUserRequest,
    IpmiPrivilege,
    ResetIpmiSecretRequest,
    UnlockUserRequest,
    UpdateUserRequest,
    User,
)
from ubmc.v1alpha1.user_rpc import UserService

USERS = Resource(
    noun="user",
    list=UserService.ListUsers,
    items="users",
    get=UserService.GetUser,
    item="user",
    columns=columns("name", "role", "enabled", "source", "must_change_password", "second_factor", "locked_until"),
    facts=columns(
        "name",
        "role",
        "enabled",
        "source",
        "service_account",
        "must_change_password",
        "made: create_time",
        "password set: password_time",
        "password expires: password_expire_time",
        "locked_until",
        "second_factor",
        "recovery_codes_left",
        "IPMI: ipmi_enabled",
        "IPMI user id: ipmi_user_id",
        "IPMI refused: ipmi_disabled",
        "IPMI level at most: ipmi_privilege_limit",
        "SSH keys: ssh_keys",
        "certificate_identities",
    ),
)

SESSIONS = Listing(
    noun="session",
    list=SessionService.ListSessions,
    items="sessions",
    columns=columns(
        "id", "user", "role", "source", "logged in: create_time", "last used: last_used_time", "ends: expire_time"
    ),
    key="id",
)

IPMI_LEVELS = {
    "role": IpmiPrivilege.UNSPECIFIED,
    "administrator": IpmiPrivilege.ADMINISTRATOR,
    "operator": IpmiPrivilege.OPERATOR,
    "user": IpmiPrivilege.USER,
    "none": IpmiPrivilege.NO_ACCESS,
}
ROLES = ("Administrator", "Operator", "ReadOnly")


class RoleName(click.ParamType[str]):
    """The name of a role: those that are built in in whatever case, others as they were made."""

    name = "role"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as the BMC spells it."""
        return next((role for role in ROLES if role.casefold() == value.casefold()), value)


_role = RoleName()
_password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from stdin.")

user = Noun("user", help="Accounts: make, change and remove them.")
add_list(user, USERS)
add_show(user, USERS, optional=False)
user.add_command(second_factor)
user.add_command(recover)
user.add_command(ssh_key)

session = Noun("session", help="Sessions: list and end them.")
add_list(session, SESSIONS)


def _new_password(*, from_stdin: bool) -> str:
    password = secret_line() if from_stdin else ask_secret("New password", twice=True) if is_terminal() else ""
    if not password:
        raise click.UsageError("there is no new password; give it on stdin with --password-stdin")
    return password


@user.command("add")
@click.argument("name")
@click.option("--role", type=_role, default="ReadOnly", show_default=True, help="What the account may do.")
@click.option("--keep-password", is_flag=True, help="Do not ask for a new password at the first login.")
@click.option("--service", is_flag=True, help="For a program: no password, only tokens.")
@_password_stdin
@pass_settings
def add(settings: Settings, name: str, role: str, keep_password: bool, service: bool, password_stdin: bool) -> None:
    """Make an account; its password has to be changed at the first login."""
    with settings.connect() as client:
        change = not keep_password and not service
        made = User(name=name, role=role, enabled=True, must_change_password=change, service_account=service)
        password = "" if service else _new_password(from_stdin=password_stdin)
        request = CreateUserRequest(user=made, password=password)
        answer = client.ask(UserService.CreateUser, request)
    settings.output.say(answer, f"made {printable(name)} ({role})")


def _update(settings: Settings, values: User, field: str) -> None:
    with settings.connect() as client:
        request = UpdateUserRequest(user=values, update_mask=FieldMask(paths=[field]))
        answer = client.ask(UserService.UpdateUser, request)
    value = format_value(getattr(answer.user, field)) if answer.user else "changed"
    settings.output.say(answer, f"{printable(values.name)}: {field} {value}")


@user.command("role")
@click.argument("name")
@click.argument("role", type=_role)
@pass_settings
def set_role(settings: Settings, name: str, role: str) -> None:
    """Give an account another role."""
    _update(settings, User(name=name, role=role), "role")


@user.command("enable")
@click.argument("name")
@pass_settings
def enable(settings: Settings, name: str) -> None:
    """Let an account log in again."""
    _update(settings, User(name=name, enabled=True), "enabled")


@user.command("disable")
@click.argument("name")
@pass_settings
def disable(settings: Settings, name: str) -> None:
    """Let an account log in no more; its sessions end."""
    _update(settings, User(name=name, enabled=False), "enabled")


@user.command("certificates")
@click.argument("name")
@click.argument("identities", nargs=-1, metavar="[KIND:IDENTITY]...")
@pass_settings
def certificates(settings: Settings, name: str, identities: tuple[str, ...]) -> None:
    """Say who an account is in client certificates, as email:olga@example.org; nothing for nobody."""
    _update(settings, User(name=name, certificate_identities=list(identities)), "certificate_identities")


@user.command("unlock")
@click.argument("name")
@pass_settings
def unlock(settings: Settings, name: str) -> None:
    """Let an account log in at once that was locked after wrong passwords."""
    with settings.connect() as client:
        answer = client.ask(UserService.UnlockUser, UnlockUserRequest(name=name))
    settings.output.say(answer, f"{printable(name)} can log in")


@user.command("ipmi-secret")
@click.argument("name")
@click.option("--short", is_flag=True, help="16 characters instead of 20, for old tools.")
@click.option("--delete", is_flag=True, help="Take the secret away; the account cannot use IPMI then.")
@pass_settings
def ipmi_secret(settings: Settings, name: str, short: bool, delete: bool) -> None:
    """Make a new random secret with which an account can use IPMI, and show it once."""
    with settings.connect() as client:
        if delete:
            gone = client.ask(UserService.DeleteIpmiSecret, DeleteIpmiSecretRequest(name=name))
            settings.output.say(gone, f"{printable(name)} has no IPMI secret")
            return
        answer = client.ask(UserService.ResetIpmiSecret, ResetIpmiSecretRequest(name=name, short=short))
    settings.output.say(answer, printable(answer.secret))


@user.command("ipmi")
@click.argument("name")
@click.argument("what", type=click.Choice(["enable", "disable", *IPMI_LEVELS]))
@pass_settings
def ipmi(settings: Settings, name: str, what: str) -> None:
    """Let an account use IPMI or not, or say what it may do there at most; `role`: as its role allows."""
    if what in IPMI_LEVELS:
        _update(settings, User(name=name, ipmi_privilege_limit=IPMI_LEVELS[what]), "ipmi_privilege_limit")
    else:
        _update(settings, User(name=name, ipmi_disabled=what == "disable"), "ipmi_disabled")


@user.command("delete")
@click.argument("name")
@pass_settings
def delete(settings: Settings, name: str) -> None:
    """Remove an account; its sessions end."""
    with settings.connect() as client:
        answer = client.ask(UserService.DeleteUser, DeleteUserRequest(name=name))
    settings.output.say(answer, f"removed {printable(name)}")


def _own_name(client: Client) -> str:
    """Who is logged in. Not asked if it is known: who has to change the password may be allowed nothing else."""
    stored = load()
    if stored is not None and stored.token == client.token:
        return stored.user
    who = client.ask(SessionService.GetCurrentSession, GetCurrentSessionRequest()).session
    return who.user if who else ""


@user.command("password")
@click.argument("name", required=False)
@_password_stdin
@pass_settings
def password(settings: Settings, name: str | None, password_stdin: bool) -> None:
    """Change a password: the own, or with NAME another's.

    On stdin stand, each on a line, for the own account the current password and the new one, else only the new one.
    """
    if not password_stdin and not is_terminal():
        raise click.UsageError("there is no terminal to ask for the password; give it on stdin with --password-stdin")
    with settings.connect() as client:
        own = _own_name(client)
        name = name or own
        current = ""
        if name == own:
            current = secret_line() if password_stdin else ask_secret("Current password")
        new = _new_password(from_stdin=password_stdin)
        request = ChangePasswordRequest(name=name, current_password=current, new_password=new)
        answer = client.ask(UserService.ChangePassword, request)
    settings.output.say(answer, f"the password of {printable(name)} is changed")


@session.command("delete")
@click.argument("id_", metavar="ID")
@pass_settings
def end(settings: Settings, id_: str) -> None:
    """End a session."""
    with settings.connect() as client:
        answer = client.ask(SessionService.DeleteSession, DeleteSessionRequest(id=id_))
    settings.output.say(answer, f"ended session {printable(id_)}")
