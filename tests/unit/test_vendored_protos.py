"""The vendored schemas say what their origins say: compiled again, the descriptors are equal field for field."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from protobuf import Registry
from protobuf.txtpb import message_to_text
from protobuf.wkt import FileDescriptorSet
from protobuf.wkt.google.protobuf.descriptor_pb import FileDescriptorProto
from protovalidate._gen.buf.validate import validate_pb as original

from ubmc.v1alpha1.deps.buf.validate import validate_pb as generated

SCHEMA = Path(__file__).resolve().parents[2] / "schema"
BUF = shutil.which("buf", path=str(Path(sys.executable).parent)) or shutil.which("buf")


def canonical(proto: FileDescriptorProto) -> list[str]:
    """Every field and option as lines of the text format; comments and positions in the source are no part of it."""
    proto = FileDescriptorProto.from_binary(proto.to_binary())
    proto.clear_field("source_code_info")
    if proto.syntax == "proto2":
        proto.clear_field("syntax")  # proto2 is the default, which the compilers write or leave out
    registry = Registry(original.desc(), *original.desc().dependencies)
    return message_to_text(proto, registry=registry, print_unknown_fields=True).splitlines()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FileDescriptorProto]:
    if BUF is None:
        pytest.skip("buf is not installed; install the dependency group dev")
    image = tmp_path_factory.mktemp("image") / "vendored.binpb"
    paths = ["--path", str(SCHEMA / "buf"), "--path", str(SCHEMA / "google")]
    command = [BUF, "build", str(SCHEMA), *paths, "--as-file-descriptor-set", "--output", str(image)]
    subprocess.run(command, check=True, timeout=60)
    return {file.name: file for file in FileDescriptorSet.from_binary(image.read_bytes()).file}


def test_validate_proto_equals_its_origin(compiled: dict[str, FileDescriptorProto]) -> None:
    rebuilt = canonical(compiled["buf/validate/validate.proto"])
    assert rebuilt == canonical(original.desc().proto)
    assert any("[buf.validate.predefined]" in line for line in rebuilt), "custom options are part of the comparison"


def test_comparison_sees_a_changed_rule(compiled: dict[str, FileDescriptorProto]) -> None:
    file = FileDescriptorProto.from_binary(compiled["buf/validate/validate.proto"].to_binary())
    rules = next(message for message in file.message_type if message.name == "StringRules")
    options = next(field for field in rules.field if field.name == "min_len").options
    assert options is not None
    predefined = options[original.ext_predefined]
    predefined.cel[0].expression = "false"
    options[original.ext_predefined] = predefined
    assert canonical(file) != canonical(original.desc().proto)


def test_generated_module_carries_the_same_rules() -> None:
    assert canonical(generated.desc().proto) == canonical(original.desc().proto)


@pytest.mark.parametrize("name", ["annotations.proto", "http.proto"])
def test_google_api_is_a_true_copy(name: str) -> None:
    try:
        spec = importlib.util.find_spec("google.api")
    except ModuleNotFoundError:
        spec = None
    if spec is None:
        pytest.skip("install googleapis-common-protos to compare the vendored files with their origin")
    origin = Path(next(iter(spec.submodule_search_locations or []))) / name
    assert (SCHEMA / "google" / "api" / name).read_text() == origin.read_text()
