"""The reference for the door: a bare starlette application on the same listener, with the same TLS, in its own process.

    python -m bench.reference CERTIFICATE KEY < one line of JSON, then nothing

The line is what `/bare` answers. The port is told on standard output; the process ends when its input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from ubmc.services.websrv.http.listener import Listener
from ubmc.services.websrv.http.tls import Material, server_context

EVENT_SECONDS = 0.02


def application(content: Any) -> Starlette:
    """The bare handlers: constant JSON, and a stream of the time of day."""

    async def bare(_request: Request) -> JSONResponse:
        return JSONResponse(content)

    async def events(request: Request) -> StreamingResponse:
        async def items() -> AsyncIterator[bytes]:
            for _ in range(int(request.query_params["count"])):
                yield b'data: {"time":%.6f}\n\n' % time.time()
                await asyncio.sleep(EVENT_SECONDS)

        return StreamingResponse(items(), media_type="text/event-stream")

    return Starlette(routes=[Route("/bare", bare), Route("/events", events)])


async def serve(certificate: Path, key: Path) -> None:
    """Serve until the input ends."""
    loop = asyncio.get_running_loop()
    content = json.loads(sys.stdin.readline())
    listener = Listener(application(content))
    _host, port = await listener.start(
        "127.0.0.1", 0, server_context(Material(Path(certificate).read_text(), Path(key).read_text()))
    )
    print(json.dumps({"port": port}), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    await listener.stop(1.0)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2])))
