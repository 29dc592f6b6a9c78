"""How the owner wants the SSH door."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class SshOptions:
    """How the door is. Durations in seconds."""

    addresses: tuple[Address, ...]
    """Where it listens."""
    host_key: Path
    """The file of the host key; made if it is not there."""
    consoles: tuple[str, ...]
    """The hosts that have a console; the first one is shown when none is asked for."""
    login_seconds: float = 60.0
    """For everything up to the end of the login."""
    idle_seconds: float = 3600.0
    """A session in which nothing comes or goes for so long ends."""
    most_connections: int = 32
    most_per_address: int = 8
    most_failures: int = 6
    """Of logins on one connection."""
    replay_bytes: int = 4096
    """So much of what was written before is shown to somebody at a terminal."""
