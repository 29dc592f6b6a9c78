"""The whole program on real sockets, started as a user starts it, for end-to-end tests.

with Program(tmp_path) as program:
    program.get("/api/v1alpha1/hosts/host.0")
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import pytest

ADMIN_PASSWORD = "correct horse battery"
START_SECONDS = 30.0
T = TypeVar("T")

# ssl.SSLSocket of Python 3.11 forgets to close a socket whose peer is killed between connect and handshake.
KILLS_PEERS = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")


def until(what: Callable[[], T | None], seconds: float = 45.0, why: str = "") -> T:
    """Wait until `what` gives something, for `seconds` at most."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {why or what}")
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_with_us() -> None:
    """A test run that is killed leaves no BMC behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Program:
    """`ubmc run` in a process of its own."""

    def __init__(self, state: Path, *arguments: str, board: str = "sim", password: str | None = ADMIN_PASSWORD) -> None:
        self.state = state
        self.board = board
        self.password = password
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.fingerprint = ""
        self.output = ""
        self.token = ""
        self.port = _free_port()
        self.log = state.with_name(state.name + ".log")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.end_machine()
        if kind is not None and self.log.exists():
            print(self.log.read_text()[-8000:])

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until it says that it is ready. The port stays the same over restarts."""
        arguments = [sys.executable, "-m", "ubmc", "run", "--board", self.board, "--state", str(self.state)]
        arguments += ["--listen", f"127.0.0.1:{self.port}", *self._arguments]
        if self.password is not None:
            file = self.state.with_name(self.state.name + ".password")
            file.write_text(self.password + "\n")
            arguments += ["--admin-password-file", str(file)]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                arguments,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=_end_with_us,  # noqa: PLW1509  it only asks for a signal
            )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self.output = ""
        until(self._read_banner, START_SECONDS, f"a banner; see {self.log}")

    def _read_banner(self) -> bool:
        assert self._process is not None
        assert self._process.stdout is not None
        if self._process.poll() is not None:
            log = self.log.read_text()[-4000:]
            raise AssertionError(f"ended with {self._process.returncode}:\n{self.output}\n{log}")
        with contextlib.suppress(TypeError):
            self.output += self._process.stdout.read() or ""
        url = re.search(r"^  (https://\S+)$", self.output, re.MULTILINE)
        fingerprint = re.search(r"certificate SHA-256  ([0-9a-f]{64})", self.output)
        if url is None or fingerprint is None or "Ctrl-C" not in self.output:
            return False
        self.url, self.fingerprint = url[1], fingerprint[1]
        return True

    @property
    def pid(self) -> int:
        """The operator."""
        assert self._process is not None
        return self._process.pid

    def stop(self, seconds: float = 30.0) -> int:
        """SIGINT, as Ctrl-C does; the exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
            raise
        finally:
            assert self._process.stdout is not None
            with contextlib.suppress(TypeError, ValueError):
                self.output += self._process.stdout.read() or ""
            self._process.stdout.close()
        self._process = None
        return code

    def kill(self) -> None:
        """SIGKILL to the operator; waits until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def end_machine(self) -> None:
        """End the simulated or virtual machine that runs on."""
        subprocess.run(
            [sys.executable, "-m", "ubmc", "machine", "end", "--board", self.board, "--state", str(self.state)],
            check=False,
            capture_output=True,
            timeout=30,
        )

    # --- processes ------------------------------------------------------------------------------------------------

    def processes(self) -> dict[str, int]:
        """The children of the operator by name: guardian, nats-server, safety, managers, websrv."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            with contextlib.suppress(OSError, IndexError):
                stat = (entry / "stat").read_text()
                name = stat[stat.index("(") + 1 : stat.rindex(")")]
                fields = stat[stat.rindex(")") + 2 :].split()
                if int(fields[1]) == self.pid and fields[0] != "Z":
                    found[name.removeprefix("ubmc-")] = int(entry.name)
        return found

    # --- requests -------------------------------------------------------------------------------------------------

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client of another maker that trusts exactly this device's certificate."""
        context = ssl.create_default_context(cafile=str(self.state / "tls" / "server.pem"))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return httpx.Client(base_url=self.url, verify=context, timeout=10, **options)

    def login(self, user: str = "admin", password: str | None = None) -> str:
        """Log in and keep the token."""
        body = {"user": user, "password": password or self.password}
        answer = self.request("POST", "/api/v1alpha1/sessions:login", body, token="")
        assert answer.status_code == 200, answer.text
        self.token = str(answer.json()["token"])
        return self.token

    def request(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> httpx.Response:
        """One request over REST."""
        token = self.token if token is None else token
        headers = {"authorization": f"Bearer {token}"} if token else {}
        content = json.dumps(body).encode() if body is not None else None
        with self.client(headers=headers) as client:
            return client.request(method, path, content=content)

    def get(self, path: str) -> Any:
        """What is at a path; must be 200."""
        answer = self.request("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def host(self, name: str = "host.0") -> dict[str, Any]:
        """A host."""
        return dict(self.get(f"/api/v1alpha1/hosts/{name}")["host"])

    def power(self, action: str, name: str = "host.0") -> httpx.Response:
        """Ask for a power action."""
        body = {"action": f"HOST_POWER_ACTION_{action}"}
        return self.request("POST", f"/api/v1alpha1/hosts/{name}:changePower", body)

    def wait_state(self, state: str, seconds: float = 60.0, name: str = "host.0") -> None:
        """Wait until a host is in a state."""
        until(lambda: self.host(name)["state"] == f"HOST_STATE_{state}", seconds, f"{name} is {state}")

    def events(self, query: str = "") -> Iterator[dict[str, Any]]:
        """All events, the oldest first."""
        token = ""
        while True:
            page = self.get(f"/api/v1alpha1/events?pageSize=500&pageToken={token}{query}")
            yield from page["events"]
            token = page["nextPageToken"]
            if not token:
                return
