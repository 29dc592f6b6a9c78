"""`ubmc console`: with the name of a host a terminal on it, else what can be done to consoles."""

from __future__ import annotations

import sys
from typing import Any

import click
from protobuf.wkt import FieldMask

from ubmc.cli.resource import Resource, add_list, add_show, add_watch, name_one
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import printable
from ubmc.cli.text import columns
from ubmc.protocols.terminal_filter import TerminalFilter
from ubmc.v1alpha1.console_pb import (
    Console,
    ConsoleSettings,
    DeleteConsoleRecordingRequest,
    FlowControl,
    ReadConsoleRecordingRequest,
    ReleaseConsoleRequest,
    SendConsoleBreakRequest,
    SendConsoleSysRqRequest,
    UpdateConsoleRequest,
)
from ubmc.v1alpha1.console_rpc import ConsoleService

CONSOLES = Resource(
    noun="console",
    list=ConsoleService.ListConsoles,
    items="consoles",
    get=ConsoleService.GetConsole,
    item="console",
    columns=columns("name", "kind", "line", "writer", "end_offset", "last output: last_output_time"),
    facts=columns(
        "name",
        "kind",
        "line",
        "why not: line_reason",
        "writer",
        "baud rate: settings.baud_rate",
        "flow control: settings.flow_control",
        "replay bytes: settings.replay_bytes",
        "recording: settings.recording",
        "recording bytes: settings.recording_bytes",
        "redactions: settings.redactions",
        "recorded_bytes",
        "recording_problem",
        "start_offset",
        "end_offset",
        "written_bytes",
        "lost_bytes",
        "last output: last_output_time",
    ),
)
FLOWS = {"none": FlowControl.NONE, "xon-xoff": FlowControl.XON_XOFF, "rts-cts": FlowControl.RTS_CTS}
_ATTACH = "attach"


class _Consoles(Noun):
    """A group whose usual command need not be named."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The name of a host in the place of a command means: attach."""
        if args and args[0].startswith("host.") and args[0] not in self.commands:
            args = [_ATTACH, *args]
        return super().resolve_command(ctx, args)


console = _Consoles(
    "console",
    help="The serial console of a host: `ubmc console host.0` attaches a terminal; the commands are for all else.",
)


@console.command(
    _ATTACH, help="Attach this terminal. ~. at the beginning of a line ends it, ~? shows what else there is."
)
@click.argument("name", required=False)
@click.option("--read-only", is_flag=True, help="Do not write.")
@click.option("--take-over", is_flag=True, help="Write, whoever writes now.")
@click.option(
    "--replay", type=click.IntRange(0, 16 << 20), default=4096, show_default=True, metavar="BYTES",
    help="Begin with so many bytes of what was written before.",
)  # fmt: skip
@click.option("--escape", default="~", show_default=True, metavar="CHAR", help='Begins a command; "" for none.')
@click.option(
    "--safe", is_flag=True, help="Show nothing that reaches out of the terminal: titles, clipboard, questions."
)
@pass_settings
def attach(
    settings: Settings, name: str | None, *, read_only: bool, take_over: bool, replay: int, escape: str, safe: bool
) -> None:
    """Attach."""
    from ubmc.cli.console_terminal import Wanted, run

    if read_only and take_over:
        raise click.UsageError("--read-only and --take-over exclude each other")
    if len(escape) > 1 or not escape.isascii() or (escape and not escape.isprintable()):
        raise click.UsageError("--escape is one character, or nothing")
    with settings.connect() as client:
        chosen = name_one(client, CONSOLES, name)
        wanted = Wanted(client.url, client.token, client.trust, chosen, not read_only, take_over, replay, escape, safe)
    run(wanted)


add_list(console, CONSOLES)
add_show(console, CONSOLES, optional=True)
add_watch(console, CONSOLES, ConsoleService.WatchConsoles)


