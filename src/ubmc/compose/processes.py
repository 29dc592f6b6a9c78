"""Which services run in which process, and what a board lacks.

operator (this process)
guardian      keeps what must not outlive its owner
nats-server   the bus
safety        powermgr, sensormon, thermalmgr
managers      eventlog, usermgr, securitymgr, statemgr, netmgr, inventorymgr, ledmgr, simulation, operator, telemetry
websrv        the door
consolesrv    the serial consoles, where the board has any
sshsrv        consoles over SSH, if the owner wants that
ipmisrv       IPMI, if the owner wants that
"""

from __future__ import annotations

from ubmc.boards.load import Board
from ubmc.boards.owner import OwnerSpec
from ubmc.boards.spec import SimLinesSpec
from ubmc.kit.process import ProcessFace
from ubmc.kit.service import Service
from ubmc.layout import CONSOLES, DOOR, IPMI, MANAGERS, SAFETY, SSH
from ubmc.services.consolesrv.service import ConsoleServer
from ubmc.services.eventlog.push import EventPush
from ubmc.services.eventlog.service import EventLog
from ubmc.services.inventorymgr.service import InventoryManager
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.ledmgr.service import LedManager
from ubmc.services.netmgr.service import NetworkManager
from ubmc.services.operator.service import Operator
from ubmc.services.powermgr.service import PowerManager
from ubmc.services.securitymgr.service import SecurityManager
from ubmc.services.sensormon.service import SensorMonitor
from ubmc.services.simulation.service import Simulation
from ubmc.services.sshsrv.service import SshServer
from ubmc.services.statemgr.service import StateManager
from ubmc.services.telemetry.reports import ReportManager
from ubmc.services.telemetry.service import Telemetry
from ubmc.services.thermalmgr.service import ThermalManager
from ubmc.services.usermgr.service import UserManager
from ubmc.services.websrv.service import WebServer


def process_specs(board: Board, owner: OwnerSpec | None = None) -> tuple[ProcessSpec, ...]:
    """Which services run in which process. A service whose hardware is absent is not started.

    Args:
        board: what the hardware is.
        owner: which doors are wanted; without it only the HTTPS one.
    """
    spec = board.spec
    safety: list[type[Service]] = [PowerManager]
    if spec.sensors:
        safety.append(SensorMonitor)
    if spec.zones:
        safety.append(ThermalManager)
    managers: list[type[Service]] = [
        EventLog,
        EventPush,
        UserManager,
        SecurityManager,
        StateManager,
        NetworkManager,
        InventoryManager,
    ]
    if spec.leds:
        managers.append(LedManager)
    if isinstance(spec.lines, SimLinesSpec):
        managers.append(Simulation)
    if spec.sensors:
        managers.append(ReportManager)
    managers += [Operator, Telemetry]
    more: list[ProcessSpec] = []
    consoles = any(host.console is not None for host in spec.hosts)
    if consoles:
        more.append(ProcessSpec(CONSOLES, (ConsoleServer, ProcessFace)))
    if consoles and owner is not None and owner.ssh.listen:
        more.append(ProcessSpec(SSH, (SshServer, ProcessFace), door=True))
    if owner is not None and owner.ipmi.listen:
        from ubmc.services.ipmisrv.service import IpmiServer  # two megabytes that only those need who want IPMI

        more.append(ProcessSpec(IPMI, (IpmiServer, ProcessFace), door=True))
    return (
        ProcessSpec(SAFETY, (*safety, ProcessFace)),
        ProcessSpec(MANAGERS, (*managers, ProcessFace)),
        ProcessSpec(DOOR, (WebServer, ProcessFace), door=True),
        *more,
    )


def absent(board: Board) -> dict[str, str]:
    """The services of the schema that nobody answers on this board, and why."""
    started = {service for spec in process_specs(board) for service in spec.services}
    wanting = {
        "SensorService": (SensorMonitor, "this board has no sensors"),
        "ReportService": (ReportManager, "this board has no sensors"),
        "ThermalService": (ThermalManager, "this board has no zones that are cooled by the BMC"),
        "ConsoleService": (ConsoleServer, "this board has no serial consoles"),
        "LedService": (LedManager, "this board has no lights"),
        "SimulationService": (Simulation, "this board is not simulated"),
    }
    return {name: reason for name, (service, reason) in wanting.items() if service not in started}
