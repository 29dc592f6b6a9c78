"""`ubmc board`: checks and shows board files; asks no BMC."""

from __future__ import annotations

import click

from ubmc.boards.load import board_names, load_board
from ubmc.boards.report import check_report, list_text, show_json, show_text
from ubmc.cli.exits import FAILED
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import printable_lines

board = Noun("board", help="Board files: check them, show them.")


@board.command("check")
@click.argument("file")
@click.pass_context
def check(ctx: click.Context, file: str) -> None:
    """Check a board FILE (or a board's name): all mistakes at once; exit code 1 if there is one."""
    good, text, content = check_report(file)
    settings = ctx.ensure_object(Settings)
    if settings.as_json:
        settings.output.document(content)
    else:
        click.echo(printable_lines(text), err=not good)
    if not good:
        ctx.exit(FAILED)


@board.command("show")
@click.argument("name", required=False)
@pass_settings
def show(settings: Settings, name: str | None) -> None:
    """Show a board, or the names of the boards that come with the program."""
    output = settings.output
    if name is None:
        if output.as_json:
            output.document({"boards": list(board_names())})
        else:
            output.text(list_text())
        return
    found = load_board(name)
    if output.as_json:
        output.document(show_json(found))
    else:
        output.text(printable_lines(show_text(found)))
