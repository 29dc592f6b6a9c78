"""A remote console of IPMI 2.0, written from the specification and nothing of ours; tests and `bench` talk with it.

with Remote(("127.0.0.1", port), "admin", secret) as remote:
    code, data = remote.ask(0x06, 0x01)
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import struct
import time
from typing import Any, Self

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

RMCP = b"\x06\x00\xff\x07"
ALGORITHMS = {
    0: (0, 0, 0), 1: (1, 0, 0), 2: (1, 1, 0), 3: (1, 1, 1), 6: (2, 0, 0), 7: (2, 2, 0), 8: (2, 2, 1), 11: (2, 3, 0),
    12: (2, 3, 1), 15: (3, 0, 0), 16: (3, 4, 0), 17: (3, 4, 1),
}  # fmt: skip
HASHES = {1: "sha1", 3: "sha256"}
CODES = {1: 12, 4: 16}


class RefusedError(Exception):
    """The other end said no, with a status of table 13-15."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(f"{message}: status {status:02X}h")
        self.status = status


def checked(body: bytes) -> bytes:
    """With the checksum behind it."""
    return body + bytes((-sum(body) & 0xFF,))


def lan_message(netfn: int, command: int, data: bytes, sequence: int) -> bytes:
    """A request of software id 81h to the BMC."""
    return checked(bytes((0x20, netfn << 2))) + checked(bytes((0x81, sequence << 2, command)) + data)


def sessionless15(netfn: int, command: int, data: bytes = b"", sequence: int = 0) -> bytes:
    """The datagram of a request outside of sessions, as IPMI 1.5 has it."""
    message = lan_message(netfn, command, data, sequence)
    return RMCP + bytes(9) + bytes((len(message),)) + message


def plain(kind: int, payload: bytes) -> bytes:
    """The datagram of a payload outside of sessions."""
    return RMCP + struct.pack("<BBIIH", 6, kind, 0, 0, len(payload)) + payload


def open_request(console_id: int, suite: int = 17, role: int = 4, tag: int = 0) -> bytes:
    """The datagram of an Open Session Request."""
    records = b"".join(struct.pack("<BxxBBxxx", kind, 8, each) for kind, each in enumerate(ALGORITHMS[suite]))
    return plain(0x10, struct.pack("<BBxxI", tag, role, console_id) + records)


class Keys:
    """What both sides compute.

    Args:
        suite: its number.
        name: of the user.
        secret: of the user.
        role: the byte of RAKP 1.
    """

    def __init__(self, suite: int, name: bytes, secret: bytes, role: int = 0x14) -> None:
        auth, integrity, _ = ALGORITHMS[suite]
        self.hash, self.code = HASHES[auth], CODES[integrity]
        self.secret, self.who = secret, bytes((role, len(name))) + name
        self.role, self.name = role, name
        self.random = os.urandom(16)
        self.console_id = secrets.randbits(32) | 1
        self.system_id = 0
        self.system_random = self.guid = b""
        self.k1 = self.k2 = b""

    def _mac(self, key: bytes, data: bytes) -> bytes:
        return hmac.new(key, data, self.hash).digest()

    def rakp1(self, tag: int = 0) -> bytes:
        """The datagram of RAKP 1."""
        head = struct.pack("<BxxxI16sBxxB", tag, self.system_id, self.random, self.role, len(self.name))
        return plain(0x12, head + self.name)

    def rakp2_code(self) -> bytes:
        """What RAKP 2 must have."""
        ids = struct.pack("<II", self.console_id, self.system_id)
        return self._mac(self.secret, ids + self.random + self.system_random + self.guid + self.who)

    def rakp3(self, tag: int = 0, status: int = 0) -> bytes:
        """The datagram of RAKP 3."""
        code = self._mac(self.secret, self.system_random + struct.pack("<I", self.console_id) + self.who)
        return plain(0x14, struct.pack("<BBxxI", tag, status, self.system_id) + code)

    def finish(self) -> bytes:
        """Compute the keys; what RAKP 4 must have."""
        sik = self._mac(self.secret, self.random + self.system_random + self.who)
        self.k1, self.k2 = self._mac(sik, b"\x01" * 20), self._mac(sik, b"\x02" * 20)
        return self._mac(sik, self.random + struct.pack("<I", self.system_id) + self.guid)[: self.code]

    def seal(self, kind: int, payload: bytes, sequence: int) -> bytes:
        """The datagram of a payload in the session."""
        pad = -(len(payload) + 1) % 16
        vector = os.urandom(16)
        encryptor = Cipher(algorithms.AES(self.k2[:16]), modes.CBC(vector)).encryptor()
        data = vector + encryptor.update(payload + bytes(range(1, pad + 1)) + bytes((pad,))) + encryptor.finalize()
        body = struct.pack("<BBIIH", 6, 0xC0 | kind, self.system_id, sequence, len(data)) + data
        fill = -(len(body) + 2) % 4
        body += b"\xff" * fill + bytes((fill, 7))
        return RMCP + body + self._mac(self.k1, body)[: self.code]

    def unseal(self, datagram: bytes) -> tuple[int, int, bytes]:
        """Payload type, sequence number and payload of a datagram in the session."""
        body, code = datagram[4 : -self.code], datagram[-self.code :]
        assert self._mac(self.k1, body)[: self.code] == code, "the authentication code is wrong"
        _format, kind, session, sequence, length = struct.unpack_from("<BBIIH", body)
        assert kind & 0xC0 == 0xC0
        assert session == self.console_id
        data = body[12 : 12 + length]
        decryptor = Cipher(algorithms.AES(self.k2[:16]), modes.CBC(data[:16])).decryptor()
        text = decryptor.update(data[16:]) + decryptor.finalize()
        return kind & 0x3F, sequence, text[: -text[-1] - 1]


