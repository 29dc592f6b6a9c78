"""telemetry on a real bus: what all processes measure, in one text."""

from __future__ import annotations

import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.harness.bus import BusWorld

from ubmc.kit.call import Call
from ubmc.kit.errors import Denied
from ubmc.kit.process import ProcessFace
from ubmc.kit.service import Service
from ubmc.kit.tracing import Trace
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.telemetry.service import GATHER_SECONDS, Telemetry
from ubmc.v1alpha1.system_pb import GetMetricsRequest
from ubmc.v1alpha1.system_rpc import TelemetryService


class Other(Service):
    name = "powermgr"


SPECS = (
    ProcessSpec("managers", (Telemetry, ProcessFace)),
    ProcessSpec("safety", (Other, ProcessFace)),
    ProcessSpec("websrv", (ProcessFace,), door=True),
)


async def test_all_processes_are_gathered_and_a_silent_one_is_left_out() -> None:
    async with BusWorld(*SPECS) as made:
        buses = {}
        for name in ("safety", "websrv", "managers"):
            buses[name] = await made.place(name)
        for name in ("safety", "websrv", "managers"):
            await made.run(buses[name], ProcessFace(name, buses[name].metrics))
        await made.run(buses["managers"], Telemetry(3))
        door = buses["websrv"]
        began = time.monotonic()
        answer = await door.forward(TelemetryService.GetMetrics, GetMetricsRequest(), made.call())
        assert time.monotonic() - began < GATHER_SECONDS, "it does not wait when all have answered"
        assert processes(answer.text) == {"safety", "websrv", "managers"}
        await buses["safety"].close()
        answer = await door.forward(TelemetryService.GetMetrics, GetMetricsRequest(), made.call())
        assert processes(answer.text) == {"websrv", "managers"}
        with pytest.raises(Denied):
            await door.forward(
                TelemetryService.GetMetrics, GetMetricsRequest(), Call(time.monotonic() + 5, Trace.new())
            )


def processes(text: str) -> set[str]:
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return {sample.labels["process"] for family in families for sample in family.samples}
