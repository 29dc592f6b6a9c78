"""Plugin of the protobuf compiler: writes the method tokens of each service (`ubmc.rpc`) to `<file>_rpc.py`.

Run by `buf generate` (see buf.gen.yaml); it reads a CodeGeneratorRequest on stdin and answers on stdout.
"""

from __future__ import annotations

from protobuf import DescComments, DescMethod
from protobuf.plugin import File, Module, Schema, get_comments, run

FINAL = Module("typing").ident("Final")
TOKENS = {
    "unary": Module("ubmc.rpc").ident("Unary"),
    "server_streaming": Module("ubmc.rpc").ident("ServerStream"),
}


def print_doc(file: File, comments: DescComments) -> None:
    """Prints a comment of the schema as a docstring."""
    lines = [line.strip() for line in (comments.leading or "").strip().splitlines()]
    if not lines:
        return
    with file.doc(lines[0]):
        for line in lines[1:]:
            file.print(line)


def print_method(file: File, method: DescMethod) -> None:
    """Prints the token of one method."""
    token = TOKENS.get(method.method_kind)
    if token is None:
        raise ValueError(f"{method.parent.type_name}.{method.name}: {method.method_kind} methods are not supported")
    names = f'("{method.parent.type_name}", "{method.name}", '
    file.print(method.name, ": ", FINAL, " = ", token, names, method.input, ", ", method.output, ")")
    print_doc(file, get_comments(method))


def generate(schema: Schema[None]) -> None:
    """Writes one module for each file which declares a service."""
    for desc in schema.files_to_generate:
        services = [service for service in desc.services if service.methods]
        if not services:
            continue
        file = schema.generate_file(desc, "_rpc.py")
        file.preamble(desc)
        for index, service in enumerate(services):
            if index:
                file.print()
                file.print()
            with file.scope("class ", service.name, ":"):
                print_doc(file, get_comments(service))
                for method in service.methods:
                    file.print()
                    print_method(file, method)


if __name__ == "__main__":
    run("protoc-gen-ubmc", "1", generate)
