"""Composition: the one place that knows every class. Names become services, services become processes.

operator (this process)
guardian      keeps what must not outlive its owner
nats-server   the bus
safety        powermgr, sensormon, thermalmgr
managers      eventlog, usermgr, securitymgr, statemgr, inventorymgr, ledmgr, simulation, operator, telemetry
websrv        the door
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import ipaddress
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ubmc import layout as layouts
from ubmc import plans
from ubmc.boards import build
from ubmc.boards.build_assets import build_asset_sources
from ubmc.boards.build_sensors import build_fans, build_sensors
from ubmc.boards.load import Board
from ubmc.boards.owner import OwnerSpec, parse_endpoint
from ubmc.boards.spec import BoardSpec, ButtonsSpec, LineChassisSpec, SimLinesSpec
from ubmc.hw.fans import recipes
from ubmc.hw.gpio.port import Release
from ubmc.hw.power.port import Power
from ubmc.hw.sensors.port import SensorBus
from ubmc.kit import outgoing, walls
from ubmc.kit import schema as schemas
from ubmc.kit.channel import Channel
from ubmc.kit.database import Database
from ubmc.kit.errors import Busy, Invalid, UbmcError
from ubmc.kit.process import Factory, Place, ProcessFace, run_child
from ubmc.kit.readings import Readings, Trip
from ubmc.kit.secrets import FILE_NAME, DeviceKey
from ubmc.kit.service import Service
from ubmc.kit.walls import Walls
from ubmc.layout import DOOR, MANAGERS, SAFETY, Layout, lay_out, walls_of
from ubmc.services.eventlog.service import EventLog
from ubmc.services.inventorymgr.service import InventoryManager
from ubmc.services.ipc.permissions import ProcessSpec, matrix
from ubmc.services.ipc.server import NatsServer, find_binary
from ubmc.services.ledmgr.service import Duty, LedManager
from ubmc.services.operator.plan import ChildPlan, Plan, SafeFans
from ubmc.services.operator.service import Operator
from ubmc.services.operator.tree import run_tree
from ubmc.services.powermgr.service import Cooling, MakePower, PowerManager
from ubmc.services.securitymgr.selftest_facts import Surroundings
from ubmc.services.securitymgr.service import SecurityManager
from ubmc.services.sensormon.plan import Options as SensorOptions
from ubmc.services.sensormon.service import SensorMonitor
from ubmc.services.simulation.service import Simulation
from ubmc.services.statemgr.options import PATIENCE, ChassisPlan, HostPlan, Options
from ubmc.services.statemgr.service import StateManager
from ubmc.services.telemetry.service import Telemetry
from ubmc.services.thermalmgr.service import Shared, ThermalManager
from ubmc.services.usermgr.policy import AccountPolicy
from ubmc.services.usermgr.service import UserManager
from ubmc.services.usermgr.sessions import SessionOptions
from ubmc.services.websrv.service import DoorOptions, WebServer
from ubmc.v1alpha1.host_pb import RestorePolicy
from ubmc.v1alpha1.system_pb import System

log = logging.getLogger("ubmc.app")

LOCK_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Program:
    """What is to be run, and for whom."""

    board: Board
    owner: OwnerSpec
    state: Path
    first_password: Callable[[], str | None]
    said: Callable[[str, Mapping[str, Any]], None]
    ready: Callable[[], None]
    private: frozenset[int] = frozenset()
    """Descriptors that only the managers may keep."""


def version() -> str:
    """The version of this program."""
    return importlib.metadata.version("ubmc")


@contextlib.contextmanager
def locked(state: Path) -> Iterator[int]:
    """Hold the state directory for the time of the block; gives the descriptor of the lock, for the children to keep.

    Raises:
        Busy: another u-bmc holds it, or what is left of one has not ended yet.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy(f"another u-bmc runs on {state}; end it, or give this one another --state") from None
                time.sleep(0.05)
        yield descriptor
    finally:
        os.close(descriptor)


