"""What every command knows: `--json`, and which BMC is meant. Any option may stand before or behind the command.

The BMC is the one of `--url` or `UBMC_URL`, else that of the stored session. Token and pin of the stored session are
only ever used for its own URL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ubmc.cli.terminal import note
from ubmc.kit.errors import Unauthenticated

if TYPE_CHECKING:
    from ubmc.cli.output import Output
    from ubmc.cli.session import Stored
    from ubmc.client import Client, Trust


@dataclass(slots=True)
class Settings:
    """The options that all commands share, as they were given; made anew for each run of the program."""

    as_json: bool = False
    url: str | None = None
    token: str | None = None
    cacert: Path | None = None
    fingerprint: str | None = None
    insecure: bool = False

    @property
    def output(self) -> Output:
        """Where results go."""
        from ubmc.cli.output import Output

        return Output(self.as_json)

    def trust(self) -> Trust | None:
        """Whom the options say to trust; None if they do not say.

        Raises:
            click.UsageError: they say two things.
            Invalid: the fingerprint is none.
        """
        from ubmc.client import CaFile, Insecure, Pinned

        given = [name for name in ("cacert", "fingerprint", "insecure") if getattr(self, name) not in {None, False, ""}]
        if len(given) > 1:
            raise click.UsageError(f"--{given[0]} and --{given[1]} exclude each other; give one of them")
        if self.cacert is not None:
            return CaFile(self.cacert.absolute())
        if self.fingerprint:
            return Pinned.parse(self.fingerprint)
        return Insecure() if self.insecure else None

    @contextmanager
    def connect(self) -> Iterator[Client]:
        """A client with the token of the session.

        Raises:
            Unauthenticated: nobody is logged in.
        """
        from ubmc.cli.session import load
        from ubmc.client import Client, Insecure, SystemTrust
        from ubmc.client.trust import split_url

        stored: Stored | None = load()
        url = split_url(self.url)[0] if self.url else stored.url if stored else ""
        if stored is not None and stored.url != url:
            stored = None
        token = self.token or (stored.token if stored else "")
        if not url or not token:
            where = f" at {url}" if url else ""
            advice = f"run: ubmc login {url or 'URL'} (or set UBMC_URL and UBMC_TOKEN)"
            raise Unauthenticated(f"not logged in{where}; {advice}")
        trust = self.trust() or (stored.trust if stored else SystemTrust())
        if isinstance(trust, Insecure):
            warn_insecure(url)
        with Client(url, token=token, trust=trust) as client:
            yield client


def warn_insecure(url: str) -> None:
    """Say what `--insecure` means."""
    note(f"warning: the certificate of {url} is not checked; whoever sits between can read and change everything")


def _store(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep the option; what stands behind the command wins over what stands before it, or in the environment."""
    settings = ctx.ensure_object(Settings)
    if value is not None and value is not False and param.name is not None:
        setattr(settings, param.name, value)


def shared_options(*, root: bool) -> list[click.Parameter]:
    """The shared options; the environment is read and the rarer ones are shown in help at the root only."""

    def option(*names: str, help: str, env: str | None = None, hidden: bool = not root, **rest: Any) -> click.Option:  # noqa: A002 - click's word
        return click.Option(
            names, help=help, envvar=env if root else None, show_envvar=root, hidden=hidden, expose_value=False,
            callback=_store, **rest,
        )  # fmt: skip

    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    return [
        option("--json", "as_json", is_flag=True, help="Print the JSON form of the schema.", hidden=False),
        option("--url", metavar="URL", help="Which BMC; else that of the stored session.", env="UBMC_URL"),
        option("--token", metavar="TOKEN", help="The token of a session; others see arguments, so prefer the variable.",
               env="UBMC_TOKEN"),
        option("--cacert", metavar="FILE", type=file, help="Trust certificates signed by one in this PEM file.",
               env="UBMC_CACERT"),
        option("--fingerprint", metavar="SHA256", help="Trust exactly the certificate with this fingerprint.",
               env="UBMC_FINGERPRINT"),
        option("--insecure", is_flag=True, help="Trust anybody. For trying things out on one's own machine."),
    ]  # fmt: skip


class Leaf(click.Command):
    """A command that takes the shared options too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(shared_options(root=False))


class Noun(click.Group):
    """A group of commands about one kind of thing; takes the shared options too."""

    command_class = Leaf

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(shared_options(root=False))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which they were made."""
        return list(self.commands)


pass_settings = click.make_pass_decorator(Settings, ensure=True)
