"""The contract of `ubmc.hw.fans.port.Fan` and of its recipes, which every driver of a cooling device keeps."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
from tests.contract.fan_rig import Factory, Rig

from ubmc.hw.fans import recipes
from ubmc.hw.fans.port import Fan, Recipe
from ubmc.kit.errors import Invalid, Unavailable

Run = Callable[[Callable[[Rig], Awaitable[None]]], None]


def _factories() -> list[Factory]:
    found: list[Factory] = []
    for kind in ("fans_linux", "fans_sim"):
        name = f"tests.contract.{kind}"
        if importlib.util.find_spec(name) is not None:
            found += importlib.import_module(name).FACTORIES
    return found


@pytest.fixture(params=_factories(), ids=lambda factory: factory.name)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    factory: Factory = request.param
    return lambda body: factory.run(body, tmp_path)


@contextlib.asynccontextmanager
async def opened(rig: Rig) -> AsyncIterator[Fan]:
    fan = rig.fan()
    try:
        yield fan
    finally:
        await fan.close()


async def is_at(rig: Rig, percent: float) -> bool:
    return await rig.duty() == pytest.approx(percent, abs=rig.step_percent)


def test_a_new_driver_changes_nothing(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as fan:
            assert fan.name == "fan.0"
            assert await fan.get() == pytest.approx(50, abs=rig.step_percent)
        assert await is_at(rig, 50)

    run(body)


def test_a_duty_is_taken_and_told(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as fan:
            for percent in (100.0, 0.0, 33.3, 50.0, 20.0):
                await fan.set(percent)
                assert await is_at(rig, percent)
                assert await fan.get() == pytest.approx(percent, abs=rig.step_percent)

    run(body)


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), float("inf")])
def test_what_is_no_duty_is_not_set(run: Run, percent: float) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as fan:
            with pytest.raises(Invalid):
                await fan.set(percent)
        assert await is_at(rig, 50)

    run(body)


def test_hardware_that_does_not_obey_is_unavailable_until_it_does(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as fan:
            await fan.set(30)
            await rig.disobey()
            with pytest.raises(Unavailable):
                await fan.set(90)
            with pytest.raises(OSError):
                await rig.apart(lambda: recipes.apply(fan.recipe(), 90))
            await rig.obey()
            await fan.set(90)
            assert await is_at(rig, 90)

    run(body)


def test_hardware_that_goes_and_comes_back_is_found_again(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as fan:
            await fan.set(30)
            recipe = fan.recipe()
            await rig.lose()
            with pytest.raises(Unavailable):
                await fan.set(90)
            with pytest.raises(Unavailable):
                await fan.get()
            with pytest.raises(OSError):
                await rig.apart(lambda: recipes.apply(recipe, 90))
            await rig.find()
            await fan.set(90)
            assert await is_at(rig, 90)
            await rig.apart(lambda: recipes.apply(recipe, 70))
            assert await is_at(rig, 70)

    run(body)


def test_a_recipe_is_plain_data_with_which_the_fan_is_set_without_its_driver(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as fan:
            recipe = fan.recipe()
        assert (recipe.name, recipe.failsafe_percent) == ("fan.0", 80.0)
        again = Recipe(**json.loads(json.dumps(asdict(recipe))))
        assert again == recipe
        for percent, wanted in ((again.failsafe_percent, 80), (400.0, 100), (-1.0, 0), (float("nan"), 100)):
            await rig.apart(partial(recipes.apply, again, percent))
            assert await is_at(rig, wanted)

    run(body)


def test_close_leaves_the_duty_and_a_closed_driver_sets_none(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as fan:
            await fan.set(70)
        await fan.close()
        with pytest.raises(Unavailable):
            await fan.set(20)
        assert await is_at(rig, 70)

    run(body)


def test_the_last_of_several_duties_holds(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as fan:
            await asyncio.gather(*(fan.set(percent) for percent in (10, 90, 40, 60)))
            assert await is_at(rig, 60)

    run(body)


def test_a_cancelled_caller_leaves_the_fan_usable(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as fan:
            for _ in range(10):
                caller = asyncio.create_task(fan.set(10))
                await asyncio.sleep(0)
                caller.cancel()
                await asyncio.wait([caller])
            await fan.set(60)
            assert await is_at(rig, 60)

    run(body)
