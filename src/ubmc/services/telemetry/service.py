"""The service telemetry."""

from __future__ import annotations

from ubmc.kit.service import Service, rpc
from ubmc.services.telemetry.merge import merge
from ubmc.v1alpha1.internal_pb import GetProcessMetricsRequest
from ubmc.v1alpha1.internal_rpc import ProcessService
from ubmc.v1alpha1.system_pb import GetMetricsRequest, GetMetricsResponse
from ubmc.v1alpha1.system_rpc import TelemetryService

GATHER_SECONDS = 1.0


class Telemetry(Service):
    """Gathers what the processes measure."""

    name = "telemetry"
    calls = (ProcessService.GetProcessMetrics,)

    def __init__(self, processes: int) -> None:
        """Make the service; `processes` is how many answer."""
        self._processes = processes

    @rpc(TelemetryService.GetMetrics)
    async def get_metrics(self, _request: GetMetricsRequest) -> GetMetricsResponse:
        """The metrics of all processes that answer within a second."""
        answers = await self.bus.gather(
            ProcessService.GetProcessMetrics, GetProcessMetricsRequest(), self._processes, GATHER_SECONDS
        )
        return GetMetricsResponse(text=merge({answer.process: answer.text for answer in answers}))
