"""The processes beside the program: load generator, reference server. Each ends with its input."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.wire import Answer
from ubmc.services.securitymgr.certificates import self_signed

ANSWER_SECONDS = 30.0
END_SECONDS = 5.0


class Companion:
    """A module of ours in a process of its own that speaks JSON, one object a line."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.name = module.rpartition(".")[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_SECONDS)
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def say(self, content: Any) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(content).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Read one line.

        Raises:
            RuntimeError: the process ended, did not answer in time, or says that it failed.
        """
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], ANSWER_SECONDS)[0]:
            raise RuntimeError(f"{self.name} did not answer within {ANSWER_SECONDS} s")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self._process.wait(END_SECONDS)}")
        content: dict[str, Any] = json.loads(line)
        if "error" in content:
            raise RuntimeError(f"{self.name}: {content['error']}")
        return content


class Generator(Companion):
    """The load generator."""

    def __init__(self) -> None:
        super().__init__("bench.load")

    def _ask(self, do: str, lane: str, **more: Any) -> dict[str, Any]:
        self.say({"do": do, "lane": lane, **more})
        return self.hear()

    def open(self, lane: str, port: int, connections: int, request: bytes) -> Answer:
        """Open connections and send the request once on each; the answer to the last."""
        answer = self._ask("open", lane, port=port, connections=connections, request=request.hex())
        body = bytes.fromhex(answer["body"])
        return Answer(int(answer["status"]), body, len(body))

    def round(self, lane: str, seconds: float) -> dict[str, Any]:
        """Load for some seconds: count, seconds, latencies."""
        return self._ask("round", lane, seconds=seconds)

    def close(self, lane: str) -> None:
        """Close the connections of a lane."""
        self._ask("close", lane)


class Reference(Companion):
    """The bare starlette application."""

    def __init__(self, folder: Path, content: Any) -> None:
        certificate, key = folder / "reference.pem", folder / "reference.key"
        pem, key_pem = self_signed("localhost")
        certificate.write_bytes(pem)
        key.write_bytes(key_pem)
        super().__init__("bench.reference", str(certificate), str(key))
        self.say(content)
        self.port = int(self.hear()["port"])
