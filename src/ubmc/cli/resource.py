"""The commands that every kind of thing has, made from data: list, show, watch, and actions that begin a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from typing import Any

import click

from ubmc.cli.follow import WAIT_SECONDS, follow, raise_failure
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import printable
from ubmc.cli.text import Column, cell, format_value
from ubmc.client import Client
from ubmc.kit.errors import Invalid, NotFound
from ubmc.rpc import ServerStream, Unary

_PAGE = 1000
_MOST_PAGES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A kind of thing that can be listed, and which facts the table shows."""

    noun: str
    list: Unary[Any, Any]
    items: str
    """The field of the list's answer that holds the things."""
    columns: tuple[Column, ...]
    key: str = "name"
    """The field that names a thing, the same in requests."""
    plural: str = ""
    """What several are called, unless it is the noun and an s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Listing):
    """A kind of thing that can be read one by one too, and which facts are shown of one."""

    get: Unary[Any, Any]
    item: str
    """The field of the answer that holds the one thing."""
    facts: tuple[Column, ...]


def list_all(client: Client, resource: Listing, **wanted: Any) -> Any:
    """The answer with all pages in one.

    Args:
        client: whom to ask.
        resource: what to list.
        wanted: further fields of the request: which things are wanted.

    Raises:
        NotFound: the list does not end.
    """
    whole = client.ask(resource.list, resource.list.request(page_size=_PAGE, **wanted))
    for _ in range(_MOST_PAGES):
        if not whole.next_page_token:
            return whole
        request = resource.list.request(page_size=_PAGE, page_token=whole.next_page_token, **wanted)
        page = client.ask(resource.list, request)
        getattr(whole, resource.items).extend(getattr(page, resource.items))
        whole.next_page_token = page.next_page_token
    raise NotFound(f"the list of {resource.items} has no end")


def name_one(client: Client, resource: Listing, name: str | None) -> str:
    """The name that was given, or that of the only thing there is.

    Raises:
        Invalid: there are several; says which.
        NotFound: there is none.
    """
    if name is not None:
        return name
    found = [str(getattr(item, resource.key)) for item in getattr(list_all(client, resource), resource.items)]
    if not found:
        raise NotFound(f"this BMC has no {resource.noun}")
    if len(found) > 1:
        raise Invalid(f"say which {resource.noun}: {', '.join(found)}")
    return found[0]


def add_list(group: Noun, resource: Listing) -> None:
    """Add `list`."""

    @group.command("list", help=f"List all {resource.plural or resource.noun + 's'}.")
    @pass_settings
    def list_(settings: Settings) -> None:
        with settings.connect() as client:
            answer = list_all(client, resource)
        settings.output.list(answer, resource.columns, getattr(answer, resource.items))


def add_show(group: Noun, resource: Resource, *, optional: bool) -> None:
    """Add `show`; the name may be left out where there is usually just one."""

    @group.command("show", help=f"Show one {resource.noun}.")
    @click.argument("name", required=not optional, metavar=resource.key.upper())
    @pass_settings
    def show(settings: Settings, name: str | None) -> None:
        with settings.connect() as client:
            key = name_one(client, resource, name)
            answer = client.ask(resource.get, resource.get.request(**{resource.key: key}))
        settings.output.show(answer, resource.facts, getattr(answer, resource.item))


def _one(resource: Listing) -> str:
    return f"{'an' if resource.noun[0] in 'aeiou' else 'a'} {resource.noun}"


def add_watch(group: Noun, resource: Resource, method: ServerStream[Any, Any]) -> None:
    """Add `watch`."""

    @group.command("watch", help=f"Print every change of {_one(resource)}, first the present state; ends with Ctrl-C.")
    @click.argument("name", required=False)
    @pass_settings
    def watch(settings: Settings, name: str | None) -> None:
        output = settings.output
        with (
            settings.connect() as client,
            closing(client.watch(method, method.request(name=name or ""))) as updates,
        ):
            for update in updates:
                item = getattr(update, resource.item)
                output.line(update, [cell(item, column.path) for column in resource.columns])


def waiting(command: Callable[..., None]) -> Callable[..., None]:
    """Options of commands that begin a task."""
    options = (
        click.option("--wait", is_flag=True, help="Wait until it has ended, and fail if it failed."),
        click.option(
            "--timeout", "timeout_seconds", type=click.FloatRange(min=0, min_open=True), default=WAIT_SECONDS,
            show_default=True, metavar="SECONDS", help="How long to wait at most.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def add_actions(
    group: Noun, resource: Resource, method: Unary[Any, Any], actions: Mapping[str, tuple[Enum, str]]
) -> None:
    """Add a command for each action; its answer holds the thing in its new state, and the task."""
    for word, (action, text) in actions.items():
        group.command(word, help=text)(_begin(resource, method, action))


def _begin(resource: Resource, method: Unary[Any, Any], action: Enum) -> Callable[..., None]:
    @click.argument("name", required=False)
    @waiting
    @pass_settings
    def act(settings: Settings, name: str | None, wait: bool, timeout_seconds: float) -> None:
        with settings.connect() as client:
            key = name_one(client, resource, name)
            answer = client.ask(method, method.request(name=key, action=action))
            ends = wait and answer.task is not None and answer.task.id
            if ends:
                answer.task = follow(client, answer.task, timeout_seconds=timeout_seconds)
                got = client.ask(resource.get, resource.get.request(name=key))
                setattr(answer, resource.item, getattr(got, resource.item))
        item = getattr(answer, resource.item)
        line = f"{printable(key)}: {format_value(item.state if item is not None else None)}"
        if answer.task is not None and answer.task.id:
            line += f" (task {printable(answer.task.id)})"
        settings.output.say(answer, line)
        if ends:
            raise_failure(answer.task)

    return act
