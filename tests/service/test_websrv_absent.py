"""What a board does not have is told at the door, to those who may ask."""

from __future__ import annotations

from dataclasses import replace

from tests.service.websrv_house import OPTIONS, connect, world

REASON = "this board is not simulated"


async def test_a_service_that_nobody_answers_on_this_board() -> None:
    async with world(replace(OPTIONS, absent={"SimulationService": REASON})) as w:
        client = w.client()
        rest = await client.get("/api/v1alpha1/simulation")
        rpc = await client.post(connect("GetSimulation", "SimulationService"), json={})
        for answer in (rest, rpc):
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert answer.json()["message"] == REASON
        assert (await w.client(token="nobody").get("/api/v1alpha1/simulation")).status_code == 401
        denied = await w.client(token="ReadOnly-of-eve").post("/api/v1alpha1/simulation:clearFault", json={})
        assert denied.status_code == 403
        assert (await client.get("/api/v1alpha1/hosts")).status_code == 200
