"""The load generator: keep-alive connections over TLS, one request at a time on each, in a process of its own.

It polls sockets itself instead of running an event loop, so that it takes as little as possible of the two cores that
it shares with what it measures. Orders come as JSON, one a line, on its standard input; answers go out the same way:

    {"do": "open", "lane": NAME, "port": PORT, "connections": N, "request": HEX} -> {"status": 200, "body": HEX}
    {"do": "round", "lane": NAME, "seconds": S}  -> {"count": N, "seconds": S, "latencies": [seconds, ...]}
    {"do": "close", "lane": NAME}                -> {}
"""

from __future__ import annotations

import json
import selectors
import socket
import ssl
import sys
import time
from typing import Any

from bench.wire import Answer, parse

HOST = "127.0.0.1"
ANSWER_SECONDS = 10.0
_READ_BYTES = 65_536


class Connection:
    """One connection, and what of an answer has come in."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        plain = socket.create_connection((HOST, port), ANSWER_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain)
        self._data = b""
        self.began = 0.0

    def send(self, request: bytes) -> None:
        """Send a whole request and start the clock; requests are far smaller than the socket's buffer."""
        self.began = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> Answer | None:
        """Read what is there; the answer, once it is whole.

        Raises:
            ConnectionError: the server closed the connection.
        """
        while True:
            try:
                data = self.socket.recv(_READ_BYTES)
            except ssl.SSLWantReadError:  # a session ticket, or half a record
                return None
            if not data:
                raise ConnectionError("the server closed the connection")
            self._data += data
            answer = parse(self._data)
            if answer is not None:
                self._data = self._data[answer.size :]
                return answer


class Lane:
    """Some connections that all send the same request."""

    def __init__(self, port: int, count: int, request: bytes) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # what is measured is ours, on loopback
        context.set_alpn_protocols(["http/1.1"])
        self._request = request
        self._connections = [Connection(port, context) for _ in range(count)]
        self._selector = selectors.DefaultSelector()
        for each in self._connections:
            each.socket.setblocking(False)
            self._selector.register(each.socket, selectors.EVENT_READ, each)

    def close(self) -> None:
        """Close all connections."""
        self._selector.close()
        for each in self._connections:
            each.socket.close()

    def once(self) -> Answer:
        """Send one request on each connection; the last answer."""
        for each in self._connections:
            each.send(self._request)
        answers: list[Answer] = []
        while len(answers) < len(self._connections):
            answers += [answer for _connection, answer in self._wait()]
        return answers[-1]

    def _wait(self) -> list[tuple[Connection, Answer]]:
        """The answers that came, one at least."""
        deadline = time.perf_counter() + ANSWER_SECONDS
        answered: list[tuple[Connection, Answer]] = []
        while not answered:
            if time.perf_counter() > deadline:
                raise TimeoutError(f"no answer within {ANSWER_SECONDS} s")
            for key, _events in self._selector.select(ANSWER_SECONDS):
                connection: Connection = key.data
                answer = connection.receive()
                if answer is not None:
                    answered.append((connection, answer))
        return answered

    def round(self, seconds: float) -> dict[str, Any]:
        """Send for `seconds`, then wait for what is under way; every answer must be 200."""
        latencies: list[float] = []
        began = time.perf_counter()
        end = began + seconds
        for each in self._connections:
            each.send(self._request)
        flying = len(self._connections)
        while flying:
            for connection, answer in self._wait():
                now = time.perf_counter()
                latencies.append(now - connection.began)
                if answer.status != 200:
                    raise ValueError(f"answered {answer.status}: {answer.body!r}")
                if now < end:
                    connection.send(self._request)
                else:
                    flying -= 1
        return {"count": len(latencies), "seconds": time.perf_counter() - began, "latencies": latencies}


def obey(order: dict[str, Any], lanes: dict[str, Lane]) -> dict[str, Any]:
    """Do what one order says."""
    name = order["lane"]
    match order["do"]:
        case "open":
            lane = lanes[name] = Lane(order["port"], order["connections"], bytes.fromhex(order["request"]))
            answer = lane.once()
            return {"status": answer.status, "body": answer.body.hex()}
        case "round":
            return lanes[name].round(order["seconds"])
        case "close":
            lanes.pop(name).close()
            return {}
        case other:
            raise ValueError(f"no such order: {other}")


def main() -> None:
    """Obey until the input ends."""
    lanes: dict[str, Lane] = {}
    for line in sys.stdin:
        try:
            answer = obey(json.loads(line), lanes)
        except (OSError, ValueError, KeyError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
