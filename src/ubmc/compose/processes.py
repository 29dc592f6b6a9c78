"""Which services run in which process, and what a board lacks.

operator (this process)
guardian      keeps what must not outlive its owner
nats-server   the bus
safety        powermgr, sensormon, thermalmgr
managers      eventlog, usermgr, securitymgr, statemgr, inventorymgr, ledmgr, simulation, operator, telemetry
websrv        the door
"""

from __future__ import annotations

from ubmc.boards.load import Board
from ubmc.boards.spec import SimLinesSpec
from ubmc.kit.process import ProcessFace
from ubmc.kit.service import Service
from ubmc.layout import DOOR, MANAGERS, SAFETY
from ubmc.services.eventlog.service import EventLog
from ubmc.services.inventorymgr.service import InventoryManager
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.ledmgr.service import LedManager
from ubmc.services.operator.service import Operator
from ubmc.services.powermgr.service import PowerManager
from ubmc.services.securitymgr.service import SecurityManager
from ubmc.services.sensormon.service import SensorMonitor
from ubmc.services.simulation.service import Simulation
from ubmc.services.statemgr.service import StateManager
from ubmc.services.telemetry.service import Telemetry
from ubmc.services.thermalmgr.service import ThermalManager
from ubmc.services.usermgr.service import UserManager
from ubmc.services.websrv.service import WebServer


def process_specs(board: Board) -> tuple[ProcessSpec, ...]:
    """Which services run in which process. A service whose hardware is absent is not started."""
    spec = board.spec
    safety: list[type[Service]] = [PowerManager]
    if spec.sensors:
        safety.append(SensorMonitor)
    if spec.zones:
        safety.append(ThermalManager)
    managers: list[type[Service]] = [EventLog, UserManager, SecurityManager, StateManager, InventoryManager]
    if spec.leds:
        managers.append(LedManager)
    if isinstance(spec.lines, SimLinesSpec):
        managers.append(Simulation)
    managers += [Operator, Telemetry]
    return (
        ProcessSpec(SAFETY, (*safety, ProcessFace)),
        ProcessSpec(MANAGERS, (*managers, ProcessFace)),
        ProcessSpec(DOOR, (WebServer, ProcessFace), door=True),
    )


def absent(board: Board) -> dict[str, str]:
    """The services of the schema that nobody answers on this board, and why."""
    started = {service for spec in process_specs(board) for service in spec.services}
    wanting = {
        "SensorService": (SensorMonitor, "this board has no sensors"),
        "ThermalService": (ThermalManager, "this board has no zones that are cooled by the BMC"),
        "LedService": (LedManager, "this board has no lights"),
        "SimulationService": (Simulation, "this board is not simulated"),
    }
    return {name: reason for name, (service, reason) in wanting.items() if service not in started}
