"""Schemas made in a test: services with the rules that the test names, and a message with fields of every kind."""

from __future__ import annotations

from typing import Any, Literal

from protobuf import Message, Oneof
from protobuf.wkt import FileDescriptorProto, FileDescriptorSet
from protobuf.wkt.google.protobuf import duration_pb, field_mask_pb, struct_pb, timestamp_pb, wrappers_pb
from protobuf.wkt.google.protobuf.descriptor_pb import (
    DescriptorProto,
    EnumDescriptorProto,
    EnumValueDescriptorProto,
    FieldDescriptorProto,
    MessageOptions,
    MethodDescriptorProto,
    MethodOptions,
    OneofDescriptorProto,
    ServiceDescriptorProto,
)

from ubmc.kit.schema import Schema, Token, build
from ubmc.rpc import ServerStream, Unary
from ubmc.v1alpha1.access_pb import Access, Internal, Privilege, ext_access
from ubmc.v1alpha1.deps.google.api.annotations_pb import ext_http
from ubmc.v1alpha1.deps.google.api.http_pb import CustomHttpPattern, HttpRule

_LOGIN: Oneof[Literal["privilege"], Privilege] = Oneof("privilege", Privilege.LOGIN)
_INTERNAL: Oneof[Literal["internal"], Internal] = Oneof("internal", Internal(callers=["statemgr"]))
LOGIN = Access(kind=_LOGIN)
INTERNAL = Access(kind=_INTERNAL)

Type = FieldDescriptorProto.Type
_PACKAGE = "made"
_WELL_KNOWN = (duration_pb, field_mask_pb, struct_pb, timestamp_pb, wrappers_pb)

# Name and type of the fields; "*" for a list, "?" for a member of the oneof.
_FIELDS: list[tuple[str, Type | str]] = [
    ("name", Type.STRING),
    ("a_bool", Type.BOOL),
    ("an_int32", Type.INT32),
    ("an_int64", Type.INT64),
    ("a_uint32", Type.UINT32),
    ("a_uint64", Type.UINT64),
    ("a_float", Type.FLOAT),
    ("a_double", Type.DOUBLE),
    ("some_bytes", Type.BYTES),
    ("color", ".made.Color"),
    ("inner", ".made.Inner"),
    ("time", ".google.protobuf.Timestamp"),
    ("patience", ".google.protobuf.Duration"),
    ("update_mask", ".google.protobuf.FieldMask"),
    ("maybe", ".google.protobuf.Int64Value"),
    ("anything", ".google.protobuf.Struct"),
    ("words*", Type.STRING),
    ("colors*", ".made.Color"),
    ("inners*", ".made.Inner"),
    ("choice_text?", Type.STRING),
    ("choice_inner?", ".made.Inner"),
]


def rule(verb: str, path: str, body: str = "", **more: Any) -> HttpRule:
    """A rule of google.api.http."""
    return HttpRule(pattern=Oneof(verb, path), body=body, **more)  # type: ignore[arg-type]


def custom(kind: str, path: str) -> HttpRule:
    """A rule for an HTTP method that has no field of its own."""
    pattern: Oneof[Literal["custom"], CustomHttpPattern] = Oneof("custom", CustomHttpPattern(kind=kind, path=path))
    return HttpRule(pattern=pattern)


def made(
    *rules: HttpRule | None, access: Access | None = LOGIN, stream: bool = False, request: str = "Everything"
) -> Schema:
    """A schema with one method for each rule: M0, M1, ..."""
    methods = [_method(index, http, access, stream, request) for index, http in enumerate(rules)]
    file = FileDescriptorProto(
        name="made.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[module.desc().name for module in _WELL_KNOWN],
        enum_type=[
            EnumDescriptorProto(
                name="Color",
                value=[
                    EnumValueDescriptorProto(name=name, number=number)
                    for number, name in enumerate(("COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_BLUE"))
                ],
            )
        ],
        message_type=[
            _message("Everything", _FIELDS),
            _message("Inner", [("name", Type.STRING), ("a_number", Type.INT32), ("deeper", ".made.Inner")]),
            _message("Update", [("inner", ".made.Inner"), ("update_mask", ".google.protobuf.FieldMask")]),
        ],
        service=[ServiceDescriptorProto(name="Made", method=methods)],
    )
    image = FileDescriptorSet(file=[*(module.desc().proto for module in _WELL_KNOWN), file])
    desc = image.to_registry().file("made.proto")
    assert desc is not None
    kind = ServerStream if stream else Unary
    tokens: list[Token] = [
        kind(m.parent.type_name, m.name, m.input.type, m.output.type) for m in desc.services[0].methods
    ]
    return build([desc], tokens)


def everything(schema: Schema, **fields: Any) -> Message[Any]:
    """A message with fields of every kind."""
    return schema.methods[0].desc.output.type(**fields)


def _method(
    index: int, http: HttpRule | None, access: Access | None, stream: bool, request: str
) -> MethodDescriptorProto:
    options = MethodOptions()
    if http is not None:
        options[ext_http] = http
    if access is not None:
        options[ext_access] = access
    return MethodDescriptorProto(
        name=f"M{index}",
        input_type=f".made.{request}",
        output_type=".made.Everything",
        options=options,
        server_streaming=stream,
    )


def _message(name: str, fields: list[tuple[str, Type | str]]) -> DescriptorProto:
    described = [_field(number, field, kind) for number, (field, kind) in enumerate(fields, 1)]
    described += [_map_field(len(fields) + 1, name)] if name == "Everything" else []
    return DescriptorProto(
        name=name,
        field=described,
        nested_type=[_map_entry()] if name == "Everything" else [],
        oneof_decl=[OneofDescriptorProto(name="choice")] if name == "Everything" else [],
    )


def _field(number: int, name: str, kind: Type | str) -> FieldDescriptorProto:
    label = FieldDescriptorProto.Label.REPEATED if name.endswith("*") else FieldDescriptorProto.Label.OPTIONAL
    plain = name.rstrip("*?")
    first, *others = plain.split("_")
    field = FieldDescriptorProto(
        name=plain, number=number, label=label, json_name=first + "".join(other.title() for other in others)
    )
    if isinstance(kind, str):
        field.type_name = kind
        field.type = Type.ENUM if kind == ".made.Color" else Type.MESSAGE
    else:
        field.type = kind
    if name.endswith("?"):
        field.oneof_index = 0
    return field


def _map_field(number: int, parent: str) -> FieldDescriptorProto:
    return FieldDescriptorProto(
        name="labels",
        number=number,
        label=FieldDescriptorProto.Label.REPEATED,
        type=Type.MESSAGE,
        type_name=f".made.{parent}.LabelsEntry",
        json_name="labels",
    )


def _map_entry() -> DescriptorProto:
    fields = [_field(1, "key", Type.STRING), _field(2, "value", Type.INT32)]
    return DescriptorProto(name="LabelsEntry", field=fields, options=MessageOptions(map_entry=True))