@console.command("set", help="Change settings; only those that are given.")
@click.argument("name", required=False)
@click.option("--baud-rate", type=int, metavar="BAUD", help="Of the line.")
@click.option("--flow-control", type=click.Choice(list(FLOWS)), help="How both ends keep each other's pace.")
@click.option("--replay-bytes", type=int, metavar="BYTES", help="How much is kept for those who come later.")
@click.option("--record/--no-record", "recording", default=None, help="Keep what the host writes in a file.")
@click.option("--recording-bytes", type=int, metavar="BYTES", help="How large that may become.")
@click.option("--redact", "redactions", multiple=True, metavar="REGEX", help="Leave this out of it; may be repeated.")
@pass_settings
def set_(settings: Settings, /, name: str | None, **given: Any) -> None:
    """Change settings."""
    given["redactions"] = list(given["redactions"]) or None
    given["flow_control"] = FLOWS[given["flow_control"]] if given["flow_control"] else None
    wanted = {field: value for field, value in given.items() if value is not None}
    if not wanted:
        raise click.UsageError("say what to change; see --help")
    with settings.connect() as client:
        chosen = name_one(client, CONSOLES, name)
        changed = Console(name=chosen, settings=ConsoleSettings(**wanted))
        mask = FieldMask(paths=[f"settings.{field}" for field in wanted])
        answer = client.ask(ConsoleService.UpdateConsole, UpdateConsoleRequest(console=changed, update_mask=mask))
    settings.output.show(answer, CONSOLES.facts, answer.console)


_take_over = click.option("--take-over", is_flag=True, help="Take the right to write away from whoever has it.")


@console.command("break", help="Send a BREAK to the host.")
@click.argument("name", required=False)
@_take_over
@pass_settings
def break_(settings: Settings, name: str | None, *, take_over: bool) -> None:
    """Send a BREAK."""
    with settings.connect() as client:
        chosen = name_one(client, CONSOLES, name)
        request = SendConsoleBreakRequest(name=chosen, take_over=take_over)
        answer = client.ask(ConsoleService.SendConsoleBreak, request)
    settings.output.say(answer, f"{printable(chosen)}: BREAK was sent")


@console.command("sysrq", help="Send a magic SysRq to a host that runs Linux: BREAK and KEY, such as h for help.")
@click.argument("key")
@click.argument("name", required=False)
@_take_over
@pass_settings
def sysrq(settings: Settings, key: str, name: str | None, *, take_over: bool) -> None:
    """Send a SysRq."""
    with settings.connect() as client:
        chosen = name_one(client, CONSOLES, name)
        request = SendConsoleSysRqRequest(name=chosen, key=key, take_over=take_over)
        answer = client.ask(ConsoleService.SendConsoleSysRq, request)
    settings.output.say(answer, f"{printable(chosen)}: SysRq {printable(key)} was sent")


@console.command("release", help="Take the right to write away from whoever has it.")
@click.argument("name", required=False)
@pass_settings
def release(settings: Settings, name: str | None) -> None:
    """Take the right to write away."""
    with settings.connect() as client:
        chosen = name_one(client, CONSOLES, name)
        answer = client.ask(ConsoleService.ReleaseConsole, ReleaseConsoleRequest(name=chosen))
    settings.output.say(answer, f"{printable(chosen)}: {printable(answer.user) or 'nobody'} wrote")


@console.command(
    "recording", help="Write the recording to standard output; to a terminal without what reaches out of the terminal."
)
@click.argument("name", required=False)
@click.option("--delete", is_flag=True, help="Throw it away instead.")
@click.option("--raw", is_flag=True, help="As it is, to a terminal too, which obeys what is in it.")
@pass_settings
def recording(settings: Settings, name: str | None, *, delete: bool, raw: bool) -> None:
    """Read or delete the recording."""
    shown = TerminalFilter() if sys.stdout.isatty() and not raw else None
    with settings.connect() as client:
        chosen = name_one(client, CONSOLES, name)
        if delete:
            gone = client.ask(ConsoleService.DeleteConsoleRecording, DeleteConsoleRecordingRequest(name=chosen))
            settings.output.say(gone, f"{printable(chosen)}: the recording is deleted")
            return
        offset = 0
        while True:
            request = ReadConsoleRecordingRequest(name=chosen, offset=offset)
            data = client.ask(ConsoleService.ReadConsoleRecording, request).data
            if not data:
                return
            sys.stdout.buffer.write(shown.feed(data) if shown is not None else data)
            sys.stdout.buffer.flush()
            offset += len(data)