def operate(program: Program) -> None:
    """Run the BMC until SIGINT or SIGTERM.

    Raises:
        Busy: another u-bmc runs on this state directory.
        Unavailable: there is no nats-server that can be used.
    """
    with locked(program.state) as lock:
        run_tree(_plan(program, lock))


# --- processes ----------------------------------------------------------------------------------------------------


def _plan(program: Program, lock: int) -> Plan:
    schema = schemas.load()
    board, server = program.board.spec, find_binary()
    layout = lay_out(program.state, board, server)
    makers: dict[str, Callable[[], Factory]] = {
        SAFETY: lambda: partial(_safety, program),
        MANAGERS: lambda: _before_walls(program, layout),
        DOOR: lambda: partial(_door, program),
    }
    specs = process_specs(program.board)
    permissions = matrix(specs, schema)
    otlp = program.owner.telemetry.otlp_endpoint or ""
    children = tuple(
        ChildPlan(
            name=spec.name,
            services=tuple(service.name for service in spec.services if service is not ProcessFace),
            body=partial(
                _run,
                spec.name,
                schema,
                makers[spec.name],
                otlp,
                walls_of(spec.name, layout, board, program.owner, server),
            ),
            guarded=spec.name == SAFETY,
            cools=spec.name == SAFETY and bool(program.board.spec.zones),
            signs=spec.name == MANAGERS,
            commands=Operator in spec.services,
            keeps_private=spec.name == MANAGERS,
        )
        for spec in specs
    )
    watchdog = build.build_watchdog(program.board.spec)
    within = walls_of(layouts.BUS, layout, board, program.owner, server)
    bus = NatsServer(program.state, permissions, binary=server, within=within)
    return Plan(
        children=children,
        bus=bus,
        uid=bus.uid,
        said=program.said,
        ready=program.ready,
        watchdog=watchdog,
        watchdog_seconds=program.board.spec.watchdog.timeout if program.board.spec.watchdog is not None else 0.0,
        shared=frozenset({lock}),
        private=program.private,
        fans=_safe_fans(program),
    )


