"""Expansion: every resource of a large board at the depth that is promised, and nobody waits for somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import time
from typing import Any, cast

import pytest
from tests.unit.redfish_world import facts, walk

from ubmc.kit.bus import Bus
from ubmc.kit.errors import NotFound
from ubmc.kit.schema import Schema
from ubmc.protocols.redfish.facts import Facts
from ubmc.protocols.redfish.messages import RedfishError
from ubmc.protocols.redfish.query import MAX_LEVELS, Query, parse_query
from ubmc.protocols.redfish.resource import Body
from ubmc.protocols.redfish.tree import TREE
from ubmc.services.websrv.forward import Forwarder
from ubmc.services.websrv.identities import Identity
from ubmc.services.websrv.peer import Peer
from ubmc.services.websrv.redfish import bites
from ubmc.services.websrv.redfish.bites import BITE, MOST_EXPANDED, Turns
from ubmc.services.websrv.redfish.cache import Cache
from ubmc.services.websrv.redfish.context import Context
from ubmc.services.websrv.redfish.model import Model
from ubmc.services.websrv.redfish.reader import Reader
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.session_pb import Principal

SENSORS = "/redfish/v1/Chassis/chassis.0/Sensors"
EVERYTHING = tuple(each for each in Privilege if each is not Privilege.UNSPECIFIED)


def large() -> Facts:
    """The simulated board with about 300 sensors."""
    found = facts("on")
    for name, sensor in dict(found.rows("sensor")).items():
        for number in range(10):
            more = copy.deepcopy(sensor)
            more.name = f"{name}_{number}"
            found.put("sensor", more.name, more)
    return found


class World:
    """A reader of some facts; what is read live is not there, or is whatever has a place below it."""

    def __init__(self, of: Facts, *, live: bool = False) -> None:
        self.facts = of
        self.model = Model(cast("Bus", None), {}, ())
        self.model.facts = of
        self.cache = Cache(TREE, self.model)
        loaded = [resource.template for resource in TREE if resource.build is None]
        self.reader = Reader(self.cache, self.model, dict.fromkeys(loaded, self._below if live else self._absent))

    @staticmethod
    async def _absent(_context: Context, _query: Query) -> Body | None:
        raise NotFound("this board has no such service")

    @staticmethod
    async def _below(context: Context, _query: Query) -> Body | None:
        own = context.found.resource.template
        below = [each.template for each in TREE if each.template.rpartition("/")[0] == own]
        links = [{"@odata.id": f"{context.path}/{each.rpartition('/')[2].format_map(_Named())}"} for each in below]
        return {"Name": "live", "Members": links, "Members@odata.count": len(links)}

    async def read(self, path: str, query: str, user: str = "admin", may: tuple[Privilege, ...] = EVERYTHING) -> Any:
        """What a user with these privileges gets."""
        found = TREE.find(path)
        assert found is not None
        principal = Principal(user=user, privileges=list(may))
        identity = Identity(b"", principal, None, b"", time.monotonic() + 60)
        nothing: Any = None
        context = Context(
            path,
            found,
            {},
            Peer("test"),
            identity,
            self.cache.view(),
            self.model,
            cast("Forwarder", nothing),
            cast("Schema", nothing),
        )
        return json.loads((await self.reader.read(context, parse_query(query))).data)


async def test_every_resource_of_a_large_board_expands_as_deep_as_the_root_promises() -> None:
    world = World(large())
    paths = [path for path in walk(world.facts) if path != "/redfish/v1"]
    assert len([path for path in paths if path.startswith(SENSORS)]) > 250
    odd = [path for path in paths if not path.startswith(SENSORS)]
    for path in [*odd, SENSORS]:
        for kind in "*.~":
            await world.read(path, f"$expand={kind}($levels={MAX_LEVELS})")
    whole = await world.read("/redfish/v1/Chassis/chassis.0", f"$expand=.($levels={MAX_LEVELS})")
    readings = [each["Reading"] for each in whole["Sensors"]["Members"]]
    assert len(readings) > 250


async def test_what_leads_back_up_stays_a_link() -> None:
    world = World(facts("on"))
    chassis = "/redfish/v1/Chassis/chassis.0"
    whole = await world.read(chassis, "$expand=*($levels=2)")
    system = whole["Links"]["ComputerSystems"][0]
    assert system["Name"] == "host.0"
    assert system["Links"]["Chassis"] == [{"@odata.id": chassis}]
    assert system["Links"]["ManagedBy"][0]["ManagerType"] == "BMC"


async def test_others_are_served_between_the_bites_of_a_large_answer() -> None:
    world = World(large())
    await world.read(SENSORS, "$expand=*($levels=2)")  # so that all is rendered
    reading = asyncio.create_task(world.read(SENSORS, "$expand=*($levels=2)"))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 500 / BITE


async def test_one_large_answer_at_a_time_for_each_user() -> None:
    turns, order = Turns(), []

    async def expand(user: str, name: str, most: int) -> None:
        async with turns.bites(user) as taken:
            for _ in range(most):
                await taken.one_more()
                order.append(name)
                await asyncio.sleep(0)

    await asyncio.gather(
        expand("eve", "first", 3 * BITE),
        expand("eve", "second", 3 * BITE),
        expand("eve", "small", BITE - 1),
        expand("bob", "bob", 3 * BITE),
    )
    began = order.index("second", [at for at, name in enumerate(order) if name == "second"][BITE - 2] + 1)
    assert "first" not in order[began:]  # the second one goes on when the first is through
    assert "bob" in order[: len(order) - 2 * BITE]
    assert order.count("small") == BITE - 1
    assert max(at for at, name in enumerate(order) if name == "small") < began


async def test_who_asks_for_more_than_can_be_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bites, "TURN_SECONDS", 0.01)
    turns = Turns()
    async with turns.bites("eve") as one:
        with pytest.raises(RedfishError) as caught:
            for _ in range(MOST_EXPANDED + 1):
                await one.one_more()
        assert caught.value.status == 507
        async with turns.bites("eve") as other:
            with pytest.raises(RedfishError) as caught:
                for _ in range(BITE):
                    await other.one_more()
            assert (caught.value.status, caught.value.retry_seconds > 0) == (503, True)
    async with turns.bites("eve") as next_one:  # nothing is held on to
        for _ in range(BITE):
            await next_one.one_more()


@pytest.mark.parametrize("may", [(), (Privilege.LOGIN,), (Privilege.LOGIN, Privilege.CONFIGURE_COMPONENTS)])
async def test_who_may_read_less_is_shown_less(may: tuple[Privilege, ...]) -> None:
    world = World(facts("on"), live=True)
    shown, all_of_it = set(), set()
    for path in ("/redfish/v1", *(each.template.format_map(_Named()) for each in TREE)):
        found = TREE.find(path)
        assert found is not None
        with contextlib.suppress(RedfishError):  # this board has no such thing
            all_of_it |= types(await world.read(path, "$expand=*($levels=2)"))
            if not found.resource.read or {*found.resource.read} & {*may}:
                shown |= types(await world.read(path, "$expand=*($levels=2)", "eve", may))
    readable = {each.odata_type for each in TREE if not each.read or {*each.read} & {*may}}
    assert shown <= readable
    assert {"#ManagerAccount.v1_14_1.ManagerAccount", "#Session.v1_8_0.Session"} <= all_of_it - shown


class _Named(dict[str, str]):
    """A name for each place of a template, which is there on this board where it can be."""

    def __missing__(self, place: str) -> str:
        return {"system": "host.0", "chassis": "chassis.0", "manager": "bmc.0"}.get(place, "x")


def types(value: Any) -> set[str]:
    """The types of all resources that an answer shows."""
    if isinstance(value, list):
        return {kind for each in value for kind in types(each)}
    if not isinstance(value, dict):
        return set()
    own = {value["@odata.type"]} if "@odata.id" in value and "@odata.type" in value else set()
    return own | {kind for each in value.values() for kind in types(each)}


async def test_an_excerpt_is_what_the_schema_says_and_what_has_none_stays_whole() -> None:
    """What has no excerpt stays whole (DSP0266, section on query parameters)."""
    world = World(facts("on"))
    whole = await world.read(SENSORS, "")
    assert await world.read(SENSORS, "excerpt") == whole
    name = whole["Members"][0]["@odata.id"]
    assert set(await world.read(name, "excerpt")) == {"@odata.id", "@odata.type", "@odata.etag", "Reading"}
    control = (await world.read("/redfish/v1/Chassis/chassis.0/Controls", ""))["Members"][0]["@odata.id"]
    assert {"ControlMode", "AllowableMax", "AllowableMin"} <= set(await world.read(control, "excerpt"))
    assert "SetPoint" not in await world.read(control, "excerpt")
