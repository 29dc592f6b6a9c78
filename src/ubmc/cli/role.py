"""`ubmc role`: what accounts may do."""

from __future__ import annotations

import click
from protobuf.wkt import FieldMask

from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import printable
from ubmc.cli.text import columns
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.user_pb import (
    CreateRoleRequest,
    DeleteRoleRequest,
    ListRolesRequest,
    Role,
    UpdateRoleRequest,
)
from ubmc.v1alpha1.user_rpc import UserService

PRIVILEGES = {each.name.title().replace("_", ""): each for each in Privilege if each is not Privilege.UNSPECIFIED}

role = Noun("role", help="Roles: make, change and remove them.")
privileges_argument = click.argument(
    "privileges", nargs=-1, type=click.Choice(list(PRIVILEGES)), metavar="PRIVILEGE..."
)


def privileges_of(names: tuple[str, ...]) -> list[Privilege]:
    """The privileges of these names, as Redfish spells them."""
    return [PRIVILEGES[name] for name in names]


@role.command("list")
@pass_settings
def list_roles(settings: Settings) -> None:
    """List all roles and what they may do."""
    with settings.connect() as client:
        answer = client.ask(UserService.ListRoles, ListRolesRequest())
    settings.output.list(answer, columns("name", "built_in", "privileges"), answer.roles)


@role.command("add")
@click.argument("name")
@privileges_argument
@pass_settings
def add(settings: Settings, name: str, privileges: tuple[str, ...]) -> None:
    """Make a role; Login and ConfigureSelf are part of every one."""
    with settings.connect() as client:
        request = CreateRoleRequest(role=Role(name=name, privileges=privileges_of(privileges)))
        answer = client.ask(UserService.CreateRole, request)
    settings.output.say(answer, f"made the role {printable(name)}")


@role.command("change")
@click.argument("name")
@privileges_argument
@pass_settings
def change(settings: Settings, name: str, privileges: tuple[str, ...]) -> None:
    """Change what a role may do; the sessions of its users end."""
    with settings.connect() as client:
        changed = Role(name=name, privileges=privileges_of(privileges))
        request = UpdateRoleRequest(role=changed, update_mask=FieldMask(paths=["privileges"]))
        answer = client.ask(UserService.UpdateRole, request)
    settings.output.say(answer, f"changed the role {printable(name)}")


@role.command("delete")
@click.argument("name")
@pass_settings
def delete(settings: Settings, name: str) -> None:
    """Remove a role that nobody has."""
    with settings.connect() as client:
        answer = client.ask(UserService.DeleteRole, DeleteRoleRequest(name=name))
    settings.output.say(answer, f"removed the role {printable(name)}")
