"""What a client may take, as data, and what was counted of it.

Every wait of the listener has a limit here. Deadlines are looked at by a periodic sweep (`Limits.sweep_seconds`), so
they hold to within one sweep.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one listener; sizes in bytes, durations in seconds.

    A request body may take `body_seconds` plus the time its received bytes take at `body_min_rate` bytes per second,
    so that a large upload on a slow line passes and a trickle does not. `write_seconds` bounds how long a client may
    leave an answer unread. `newcomer_seconds` is how long a
    new connection is safe from having to yield to a newer one. `h2_*` counts are per connection and per
    `flood_seconds`, but for `h2_streams` (at a time).
    """

    connections_total: int = 200
    connections_per_address: int = 50
    newcomer_seconds: float = 1.0
    handshake_seconds: float = 10.0
    header_bytes: int = 8192
    header_count: int = 64
    header_seconds: float = 10.0
    body_bytes: int = 1 << 20
    body_seconds: float = 20.0
    body_min_rate: int = 16 << 10
    idle_seconds: float = 75.0
    write_seconds: float = 60.0
    linger_seconds: float = 1.0
    pipeline_requests: int = 16
    websocket_message_bytes: int = 256 << 10
    flood_seconds: float = 10.0
    h2_streams: int = 100
    """No fewer (RFC 9113, 6.5.2): a browser has one connection for all its tabs, and each has some streams open."""
    h2_window_bytes: int = 128 << 10
    h2_resets: int = 100
    h2_settings: int = 20
    h2_pings: int = 100
    h2_empty_frames: int = 100
    h2_control_frames: int = 20_000

    @property
    def sweep_seconds(self) -> float:
        """How often deadlines are looked at: a quarter of the shortest, 0.02 to 1 s."""
        request = min(self.header_seconds, self.body_seconds)
        shortest = min(request, self.idle_seconds, self.write_seconds, self.linger_seconds)
        return min(1.0, max(0.02, shortest / 4))

    def body_deadline(self, started: float, received: int) -> float:
        """When the body that began at `started` must be complete, `received` bytes of it being here."""
        return started + self.body_seconds + received / self.body_min_rate


@dataclass(slots=True)
class Counts:
    """What the listener has seen, for metrics; only ever grows, except `open`.

    `refused` connections by reason (total, address, handshake), `requests` by HTTP version, `limited` requests and
    connections by the limit they met (such as body_bytes, header_seconds, h2_resets).
    """

    accepted: int = 0
    open: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    limited: Counter[str] = field(default_factory=Counter)
