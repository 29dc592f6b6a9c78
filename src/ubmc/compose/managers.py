"""What runs in the managers process."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ubmc import layout as layouts
from ubmc.boards import build
from ubmc.boards.build_assets import build_asset_sources
from ubmc.boards.owner import parse_endpoint
from ubmc.boards.spec import ButtonsSpec, LineChassisSpec, SimLinesSpec
from ubmc.compose.processes import process_specs
from ubmc.compose.program import Program, machine_folder, version
from ubmc.hw.network.linux import LinuxNetwork
from ubmc.kit import outgoing
from ubmc.kit.database import Database
from ubmc.kit.errors import UbmcError
from ubmc.kit.process import Factory, Place
from ubmc.kit.secrets import FILE_NAME, DeviceKey
from ubmc.kit.service import Service
from ubmc.layout import Layout
from ubmc.plans.assets import asset_plans, inventory_options
from ubmc.plans.hosts import host_plans
from ubmc.plans.network import network_plan
from ubmc.services.eventlog.push import EventPush, Outside
from ubmc.services.eventlog.service import EventLog
from ubmc.services.inventorymgr.service import InventoryManager
from ubmc.services.ledmgr.service import Duty, LedManager
from ubmc.services.netmgr.service import NetworkManager
from ubmc.services.operator.service import Operator
from ubmc.services.securitymgr.selftest_facts import Surroundings
from ubmc.services.securitymgr.service import SecurityManager
from ubmc.services.simulation.service import Simulation
from ubmc.services.statemgr.options import PATIENCE, ChassisPlan, Options
from ubmc.services.statemgr.service import StateManager
from ubmc.services.telemetry.reports import ReportManager
from ubmc.services.telemetry.service import Telemetry
from ubmc.services.usermgr.policy import AccountPolicy
from ubmc.services.usermgr.service import UserManager
from ubmc.services.usermgr.sessions import SessionOptions
from ubmc.v1alpha1.host_pb import RestorePolicy
from ubmc.v1alpha1.system_pb import System


def before_walls(program: Program, layout: Layout) -> Factory:
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

    def first_changed() -> None:
        place.channel.send("say", what="first-password-changed")

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
        EventPush(precious, device_key, place.schema, Outside(allow_local=lambda: security.outgoing_to_local)),
        UserManager(
            precious,
            place.signer,
            device_key,
            first_password=program.first_password,
            announce=announce,
            first_changed=first_changed,
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
        _state_manager(program, precious, security),
        _network_manager(program, precious),
    ]
    spec, folder = program.board.spec, machine_folder(program.state)
    services.append(
        InventoryManager(
            asset_plans(spec),
            partial(build_asset_sources, spec, folder),
            expendable,
            precious,
            options=inventory_options(spec),
        )
    )
    if spec.leds:
        duties = [Duty(led.name, led.role.value, led.component or "") for led in spec.leds]
        services.append(LedManager(duties, partial(build.build_lights, spec, folder)))
    twin = build.build_twin(spec, folder)
    if twin is not None:
        services.append(Simulation(twin, spec.chassis[0].name))
    if spec.sensors:
        services.append(ReportManager(precious))
    services += [Operator(place, _system(program)), Telemetry(len(process_specs(program.board, program.owner)))]
    return services


def _surroundings(program: Program, layout: Layout) -> Surroundings:
    """What the self-test compares with what is."""
    owner = program.owner
    doors = {spec.name for spec in process_specs(program.board, program.owner) if spec.door}
    uids = {name: uid for name, uid in layouts.UIDS.items() if layout.separate}
    return Surroundings(
        state=layout.state,
        private=(layout.managers, layout.safety, layout.bus),
        device_key=owner.security.device_key or layout.managers / FILE_NAME,
        device_key_sealed=owner.security.device_key is not None,
        listen=tuple(parse_endpoint(each) for each in (*owner.listen, *owner.ssh.listen, *owner.ipmi.listen)),
        ipmi=tuple(owner.ipmi.listen),
        redirect=tuple(parse_endpoint(each) for each in owner.web.redirect),
        proxies=tuple(owner.web.trusted_proxies),
        doors=frozenset(uid for name, uid in uids.items() if name in doors),
        inside=frozenset(uid for name, uid in uids.items() if name not in doors),
        bus=uids.get(layouts.BUS),
        why_not_separate=layout.why_not,
        version=version(),
    )


def _network_manager(program: Program, database: Database) -> NetworkManager:
    spec = program.board.spec
    modelled = isinstance(spec.lines, SimLinesSpec) or layouts.has_virtual_machine(spec)
    plan = network_plan(program.board, program.owner)
    return NetworkManager(plan, database, None if modelled else LinuxNetwork())


def _state_manager(program: Program, database: Database, security: SecurityManager) -> StateManager:
    spec, owner = program.board.spec, program.owner
    holds = [each.power.hold for each in spec.hosts if isinstance(each.power, ButtonsSpec)]
    patience = {
        **PATIENCE,
        "power_on": owner.power.power_on_patience,
        "soft_off": owner.power.soft_off_patience,
        # Longer than any button of the board is held.
        "cut": max([PATIENCE["cut"], *(hold + 10.0 for hold in holds)]),
    }

    def check_boot_uri(uri: str) -> None:
        outgoing.check_url(uri, ("https", "http"), allow_local=security.outgoing_to_local)

    return StateManager(
        host_plans(spec),
        [
            ChassisPlan(each.name, tuple(each.hosts), wired=isinstance(each.power, LineChassisSpec))
            for each in spec.chassis
        ],
        database,
        bmc=spec.bmc.name,
        fingerprint=program.board.fingerprint,
        check_boot_uri=check_boot_uri,
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


def _show_certificate(folder: Path, pem: str) -> None:
    """Lay the certificate where clients on this machine find whom to trust."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / "server.pem.new"
    draft.write_text(pem, encoding="ascii")
    draft.chmod(0o644)
    draft.replace(folder / "server.pem")
