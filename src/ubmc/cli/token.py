"""`ubmc token`: personal access tokens, with which programs call the API."""

from __future__ import annotations

import click
from protobuf.wkt import Duration

from ubmc.cli.resource import Listing, add_list
from ubmc.cli.role import PRIVILEGES, privileges_of
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import note, printable
from ubmc.cli.text import columns
from ubmc.v1alpha1.token_pb import CreateTokenRequest, DeleteTokenRequest, Token
from ubmc.v1alpha1.token_rpc import TokenService

TOKENS = Listing(
    noun="token",
    list=TokenService.ListTokens,
    items="tokens",
    columns=columns(
        "id", "user", "name", "scopes", "made: create_time", "last used: last_used_time", "ends: expire_time"
    ),
    key="id",
)

_DAY_SECONDS = 86400.0

token = Noun("token", help="Tokens for programs: make, list and delete them.")
add_list(token, TOKENS)


@token.command("add")
@click.argument("name")
@click.option("--user", default="", help="The service account that it is for; the own account unless given.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(list(PRIVILEGES)),
    help="What it may do; may be repeated. All that the role may unless given.",
)  # fmt: skip
@click.option("--days", type=click.IntRange(1, 366), default=90, show_default=True, help="How long it is good.")
@pass_settings
def add(settings: Settings, name: str, user: str, scopes: tuple[str, ...], days: int) -> None:
    """Make a token, and show it once."""
    wanted = Token(user=user, name=name, scopes=privileges_of(scopes))
    request = CreateTokenRequest(token=wanted, lifetime=Duration.from_seconds(days * _DAY_SECONDS))
    with settings.connect() as client:
        answer = client.ask(TokenService.CreateToken, request)
    note("this is shown only now; it goes into the header Authorization: Bearer TOKEN")
    settings.output.say(answer, printable(answer.secret))


@token.command("delete")
@click.argument("id_", metavar="ID")
@pass_settings
def delete(settings: Settings, id_: str) -> None:
    """Delete a token."""
    with settings.connect() as client:
        answer = client.ask(TokenService.DeleteToken, DeleteTokenRequest(id=id_))
    settings.output.say(answer, f"deleted token {printable(id_)}")
