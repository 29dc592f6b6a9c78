"""The service consolesrv: answers for all consoles, and lets doors in by ticket.

It runs in a process of its own: a flood on a serial line delays nobody else, and what a host writes is looked at where
nothing else can be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from protobuf.wkt import Timestamp

from ubmc.kit import call as calls
from ubmc.kit.bytelink import ByteLink, LinkServer, Tickets
from ubmc.kit.errors import Denied, Refused, Unauthenticated, Unavailable
from ubmc.kit.feed import Feed
from ubmc.kit.pages import find, page
from ubmc.kit.service import Service, lasting, on, rpc, stream
from ubmc.services.consolesrv import messages
from ubmc.services.consolesrv.attachment import Who
from ubmc.services.consolesrv.console import Console
from ubmc.services.consolesrv.news import TOLD
from ubmc.services.consolesrv.plan import ConsolePlan
from ubmc.services.consolesrv.recording import compiled
from ubmc.services.consolesrv.start import Opening
from ubmc.services.consolesrv.store import Store
from ubmc.v1alpha1 import console_pb as m
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.console_pb import ConsoleWriting
from ubmc.v1alpha1.console_rpc import ConsoleService
from ubmc.v1alpha1.session_pb import SessionEnd

SOCKET_NAME = "attach.sock"
STORE_NAME = "consoles.json"
MOST_BYTES = 64 * 1024
TELL_SECONDS = 0.2
"""Changes that come within so long are told as one."""


class ConsoleServer(Service):
    """Owns the serial lines of the hosts.

    Args:
        plans: the consoles of the board.
        folder: for settings, recordings and the socket; made if it is not there.
        socket_mode: who may reach the socket; a ticket is needed all the same.
    """

    name = "consolesrv"
    tells = TOLD

    def __init__(self, plans: Sequence[ConsolePlan], folder: Path, *, socket_mode: int = 0o600) -> None:
        self._plans = tuple(plans)
        self._folder = folder
        self._socket_mode = socket_mode
        self._consoles: dict[str, Console] = {}
        self._tickets: Tickets[Opening] = Tickets(time.monotonic)
        self._server: LinkServer[Opening] | None = None
        self._feed: Feed[m.Console] = Feed()
        self._changed: set[str] = set()
        self._change = asyncio.Event()

    async def setup(self) -> None:
        """Read what is kept, and listen for doors."""
        await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        store = Store(self._folder / STORE_NAME)
        await asyncio.to_thread(store.load)
        self._consoles = {
            plan.name: Console(plan, store, self._folder, self.bus.tell, self._note) for plan in self._plans
        }
        for console in self._consoles.values():
            self._feed.publish(console.name, messages.console(console))
        server = LinkServer(self._folder / SOCKET_NAME, self._tickets, self._attach, mode=self._socket_mode)
        await server.start()
        self._server = server

    async def work(self) -> None:
        """Keep the lines open, and tell what changes."""
        async with asyncio.TaskGroup() as group:
            group.create_task(lasting(self._tell_changes()))
            for console in self._consoles.values():
                group.create_task(lasting(console.run()))

    async def teardown(self) -> None:
        """Say good-bye to everybody."""
        server, self._server = self._server, None
        await asyncio.gather(*(console.end_all() for console in self._consoles.values()))
        if server is not None:
            await server.stop()

    def _note(self, console: Console) -> None:
        self._changed.add(console.name)
        self._change.set()

    async def _tell_changes(self) -> None:
        while True:
            await self._change.wait()
            self._change.clear()
            changed, self._changed = self._changed, set()
            for name in changed:
                self._feed.publish(name, messages.console(self._consoles[name]))
            await asyncio.sleep(TELL_SECONDS)

    async def _attach(self, opening: Opening, link: ByteLink) -> None:
        with contextlib.suppress(Unavailable):  # they left
            await self._consoles[opening.console].attach(opening, link)

    @on(SessionEnd)
    async def follow_session_end(self, end: SessionEnd) -> None:
        """Nobody stays attached when their session has ended."""
        for console in self._consoles.values():
            console.end_session(end.id)

    # --- calls --------------------------------------------------------------------------------------------------

    @rpc(ConsoleService.ListConsoles)
    async def list_consoles(self, request: m.ListConsolesRequest) -> m.ListConsolesResponse:
        """One page of consoles."""
        every = [messages.console(console) for console in self._consoles.values()]
        shown, token = page(every, request.page_size, request.page_token, key=lambda console: console.name)
        return m.ListConsolesResponse(consoles=shown, next_page_token=token)

    @rpc(ConsoleService.GetConsole)
    async def get_console(self, request: m.GetConsoleRequest) -> m.GetConsoleResponse:
        """One console."""
        return m.GetConsoleResponse(console=messages.console(find(self._consoles, request.name)))

    @stream(ConsoleService.WatchConsoles)
    async def watch_consoles(self, request: m.WatchConsolesRequest) -> AsyncIterator[m.WatchConsolesResponse]:
        """Consoles as they change."""
        if request.name:
            find(self._consoles, request.name)
        async for update in self._feed.watch(request.cursor, request.name):
            yield m.WatchConsolesResponse(
                console=update.item, cursor=update.cursor, snapshot=update.snapshot, complete=update.complete
            )

    @rpc(ConsoleService.UpdateConsole)
    async def update_console(self, request: m.UpdateConsoleRequest) -> m.UpdateConsoleResponse:
        """Other settings."""
        asked = request.console or m.Console()
        console = find(self._consoles, asked.name)
        given = asked.settings or m.ConsoleSettings()
        wanted = messages.paths(request.update_mask, given)
        settings = messages.changed(console.settings, given, wanted, console.line.abilities)
        compiled(settings.redactions)
        await console.change(settings)
        return m.UpdateConsoleResponse(console=messages.console(console))

    @rpc(ConsoleService.ReadConsole)
    async def read_console(self, request: m.ReadConsoleRequest) -> m.ReadConsoleResponse:
        """Bytes of the host."""
        console = find(self._consoles, request.name)
        limit = min(request.max_bytes or MOST_BYTES, MOST_BYTES)
        offset = min(request.offset, console.ring.end)
        if request.tail_bytes:
            offset = console.ring.before(request.tail_bytes)
        elif request.epoch and request.epoch != console.epoch:
            offset = console.ring.start
        piece = console.ring.read(offset, limit)
        if not piece.data and request.wait_seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(request.wait_seconds):
                    await console.more.wait()
            piece = console.ring.read(offset, limit)
        return m.ReadConsoleResponse(
            data=piece.data,
            epoch=console.epoch,
            offset=piece.offset,
            next_offset=piece.end,
            missed_bytes=piece.offset - offset,
            end_offset=console.ring.end,
            marks=[
                m.ConsoleMark(offset=place, time=Timestamp.from_seconds(at))
                for place, at in console.ring.marks(piece.offset, piece.end)
            ],
        )

    @rpc(ConsoleService.WriteConsole)
    async def write_console(self, request: m.WriteConsoleRequest) -> m.WriteConsoleResponse:
        """Bytes for the host."""
        console = find(self._consoles, request.name)
        console.make_way(*_asker(), take_over=request.take_over)
        await console.write(request.data)
        return m.WriteConsoleResponse(written_bytes=len(request.data))

    @rpc(ConsoleService.SendConsoleBreak)
    async def send_break(self, request: m.SendConsoleBreakRequest) -> m.SendConsoleBreakResponse:
        """A BREAK for the host."""
        console = find(self._consoles, request.name)
        console.make_way(*_asker(), take_over=request.take_over)
        await console.send_break(request.duration_seconds)
        return m.SendConsoleBreakResponse()

    @rpc(ConsoleService.SendConsoleSysRq)
    async def send_sysrq(self, request: m.SendConsoleSysRqRequest) -> m.SendConsoleSysRqResponse:
        """A SysRq for the host."""
        console = find(self._consoles, request.name)
        console.make_way(*_asker(), take_over=request.take_over)
        await console.send_sysrq(request.key)
        return m.SendConsoleSysRqResponse()

    @rpc(ConsoleService.ReleaseConsole)
    async def release_console(self, request: m.ReleaseConsoleRequest) -> m.ReleaseConsoleResponse:
        """Nobody writes."""
        return m.ReleaseConsoleResponse(user=find(self._consoles, request.name).revoke(*_asker()))

    @rpc(ConsoleService.ReadConsoleRecording)
    async def read_recording(self, request: m.ReadConsoleRecordingRequest) -> m.ReadConsoleRecordingResponse:
        """Bytes of the recording."""
        recorder = find(self._consoles, request.name).recorder
        limit = min(request.max_bytes or MOST_BYTES, MOST_BYTES)
        try:
            data = await asyncio.to_thread(recorder.read, request.offset, limit)
        except OSError as error:
            raise Unavailable(f"the recording cannot be read: {error.strerror}") from error
        return m.ReadConsoleRecordingResponse(data=data, recorded_bytes=recorder.size)

    @rpc(ConsoleService.DeleteConsoleRecording)
    async def delete_recording(self, request: m.DeleteConsoleRecordingRequest) -> m.DeleteConsoleRecordingResponse:
        """No recording."""
        try:
            await asyncio.to_thread(find(self._consoles, request.name).recorder.delete)
        except OSError as error:
            raise Unavailable(f"the recording cannot be deleted: {error.strerror}") from error
        return m.DeleteConsoleRecordingResponse()

    @rpc(ConsoleService.OpenConsole)
    async def open_console(self, request: m.OpenConsoleRequest) -> m.OpenConsoleResponse:
        """A ticket for somebody at a door."""
        console = find(self._consoles, request.name)
        who = self._who(request.door)
        if request.writing is not ConsoleWriting.UNSPECIFIED and not who.may_write:
            raise Denied("writing on a console needs the privilege ConfigureComponents; read it without")
        if self._server is None:
            raise Refused("the console service stops; try again")
        offset, replay = None, 0
        if request.from_ is not None:
            if request.from_.field == "offset":
                offset = request.from_.value
            else:
                replay = request.from_.value
        opening = Opening(console.name, who, request.writing, offset, request.epoch, max(replay, 0))
        ticket = self._tickets.issue(opening)
        return m.OpenConsoleResponse(socket=str((self._folder / SOCKET_NAME).absolute()), ticket=ticket)

    def _who(self, door: str) -> Who:
        """Who is at the door, as usermgr has signed it."""
        call = calls.current.get()
        if call is None or not call.signed:
            raise Unauthenticated("the door did not say who is asking")
        principal = self.bus.verifier.verify(call.signed)  # one that has expired will not do here
        if Privilege.LOGIN not in principal.privileges:
            raise Denied("this account may not log in; change its password first")
        may_write = Privilege.CONFIGURE_COMPONENTS in principal.privileges
        return Who(principal.user, principal.session, call.source or principal.source, door, may_write)


def _asker() -> tuple[str, str]:
    """Who asks, and from where."""
    call = calls.current.get()
    if call is None or call.principal is None:
        return "the BMC", ""
    return call.principal.user, call.source or call.principal.source
