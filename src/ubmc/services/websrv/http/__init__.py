"""The HTTP listener of websrv: TLS, HTTP/1.1, WebSocket and HTTP/2 behind plain ASGI 3.

Nothing above this package knows which HTTP library answers; an application is given `Listener` and speaks ASGI.
"""

from __future__ import annotations

from ubmc.services.websrv.http.asgi import App, Disconnected, Message, Receive, Scope, Send, TooLarge, read_body
from ubmc.services.websrv.http.limits import Counts, Limits
from ubmc.services.websrv.http.listener import Listener
from ubmc.services.websrv.http.tls import server_context

__all__ = [
    "App",
    "Counts",
    "Disconnected",
    "Limits",
    "Listener",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "TooLarge",
    "read_body",
    "server_context",
]
