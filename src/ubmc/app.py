"""The program: the plan of its processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ubmc import layout as layouts
from ubmc.boards import build
from ubmc.compose.doors import before_ssh, consoles, door, ipmi
from ubmc.compose.managers import before_walls
from ubmc.compose.processes import process_specs
from ubmc.compose.program import Program
from ubmc.compose.safety import safe_fans, safety
from ubmc.compose.warm import warm
from ubmc.kit import schema as schemas
from ubmc.kit import walls
from ubmc.kit.channel import Channel
from ubmc.kit.process import Factory, ProcessFace, run_child
from ubmc.kit.walls import Walls
from ubmc.layout import CONSOLES, DOOR, IPMI, MANAGERS, SAFETY, SSH, lay_out, walls_of
from ubmc.services.ipc.permissions import matrix
from ubmc.services.ipc.server import NatsServer, find_binary
from ubmc.services.operator.plan import ChildPlan, Plan
from ubmc.services.operator.service import Operator
from ubmc.services.operator.tree import run_tree


def operate(program: Program, lock: int) -> None:
    """Run the BMC until SIGINT or SIGTERM.

    Args:
        program: what is to be run.
        lock: the descriptor that holds the state directory, for the children to keep.

    Raises:
        Unavailable: there is no nats-server that can be used.
    """
    run_tree(_plan(program, lock))


def _plan(program: Program, lock: int) -> Plan:
    schema = schemas.load()
    warm(program.board.spec, schema)
    board, server = program.board.spec, find_binary()
    layout = lay_out(program.state, board, server)
    makers: dict[str, Callable[[], Factory]] = {
        SAFETY: lambda: partial(safety, program),
        MANAGERS: lambda: before_walls(program, layout),
        DOOR: lambda: partial(door, program),
        CONSOLES: lambda: partial(consoles, program, layout),
        SSH: lambda: before_ssh(program, layout),
        IPMI: lambda: partial(ipmi, program, layout),
    }
    specs = process_specs(program.board, program.owner)
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
        fans=safe_fans(program),
    )


def _run(
    name: str, schema: schemas.Schema, make: Callable[[], Factory], otlp: str, within: Walls, channel: Channel
) -> None:
    factory = make()
    walls.enter(within)
    run_child(name, channel, schema, factory, otlp)
