"""sshsrv on a real bus, with real accounts and the console of the simulated host; driven by asyncssh and OpenSSH."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import pyotp
import pytest
from tests.harness.bus import BusWorld
from tests.harness.consoles import QUICK, make_server, until
from tests.service.usermgr_house import FIRST, MANAGERS, WEBSRV, House

from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.parts.shell import Mode, pattern
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.kit.call import Call
from ubmc.kit.errors import UbmcError
from ubmc.services.consolesrv.places import MOST_OF_ONE
from ubmc.services.consolesrv.service import ConsoleServer
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.sshsrv import carry
from ubmc.services.sshsrv.login import Login
from ubmc.services.sshsrv.server import Connection, Guests
from ubmc.services.sshsrv.service import SshOptions, SshServer
from ubmc.services.usermgr.roles import OPERATOR, READ_ONLY
from ubmc.services.usermgr.sessions import Session, SessionOptions
from ubmc.services.usermgr.store import Store
from ubmc.v1alpha1.session_pb import ListSessionsRequest
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.user_pb import AddSshKeyRequest, ConfirmTotpRequest, StartTotpRequest, UpdateUserRequest, User
from ubmc.v1alpha1.user_rpc import UserService

SSH = shutil.which("ssh")
NEEDS_SSH = pytest.mark.skipif(SSH is None, reason="install openssh-client")


@dataclass
class SshHouse:
    """Everything of one test."""

    users: House
    machine: InProcessMachine
    port: int
    fingerprint: str
    folder: Path
    server: ConsoleServer
    consoles: asyncio.Task[None]

    async def boot(self) -> None:
        self.machine.act(lambda plant: plant.drive("power-button-0", active=True))
        await until(lambda: self.machine.plant.shell.mode is Mode.LOGIN)

    async def stop(self) -> None:
        """Consolesrv ends."""
        self.consoles.cancel()
        await asyncio.gather(self.consoles, return_exceptions=True)

    async def restart(self) -> None:
        """Consolesrv ends and begins anew."""
        await self.stop()
        world = self.users.world
        bus = next(each for each in world._buses if each.process == "consolesrv")
        self.server = make_server(self.machine, self.folder / "console")
        self.consoles = await world.run(bus, self.server)

    def connect(self, user: str = "admin", password: str | None = FIRST, **options: Any) -> Any:
        given = {"known_hosts": None, "client_keys": None, "agent_path": None, "config": None, "password": password}
        return asyncssh.connect("127.0.0.1", self.port, username=user, **{**given, **options})


@contextlib.asynccontextmanager
async def ssh_house(sessions: SessionOptions | None = None, **more: Any) -> AsyncIterator[SshHouse]:
    specs = (
        MANAGERS,
        WEBSRV,
        ProcessSpec("consolesrv", (ConsoleServer,)),
        ProcessSpec("sshsrv", (SshServer,), door=True),
    )
    async with BusWorld(*specs) as world:
        machine = InProcessMachine(Plant(Settings(timings=QUICK)))
        users = House(world, sessions or SessionOptions())
        try:
            await users.open()
            consoles = make_server(machine, world.state / "console")
            owner = await world.place("consolesrv")
            owning = await world.run(owner, consoles)
            heard: list[tuple[str, int, str]] = []
            options = SshOptions((("127.0.0.1", 0),), world.state / "ssh" / "host_key", ("host.0",), **more)
            door = await world.place("sshsrv")
            serving = await world.run(door, SshServer(options, lambda *what: heard.append(what)))
            house = SshHouse(users, machine, heard[0][1], heard[0][2], world.state, consoles, owning)
            yield house
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await house.stop()
        finally:
            machine.close()
            await users.stop()


async def see(reader: asyncssh.SSHReader[bytes], text: bytes) -> bytes:
    """Read until this was seen."""
    async with asyncio.timeout(30):
        found: bytes = await reader.readuntil(text)
    return found


async def log_in(process: asyncssh.SSHClientProcess[bytes]) -> None:
    """Get to the shell of the simulated host."""
    for what, answer in ((b"", b"\r"), (b"login: ", b"root\r"), (b"Password: ", b"x\r"), (b"# ", b"")):
        if what:
            await see(process.stdout, what)
        process.stdin.write(answer)


async def test_a_password_opens_the_console_byte_for_byte() -> None:
    async with ssh_house() as house:
        await house.boot()
        async with house.connect() as connection:
            process = await connection.create_process("host.0", encoding=None)
            await see(process.stderr, b"console of host.0: you write]")
            await log_in(process)
            process.stdin.write(b"send 1048576 8000000\r")
            await see(process.stdout, b"8000000\r\n")
            sent = await see(process.stdout, b"\r\nsent ")
            assert sent[: -len(b"\r\nsent ")] == pattern(0, 1048576)
            await see(process.stdout, b"# ")
            process.stdin.write(b"raw 1048576\r")
            await see(process.stdout, b"raw 1048576\r\n")
            data = os.urandom(1048576)
            process.stdin.write(data)
            assert await asyncio.wait_for(process.stdout.readexactly(len(data)), 30) == data
            token = await house.users.admin()
            sessions = (await house.users.ask(token, SessionService.ListSessions, ListSessionsRequest())).sessions
            assert len(sessions) == 2
        async with asyncio.timeout(30):
            while len((await house.users.ask(token, SessionService.ListSessions, ListSessionsRequest())).sessions) != 1:
                await asyncio.sleep(0.02)  # logged out with the connection
        assert (house.folder / "ssh" / "host_key").stat().st_mode & 0o777 == 0o600


async def test_a_wrong_password_is_refused_and_counts_for_lockout() -> None:
    async with ssh_house() as house:
        for _ in range(3):
            with pytest.raises(asyncssh.PermissionDenied):
                async with house.connect(password="wrong"):
                    pass
        with pytest.raises(asyncssh.PermissionDenied):
            async with house.connect("nobody", "whatever"):
                pass
        attempts = [each for each in house.users.keeper.news if type(each).__name__ == "LoginAttempt"]
        assert len([each for each in attempts if each.outcome == "refused"]) >= 4  # type: ignore[attr-defined]


async def test_a_key_of_the_account_opens_the_console_and_no_other_does() -> None:
    async with ssh_house() as house:
        key, other = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
        admin = await house.users.admin()
        request = AddSshKeyRequest(name="admin", public_key=key.export_public_key().decode())
        await house.users.ask(admin, UserService.AddSshKey, request)
        async with house.connect(password=None, client_keys=[key]) as connection:
            process = await connection.create_process(encoding=None)
            await see(process.stderr, b"console of host.0: you write]")
        with pytest.raises(asyncssh.PermissionDenied):
            async with house.connect(password=None, client_keys=[other]):
                pass
        with pytest.raises(asyncssh.PermissionDenied):
            async with house.connect("olga", password=None, client_keys=[key]):
                pass


async def test_a_second_factor_is_asked_for() -> None:
    async with ssh_house() as house:
        admin = await house.users.admin()
        member = await house.users.member(admin, "olga", OPERATOR)
        started = await house.users.ask(
            member, UserService.StartTotp, StartTotpRequest(name="olga", current_password="olga password")
        )
        now = time.time()
        confirm = ConfirmTotpRequest(name="olga", one_time_code=code_of(started.secret, now))
        await house.users.ask(member, UserService.ConfirmTotp, confirm)
        with pytest.raises(asyncssh.PermissionDenied):
            async with house.connect("olga", "olga password", preferred_auth="password"):
                pass
        asked: list[str] = []

        class Client(asyncssh.SSHClient):
            def kbdint_auth_requested(self) -> str:
                return ""

            def kbdint_challenge_received(self, name: str, instructions: str, lang: str, prompts: Any) -> list[str]:
                asked.extend(prompt for prompt, _ in prompts)
                return [
                    "olga password" if "Password" in prompt else code_of(started.secret, now + 30)
                    for prompt, _ in prompts
                ]

        async with house.connect(
            "olga", None, client_factory=Client, preferred_auth="keyboard-interactive"
        ) as connection:
            process = await connection.create_process(encoding=None)
            await see(process.stderr, b"you write]")
        assert asked == ["Password: ", "One-time code: "]
        bus = next(each for each in house.users.world._buses if each.process == "sshsrv")
        options = SshOptions((("127.0.0.1", 0),), house.folder / "unused", ("host.0",))
        anew = Connection(bus, options, Guests(options))
        assert anew.begin_auth("olga")
        for _ in range(2):  # the second time without having given the code
            assert anew.get_kbdint_challenge("olga", "", "")[3] == [("Password: ", False)]
            code_wanted = await anew.validate_kbdint_response("olga", ["olga password"])
            assert code_wanted[3] == [("One-time code: ", False)]


def code_of(secret: str, now: float) -> str:
    """The code of an authenticator (RFC 6238)."""
    return pyotp.TOTP(secret).at(now)


async def test_who_may_only_read_reads_and_who_must_change_the_password_is_told_so() -> None:
    async with ssh_house() as house:
        admin = await house.users.admin()
        await house.users.create(admin, "rita", READ_ONLY)
        await house.boot()
        async with house.connect("rita", "rita password") as connection:
            process = await connection.create_process("host.0 --replay 100", encoding=None)
            await see(process.stderr, b"you read]")
            await see(process.stdout, b"login: ")
            process.stdin.write(b"root\r")
        change = UpdateUserRequest(user=User(name="rita", must_change_password=True))
        change.update_mask = _mask("must_change_password")
        await house.users.ask(admin, UserService.UpdateUser, change)
        async with house.connect("rita", "rita password") as connection:
            done = await asyncio.wait_for(connection.run("host.0", encoding=None), 10)
            assert done.exit_status == 1
            assert b"password must be changed first" in done.stderr
        assert b"root" not in house.machine.plant.host.console.since(0, 1 << 20)[1]


def _mask(*paths: str) -> Any:
    from protobuf.wkt import FieldMask

    return FieldMask(paths=list(paths))


async def test_there_are_consoles_and_nothing_else() -> None:
    async with ssh_house() as house:
        async with house.connect() as connection:
            for command, said in (
                ("reboot", b"there is no console 'reboot'"),
                ("host.1", b"there is host.0"),
                ("host.0 --what", b"there is no option '--what'"),
            ):
                done = await asyncio.wait_for(connection.run(command, encoding=None), 10)
                assert done.exit_status == 1, command
                assert said in done.stderr, command
            with pytest.raises((asyncssh.Error, OSError)):
                await asyncio.wait_for(connection.start_sftp_client(), 10)
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.open_connection("127.0.0.1", house.port)
            with pytest.raises(asyncssh.ChannelListenError):
                await connection.forward_remote_port("", 0, "127.0.0.1", 1)
        weak_ones: tuple[dict[str, Any], ...] = (
            {"kex_algs": ["diffie-hellman-group14-sha1"]},
            {"encryption_algs": ["aes128-cbc"]},
            {"mac_algs": ["hmac-sha1"], "encryption_algs": ["aes256-ctr"]},
        )
        for weak in weak_ones:
            with pytest.raises(asyncssh.KeyExchangeFailed):
                async with house.connect(**weak):
                    pass


async def test_a_break_and_a_take_over_are_typed() -> None:
    async with ssh_house() as house:
        await house.boot()
        async with house.connect() as one, house.connect() as two:
            first = await one.create_process(term_type="xterm", encoding=None)
            await see(first.stdout, b"you write; &? for help")
            second = await two.create_process(term_type="xterm", encoding=None)
            await see(second.stdout, b"admin writes, you read")
            second.stdin.write(b"&t")
            await see(second.stdout, b"[u-bmc: you write]")
            await see(first.stdout, b"you read: admin has taken over]")
            second.stdin.write(b"&?")
            helped = await see(second.stdout, b"(only at the beginning of a line)]\r\n")
            assert b"[u-bmc: &.  end\r\n  &B  send a BREAK\r\n  &S" in helped
            assert helped.count(b"[u-bmc:") == 1
            second.channel.send_break(300)  # as ~B of ssh(1) does, RFC 4335
            second.stdin.write(b"h")
            await see(second.stdout, b"sysrq: HELP")
            second.stdin.write(b"\r&Sh")
            await see(second.stdout, b"sysrq: HELP")
            second.stdin.write(b"\r&.")
            assert (await asyncio.wait_for(second.wait(), 10)).exit_status == 0


async def test_a_restart_of_the_console_service_is_hardly_noticed() -> None:
    async with ssh_house() as house:
        await house.boot()
        async with house.connect() as connection:
            process = await connection.create_process("host.0", encoding=None)
            await log_in(process)
            process.stdin.write(b"send 800000 400000\r")
            await see(process.stdout, b"400000\r\n")
            await house.restart()
            sent = await see(process.stdout, b"\r\nsent ")
            assert sent[: -len(b"\r\nsent ")] == pattern(0, 800000)


async def test_what_was_typed_while_the_console_service_stopped_is_named() -> None:
    async with ssh_house() as house:
        await house.boot()
        async with house.connect() as connection:
            process = await connection.create_process("host.0", encoding=None)
            await log_in(process)
            console = house.server._consoles["host.0"]
            async with console._turn:  # the line stands still
                process.stdin.write(b"hello")
                await until(lambda: console.writer is not None and console.writer._writing is not None)
                await house.restart()
            await see(process.stderr, b"the last 5 bytes that you typed are lost: the console service was restarted]")
            process.stdin.write(b"echo once more\r")
            assert b"hello" not in await see(process.stdout, b"\r\nonce more\r\n")
            house.machine.unplug()
            await see(process.stderr, b"the line is lost")
            process.stdin.write(b"nobody")
            await see(process.stderr, b"6 bytes that you typed were dropped: the line did not work]")


async def test_who_finds_no_place_at_the_console_is_told_so_and_leaves() -> None:
    async with ssh_house(most_per_address=MOST_OF_ONE) as house, contextlib.AsyncExitStack() as stack:
        admin = await house.users.admin()
        await house.users.create(admin, "rita", READ_ONLY)
        connections = [await stack.enter_async_context(house.connect("rita", "rita password")) for _ in range(3)]
        for turn in range(MOST_OF_ONE):
            process = await connections[turn % 3].create_process("host.0", encoding=None)
            await see(process.stderr, b"you read]")
        done = await asyncio.wait_for(connections[0].run("host.0", encoding=None), 10)
        assert done.exit_status == 1
        assert b"rita is attached to this console 8 times already" in done.stderr


async def test_who_begins_anew_under_another_name_is_not_the_one_from_before() -> None:
    async with ssh_house() as house:
        bus = next(each for each in house.users.world._buses if each.process == "sshsrv")
        options = SshOptions((("127.0.0.1", 0),), house.folder / "unused", ("host.0",))
        guests = Guests(options)
        connection = Connection(bus, options, guests)
        assert connection.begin_auth("admin")
        assert await connection.validate_password("admin", FIRST)
        assert (await connection.logged_in()).restricted == ""
        assert connection.begin_auth("nobody")
        assert not await connection.validate_password("nobody", "a guess")
        with pytest.raises(UbmcError):
            await connection.logged_in()
        await asyncio.gather(*guests.endings)


async def test_a_session_in_which_nothing_happens_ends_and_so_does_a_crowd() -> None:
    async with ssh_house(idle_seconds=0.3, most_per_address=2, login_seconds=0.5) as house:
        async with house.connect() as connection:
            done = await asyncio.wait_for(connection.run("host.0", encoding=None, stdin=asyncssh.PIPE), 10)
            assert b"nothing came or went for too long" in done.stderr
            async with house.connect():
                with pytest.raises((asyncssh.Error, OSError)):
                    async with house.connect():
                        pass
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        async with asyncio.timeout(30):  # who does not log in is hung up on
            assert (await reader.read()).startswith(b"SSH-2.0-u-bmc")
        writer.close()
        await writer.wait_closed()


async def test_who_types_uses_the_session_and_who_only_looks_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carry, "RENEW_SECONDS", 0.05)
    renewed, used = Counter[str](), Counter[str]()
    ask, note = Login.call, Store.use

    async def counted(login: Login, *, attended: bool = False) -> Call:
        renewed[login.user] += 1
        return await ask(login, attended=attended)

    def noted(store: Store, session: Session, now: float) -> bool:
        used[session.user] += 1
        return note(store, session, now)

    monkeypatch.setattr(Login, "call", counted)
    monkeypatch.setattr(Store, "use", noted)
    async with ssh_house(SessionOptions(keep_seconds=0)) as house:
        await house.users.create(await house.users.admin(), "rita", READ_ONLY)
        async with house.connect() as one, house.connect("rita", "rita password") as two:
            typing = await one.create_process("host.0", encoding=None)
            looking = await two.create_process("host.0", encoding=None)
            await see(typing.stderr, b"you write]")
            await see(looking.stderr, b"you read]")
            used.clear()
            async with asyncio.timeout(60):
                while used["admin"] < 3 or renewed["rita"] < 5:
                    typing.stdin.write(b"x")
                    await asyncio.sleep(0.02)
            assert used["rita"] == 0


@NEEDS_SSH
async def test_the_usual_ssh_client_attaches(tmp_path: Path) -> None:
    async with ssh_house() as house:
        key = asyncssh.generate_private_key("ssh-ed25519")
        admin = await house.users.admin()
        request = AddSshKeyRequest(name="admin", public_key=key.export_public_key().decode())
        await house.users.ask(admin, UserService.AddSshKey, request)
        identity = tmp_path / "key"
        key.write_private_key(str(identity))
        identity.chmod(0o600)
        await house.boot()
        master, slave = pty.openpty()
        assert SSH is not None
        process = await asyncio.create_subprocess_exec(
            SSH, "-tt", "-F", "none", "-i", str(identity), "-o", "StrictHostKeyChecking=no", "-o", "IdentitiesOnly=yes",
            "-o", f"UserKnownHostsFile={tmp_path / 'known'}", "-p", str(house.port), "admin@127.0.0.1",
            stdin=slave, stdout=slave, stderr=slave,
        )  # fmt: skip
        os.close(slave)
        try:
            text = await _type(master, (b"you write", b"\r"), (b"login: ", b"root\r"), (b"Password: ", b"x\r"))
            text += await _type(master, (b"# ", b"echo over ssh\r"), (b"over ssh\r\n# ", b"\r~."))
            assert b"Welcome to the simulated host" in text
            await asyncio.wait_for(process.wait(), 10)
        finally:
            os.close(master)


async def _type(master: int, *pairs: tuple[bytes, bytes]) -> bytes:
    """Wait for each text on a terminal, and type the answer."""
    loop, whole = asyncio.get_running_loop(), b""
    for text, answer in pairs:
        async with asyncio.timeout(15):
            seen = b""
            while text not in seen:
                ready = asyncio.Event()
                loop.add_reader(master, ready.set)
                await ready.wait()
                loop.remove_reader(master)
                seen += os.read(master, 4096)
        whole += seen
        os.write(master, answer)
    return whole
