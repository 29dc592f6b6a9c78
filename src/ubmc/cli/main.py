"""The root of `ubmc`: which commands there are, and what becomes of errors.

A command's module is imported when the command is used: `ubmc run` must not pay for the client's libraries, nor
`ubmc --version` for anything.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import FrameType, MappingProxyType
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from ubmc.cli.exits import INTERRUPTED, exit_code, explain
from ubmc.cli.settings import shared_options
from ubmc.cli.terminal import PipeClosed, note, printable, silence
from ubmc.kit.errors import UbmcError

_PIPE_CLOSED = 141  # as if SIGPIPE had ended us
_AGAIN_SECONDS = 2.0

# name: module and attribute, help
COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "run": ("run:run", "Start the BMC of a board."),
        "machine": ("run:machine", "The machine that runs on after the BMC: end it."),
        "login": ("login:login", "Log in to a BMC and store the session."),
        "logout": ("login:logout", "End the stored session."),
        "whoami": ("login:whoami", "Show who is logged in, and what they may do."),
        "host": ("host:host", "Hosts: show them, power them, set what they boot."),
        "chassis": ("chassis:chassis", "Chassis: show them, power them, light them up."),
        "bmc": ("system:bmc", "The BMC itself: show it, restart its services."),
        "bios": ("bios:bios", "The set-up of a host's firmware: show it, have the next boot change it."),
        "console": ("console:console", "The serial console of a host."),
        "sensor": ("sensor:sensor", "Sensors: show them, watch them, set their limits."),
        "fan": ("fan:fan", "Fans and pumps: show them."),
        "zone": ("zone:zone", "Thermal zones: show them, choose a profile, drive by hand for a while."),
        "led": ("led:led", "Lights: show them, test them, find a chassis."),
        "asset": ("asset:asset", "What the machine is made of: show it, tag it, read and write FRU storage."),
        "event": ("event:event", "The event log: list it, watch it, export it, clear it."),
        "subscription": ("subscription:subscription", "Where events are pushed to."),
        "report": ("report:report", "Metric reports and triggers."),
        "network": ("network:network", "The network of the BMC: show it, change it."),
        "time": ("network:time", "The clock of the BMC, and who sets it."),
        "task": ("task:task", "Tasks: what goes on after a command was accepted."),
        "user": ("user:user", "Accounts: make, change and remove them."),
        "session": ("user:session", "Sessions: list and end them."),
        "role": ("role:role", "Roles: make, change and remove them."),
        "token": ("token:token", "Tokens for programs: make, list and delete them."),
        "account-policy": ("policy:account_policy", "What holds for all accounts: show it, change it."),
        "ldap": ("policy:ldap", "The directory: show, change and try how it is asked."),
        "security": ("security:security", "Security: test it, set it, certificates, whom to trust, who did what."),
        "health": ("system:health", "Show the health of every service."),
        "metrics": ("system:metrics", "Print the metrics as OpenMetrics text."),
        "sim": ("sim:sim", "The simulated machine: break it, load it, press its buttons."),
        "drill": ("drill:drill", "Prove what is promised, on a simulated board: the cooling."),
        "board": ("board:board", "Board files: check them, show them."),
        "completion": ("completion:completion", "Print the completion script for a shell."),
    }
)


class Program(click.Group):
    """The root command: loads the others when they are used, and turns errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found = getattr(import_module(f"ubmc.cli.{module}"), attribute)
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their help, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands without importing them, and the shared options."""
        names = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run; the exit code says how it went (see `exits`)."""
        code = self._run(args, prog_name or "ubmc", complete_var, **extra)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if standalone_mode:
            sys.exit(code)
        return code

    def _run(self, args: Sequence[str] | None, prog_name: str, complete_var: str | None, **extra: Any) -> int:
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except UbmcError as error:
            note(explain(error))
            return exit_code(error)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return error.exit_code
        except click.ClickException as error:
            note(_usage(error))
            return error.exit_code
        except click.Abort:
            return INTERRUPTED
        except PipeClosed:
            silence()
            return _PIPE_CLOSED
        return result if isinstance(result, int) else 0


def _usage(error: click.ClickException) -> str:
    text = printable(" ".join(error.format_message().split()))
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return f"{text} (see: {ctx.command_path} --help)" if ctx is not None else text


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"ubmc {version('ubmc')}")
        ctx.exit()


cli = Program(
    name="ubmc",
    help="u-bmc: a Baseboard Management Controller, and its client.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    params=[
        *shared_options(root=True),
        click.Option(
            ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
            help="Print the version and exit.",
        ),
    ],
)  # fmt: skip


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Raise KeyboardInterrupt, again and again: one that is raised in a destructor or a callback goes nowhere."""
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
    raise KeyboardInterrupt


def main() -> None:
    """The program `ubmc`."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGALRM, _interrupt)
        signal.signal(signal.SIGINT, _interrupt)
    cli.main(prog_name="ubmc")
