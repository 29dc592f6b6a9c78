"""Generates the Python modules of the schema: `buf.gen.yaml` for our own files, `buf.gen.deps.yaml` for vendored ones.

Then it generates the documents made of the comments of the schema, which needs the modules: OpenAPI and API reference.
Everything is generated into a temporary directory first. Then the files which differ are copied, and generated files
which no schema stands for any longer are removed; hand-written files are never touched. With `--check` nothing is
written: the names of the stale files go to stdout, and the exit code is 1 when there are any.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = Path("src/ubmc/v1alpha1")
TEMPLATES = ("buf.gen.yaml", "buf.gen.deps.yaml")
DOCUMENTS = {
    "tools/openapi.py": OUT / "openapi.json",
    "tools/api_docs.py": Path("docs/api-reference.md"),
}
SUFFIXES = ("_pb.py", "_connect.py", "_rpc.py")
MARK = "DO NOT EDIT"
TIMEOUT_SECONDS = 120.0


def generate(template: str, target: Path) -> None:
    """Runs one template, its output paths being relative to `target`.

    The plugins are those of the environment this interpreter belongs to.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    buf = shutil.which("buf", path=path)
    if buf is None:
        sys.exit("generate: buf is not installed; install the dependency group dev")
    command = [buf, "generate", "--template", template, "--output", str(target)]
    result = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, check=False, timeout=TIMEOUT_SECONDS)
    if result.returncode != 0:
        sys.exit(f"generate: {template} failed, see above")


def document(tool: str, target: Path) -> None:
    """Runs a tool that writes one document; in a process of its own, because it imports the generated modules."""
    result = subprocess.run([sys.executable, tool, str(target)], cwd=ROOT, check=False, timeout=TIMEOUT_SECONDS)
    if result.returncode != 0:
        sys.exit(f"generate: {tool} failed, see above")


def is_generated(path: Path) -> bool:
    """Tells whether one of the plugins wrote the file; hand-written files have other names or lack the mark."""
    return path.name.endswith(SUFFIXES) and MARK in path.read_text(encoding="utf-8")


def stale_files(target: Path) -> list[Path]:
    """Returns what differs between the tree and `target`, relative to both."""
    fresh = {path.relative_to(target) for path in (target / OUT).rglob("*.py")}
    present = {path.relative_to(ROOT) for path in (ROOT / OUT).rglob("*.py") if is_generated(path)}
    return sorted({path for path in fresh if differs(path, target)} | (present - fresh))


def differs(path: Path, target: Path) -> bool:
    """Tells whether a generated file is not in the tree as it is in `target`."""
    return not (ROOT / path).is_file() or (ROOT / path).read_bytes() != (target / path).read_bytes()


def update(target: Path, stale: list[Path]) -> None:
    """Copies the changed files from `target` and removes those which are not in it."""
    for path in stale:
        if (target / path).is_file():
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target / path, ROOT / path)
        else:
            (ROOT / path).unlink()


def main() -> None:
    """Generates, or with `--check` compares."""
    parser = argparse.ArgumentParser(description="Generate the Python modules of the schema.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a generated file is stale")
    check: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory)
        for template in TEMPLATES:
            generate(template, target)
        stale = stale_files(target)
        if not check:
            update(target, stale)
        for tool, path in DOCUMENTS.items():
            document(tool, target / path)
        stale_documents = [path for path in DOCUMENTS.values() if differs(path, target)]
        if not check:
            update(target, stale_documents)
        stale += stale_documents
    for path in stale:
        print(path)
    if check and stale:
        sys.exit("generate: the files above are stale; run tools/generate.py")


if __name__ == "__main__":
    main()
