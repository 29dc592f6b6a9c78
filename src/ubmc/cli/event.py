"""`ubmc event`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from protobuf.wkt import Timestamp

from ubmc.cli.export import FORMATS
from ubmc.cli.prompt import ask_consent, is_terminal
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.span import parse_span
from ubmc.cli.terminal import emit
from ubmc.cli.text import cell, columns
from ubmc.client import Client
from ubmc.kit.errors import Unavailable
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import (
    ClearEventsRequest,
    DeleteEventRequest,
    Event,
    EventFilter,
    EventLogState,
    GetEventLogRequest,
    GetEventRequest,
    ListEventsRequest,
    ListEventsResponse,
    WatchEventsRequest,
)
from ubmc.v1alpha1.event_rpc import EventService

COLUMNS = columns("id", "time", "severity", "component", "kind: message_id", "message")

SEVERITIES = {"ok": Severity.OK, "warning": Severity.WARNING, "critical": Severity.CRITICAL}

FACTS = columns(
    "id", "time", "severity", "component", "kind: message_id", "message", "arguments", "caused by: cause.kind",
    "user: cause.user", "trace: cause.trace_id", "ULID: ulid",
)  # fmt: skip
_LOG = columns(
    "events: count", "bytes", "at most events: max_count", "at most bytes: max_bytes", "went when full: dropped",
    "cleared", "oldest: oldest_id", "newest: newest_id",
)  # fmt: skip
_PAGE = 1000

event = Noun("event", help="The event log: list it, watch it, export it, clear it.")


def parse_time(text: str, now: datetime) -> Timestamp:
    """A moment: `10m`, `2h`, `3d` before now, or ISO 8601 (UTC unless it names a zone).

    Raises:
        click.BadParameter: it is neither.
    """
    ago = parse_span(text)
    if ago is not None and not text[-1].isdigit():
        moment = now - timedelta(seconds=ago)
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise click.BadParameter(f"{text} is no time; write 10m, 2h, 3d, or 2026-01-31T12:00:00Z") from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Timestamp.from_datetime(moment)


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> Timestamp | None:
    return None if value is None else parse_time(value, datetime.now(UTC))


def filtering(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which events are wanted."""
    options: tuple[Callable[..., Any], ...] = (
        click.option("--severity", type=click.Choice(list(SEVERITIES)), help="At least as grave as this."),
        click.option("--component", default="", metavar="NAME", help="About this component: host.0"),
        click.option("--kind", default="", metavar="ID", help="Of this kind: Host.StateChanged, or all of Host"),
        click.option("--since", callback=_moment, metavar="TIME", help="Not before: 10m, 2h, 3d, or ISO 8601."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _filter(severity: str | None, component: str, kind: str, since: Timestamp | None) -> EventFilter:
    return EventFilter(
        severity=SEVERITIES[severity] if severity else Severity.UNSPECIFIED,
        component=component,
        message_id=kind,
        since=since,
    )


def youngest(client: Client, wanted: EventFilter, limit: int) -> ListEventsResponse:
    """The last `limit` events, the youngest first, all pages in one."""
    whole = ListEventsResponse()
    token = ""
    while len(whole.events) < limit:
        size = min(_PAGE, limit - len(whole.events))
        request = ListEventsRequest(page_size=size, page_token=token, filter=wanted, newest_first=True)
        page = client.ask(EventService.ListEvents, request)
        whole.events.extend(page.events)
        token = page.next_page_token
        if not token or not page.events:
            break
    del whole.events[limit:]
    return whole


@event.command("list")
@filtering
@click.option("--until", callback=_moment, metavar="TIME", help="Before this.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many, the last ones."
)
@click.option("--reverse", is_flag=True, help="The youngest first.")
@pass_settings
def list_(
    settings: Settings, *, severity: str | None, component: str, kind: str, since: Timestamp | None,
    until: Timestamp | None, limit: int, reverse: bool,
) -> None:  # fmt: skip
    """List the last events, the oldest first."""
    wanted = _filter(severity, component, kind, since)
    wanted.until = until
    with settings.connect() as client:
        answer = youngest(client, wanted, limit)
    if not reverse:
        answer.events.reverse()
    settings.output.list(answer, COLUMNS, answer.events)


@event.command("show")
@click.argument("id_", metavar="ID", type=click.IntRange(min=1))
@pass_settings
def show(settings: Settings, id_: int) -> None:
    """Show one event with everything that is known of it."""
    with settings.connect() as client:
        answer = client.ask(EventService.GetEvent, GetEventRequest(id=id_))
    settings.output.show(answer, FACTS, answer.event or Event())


@event.command("watch")
@filtering
@click.option("--cursor", default="", help="Begin behind the event with this cursor (from --json).")
@pass_settings
def watch(
    settings: Settings, *, severity: str | None, component: str, kind: str, since: Timestamp | None, cursor: str
) -> None:
    """Print every event from now on; ends with Ctrl-C."""
    request = WatchEventsRequest(filter=_filter(severity, component, kind, since), cursor=cursor)
    output = settings.output
    with settings.connect() as client, closing(client.watch(EventService.WatchEvents, request)) as updates:
        for update in updates:
            if update.event is not None:
                output.line(update, [cell(update.event, column.path) for column in COLUMNS])
            elif output.as_json:
                output.line(update, [])


@event.command("log")
@pass_settings
def log(settings: Settings) -> None:
    """Show how full the log is, and how many events have left it."""
    with settings.connect() as client:
        answer = client.ask(EventService.GetEventLog, GetEventLogRequest())
    settings.output.show(answer, _LOG, answer.log or EventLogState())


@event.command("clear")
@click.option("--up-to", "up_to_id", type=click.IntRange(min=1), metavar="ID", help="Leave what came after this event.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def clear(settings: Settings, up_to_id: int | None, yes: bool) -> None:
    """Take all events out of the log; that it was cleared, and by whom, stays in it."""
    if not yes:
        if not is_terminal():
            raise click.UsageError("there is no terminal to ask whether events shall go for ever; say so with --yes")
        which = "all events" if up_to_id is None else f"all events up to {up_to_id}"
        if not ask_consent(f"Take {which} out of the log for ever?"):
            raise click.Abort
    with settings.connect() as client:
        answer = client.ask(EventService.ClearEvents, ClearEventsRequest(up_to_id=up_to_id or 0))
    settings.output.say(answer, f"{answer.cleared} events were taken out of the log")


@event.command("delete")
@click.argument("id_", metavar="ID", type=click.IntRange(min=1))
@pass_settings
def delete(settings: Settings, id_: int) -> None:
    """Take one event out of the log; that it was taken out, and by whom, stays in it."""
    with settings.connect() as client:
        answer = client.ask(EventService.DeleteEvent, DeleteEventRequest(id=id_))
    settings.output.say(answer, f"event {id_} was taken out of the log")


def everything(client: Client, wanted: EventFilter) -> Iterator[Event]:
    """All events that are wanted, the oldest first, a page at a time."""
    token = ""
    while True:
        request = ListEventsRequest(page_size=_PAGE, page_token=token, filter=wanted)
        page = client.ask(EventService.ListEvents, request)
        yield from page.events
        token = page.next_page_token
        if not token or not page.events:
            return


@event.command("export")
@filtering
@click.option("--until", callback=_moment, metavar="TIME", help="Before this.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="csv", show_default=True,
              help="CSV for spreadsheets, JSON for programs.")  # fmt: skip
@click.option("--output", "file", type=click.Path(dir_okay=False, path_type=Path), help="Into this file, not stdout.")
@pass_settings
def export(
    settings: Settings, *, severity: str | None, component: str, kind: str, since: Timestamp | None,
    until: Timestamp | None, form: str, file: Path | None,
) -> None:  # fmt: skip
    """Write the whole log, the oldest event first; no spreadsheet or terminal obeys what stands in it."""
    wanted = _filter(severity, component, kind, since)
    wanted.until = until
    write = FORMATS["json" if settings.as_json else form]
    with settings.connect() as client:
        if file is None:
            write(everything(client, wanted), emit)
            return
        try:
            with file.open("w", encoding="utf-8") as opened:
                write(everything(client, wanted), lambda line: print(line, file=opened))
        except OSError as error:
            raise Unavailable(f"{file} cannot be written: {error.strerror}") from error
