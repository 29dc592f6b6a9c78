"""Writes the API reference, made of the comments of the schema, to the file that is named; run by tools/generate.py."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from protobuf import DescEnum, DescField, DescFieldValueList, DescFieldValueMap, DescFile, DescMessage, DescService

from image import compiled
from ubmc.kit.schema import PACKAGE, Method, Schema
from ubmc.protocols.openapi.constraints import keywords, must_be_given, rules_of
from ubmc.protocols.openapi.schemas import comment, value_comments
from ubmc.protocols.rest.fields import Element, element_of
from ubmc.protocols.rest.router import Router
from ubmc.v1alpha1.event_kind_pb import ext_event

INTRO = """\
# API reference

<!-- Generated from the comments in schema/ by tools/generate.py. DO NOT EDIT. -->

Every call has three names: the RPC (Connect, gRPC, gRPC-Web: `POST /{package}.SERVICE/METHOD`), its REST form, and
the privilege that it needs. JSON field names are lowerCamelCase, as given here; in requests the names of the proto are
taken too. An update without `updateMask` changes what the body has. In REST a stream is answered as server-sent events,
and goes on where it was when the header `Last-Event-ID` comes back.

Errors are `{{"code", "message", "details": [{{"field", "rule", "message"}}], "traceId"}}`.
"""


def cell(text: str) -> str:
    """Text that fits into a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """The lines of a table."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell(text) for text in row) + " |"
    yield ""


def link(element: Element) -> str:
    """A type, linked if it is one of ours."""
    if isinstance(element, DescMessage | DescEnum):
        ours = element.file.proto.package == PACKAGE
        # what a call takes and answers is described with the call; the linter holds them to these names
        heading = element.name.removesuffix("Request").removesuffix("Response").lower()
        return f"[{element.name}](#{heading})" if ours else element.name
    return element.name.lower()


def type_of(field: DescField) -> str:
    """The type of a field."""
    element = link(element_of(field))
    if isinstance(field.value, DescFieldValueList):
        return f"list of {element}"
    if isinstance(field.value, DescFieldValueMap):
        return f"map of {field.value.key.name.lower()} to {element}"
    return element


def rules(field: DescField) -> str:
    """The rules of a field."""
    found, element = rules_of(field), element_of(field)
    words = keywords(found, element if isinstance(element, DescEnum) else None, as_number=True)
    parts = ["required"] if must_be_given(found) else []
    for word, value in words.items():
        if word == "not":
            parts.append("not " + ", ".join(f"`{name}`" for name in value["enum"]))
        elif word == "pattern":
            parts.append(f"`{value}`")
        else:
            parts.append(f"{word.removeprefix('x-ubmc-')} {value}")
    return ", ".join(parts)


def fields(message: DescMessage) -> Iterator[str]:
    """The fields of a message."""
    if not message.fields:
        yield "No fields."
        yield ""
        return
    rows = ((f"`{f.json_name}`", type_of(f), rules(f), comment(f)) for f in message.fields)
    yield from table(("Field", "Type", "Rules", "Meaning"), rows)


def who(method: Method) -> str:
    """Who may make a call."""
    if method.internal:
        return ", ".join(sorted(method.callers))
    return "everybody" if method.public else method.privilege_name


def service_lines(service: DescService, schema: Schema, forms: dict[str, list[str]]) -> Iterator[str]:
    """One service: its calls, then the fields of each."""
    methods = [m for m in schema.methods if m.desc.parent is service]
    yield from (f"### {service.name}", "", comment(service), "")
    rows = (
        (f"[{m.token.method}](#{m.token.method.lower()})", "<br>".join(forms.get(m.name, ["none"])), who(m),
         "yes" if m.audited else "no", "stream" if m.streams else "one message")
        for m in methods
    )  # fmt: skip
    yield from table(("RPC", "REST", "Who may", "Audited", "Answer"), rows)
    for method in methods:
        yield from (f"#### {method.token.method}", "", comment(method.desc), "")
        yield from ("Request:", "", *fields(method.desc.input))
        yield from ("Each message of the stream:" if method.streams else "Response:", "", *fields(method.desc.output))


def type_lines(schema: Schema, files: list[DescFile]) -> Iterator[str]:
    """The messages that are no request, response or event, and the enums."""
    shown = {m.desc.input.name for m in schema.methods} | {m.desc.output.name for m in schema.methods}
    messages = [m for f in files for m in f.messages if m.name not in shown and m.type_name not in schema.events]
    enums = [e for f in files for e in f.enums]
    yield from ("## Messages", "")
    for message in sorted(messages, key=lambda m: m.name):
        yield from (f"### {message.name}", "", comment(message), "", *fields(message))
    yield from ("## Enums", "")
    for enum in sorted(enums, key=lambda e: e.name):
        rows = ((f"`{name}`", text) for name, text in value_comments(enum).items())
        yield from (f"### {enum.name}", "", comment(enum), "", *table(("Value", "Meaning"), rows))


def event_lines(files: list[DescFile]) -> Iterator[str]:
    """The kinds of events."""
    yield from ("## Events", "")
    for message in (m for f in files for m in f.messages):
        options = message.proto.options
        if options is None or ext_event not in options:
            continue
        kind = options[ext_event]
        kept = "Only told, not kept in the event log." if kind.unlogged else "Kept in the event log."
        facts = f"Id `{kind.message_id}`, severity {kind.severity.name}. {kept} Text: `{kind.text}`"
        yield from (f"### {message.name}", "", comment(message), "", facts, "", *fields(message))


def render(schema: Schema, files: list[DescFile]) -> str:
    """The whole document."""
    forms: dict[str, list[str]] = {}
    for route in Router(schema).routes:
        forms.setdefault(route.method.name, []).append(f"`{route.verb} {route.template.text}`")
    inside = {m.desc.parent.type_name for m in schema.methods if m.internal}
    outside = {m.desc.parent.type_name for m in schema.methods if not m.internal}
    services = [service for file in files for service in file.services]
    lines = [INTRO.format(package=PACKAGE), "## Services", ""]
    for service in services:
        if service.type_name in outside:
            lines += service_lines(service, schema, forms)
    lines += ["## Services inside the BMC", "", "They cannot be reached from the network.", ""]
    for service in services:
        if service.type_name in inside - outside:
            lines += service_lines(service, schema, forms)
    lines += [*type_lines(schema, files), *event_lines(files)]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Compiles the schema and writes the document."""
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render(*compiled()), encoding="utf-8")


if __name__ == "__main__":
    main()
