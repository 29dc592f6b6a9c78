"""Tasks: what goes on after the request that began it was answered."""

from __future__ import annotations

from ubmc.protocols.redfish.messages import MESSAGE_TYPE
from ubmc.protocols.redfish.resource import Body, Resource, known, link
from ubmc.protocols.redfish.types import ROOT
from ubmc.protocols.redfish.when import stamp
from ubmc.v1alpha1.task_pb import Task, TaskState

SERVICE = f"{ROOT}/TaskService"
TASKS = f"{SERVICE}/Tasks"
MONITORS = f"{SERVICE}/TaskMonitors"

# state; status, which is the severity of the message; and the message of DMTF's registry TaskEvent
_STATES = {
    TaskState.RUNNING: ("Running", "OK", "TaskStarted"),
    TaskState.COMPLETED: ("Completed", "OK", "TaskCompletedOK"),
    TaskState.FAILED: ("Exception", "Critical", "TaskAborted"),
    TaskState.CANCELLED: ("Cancelled", "Warning", "TaskCancelled"),
}
_REGISTRY = "TaskEvent.1.0"
_DONE = 100


def service(now: str) -> Body:
    """The service.

    Args:
        now: its clock.
    """
    return {
        "Id": "TaskService",
        "Name": "Task Service",
        "Status": {"State": "Enabled", "Health": "OK"},
        "ServiceEnabled": True,
        "DateTime": now,
        "CompletedTaskOverWritePolicy": "Oldest",
        "LifeCycleEventOnTaskStateChange": False,
        "Tasks": link(TASKS),
    }


def is_running(of: Task) -> bool:
    """Whether it goes on."""
    return of.state is TaskState.RUNNING


def task(of: Task) -> Body:
    """One task."""
    state, status, key = _STATES.get(of.state, ("New", "OK", "TaskStarted"))
    percent = of.percent_complete if of.has_field("percent_complete") else None
    if percent is None and of.state is TaskState.COMPLETED:
        percent = _DONE
    message = {
        "@odata.type": MESSAGE_TYPE,
        "MessageId": f"{_REGISTRY}.{key}",
        "MessageArgs": [of.id],
        "Message": of.message or of.title,
        "MessageSeverity": status,
    }
    return known(
        {
            "Id": of.id,
            "Name": of.title or f"Task {of.id}",
            "TaskState": state,
            "TaskStatus": status,
            "StartTime": stamp(of.start_time),
            "EndTime": stamp(of.end_time),
            "PercentComplete": percent,
            "HidePayload": True,
            "TaskMonitor": f"{MONITORS}/{of.id}" if is_running(of) else None,
            "Messages": [message],
        }
    )


RESOURCES = (
    Resource(SERVICE, "TaskService", volatile=("DateTime",), about="Tasks, and how many are kept."),
    Resource(TASKS, "TaskCollection", about="Tasks that go on, and the last that ended."),
    Resource(f"{TASKS}/{{task}}", "Task", about="One task."),
)
