"""The configuration of the nats-server, as text. It holds public keys only. Pure.

The format is NATS's own, of which JSON is a subset.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ubmc.services.ipc.permissions import Permissions

RESPONSE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What the server is told once."""

    port: int
    store: Path  # directory of JetStream
    log: Path


def render(options: ServerOptions, keys: Mapping[str, str], permissions: Mapping[str, Permissions]) -> str:
    """The configuration in which exactly the processes in `keys` (name -> public key) may connect."""
    users = [_user(keys[name], permissions[name]) for name in sorted(keys)]
    config: dict[str, object] = {
        "server_name": "ubmc",
        "host": "127.0.0.1",
        "port": options.port,
        "log_file": str(options.log),
        "log_size_limit": 256 * 1024,
        "logfile_max_num": 2,
        "max_payload": 256 * 1024,
        "max_pending": 4 * 1024 * 1024,
        "max_connections": 64,
        "max_control_line": 1024 * 4,
        "write_deadline": "2s",
        "ping_interval": "10s",
        "jetstream": {
            "store_dir": str(options.store),
            "max_mem": 8 * 1024 * 1024,
            "max_file": 32 * 1024 * 1024,
            # The default loses up to two minutes of acknowledged events when power is lost.
            "sync_interval": "always",
        },
        "authorization": {"timeout": 2, "users": users},
    }
    return json.dumps(config, indent=1)


def _user(key: str, permissions: Permissions) -> dict[str, object]:
    rules: dict[str, object] = {
        "publish": {"allow": sorted(permissions.publish)} if permissions.publish else {"deny": [">"]},
        "subscribe": {"allow": sorted(permissions.subscribe)},
    }
    if permissions.allow_responses:
        rules["allow_responses"] = {"max": 1, "expires": f"{RESPONSE_SECONDS}s"}
    return {"nkey": key, "permissions": rules}
