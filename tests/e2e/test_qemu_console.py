"""A real Linux guest boots on a virtual machine; its console by WebSocket and SSH at once, over restarts of ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator

import asyncssh
import pytest
from tests.e2e.test_console import Socket, ssh_port
from tests.harness.login_guest import PASSWORD, PROMPT, USER, login_board
from tests.harness.program import ADMIN_PASSWORD, KILLS_PEERS, Program, until
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ubmc.protocols import console as frames

pytestmark = [pytest.mark.e2e, pytest.mark.qemu, KILLS_PEERS]
BOOT_SECONDS = 120.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("qemu-console")
    with Program(folder / "s", "--ssh", "127.0.0.1:0", board=str(login_board(folder))) as made:
        made.login()
        yield made


def log_in(socket: Socket) -> None:
    """Type a login, as a person would; whoever is logged in is logged out first."""
    socket.type(b"\x04")
    socket.see(PROMPT.encode())
    socket.type(USER.encode() + b"\r")
    socket.see(b"Password: ")
    socket.type(PASSWORD.encode() + b"\r")
    socket.see(b"# ", 30)


def test_a_linux_boot_is_seen_by_ssh_and_websocket_and_a_login_is_typed(program: Program) -> None:
    async def by_ssh() -> None:
        async with asyncssh.connect(
            "127.0.0.1", ssh_port(program), username="admin", password=ADMIN_PASSWORD, known_hosts=None,
            client_keys=None, agent_path=None, config=None,
        ) as connection:  # fmt: skip
            process = await connection.create_process("host.0 --read-only", encoding=None)
            async with asyncio.timeout(BOOT_SECONDS):
                await process.stderr.readuntil(b"you read")
                ready.set()
                await process.stdout.readuntil(b"Linux version 6.")
                await process.stdout.readuntil(PROMPT.encode())
                await process.stdout.readuntil(b"seen by all\r\n")

    def by_websocket() -> None:
        with Socket(program, "write=true&takeOver=true") as socket:
            assert not socket.next(frames.Hello).connected  # the machine is off
            assert program.power("ON").status_code == 200
            socket.see(b"Linux version 6.", BOOT_SECONDS)
            socket.see(PROMPT.encode(), BOOT_SECONDS)
            log_in(socket)
            socket.type(b"echo seen by all\r")
            socket.see(b"seen by all\r\n")  # the echo of what was typed ends otherwise
            socket.send(frames.SysRq("h"))
            socket.see(b"sysrq: HELP", 30)

    async def both() -> None:
        ssh = asyncio.create_task(by_ssh())
        await asyncio.wait((ssh, asyncio.create_task(ready.wait())), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(ssh, asyncio.to_thread(by_websocket))

    ready = asyncio.Event()
    asyncio.run(both())
    seen = [each["arguments"] for each in program.events() if each["messageId"] == "Console.Seen"]
    assert {"BOOT_PROGRESS_OS_BOOT_STARTED", "BOOT_PROGRESS_OS_RUNNING"} <= {each.get("progress", "") for each in seen}
    until(lambda: program.host().get("bootProgress") == "BOOT_PROGRESS_OS_RUNNING", 10, "the host shows it")


def test_what_the_guest_says_while_the_console_service_is_dead_is_not_lost(program: Program) -> None:
    if program.host()["state"] == "HOST_STATE_OFF":
        assert program.power("ON").status_code == 200
    with Socket(program, "write=true&takeOver=true&replay=1") as socket:
        if socket.next(frames.Hello).connected:
            log_in(socket)
        else:
            socket.see(PROMPT.encode(), BOOT_SECONDS)
            log_in(socket)
        socket.type(b"for i in $(seq 1 20000); do echo line $i; done; echo all said\r")
        socket.see(b"line 1\r\n")
        os.kill(program.processes()["consolesrv"], signal.SIGKILL)
        with pytest.raises(ConnectionClosed):
            socket.see(b"all said\r\n")
        text, place, epoch = socket.text, socket.place, socket.epoch

    def again() -> Socket | None:
        time.sleep(0.2)  # a crowd of connections of one address is thinned out
        with contextlib.suppress(InvalidStatus):
            return Socket(program, f"from={place}&epoch={epoch}")
        return None

    with until(again, 30, "the service is back") as socket:
        assert socket.next(frames.Hello).resumed == "exact"
        text += socket.see(b"all said\r\n", 60)
    assert text == b"".join(b"line %d\r\n" % number for number in range(2, 20001))


def test_the_console_stays_over_a_power_cycle(program: Program) -> None:
    if program.host()["state"] == "HOST_STATE_OFF":
        assert program.power("ON").status_code == 200
        program.wait_state("ON", 40)
    with Socket(program) as socket:
        socket.next(frames.Hello)
        assert program.power("FORCE_OFF").status_code == 200
        while socket.next(frames.State).connected:
            pass
        program.wait_state("OFF", 20)
        assert program.host()["bootProgress"] == "BOOT_PROGRESS_NONE"
        assert program.power("ON").status_code == 200
        socket.see(b"Linux version 6.", BOOT_SECONDS)
        socket.see(PROMPT.encode(), BOOT_SECONDS)
    until(lambda: program.host().get("bootProgress") == "BOOT_PROGRESS_OS_RUNNING", 10, "the new boot is seen")
