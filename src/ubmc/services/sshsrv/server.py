"""The SSH server itself, on asyncssh: who may come in, by which algorithms, and that all they get is a console.

It is imported when the door is opened, for asyncssh is large.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncssh

from ubmc.kit.addresses import address_key
from ubmc.kit.bus import Bus
from ubmc.kit.errors import Exhausted, UbmcError, Unauthenticated, Unavailable
from ubmc.kit.files import replace
from ubmc.services.sshsrv import login as logins
from ubmc.services.sshsrv.asking import asked
from ubmc.services.sshsrv.carry import Carrier
from ubmc.services.sshsrv.login import CodeWantedError, Login
from ubmc.services.sshsrv.options import SshOptions

log = logging.getLogger("ubmc.sshsrv")

# A hybrid with ML-KEM first; no SHA-1, no CBC, no encrypt-and-mac (RFC 9142, and practice since).
KEX = ("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")
CIPHERS = ("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr")
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
SIGNATURES = (
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512", "rsa-sha2-256",
)  # fmt: skip
KEEPALIVE_SECONDS = 15.0
KEEPALIVES = 3
READ_BYTES = 16 * 1024
CLOSE_SECONDS = 1.0
MOST_SESSIONS = 4  # of one connection
_NOTICE = "\r\n[u-bmc: {}]\r\n"


def load_host_key(path: Path) -> asyncssh.SSHKey:
    """The host key; made and kept if there is none. Blocks.

    Raises:
        Unavailable: it cannot be read or kept.
    """
    try:
        if not path.exists():
            made = asyncssh.generate_private_key("ssh-ed25519")
            replace(path, made.export_private_key())
        return asyncssh.read_private_key(str(path))
    except (OSError, asyncssh.KeyImportError) as error:
        raise Unavailable(f"the SSH host key {path} cannot be used: {error}; remove it to have a new one") from error


class Guests:
    """How many are here, in all and from each address."""

    def __init__(self, options: SshOptions) -> None:
        self._options = options
        self._here: Counter[str] = Counter()
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self.endings: set[asyncio.Task[None]] = set()
        """Of sessions whose people have left."""

    def enter(self, address: str) -> None:
        """One more. Raises `Exhausted`."""
        if self._here.total() >= self._options.most_connections:
            raise Exhausted("too many SSH connections")
        key = address_key(address)
        if self._here[key] >= self._options.most_per_address:
            raise Exhausted("too many SSH connections from this address")
        self._here[key] += 1

    def leave(self, address: str) -> None:
        """One less."""
        key = address_key(address)
        self._here[key] -= 1
        if not self._here[key]:
            del self._here[key]


class Connection(asyncssh.SSHServer):
    """One connection: who is it, and may they come in."""

    def __init__(self, bus: Bus, options: SshOptions, guests: Guests) -> None:
        self._bus = bus
        self._options = options
        self._guests = guests
        self._connection: asyncssh.SSHServerConnection | None = None
        self._address = ""
        self._entered = False
        self._failures = 0
        self._password = ""
        self._key = b""
        self._user = ""
        self._login: Login | None = None
        self._entering = asyncio.Lock()
        self.sessions = 0

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Somebody connected."""
        self._connection = conn
        self._address = str((conn.get_extra_info("peername") or ("",))[0])
        try:
            self._guests.enter(self._address)
            self._guests.connections.add(conn)
            self._entered = True
        except Exhausted as error:
            log.warning("a connection is refused", extra={"source": self._address, "error": error.message})
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """They left."""
        del exc
        if self._entered:
            self._guests.leave(self._address)
        if self._connection is not None:
            self._guests.connections.discard(self._connection)
        self._log_out()

    def _log_out(self) -> None:
        login, self._login = self._login, None
        if login is not None:
            ending = asyncio.create_task(login.end())
            self._guests.endings.add(ending)
            ending.add_done_callback(self._guests.endings.discard)

    def begin_auth(self, username: str) -> bool:
        """Everybody has to log in; what somebody has shown under another name counts no more."""
        self._user = username
        self._password, self._key = "", b""
        self._log_out()
        return True

    def public_key_auth_supported(self) -> bool:
        """Keys of the account."""
        return True

    def password_auth_supported(self) -> bool:
        """The password of the account, where it has no second factor."""
        return True

    def kbdint_auth_supported(self) -> bool:
        """Password and second factor, one after the other."""
        return True

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether this key would do; asyncssh checks the signature after that."""
        try:
            fits = await logins.takes_key(self._bus, username, key.public_data)
        except UbmcError as error:
            self._say(error)
            return False
        self._key = key.public_data if fits else b""
        return fits

    async def validate_password(self, username: str, password: str) -> bool:
        """Whether the password alone will do."""
        return await self._try(username, password) is True

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        """Ask for the password first, also of somebody who did not give the code and begins anew."""
        del username, lang, submethods
        self._password = ""
        return "", "", "", [("Password: ", False)]

    async def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> Any:
        """The password, and then a code if one is needed."""
        answer = responses[0] if responses else ""
        if not self._password:
            done = await self._try(username, answer)
            if done is not None:
                return done
            self._password = answer
            return "", "", "", [("One-time code: ", False)]
        password, self._password = self._password, ""
        return await self._try(username, password, answer) is True

    async def _try(self, user: str, password: str, code: str = "") -> bool | None:
        """Try to log in; None: a code of the second factor is wanted."""
        self._key = b""
        try:
            if self._login is None:
                self._login = await logins.by_password(self._bus, user, password, self._address, code)
        except CodeWantedError:
            return None
        except UbmcError as error:
            self._say(error)
            self._failures += 1
            if self._failures >= self._options.most_failures and self._connection is not None:
                self._connection.abort()
            return False
        return True

    def _say(self, error: UbmcError) -> None:
        """Tell what is wrong, where it is not just the password."""
        if not isinstance(error, Unauthenticated) and self._connection is not None:
            with contextlib.suppress(asyncssh.Error, AssertionError):
                self._connection.send_auth_banner(f"{error.message}\r\n")

    async def logged_in(self) -> Login:
        """The session of whoever has come in.

        Raises:
            UbmcError: there is none.
        """
        async with self._entering:  # two sessions of one connection may begin at once
            if self._login is None:
                self._login = await logins.by_key(self._bus, self._user, self._key, self._address)
            return self._login


class ProcessPeer:
    """An asyncssh process as the carrier sees it."""

    def __init__(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self._process = process
        self.terminal = process.get_terminal_type() is not None

    async def receive(self) -> bytes | float | None:
        """What is typed."""
        while True:
            try:
                data = await self._process.stdin.read(READ_BYTES)
            except asyncssh.BreakReceived as received:
                return float(received.msec)
            except (asyncssh.TerminalSizeChanged, asyncssh.SignalReceived):
                continue
            return data or None

    async def show(self, data: bytes) -> None:
        """The host's bytes."""
        self._process.stdout.write(data)
        await self._process.stdout.drain()

    def notice(self, text: str) -> None:
        """A line for people."""
        with contextlib.suppress(OSError, asyncssh.Error):
            (self._process.stdout if self.terminal else self._process.stderr).write(_NOTICE.format(text).encode())


