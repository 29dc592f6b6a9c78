"""Cold start: from the start of the process to the first answers, beside a Python that does nothing."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
from tests.harness.program import ADMIN_PASSWORD, Program

from bench.door import Target
from bench.figures import Figure

_POLL_SECONDS = 0.005
_GIVE_UP_SECONDS = 20.0


class Watch:
    """Asks a program that is just being started until it answers; the times count from `__init__`."""

    def __init__(self, port: int, target: Target) -> None:
        self._url = f"https://127.0.0.1:{port}"
        self._target = target
        # Trust is no part of this: the certificate may not be made yet.
        self._client = httpx.Client(base_url=self._url, verify=False, timeout=5.0, trust_env=False)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.first = 0.0
        self.called = 0.0
        self._began = time.perf_counter()
        self._thread.start()

    def wait(self) -> None:
        """Return when both answers came.

        Raises:
            RuntimeError: they did not.
        """
        self._thread.join()
        self._client.close()
        if not self.called:
            raise RuntimeError(f"the program did not answer within {_GIVE_UP_SECONDS} s")

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began

    def _run(self) -> None:
        token = ""
        while self._elapsed() < _GIVE_UP_SECONDS:
            with contextlib.suppress(httpx.TransportError):
                if not self.first:
                    self._client.get("/").raise_for_status()
                    self.first = self._elapsed()
                token = token or self._login()
                answer = self._client.get(self._target.rest, headers={"authorization": f"Bearer {token}"})
                if token and answer.status_code == 200:
                    self.called = self._elapsed()
                    return
            time.sleep(_POLL_SECONDS)

    def _login(self) -> str:
        content = json.dumps({"user": "admin", "password": ADMIN_PASSWORD})
        answer = self._client.post("/api/v1alpha1/sessions:login", content=content)
        return str(answer.json()["token"]) if answer.status_code == 200 else ""


def one_start(state: Path, target: Target) -> tuple[float, float]:
    """Start and end the program once: seconds to the first answer of `/`, and of the target after a login."""
    program = Program(state)
    watch = Watch(program.port, target)
    try:
        program.start()
        watch.wait()
    finally:
        program.stop()
    return watch.first, watch.called


def first_boot(target: Target) -> tuple[float, float]:
    """A start that makes keys, certificate, databases and machine first."""
    with tempfile.TemporaryDirectory(prefix="ubmc-bench-") as folder:
        state = Path(folder) / "state"
        try:
            return one_start(state, target)
        finally:
            Program(state).end_machine()


def bare_python() -> float:
    """Seconds that an interpreter takes to start and end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - began


def measure(state: Path, target: Target, times: int, first_boots: int) -> list[Figure]:
    """Start the program `times` times on a state that is there, `first_boots` times on none."""
    reference = [bare_python() for _ in range(times)]
    again = [one_start(state, target) for _ in range(times)]
    boots = [first_boot(target) for _ in range(first_boots)]
    bare = statistics.median(reference)
    series = {
        "start, first answer": [first for first, _ in again],
        "start, login and first call": [called for _, called in again],
        "first boot, first answer": [first for first, _ in boots],
        "first boot, login and first call": [called for _, called in boots],
    }
    return [
        Figure(name, "s", statistics.median(values), bare, {"all": [round(each, 3) for each in values]})
        for name, values in series.items()
        if values
    ]
