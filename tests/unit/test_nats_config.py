"""The configuration of the nats-server: what must never be missing in it."""

from __future__ import annotations

import json
from pathlib import Path

from ubmc.services.ipc.config import ServerOptions, render
from ubmc.services.ipc.permissions import Permissions

OPTIONS = ServerOptions(4321, Path("/state/jetstream"), Path("/state/nats-server.log"))


def config(**permissions: Permissions) -> dict[str, object]:
    keys = {name: f"U{name}" for name in permissions}
    made: dict[str, object] = json.loads(render(OPTIONS, keys, permissions))
    return made


def test_loopback_limits_and_durability() -> None:
    made = config(a=Permissions(frozenset(), frozenset()))
    assert made["host"] == "127.0.0.1"
    assert made["port"] == 4321
    assert (made["max_payload"], made["max_pending"], made["max_connections"]) == (256 * 1024, 4 * 1024 * 1024, 64)
    assert made["write_deadline"] == "2s"
    assert made["jetstream"] == {
        "store_dir": "/state/jetstream",
        "max_mem": 8 * 1024 * 1024,
        "max_file": 32 * 1024 * 1024,
        "sync_interval": "always",
    }
    for listener in (
        "http",
        "https",
        "monitor_port",
        "http_port",
        "cluster",
        "leafnodes",
        "gateway",
        "websocket",
        "mqtt",
    ):
        assert listener not in made
    authorization = made["authorization"]
    assert isinstance(authorization, dict)
    assert "token" not in authorization
    assert "no_auth_user" not in made


def test_who_may_publish_nothing_is_forbidden_everything() -> None:
    """An empty allow list means all to NATS."""
    made = config(a=Permissions(frozenset(), frozenset({"_INBOX_a.>"})))
    authorization = made["authorization"]
    assert isinstance(authorization, dict)
    (user,) = authorization["users"]
    assert user["permissions"] == {"publish": {"deny": [">"]}, "subscribe": {"allow": ["_INBOX_a.>"]}}


def test_only_processes_with_a_key_may_connect() -> None:
    permissions = {
        name: Permissions(frozenset({f"p.{name}"}), frozenset({f"s.{name}"}), allow_responses=name == "door")
        for name in ("a", "door")
    }
    made = json.loads(render(OPTIONS, {"door": "UX"}, permissions))
    (user,) = made["authorization"]["users"]
    assert user["nkey"] == "UX"
    assert user["permissions"]["publish"] == {"allow": ["p.door"]}
    assert user["permissions"]["allow_responses"] == {"max": 1, "expires": "10s"}
    (user,) = json.loads(render(OPTIONS, {"a": "UY"}, permissions))["authorization"]["users"]
    assert "allow_responses" not in user["permissions"]
