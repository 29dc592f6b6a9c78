"""`ubmc event`."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from protobuf.wkt import Timestamp

from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.text import cell, columns
from ubmc.client import Client
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import EventFilter, ListEventsRequest, ListEventsResponse, WatchEventsRequest
from ubmc.v1alpha1.event_rpc import EventService

COLUMNS = columns("id", "time", "severity", "component", "kind: message_id", "message")

SEVERITIES = {"ok": Severity.OK, "warning": Severity.WARNING, "critical": Severity.CRITICAL}

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PAGE = 1000

event = Noun("event", help="The event log: list it, watch it.")


def parse_time(text: str, now: datetime) -> Timestamp:
    """A moment: `10m`, `2h`, `3d` before now, or ISO 8601 (UTC unless it names a zone).

    Raises:
        click.BadParameter: it is neither.
    """
    if ago := re.fullmatch(r"([0-9]{1,9})([smhd])", text):
        moment = now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
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
