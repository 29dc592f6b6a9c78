"""What other people's IPMI clients get from a board whose host is a QEMU machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import answering_guest
from tests.harness.qemu_board import need_qemu, qemu_board
from tests.harness.terminal import Terminal
from tests.ipmi import freeipmi_rows, ipmitool_rows, pyghmi_rows, qemu_rows
from tests.ipmi.board import Board, running
from tests.ipmi.clients import need_clients
from tests.ipmi.matrix import BREAK, Matrix, suites
from tests.ipmi.rows import check

pytestmark = pytest.mark.qemu
MORE = """
network = true
cdrom = "{cdrom}"

[[hosts.power.disks]]
path = "{disk}"
format = "raw"
"""


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    need_clients()
    need_qemu()
    folder = Path(tmp_path_factory.mktemp("ipmi-qemu"))
    disk = folder / "empty.raw"
    disk.write_bytes(bytes(1 << 20))
    file = qemu_board(folder, more=MORE.format(cdrom=answering_guest.answering_cd(folder), disk=disk))
    given = {"lacks": qemu_rows.LACKS, "whole": "host.0", "listens": answering_guest.listens}
    with running(folder, board=str(file), **given) as found:
        yield found


class TestQemuBoard(Matrix):
    """All of it, but for what such a board lacks."""

    async def talk(self, terminal: Terminal) -> None:
        """With a guest that answers with the case swapped."""
        terminal.type(b"a Marker\r")
        await terminal.see(b"A mARKER\r")
        terminal.type(BREAK)
        await terminal.see(answering_guest.BREAK_ANSWER)

    @suites
    @pytest.mark.parametrize("what", qemu_rows.INSTEAD)
    def test_what_it_lacks_is_refused(self, board: Board, what: str, suite: int) -> None:
        check(board, qemu_rows.INSTEAD[what], suite=suite)

    @suites
    def test_what_is_true_of_virtual_machines(self, board: Board, suite: int) -> None:
        check(board, qemu_rows.MACHINE, suite=suite)

    @pytest.mark.parametrize(("how", "suite"), [("warm", 3), ("cold", 17)])
    def test_restart(self, board: Board, how: str, suite: int) -> None:
        self.restart(board, how, suite)


def test_every_exception_is_of_use_and_has_rows_instead() -> None:
    groups = (*ipmitool_rows.GROUPS.values(), *freeipmi_rows.GROUPS.values(), *pyghmi_rows.GROUPS.values())
    needs = {row.needs for group in groups for row in group}
    assert set(qemu_rows.LACKS) == set(qemu_rows.INSTEAD)
    assert set(qemu_rows.LACKS) <= needs
    assert all(any(row.needs not in qemu_rows.LACKS for row in group) for group in groups), "nothing of it is tried"