def _safe_fans(program: Program) -> SafeFans | None:
    """How the guardian makes the fans of a board safe, known before anybody drives them."""
    spec = program.board.spec
    if not spec.fans:
        return None
    thermal = plans.thermal_plan(spec)
    asked: dict[str, float] = {}
    for zone in thermal.zones if thermal is not None else ():
        asked |= {name: max(asked.get(name, 0.0), zone.fail_safe_percent) for name in zone.fans}
    known = [fan.recipe() for fan in build_fans(spec, machine_folder(program.state))]
    return SafeFans(
        recipes.apply,
        tuple(replace(each, failsafe_percent=max(each.failsafe_percent, asked.get(each.name, 0.0))) for each in known),
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


def _run(
    name: str, schema: schemas.Schema, make: Callable[[], Factory], otlp: str, within: Walls, channel: Channel
) -> None:
    factory = make()
    walls.enter(within)
    run_child(name, channel, schema, factory, otlp)


# --- what is in them ----------------------------------------------------------------------------------------------


def machine_folder(state: Path) -> Path:
    """Where simulated and virtual machines live."""
    return Layout(state).machine


def _safety(program: Program, place: Place) -> Sequence[Service]:
    spec, folder = program.board.spec, machine_folder(program.state)
    kept = safety_folder(program.state)
    readings, trip = Readings(), Trip()
    ensure = partial(build.ensure_machines, spec, folder)
    services: list[Service] = [_power_manager(program, place, Cooling(readings, trip, kept / "trip.json"))]
    if spec.sensors:
        buses = {bus.name: _again(build_sensors, bus.name, spec, folder) for bus in build_sensors(spec, folder)}
        options = SensorOptions(thresholds_file=kept / "thresholds.json")
        services.append(SensorMonitor(plans.sensor_plans(spec), buses, readings, options, prepare=ensure))
    thermal = plans.thermal_plan(spec)
    if thermal is not None:
        services.append(
            ThermalManager(
                thermal,
                lambda: {fan.name: fan for fan in build_fans(spec, folder)},
                Shared(readings, trip, place.cooling),
                kept / "thermal.json",
                prepare=ensure,
            )
        )
    return services


def _again(
    build_all: Callable[[BoardSpec, Path], Sequence[SensorBus]], name: str, spec: BoardSpec, folder: Path
) -> Callable[[], SensorBus]:
    """How to make one wire, each time anew: one that was closed is not opened again."""
    return lambda: next(bus for bus in build_all(spec, folder) if bus.name == name)


def safety_folder(state: Path) -> Path:
    """Where the safety process keeps its few settings."""
    return Layout(state).safety


def _power_manager(program: Program, place: Place, cooling: Cooling) -> PowerManager:
    spec, folder = program.board.spec, machine_folder(program.state)

    def keep_all(keep: Callable[[Release], None], releases: tuple[Release, ...]) -> None:
        for release in releases:
            keep(release)

    def host(name: str) -> MakePower:
        return lambda keep: build.build_power(spec, name, folder, reopened=partial(keep_all, keep))

    def chassis(name: str) -> MakePower:
        def make(keep: Callable[[Release], None]) -> Power:
            power = build.build_chassis_power(spec, name, folder, reopened=partial(keep_all, keep))
            if power is None:
                raise Invalid(f"{name} has no supply of its own")
            return power

        return make

    return PowerManager(
        {each.name: host(each.name) for each in spec.hosts},
        {each.name: chassis(each.name) for each in spec.chassis if isinstance(each.power, LineChassisSpec)},
        place.guard,
        partial(build.ensure_machines, spec, folder),
        cooling=cooling,
    )


def _before_walls(program: Program, layout: Layout) -> Factory:
    """Read what the owner keeps where the managers may not: the first password, and a device key of its own."""
    given = program.owner.security.device_key
    key = DeviceKey.load(given, make=False) if given is not None else None
    return partial(_managers, replace(program, first_password=_read_now(program.first_password)), layout, key)


def _read_now(read: Callable[[], str | None]) -> Callable[[], str | None]:
    try:
        value = read()
    except UbmcError as error:
        problem = error  # said only if the password is needed

        def fail() -> str | None:
            raise problem

        return fail
    return lambda: value


def _managers(program: Program, layout: Layout, given_key: DeviceKey | None, place: Place) -> Sequence[Service]:
    precious, expendable = Database(layout.managers / "precious.db"), Database(layout.managers / "expendable.db")
    layout.use_scratch()
    precious.open()
    expendable.open()
    owner = program.owner

    def announce(user: str, password: str) -> None:
        place.channel.send("say", what="first-password", user=user, password=password)

    device_key = given_key or DeviceKey.load(layout.managers / FILE_NAME)
    security = SecurityManager(
        precious,
        device_key,
        dns_hook=owner.security.acme_dns_hook,
        shown=partial(_show_certificate, layout.tls),
        around=_surroundings(program, layout),
    )

    def check_peer(connected: socket.socket) -> None:
        outgoing.check_peer(connected, allow_local=security.outgoing_to_local)

    services: list[Service] = [
        EventLog(expendable, place.schema),
        UserManager(
            precious,
            place.signer,
            device_key,
            first_password=program.first_password,
            announce=announce,
            options=SessionOptions(idle_seconds=owner.sessions.idle, absolute_seconds=owner.sessions.absolute),
            policy=AccountPolicy(
                min_password_length=owner.accounts.min_password_length,
                lockout_failures=owner.accounts.lockout_failures,
                lockout_seconds=owner.accounts.lockout,
                second_factor_roles=owner.accounts.second_factor_roles,
            ),
            state=layout.managers,
            check_peer=check_peer,
            issuer=f"u-bmc {program.board.spec.board.name}",
        ),
        security,
        _state_manager(program, precious),
    ]
    spec, folder = program.board.spec, machine_folder(program.state)
    services.append(
        InventoryManager(plans.asset_plans(spec), partial(build_asset_sources, spec, folder), expendable, precious)
    )
    if spec.leds:
        duties = [Duty(led.name, led.role.value, led.component or "") for led in spec.leds]
        services.append(LedManager(duties, partial(build.build_lights, spec, folder)))
    twin = build.build_twin(spec, folder)
    if twin is not None:
        services.append(Simulation(twin, spec.chassis[0].name))
    services += [Operator(place, _system(program)), Telemetry(len(process_specs(program.board)))]
    return services


def _surroundings(program: Program, layout: Layout) -> Surroundings:
    """What the self-test compares with what is."""
    owner = program.owner
    doors = {spec.name for spec in process_specs(program.board) if spec.door}
    uids = {name: uid for name, uid in layouts.UIDS.items() if layout.separate}
    return Surroundings(
        state=layout.state,
        private=(layout.managers, layout.safety, layout.bus),
        device_key=owner.security.device_key or layout.managers / FILE_NAME,
        device_key_sealed=owner.security.device_key is not None,
        listen=tuple(parse_endpoint(each) for each in owner.listen),
        redirect=tuple(parse_endpoint(each) for each in owner.web.redirect),
        proxies=tuple(owner.web.trusted_proxies),
        doors=frozenset(uid for name, uid in uids.items() if name in doors),
        inside=frozenset(uid for name, uid in uids.items() if name not in doors),
        bus=uids.get(layouts.BUS),
        why_not_separate=layout.why_not,
        version=version(),
    )


def _state_manager(program: Program, database: Database) -> StateManager:
    spec, owner = program.board.spec, program.owner
    holds = [each.power.hold for each in spec.hosts if isinstance(each.power, ButtonsSpec)]
    patience = {
        **PATIENCE,
        "power_on": owner.power.power_on_patience,
        "soft_off": owner.power.soft_off_patience,
        # Longer than any button of the board is held.
        "cut": max([PATIENCE["cut"], *(hold + 10.0 for hold in holds)]),
    }
    return StateManager(
        [
            # The power button of a virtual machine reaches its guest by itself.
            HostPlan(each.name, front_wired=not isinstance(each.power, ButtonsSpec) or each.power.front_wired)
            for each in spec.hosts
        ],
        [
            ChassisPlan(each.name, tuple(each.hosts), wired=isinstance(each.power, LineChassisSpec))
            for each in spec.chassis
        ],
        database,
        bmc=spec.bmc.name,
        fingerprint=program.board.fingerprint,
        options=Options(patience=patience, restore_policy=RestorePolicy[owner.power.restore_policy.name]),
    )


def _system(program: Program) -> System:
    spec = program.board.spec
    return System(
        board=spec.board.name,
        vendor=spec.board.vendor,
        model=spec.board.model,
        version=version(),
        hosts=[each.name for each in spec.hosts],
        chassis=[each.name for each in spec.chassis],
        management_controllers=[spec.bmc.name],
    )


def _door(program: Program, place: Place) -> Sequence[Service]:
    def listening(url: str, fingerprint: str) -> None:
        place.channel.send("say", what="listening", url=url, fingerprint=fingerprint)

    owner = program.owner
    options = DoorOptions(
        addresses=tuple(parse_endpoint(each) for each in owner.listen),
        redirect=tuple(parse_endpoint(each) for each in owner.web.redirect),
        proxies=tuple(ipaddress.ip_network(each) for each in owner.web.trusted_proxies),
        access_log=owner.log.access,
        absent=absent(program.board),
    )
    return (WebServer(place.schema, options, listening),)


def _show_certificate(folder: Path, pem: str) -> None:
    """Lay the certificate where clients on this machine find whom to trust."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / "server.pem.new"
    draft.write_text(pem, encoding="ascii")
    draft.chmod(0o644)
    draft.replace(folder / "server.pem")
