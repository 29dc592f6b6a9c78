"""Prints the .proto text of a file descriptor, so that a schema shipped only as generated Python can be vendored.

Comments are not part of a descriptor and are lost; everything the compiler reads is kept, custom options included.
`tests/unit/test_vendored_protos.py` compiles the printed text and compares it with the original. Usage, on one line:

    python tools/print_proto.py protovalidate._gen.buf.validate.validate_pb protovalidate
        > schema/buf/validate/validate.proto
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby, takewhile
from pathlib import Path
from textwrap import indent

from protobuf import DescFile, Message, Registry
from protobuf.txtpb import message_to_text
from protobuf.wkt.google.protobuf.descriptor_pb import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto

Label, Type = FieldDescriptorProto.Label, FieldDescriptorProto.Type
MESSAGE_MAX, ENUM_MAX = (1 << 29) - 1, (1 << 31) - 1  # what the word `max` stands for in a range


def block(head: str, body: Iterable[str]) -> list[str]:
    """Returns `head { body }`, the body indented."""
    return [f"{head} {{", *(indent(line, "  ") for line in body), "}"]


def span(start: int, last: int, maximum: int) -> str:
    """Returns a range of numbers, both ends included."""
    return str(start) if start == last else f"{start} to {'max' if last == maximum else last}"


def bracketed(options: Sequence[str]) -> str:
    """Returns options as they follow a field, an enum value or an extension range."""
    return " [\n" + indent(",\n".join(options), "  ") + "\n]" if options else ""


def default_json_name(name: str) -> str:
    """Returns the JSON name which the compiler gives a field that names none (descriptor.proto, `json_name`)."""
    return re.sub(r"_+(.?)", lambda match: match[1].upper(), name)


class Printer:
    """Prints one file; its own extensions and those of its imports are the custom options it knows."""

    def __init__(self, desc: DescFile) -> None:
        self._file = desc.proto
        self._registry = Registry(desc, *desc.dependencies)

    def file(self) -> str:
        """Returns the text of the whole file."""
        file = self._file
        if file.service:
            raise ValueError(f"{file.name}: services are not supported")
        edition = f'edition = "{file.edition.name.removeprefix("EDITION_")}"'
        lines = [f"{edition};" if file.syntax == "editions" else f'syntax = "{file.syntax or "proto2"}";']
        lines += ["", f"package {file.package};", ""]
        for index, name in enumerate(file.dependency):
            kind = "public " if index in file.public_dependency else "weak " if index in file.weak_dependency else ""
            lines.append(f'import {kind}"{name}";')
        lines += ["", *self.statements(file.options), *self.extensions(file.extension)]
        for message in file.message_type:
            lines += ["", *self.message(message)]
        for enum in file.enum_type:
            lines += ["", *self.enum(enum)]
        return "\n".join(lines) + "\n"

    def options(self, options: Message | None) -> list[str]:
        """Returns each option as `name = value`; a message value is in the text format, on several lines."""
        text = message_to_text(options, registry=self._registry, print_unknown_fields=True) if options else ""
        found: list[str] = []
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if line.startswith((" ", "}")):
                found[-1] += f"\n{line}"
            elif name.rstrip(":").isdigit():
                raise ValueError(f"option {name} of {type(options).__name__} is declared in no imported file")
            else:
                found.append(f"{name.rstrip(':').replace('[', '(').replace(']', ')')} = {value}")
        return found

    def statements(self, options: Message | None) -> list[str]:
        """Returns the options of a file, message, oneof or enum."""
        return [f"option {option};" for option in self.options(options)]

    def message(self, proto: DescriptorProto) -> list[str]:
        """Returns one message with all that is nested in it."""
        maps = {nested.name: nested for nested in proto.nested_type if nested.options and nested.options.map_entry}
        body = self.statements(proto.options)
        plain = {field.oneof_index for field in proto.field if field.proto3_optional} | {-1}
        oneof_of = {field.number: field.oneof_index if field.has_field("oneof_index") else -1 for field in proto.field}
        for index, fields in groupby(proto.field, lambda field: oneof_of[field.number]):
            lines = [self.field(field, maps, in_oneof=index not in plain) for field in fields]
            oneof = None if index in plain else proto.oneof_decl[index]
            body += block(f"oneof {oneof.name}", [*self.statements(oneof.options), *lines]) if oneof else lines
        body += [line for nested in proto.nested_type if nested.name not in maps for line in self.message(nested)]
        body += [line for enum in proto.enum_type for line in self.enum(enum)] + self.extensions(proto.extension)
        for numbers in proto.extension_range:
            options = bracketed(self.options(numbers.options))
            body.append(f"extensions {span(numbers.start, numbers.end - 1, MESSAGE_MAX)}{options};")
        ranges = [span(numbers.start, numbers.end - 1, MESSAGE_MAX) for numbers in proto.reserved_range]
        return block(f"message {proto.name}", body + self.reserved(ranges, proto.reserved_name))

    def field(self, proto: FieldDescriptorProto, maps: dict[str, DescriptorProto], *, in_oneof: bool) -> str:
        """Returns one field or extension; `maps` are the entry types of the message's maps."""
        if proto.type is Type.GROUP:
            raise ValueError(f"{proto.name}: groups are not supported")
        kind, label = proto.type_name or proto.type.name.lower(), ""
        if entry := maps.get(kind.rpartition(".")[2]):
            key, item = entry.field
            kind = f"map<{key.type.name.lower()}, {item.type_name or item.type.name.lower()}>"
        elif proto.label is Label.REPEATED:
            label = "repeated "
        elif not in_oneof and (proto.proto3_optional or self._file.syntax in {"", "proto2"}):
            label = f"{proto.label.name.lower()} "
        options = self.options(proto.options)
        if proto.has_field("default_value"):
            value = proto.default_value  # bytes are escaped already (descriptor.proto)
            quoted = {Type.STRING: json.dumps(value, ensure_ascii=False), Type.BYTES: f'"{value}"'}
            options.append(f"default = {quoted.get(proto.type, value)}")
        if not proto.extendee and proto.json_name not in {"", default_json_name(proto.name)}:
            options.append(f"json_name = {json.dumps(proto.json_name)}")
        return f"{label}{kind} {proto.name} = {proto.number}{bracketed(options)};"

    def enum(self, proto: EnumDescriptorProto) -> list[str]:
        """Returns one enum."""
        values = [f"{value.name} = {value.number}{bracketed(self.options(value.options))};" for value in proto.value]
        ranges = [span(numbers.start, numbers.end, ENUM_MAX) for numbers in proto.reserved_range]
        body = [*self.statements(proto.options), *values, *self.reserved(ranges, proto.reserved_name)]
        return block(f"enum {proto.name}", body)

    def extensions(self, fields: Iterable[FieldDescriptorProto]) -> list[str]:
        """Returns an `extend` block for each run of extensions of one message."""
        runs = groupby(fields, lambda field: field.extendee)
        bodies = [(extendee, [self.field(field, {}, in_oneof=False) for field in run]) for extendee, run in runs]
        return [line for extendee, body in bodies for line in ("", *block(f"extend {extendee}", body))]

    def reserved(self, ranges: Sequence[str], names: Iterable[str]) -> list[str]:
        """Returns the statements of reserved numbers and names; the latter are bare words in editions."""
        words = [name if self._file.syntax == "editions" else f'"{name}"' for name in names]
        return [f"reserved {', '.join(items)};" for items in (ranges, words) if items]


def main() -> None:
    """Prints the file of a generated module below the licence of that module."""
    if len(sys.argv) != 3:
        sys.exit("usage: print_proto.py MODULE DISTRIBUTION (a generated module, and what it is installed from)")
    name, distribution = sys.argv[1:]
    module = importlib.import_module(name)
    source = Path(str(module.__file__)).read_text(encoding="utf-8").splitlines()
    licence = [f"//{line[1:]}" for line in takewhile(lambda line: line.startswith("#"), source)]
    origin = f"{distribution} {importlib.metadata.version(distribution)}"
    note = f"// Printed from the descriptor in {origin} (licence as above) by tools/print_proto.py. Do not edit."
    print("\n".join([*licence, "", note, "", Printer(module.desc()).file()]), end="")


if __name__ == "__main__":
    main()
