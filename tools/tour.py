"""Plays the tour of README.md against the real program, and says whether it still shows what happens.

Commands stand behind `$ ` in blocks marked `console`; below each stands what it prints. `make run` is replaced by the
program that it starts, at a free port and in a home directory of its own; `^C` ends it. Of the program that serves only
its standard output is shown, as its log is no part of the tour. What differs each time (ports, times, ids, secrets) is
replaced by fixed examples before anything is compared or written: an unchanged program leaves the files unchanged.

    python tools/tour.py             play, and show what differs
    python tools/tour.py --write     play, write what was printed into README.md, and draw docs/pictures/tour.svg
"""

from __future__ import annotations

import difflib
import io
import itertools
import os
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "README.md"
PICTURE = ROOT / "docs" / "pictures" / "tour.svg"

BLOCK = re.compile(r"^```console\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
PICTURED = re.compile(r"^<!-- picture -->\n```console\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)

TOOLS: Mapping[str, str] = {"bash": "bash", "curl": "curl", "jq": "jq", "qemu-system-x86_64": "qemu-system-x86"}
NEW_PASSWORD = "a new day dawns"
EXAMPLE_ADDRESS = "127.0.0.1:8443"
EXAMPLE_FINGERPRINT = "1e8717bb4b4f9ed947ae32fd9227d23d88af744589adf542b2659cde7527f1c9"
EXAMPLES = (
    (re.compile(r"\b[0-9a-f]{64}\b"), EXAMPLE_FINGERPRINT),
    (re.compile(r"127\.0\.0\.1:[0-9]+"), EXAMPLE_ADDRESS),
    (re.compile(r"(?<=^  password  )\S+", re.MULTILINE), "XNJZxh5KH3Qr8Dq4"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"), "2026-01-31 12:00:00Z"),
    (re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b"), "01KG9VN80QJTZKGDRMB6T4S021"),
    # How far a host that was just powered on has come is a matter of seconds.
    (re.compile(r"(?<=^host\.0  on     2026-01-31 12:00:00Z  ).+$", re.MULTILINE), "memory initialization"),
)
# Which id an event has depends on who was first at the start; those that are shown are counted instead.
EVENT_ID = re.compile(r"^[0-9]+ +(?=\d{4}-\d\d-\d\d )", re.MULTILINE)
SERVES = re.compile(r"^(make run|\S*ubmc run\b.*)$")
READY = re.compile(r"^Ctrl-C ends .*\n", re.MULTILINE)
START_SECONDS = 30.0
COMMAND_SECONDS = 60.0
COLUMNS = 120
# Blanks stay at the end of a cell: some programs that show SVG drop them at the beginning of a text.
CELL = re.compile(r"(?<=  )(?=\S)|(?<=: )|(?<= )(?=\()")


class TourError(Exception):
    """A command did not do what the tour needs in order to go on."""


def missing() -> list[str]:
    """The packages to install before the tour can be played."""
    return [package for tool, package in TOOLS.items() if shutil.which(tool) is None]


def with_examples(text: str) -> str:
    """The text with fixed examples in the place of what differs each time; no blanks at the ends of lines."""
    for pattern, example in EXAMPLES:
        text = pattern.sub(example, text)
    count = itertools.count(1)
    text = EVENT_ID.sub(lambda found: str(next(count)).ljust(len(found[0])), text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


class Tour:
    """One person at two terminals, with a home directory of their own; a context manager that leaves nothing behind."""

    def __init__(self, home: Path) -> None:
        """Begin in a checkout in which `make setup` was done."""
        (home / ".venv").symlink_to(sys.prefix)
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("UBMC_", "XDG_"))}
        path = [part for part in keep.get("PATH", os.defpath).split(":") if not (Path(part) / "ubmc").exists()]
        self._env = keep | {"HOME": str(home), "PWD": str(home), "PATH": ":".join(path), "NO_COLOR": "1"}
        self._home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._server: subprocess.Popen[bytes] | None = None
        self._terminal = -1
        self._fingerprint = EXAMPLE_FINGERPRINT
        self._password = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.interrupt()
        for board in ("sim", "qemu"):
            command = [".venv/bin/ubmc", "machine", "end", "--board", board]
            subprocess.run(command, cwd=self._home, env=self._env, check=False, capture_output=True, timeout=30)

    def play(self, page: str) -> str:
        """The page, with what its commands print now.

        Raises:
            TourError: a command did not end, or the program did not start or stop.
        """
        return BLOCK.sub(lambda block: f"```console\n{''.join(self._block(block['body']))}```", page)

    def _block(self, body: str) -> Iterator[str]:
        for line in body.splitlines():
            if line == "^C":
                self.interrupt()
                yield "^C\n"
            elif line.startswith("$ "):
                yield f"{line}\n"
                yield with_examples(self._do(line[2:]))

    def _do(self, line: str) -> str:
        line = line.replace(EXAMPLE_ADDRESS, self._address).replace(EXAMPLE_FINGERPRINT, self._fingerprint)
        if SERVES.match(line):
            return self._serve(line.replace("make run", ".venv/bin/ubmc run"))
        if line.startswith("export "):
            done = self._shell(f"{line} && env -0")
            self._env = dict(pair.split("=", 1) for pair in done.split("\0") if "=" in pair)
            return ""
        return self._type(line)

    def _shell(self, line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line], cwd=self._home, env=self._env, stdout=subprocess.PIPE, text=True, check=False,
            timeout=COMMAND_SECONDS,
        )  # fmt: skip
        if done.returncode:
            raise TourError(f"{line}: exit code {done.returncode}")
        return done.stdout

    # --- the first terminal -------------------------------------------------------------------------------------------

    def _serve(self, line: str) -> str:
        if self._server is not None:
            raise TourError(f"{line}: the program serves still; the tour has to end it with ^C first")
        command = [*shlex.split(line), "--listen", self._address]
        self._terminal, theirs = os.openpty()  # a password is shown on a terminal only
        try:
            with (self._home / "log").open("ab") as log:
                self._server = subprocess.Popen(
                    command, cwd=self._home, env=self._env, stdout=theirs, stderr=log, start_new_session=True
                )
        finally:
            os.close(theirs)
        shown = ""
        deadline = time.monotonic() + START_SECONDS
        while not READY.search(shown):
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
            try:
                part = os.read(self._terminal, 1 << 16) if ready else b""
            except OSError:  # nobody has the other end any more
                part = b""
            if not part:
                raise TourError(f"{line} did not start: {shown}\n{(self._home / 'log').read_text()}")
            shown += part.decode().replace("\r\n", "\n")
        if fingerprint := re.search(r"\b[0-9a-f]{64}\b", shown):
            self._fingerprint = fingerprint[0]
        if password := re.search(r"^  password  (\S+)", shown, re.MULTILINE):
            self._password = password[1]
        return shown

    def interrupt(self) -> None:
        """Ctrl-C in the first terminal.

        Raises:
            TourError: the program does not end by it, or not well.
        """
        server, self._server = self._server, None
        if server is None:
            return
        server.send_signal(signal.SIGINT)
        try:
            code = server.wait(30)
        except subprocess.TimeoutExpired as error:
            server.kill()
            server.wait(5)
            raise TourError("the program does not end by Ctrl-C") from error
        finally:
            os.close(self._terminal)
        if code:
            raise TourError(f"the program ended with {code}:\n{(self._home / 'log').read_text()}")

    # --- the second terminal ------------------------------------------------------------------------------------------

    def _answers(self) -> list[tuple[str, str]]:
        new = NEW_PASSWORD
        return [
            (r"User at .*: $", ""),
            (r"^Password: $", self._password),
            (r"^New password: $", new),
            (r"^Repeat .*: $", new),
        ]

    def _type(self, line: str) -> str:
        """Run a command on a terminal of its own, and answer what it asks."""
        pid, terminal = pty.fork()
        if pid == 0:  # pragma: no cover - the child
            os.chdir(self._home)
            os.execvpe("bash", ["bash", "-c", f"stty cols {COLUMNS}; {line}"], self._env)
        shown, answered = "", 0
        deadline = time.monotonic() + COMMAND_SECONDS
        try:
            while time.monotonic() < deadline:
                part = _read(terminal)
                if part is None:
                    return shown
                shown += part
                asked = shown[answered:].rsplit("\n", 1)[-1]
                for question, answer in self._answers():
                    if re.search(question, asked):
                        os.write(terminal, f"{answer}\n".encode())
                        answered = len(shown)
                        break
            os.kill(pid, signal.SIGKILL)
            raise TourError(f"{line} does not end; so far: {shown}")
        finally:
            os.close(terminal)
            os.waitpid(pid, 0)


def _read(terminal: int) -> str | None:
    """What the terminal shows next, which may be nothing for a while; None at the end."""
    ready, _, _ = select.select([terminal], [], [], 0.2)
    if not ready:
        return ""
    try:
        return os.read(terminal, 1 << 16).decode().replace("\r\n", "\n") or None
    except OSError:  # EIO: nobody has the other side open any more
        return None


def played(page: str) -> str:
    """The page as it would have to be.

    Raises:
        TourError: the tour cannot be gone to its end.
    """
    # A short path: that of a unix socket may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="tour-") as home, Tour(Path(home)) as tour:
        return tour.play(page)


# --- the picture ------------------------------------------------------------------------------------------------------


def picture(page: str) -> str:
    """The blocks of the page that are marked for it, as the SVG of a terminal; it names no font to be fetched."""
    from rich.console import Console
    from rich.text import Text

    from ubmc.cli.terminal import paint

    lines = [line for block in PICTURED.finditer(page) for line in block["body"].splitlines()]
    width = max(map(len, lines)) + 1
    console = Console(record=True, file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor")
    for line in lines:
        if line.startswith("$ "):
            text = Text.assemble(("$ ", "bold green"), (line[2:], "bold"))
        else:
            text = Text.from_ansi("".join(map(paint, CELL.split(line))))
        console.print(text, soft_wrap=True)
    svg = console.export_svg(title="u-bmc", unique_id="tour")
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace")
    svg = svg.replace("font-size: 20px", "font-size: 20.27px")  # these fonts are narrower than the one they replace
    return "".join(f"{line.rstrip()}\n" for line in svg.splitlines())


def main() -> int:
    """Play; 1 if the page shows something else than what happened."""
    if wanted := missing():
        print(f"install first: {' '.join(wanted)}", file=sys.stderr)
        return 2
    before = PAGE.read_text(encoding="utf-8")
    after = played(before)
    sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), after.splitlines(True), "README.md", "played"))
    if "--write" in sys.argv[1:]:
        PAGE.write_text(after, encoding="utf-8")
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(picture(after), encoding="utf-8")
        return 0
    return int(before != after)


if __name__ == "__main__":
    sys.exit(main())
