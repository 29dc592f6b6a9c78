"""The messages that are sent are those of DMTF's registries: ids, severities, arguments."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.redfish.judges import CHECKOUT
from ubmc.protocols.redfish import tasks
from ubmc.protocols.redfish.messages import _TEXTS, BASE
from ubmc.v1alpha1.task_pb import Task, TaskState

SOURCES = ("src/ubmc/protocols/redfish", "src/ubmc/services/websrv/redfish")


def registry(shared: Path, name: str) -> dict[str, Any]:
    """The messages of a registry that DMTF publishes: `Base.1.22`."""
    (file,) = (shared / "registries").glob(f"{name}.*.json")
    return dict(json.loads(file.read_text())["Messages"])


def sent() -> Iterator[tuple[str, str, int]]:
    """Where a message is made with its arguments in place: which one, and how many."""
    for file in (file for source in SOURCES for file in (CHECKOUT / source).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "Message" or not node.args:
                continue
            key, *rest = node.args
            arguments = rest[0] if rest else ast.Tuple(elts=[])
            if isinstance(key, ast.Constant) and isinstance(arguments, ast.Tuple):
                yield f"{file.name}:{node.lineno}", str(key.value), len(arguments.elts)


def test_every_message_is_in_the_registry(shared: Path) -> None:
    known = registry(shared, BASE)
    for key, (severity, text, resolution) in _TEXTS.items():
        assert known[key]["MessageSeverity"] == severity, key
        places = {int(number) for number in re.findall(r"%(\d)", text + resolution)}
        assert places <= set(range(1, known[key]["NumberOfArgs"] + 1)), key


def test_how_tasks_go_is_told_as_the_registry_says(shared: Path) -> None:
    known = registry(shared, tasks._REGISTRY)
    for state in TaskState:
        told = tasks.task(Task(id="1", state=state))["Messages"][0]
        message = known[told["MessageId"].rpartition(".")[2]]
        assert told["MessageSeverity"] == message["MessageSeverity"], state
        assert len(told["MessageArgs"]) == message["NumberOfArgs"], state


def test_every_message_has_as_many_arguments_as_its_registry_says(shared: Path) -> None:
    known = registry(shared, BASE)
    found = list(sent())
    assert len(found) > 60
    assert [(where, key) for where, key, count in found if count != known[key]["NumberOfArgs"]] == []
