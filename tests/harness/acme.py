"""A real ACME server (Debian's pebble) with the name server that belongs to it, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.authority import Authority

START_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class AcmeServer:
    """Where it is, and whom to trust for it."""

    directory_url: str
    ca_pem: str
    http_port: int
    """Where it looks for HTTP-01 answers."""
    dns_management: str
    """Where TXT records are set: `POST /set-txt {"host", "value"}`."""


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def acme_server(
    folder: Path, http_port: int, *, validity_seconds: int = 3600, bad_nonces: int = 0
) -> Iterator[AcmeServer]:
    """Run one; all names are 127.0.0.1 to it."""
    if shutil.which("pebble") is None or shutil.which("pebble-challtestsrv") is None:
        pytest.skip("no ACME server here: apt-get install pebble")
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority("test root of the ACME server")
    leaf = authority.issue("localhost", names=["localhost", "127.0.0.1"])
    (folder / "cert.pem").write_bytes(leaf.pem)
    (folder / "key.pem").write_bytes(leaf.key_pem)
    listen, manage, dns, dns_manage = (free_port() for _ in range(4))
    config = {
        "listenAddress": f"127.0.0.1:{listen}",
        "managementListenAddress": f"127.0.0.1:{manage}",
        "certificate": str(folder / "cert.pem"),
        "privateKey": str(folder / "key.pem"),
        "httpPort": http_port,
        "tlsPort": free_port(),
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        "certificateValidityPeriod": validity_seconds,
    }
    (folder / "config.json").write_text(json.dumps({"pebble": config}))
    environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": str(bad_nonces)}
    names = [
        "pebble-challtestsrv", "-dns01", f"127.0.0.1:{dns}", "-http01", "", "-https01", "", "-tlsalpn01", "",
        "-management", f"127.0.0.1:{dns_manage}", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "",
    ]  # fmt: skip
    server = ["pebble", "-config", str(folder / "config.json"), "-dnsserver", f"127.0.0.1:{dns}"]
    with contextlib.ExitStack() as running:
        log = running.enter_context((folder / "log").open("wb"))
        for command in (names, server):
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            running.callback(process.wait)
            running.callback(process.terminate)
        for port in (listen, dns_manage):
            _until_listening(port, folder / "log")
        yield AcmeServer(
            f"https://localhost:{listen}/dir", authority.pem.decode(), http_port, f"http://127.0.0.1:{dns_manage}"
        )


def _until_listening(port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise AssertionError(f"the ACME server does not come up: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
        else:
            return
