"""The face of the operator on the bus: what the system is, the health of every service, and the tasks of all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from protobuf.wkt import Timestamp

from ubmc.kit.errors import NotFound, Unavailable
from ubmc.kit.feed import Feed
from ubmc.kit.pages import page
from ubmc.kit.process import Place
from ubmc.kit.service import Service, on, rpc, stream
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.internal_pb import RestartServicesRequest, RestartServicesResponse
from ubmc.v1alpha1.internal_rpc import OperatorService
from ubmc.v1alpha1.system_pb import (
    GetHealthRequest,
    GetHealthResponse,
    GetSystemRequest,
    GetSystemResponse,
    ServiceHealth,
    ServiceHealthChange,
    ServiceState,
    System,
)
from ubmc.v1alpha1.system_rpc import SystemService
from ubmc.v1alpha1.task_pb import (
    GetTaskRequest,
    GetTaskResponse,
    ListTasksRequest,
    ListTasksResponse,
    Task,
    TaskChange,
    TaskState,
    WatchTasksRequest,
    WatchTasksResponse,
)
from ubmc.v1alpha1.task_rpc import TaskService

MAX_TASKS = 256
_STATES = {state.name: state for state in ServiceState}
_SEVERITIES = {"FAILED": Severity.WARNING, "DEGRADED": Severity.CRITICAL, "READY": Severity.OK}
_WORDS = {"FAILED": "failed", "DEGRADED": "degraded", "READY": "ready again"}


class Operator(Service):
    """Answers for the process tree; the tree itself is the parent process, which has no place on the bus."""

    name = "operator"
    tells = (ServiceHealthChange,)

    def __init__(self, place: Place, system: System) -> None:
        """Make the service; `system` is what this system is."""
        self._place = place
        self._system = system
        self._tasks: dict[str, Task] = {}
        self._task_feed: Feed[WatchTasksResponse] = Feed()
        self._told = 0

    async def work(self) -> None:
        """Tell what the operator has to say about services, and let it know what was told."""
        while True:
            self._place.health_changed.clear()  # before we look: what comes while we tell is looked at too
            for entry in tuple(self._place.health_news):
                if entry["seq"] <= self._told:
                    continue
                self._told = entry["seq"]
                stored = self.bus.tell(
                    entry["name"],
                    ServiceHealthChange(name=entry["name"], state=_STATES[entry["state"]], reason=entry["reason"]),
                    severity=_SEVERITIES[entry["state"]],
                )
                await asyncio.wait((stored,))
                self._place.channel.send("told", seq=self._told)
            await self._place.health_changed.wait()

    @rpc(SystemService.GetSystem)
    async def get_system(self, _request: GetSystemRequest) -> GetSystemResponse:
        """What this system is."""
        return GetSystemResponse(system=self._system)

    @rpc(SystemService.GetHealth)
    async def get_health(self, _request: GetHealthRequest) -> GetHealthResponse:
        """All services, and the worst of them as the health of the whole."""
        services = [
            ServiceHealth(
                name=entry["name"],
                process=entry["process"],
                state=_STATES[entry["state"]],
                since=Timestamp.from_datetime(datetime.fromtimestamp(entry["since"], UTC)),
                restarts=entry["restarts"],
                reason=entry["reason"],
            )
            for entry in self._place.health
        ]
        states = {service.state for service in services}
        health = Severity.OK
        if states - {ServiceState.READY}:
            health = Severity.CRITICAL if ServiceState.DEGRADED in states else Severity.WARNING
        return GetHealthResponse(health=health, services=services)

    @rpc(OperatorService.RestartServices)
    async def restart_services(self, _request: RestartServicesRequest) -> RestartServicesResponse:
        """Have the parent restart everything, once this answer had time to leave."""
        loop = asyncio.get_running_loop()
        loop.call_later(0.2, lambda: self._place.channel.send("restart"))
        return RestartServicesResponse()

    @on(TaskChange)
    async def follow_task(self, change: TaskChange) -> None:
        """Remember a task."""
        task = change.task
        if task is None:
            raise Unavailable("a task without a task was told")
        self._tasks[task.id] = task
        self._task_feed.publish(task.id, WatchTasksResponse(task=task))
        while len(self._tasks) > MAX_TASKS:
            ended = (known for known, each in self._tasks.items() if each.state is not TaskState.RUNNING)
            oldest = next(ended, next(iter(self._tasks)))  # what goes on goes last
            self._task_feed.publish(oldest, WatchTasksResponse(task=self._tasks.pop(oldest), gone=True))
            self._task_feed.forget(oldest)

    @rpc(TaskService.ListTasks)
    async def list_tasks(self, request: ListTasksRequest) -> ListTasksResponse:
        """The youngest first: ids are ULIDs, which rise with time."""
        shown, token = page(
            self._tasks.values(),
            request.page_size,
            request.page_token,
            key=lambda task: task.id,
            order=str,
            reverse=True,
        )
        return ListTasksResponse(tasks=shown, next_page_token=token)

    @rpc(TaskService.GetTask)
    async def get_task(self, request: GetTaskRequest) -> GetTaskResponse:
        """One task."""
        task = self._tasks.get(request.id)
        if task is None:
            raise NotFound(f"there is no task {request.id}; only the last {MAX_TASKS} are kept")
        return GetTaskResponse(task=task)

    @stream(TaskService.WatchTasks)
    async def watch_tasks(self, request: WatchTasksRequest) -> AsyncIterator[WatchTasksResponse]:
        """Every change of a task."""
        async for update in self._task_feed.watch(request.cursor, request.id):
            told = update.item
            yield WatchTasksResponse(
                task=told.task, cursor=update.cursor, snapshot=update.snapshot, complete=update.complete, gone=told.gone
            )