class Server:
    """Listens, and serves whoever comes."""

    def __init__(self, bus: Bus, options: SshOptions) -> None:
        self._bus = bus
        self._options = options
        self._guests = Guests(options)
        self._acceptors: list[asyncssh.SSHAcceptor] = []

    async def start(self, host: str, port: int, key: asyncssh.SSHKey) -> tuple[str, int]:
        """Listen; where. Raises OSError."""
        acceptor = await asyncssh.listen(
            host,
            port,
            server_factory=lambda: Connection(self._bus, self._options, self._guests),
            process_factory=self._serve,
            server_host_keys=[key],
            encoding=None,
            line_editor=False,
            server_version="u-bmc",
            login_timeout=self._options.login_seconds,
            keepalive_interval=KEEPALIVE_SECONDS,
            keepalive_count_max=KEEPALIVES,
            kex_algs=list(KEX),
            encryption_algs=list(CIPHERS),
            mac_algs=list(MACS),
            signature_algs=list(SIGNATURES),
            compression_algs=None,
            agent_forwarding=False,
            x11_forwarding=False,
            allow_scp=False,
            gss_host=None,
            reuse_address=True,
        )
        self._acceptors.append(acceptor)
        bound = acceptor.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    async def stop(self) -> None:
        """Listen no longer, and end all connections."""
        acceptors, self._acceptors = self._acceptors, []
        for acceptor in acceptors:
            acceptor.close()
        connections = tuple(self._guests.connections)
        for connection in connections:
            connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                for connection in connections:
                    await connection.wait_closed()
                for acceptor in acceptors:
                    await acceptor.wait_closed()
                await asyncio.gather(*self._guests.endings)
        for connection in tuple(self._guests.connections):
            connection.abort()
        for ending in self._guests.endings:
            ending.cancel()

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        owner = process.channel.get_connection().get_owner()
        assert isinstance(owner, Connection)
        peer = ProcessPeer(process)
        status, why = 1, ""
        owner.sessions += 1
        try:
            if owner.sessions > MOST_SESSIONS:
                why = f"at most {MOST_SESSIONS} sessions on one connection"
            elif process.subsystem is not None:
                why = "there are consoles here, and nothing else"
            else:
                status, why = await self._attach(process, owner, peer)
        except UbmcError as error:
            why = error.message
        except (OSError, asyncssh.Error):
            return  # they left
        finally:
            owner.sessions -= 1
            if why:
                peer.notice(why)
            with contextlib.suppress(OSError, asyncssh.Error):
                process.exit(status)

    async def _attach(
        self, process: asyncssh.SSHServerProcess[bytes], owner: Connection, peer: ProcessPeer
    ) -> tuple[int, str]:
        wanted = asked(
            process.command or "", self._options.consoles, self._options.replay_bytes if peer.terminal else 0
        )
        login = await owner.logged_in()
        if login.restricted:
            return 1, login.restricted
        why = await Carrier(self._bus, login, wanted, peer, self._options.idle_seconds).run()
        return (1 if why else 0), why
