"""Log lines for people and for programs."""

from __future__ import annotations

import ast
import logging
import re
import sys
from pathlib import Path

import orjson
import pytest

import ubmc
from ubmc.kit.log import HumanFormatter, JsonFormatter, configure
from ubmc.kit.tracing import span


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("ubmc.part").makeRecord(
        "ubmc.part", logging.WARNING, "f", 1, message, args, None, extra=extra
    )


def test_a_line_for_people() -> None:
    line = HumanFormatter().format(record("the %s hangs", "host", host="host.0", count=3))
    assert re.fullmatch(r"\d\d:\d\d:\d\d WARNING part: the host hangs \(host=host\.0 count=3\)", line)


def test_no_control_character_reaches_a_terminal() -> None:
    line = HumanFormatter().format(record("a\x1b[2Jb\nc\r\x07", name_="\x9b31m\u202eevil\n"))
    assert all(char.isprintable() for char in line)
    assert "\\x1b[2J" in line
    assert "\\u202e" in line


def test_a_line_for_programs() -> None:
    with span("x") as trace:
        entry = orjson.loads(JsonFormatter().format(record("new\nline", path=Path("/x"))))
    assert entry["message"] == "new\nline"
    assert (entry["level"], entry["part"], entry["path"], entry["trace_id"]) == (
        "warning",
        "part",
        "/x",
        trace.trace_id,
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", entry["time"])


def test_tracebacks() -> None:
    broken = record("broken")
    try:
        raise RuntimeError("inner")
    except RuntimeError:
        broken.exc_info = sys.exc_info()
    assert "RuntimeError: inner" in HumanFormatter().format(broken).splitlines()[-1]
    assert "RuntimeError: inner" in orjson.loads(JsonFormatter().format(broken))["traceback"]


def test_the_trace_that_is_given_counts() -> None:
    with span("x"):
        assert "trace_id=given" in HumanFormatter().format(record("m", trace_id="given"))


def test_levels(capfd: pytest.CaptureFixture[str]) -> None:
    root, ours = logging.getLogger(), logging.getLogger("ubmc")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    try:
        configure(json=False, level="info")
        logging.getLogger("ubmc.x").info("shown")
        logging.getLogger("ubmc.x").debug("hidden")
        logging.getLogger("other").info("hidden too")
        logging.getLogger("other").warning("of another")
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
    out = capfd.readouterr()
    assert out.out == ""
    assert [line.split(": ", 1)[1] for line in out.err.splitlines()] == ["shown", "of another"]


RESERVED = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def extras() -> list[tuple[str, str]]:
    """Every name that is given as `extra` in a logging call of ours, with its place."""
    found = []
    root = Path(ubmc.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if "v1alpha1" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
                continue
            for keyword in node.keywords:
                if keyword.arg == "extra":
                    place = f"{path.relative_to(root)}:{node.lineno}"
                    assert isinstance(keyword.value, ast.Dict), f"{place}: extra is no literal, so nobody can check it"
                    for key in keyword.value.keys:
                        assert isinstance(key, ast.Constant), place
                        found.append((str(key.value), place))
    return found


def test_no_field_takes_a_name_that_logging_uses_itself() -> None:
    found = extras()
    assert len(found) > 20
    assert [(name, place) for name, place in found if name in RESERVED] == []
