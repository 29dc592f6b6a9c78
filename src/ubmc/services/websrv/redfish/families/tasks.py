"""Tasks, read live from the operator, which knows those of all services."""

from __future__ import annotations

import datetime as dt

import orjson

from ubmc.protocols.redfish import tasks
from ubmc.protocols.redfish.messages import Message, RedfishError, missing, success
from ubmc.protocols.redfish.query import Query
from ubmc.protocols.redfish.resource import Body, members
from ubmc.protocols.redfish.types import odata_type
from ubmc.services.websrv.http.asgi import Receive, Scope, Send
from ubmc.services.websrv.redfish.cache import JSON
from ubmc.services.websrv.redfish.context import Context, Family
from ubmc.services.websrv.responses import respond
from ubmc.v1alpha1.task_pb import GetTaskRequest, ListTasksRequest, TaskState
from ubmc.v1alpha1.task_rpc import TaskService

PAGE = 1000


async def _service(context: Context, _query: Query) -> Body:
    now = dt.datetime.fromtimestamp(context.view.now, dt.UTC)
    return tasks.service(now.strftime("%Y-%m-%dT%H:%M:%SZ"))


async def _list(context: Context, _query: Query) -> Body:
    found = await context.call(TaskService.ListTasks, ListTasksRequest(page_size=PAGE))
    return {"Name": "Tasks", **members(tasks.TASKS, [task.id for task in found.tasks])}


async def _task(context: Context, _query: Query) -> Body | None:
    task = (await context.call(TaskService.GetTask, GetTaskRequest(id=context.params["task"]))).task
    return tasks.task(task) if task is not None else None


async def _monitor(context: Context, _scope: Scope, _receive: Receive, send: Send) -> None:
    """How it ends: 202 while it goes on, and then what the request that began it would have answered."""
    request = GetTaskRequest(id=context.path.rpartition("/")[2])
    task = (await context.call(TaskService.GetTask, request)).task
    if task is None:
        raise missing(context.path)
    path = f"{tasks.TASKS}/{task.id}"
    status, body = 200, success()
    extra: list[tuple[bytes, bytes]] = []
    if tasks.is_running(task):
        status, body = 202, {"@odata.id": path, "@odata.type": odata_type("Task"), **tasks.task(task)}
        extra = [(b"location", context.path.encode()), (b"retry-after", b"1")]
    elif task.state is not TaskState.COMPLETED:
        raise RedfishError(409, Message("ResourceInUse", text=task.message))
    await respond(send, status, orjson.dumps(body), JSON, [(b"odata-version", b"4.0"), *extra])


FAMILY = Family(
    loads={tasks.SERVICE: _service, tasks.TASKS: _list, f"{tasks.TASKS}/{{task}}": _task},
    streams={f"{tasks.MONITORS}/*": _monitor},
)
