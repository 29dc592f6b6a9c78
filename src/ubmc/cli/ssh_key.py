"""`ubmc user ssh-key`: the keys with which somebody logs in over SSH."""

from __future__ import annotations

from pathlib import Path

import click

from ubmc.cli.factor import own_name
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import printable
from ubmc.cli.text import columns
from ubmc.v1alpha1.user_pb import AddSshKeyRequest, DeleteSshKeyRequest, ListSshKeysRequest, SshKey
from ubmc.v1alpha1.user_rpc import UserService

ssh_key = Noun("ssh-key", help="The keys with which an account logs in over SSH.")
_LONGEST = 4096
_user = click.option("--user", "name", metavar="NAME", help="Whose; else the own account.")
_COLUMNS = columns("id", "kind", "fingerprint", "added: create_time", "comment")


def _line(key: SshKey) -> str:
    return "  ".join(printable(part) for part in (key.id, key.kind, key.fingerprint, key.comment) if part)


@ssh_key.command("list")
@_user
@pass_settings
def list_keys(settings: Settings, name: str | None) -> None:
    """Show the keys of an account: id, kind, fingerprint, when it was added, comment."""
    with settings.connect() as client:
        answer = client.ask(UserService.ListSshKeys, ListSshKeysRequest(name=name or own_name(client)))
    settings.output.list(answer, _COLUMNS, answer.keys)


@ssh_key.command("add")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@_user
@pass_settings
def add(settings: Settings, file: Path, name: str | None) -> None:
    """Let an account log in with the key of FILE, as ~/.ssh/id_ed25519.pub; - is stdin."""
    with click.open_file(str(file)) as opened:
        text = opened.read(_LONGEST + 1).strip()
    if "PRIVATE KEY" in text:
        raise click.UsageError("that is a private key, which stays where it is; give the file that ends in .pub")
    with settings.connect() as client:
        name = name or own_name(client)
        answer = client.ask(UserService.AddSshKey, AddSshKeyRequest(name=name, public_key=text))
    shown = _line(answer.key) if answer.key is not None else "added"
    settings.output.say(answer, f"{printable(name)} can log in over SSH with {shown}")


@ssh_key.command("delete")
@click.argument("id_", metavar="ID")
@_user
@pass_settings
def delete(settings: Settings, id_: str, name: str | None) -> None:
    """Take a key away; sessions that were opened with it end."""
    with settings.connect() as client:
        name = name or own_name(client)
        answer = client.ask(UserService.DeleteSshKey, DeleteSshKeyRequest(name=name, id=id_))
    settings.output.say(answer, f"{printable(name)} has no such key any more")
