"""`ubmc board`: checks, shows and drafts board files; asks no BMC."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ubmc.boards.load import board_names, load_board
from ubmc.boards.probe import survey
from ubmc.boards.probe_draft import draft
from ubmc.boards.probe_text import survey_text
from ubmc.boards.report import check_report, list_text, show_json, show_text
from ubmc.cli.exits import FAILED
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import printable_lines

board = Noun("board", help="Board files: check, show and draft them.")


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


@board.command("probe")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="/",
    show_default=True,
    help="The root directory of the board, or of a copy of its sys.",
)
@click.option("--toml", "as_toml", is_flag=True, help="Draft a board file from what is found.")
@pass_settings
def probe(settings: Settings, root: Path, as_toml: bool) -> None:
    """Show what the kernel found on this board: buses, sensors, fans, GPIO lines, lights.

    Only looks: nothing is written and no bus is scanned.
    """
    found = survey(root)
    if settings.as_json:
        settings.output.document({**asdict(found), **({"toml": draft(found)} if as_toml else {})})
    else:
        settings.output.text(printable_lines((draft if as_toml else survey_text)(found)).rstrip("\n"))