class Remote:
    """A session, with a blocking socket.

    Args:
        address: of the BMC.
        name: of the user.
        secret: of the user.
        suite: the number of the cipher suite.
        level: the privilege level to ask for.
        timeout: seconds to wait for an answer.
    """

    def __init__(
        self,
        address: tuple[Any, ...],
        name: str | bytes,
        secret: bytes,
        *,
        suite: int = 17,
        level: int = 4,
        timeout: float = 3.0,
    ) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        self.suite, self.level = suite, level
        called = name.encode() if isinstance(name, str) else name
        self.keys = Keys(suite, called, secret, 0x10 | level)
        self.sequence = 0
        self.number = 0

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self.socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        finally:
            self.socket.close()

    # --- opening --------------------------------------------------------------------------------------------------

    def exchange(self, datagram: bytes, kind: int) -> bytes:
        """Send, and the payload of this type that comes back."""
        self.socket.send(datagram)
        answer = self.socket.recv(2048)
        assert answer[4:6] == bytes((6, kind)), answer.hex()
        (length,) = struct.unpack_from("<H", answer, 14)
        assert len(answer) == 16 + length
        payload = answer[16:]
        if payload[1]:
            assert len(payload) == 8, "a refusal has no more than its status"
            raise RefusedError({0x11: "open session", 0x13: "RAKP 2", 0x15: "RAKP 4"}[kind], payload[1])
        return payload

    def greet(self) -> bytes:
        """Open Session and RAKP 1; what RAKP 2 says."""
        keys = self.keys
        opened = self.exchange(open_request(keys.console_id, self.suite, self.level), 0x11)
        assert len(opened) == 36
        console_id, keys.system_id = struct.unpack_from("<II", opened, 4)
        assert console_id == keys.console_id
        assert opened[2] == self.level
        second = self.exchange(keys.rakp1(), 0x13)
        keys.system_random, keys.guid = second[8:24], second[24:40]
        return second

    def open(self) -> None:
        """Open the session and go to the privilege level."""
        keys = self.keys
        second = self.greet()
        if second[40:] != keys.rakp2_code():
            raise RefusedError("the BMC does not know the secret", 0)
        fourth = self.exchange(keys.rakp3(), 0x15)
        assert fourth[8:] == keys.finish()
        code, data = self.ask(0x06, 0x3B, bytes((self.level,)))
        assert (code, data) == (0, bytes((self.level,)))

    def close(self) -> None:
        """Close the session."""
        self.ask(0x06, 0x3C, struct.pack("<I", self.keys.system_id))

    # --- in the session ---------------------------------------------------------------------------------------------

    def send(self, payload: bytes, kind: int = 0, sequence: int | None = None) -> None:
        """Send a payload under the next sequence number."""
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        self.socket.send(self.keys.seal(kind, payload, sequence))

    def receive(self) -> tuple[int, bytes]:
        """Payload type and payload of what comes next."""
        kind, _sequence, payload = self.keys.unseal(self.socket.recv(2048))
        return kind, payload

    def request(self, netfn: int, command: int, data: bytes = b"") -> bytes:
        """The payload of a request, under the next number of requests."""
        self.number = (self.number + 1) % 64
        return lan_message(netfn, command, data, self.number)

    def ask(self, netfn: int, command: int, data: bytes = b"") -> tuple[int, bytes]:
        """Completion code and data of the answer."""
        request = self.request(netfn, command, data)
        self.send(request)
        return self.answer(request)

    def answer(self, request: bytes) -> tuple[int, bytes]:
        """The answer to a request; other payloads that come before are passed over."""
        deadline = time.monotonic() + (self.socket.gettimeout() or 3.0)
        while time.monotonic() < deadline:
            kind, payload = self.receive()
            if kind == 0 and payload[4] >> 2 == request[4] >> 2 and payload[5] == request[5]:
                assert payload[0] == request[3]
                assert payload[1] == request[1] | 4
                assert sum(payload[:3]) & 0xFF == 0
                assert sum(payload[3:]) & 0xFF == 0
                return payload[6], payload[7:-1]
        raise TimeoutError("no answer")
