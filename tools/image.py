"""Compiles the schema with its comments, for the documents that are generated from them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from protobuf import DescFile, DescMethod
from protobuf.wkt import FileDescriptorSet

from ubmc.kit.schema import PACKAGE, Schema, Token, build
from ubmc.rpc import ServerStream, Unary

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_SECONDS = 60.0


def compiled() -> tuple[Schema, list[DescFile]]:
    """The schema and its files, with the comments in the descriptors.

    It is compiled from `schema/`; of the generated modules only those of the options are needed.
    """
    buf = shutil.which("buf", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if buf is None:
        sys.exit("buf is not installed; install the dependency group dev")
    command = [buf, "build", "schema", "--path", "schema/ubmc", "--as-file-descriptor-set", "-o", "-#format=binpb"]
    result = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, timeout=TIMEOUT_SECONDS)
    if result.returncode != 0:
        sys.exit("the schema cannot be compiled, see above")
    image = FileDescriptorSet.from_binary(result.stdout)
    registry = image.to_registry()
    found = (registry.file(file.name) for file in image.file if file.package == PACKAGE)
    files = sorted((file for file in found if file is not None), key=lambda file: file.name)
    tokens = [_token(method) for file in files for service in file.services for method in service.methods]
    return build(files, tokens), files


def _token(method: DescMethod) -> Token:
    kind = ServerStream if method.method_kind == "server_streaming" else Unary
    return kind(method.parent.type_name, method.name, method.input.type, method.output.type)
