"""What holds for all tests: the long ones run only in `make soak`, and what is skipped is said, or forbidden.

`UBMC_SOAK=1` runs the tests marked `soak`. `UBMC_NO_SKIP=1` makes every skip a failure; CI sets it.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# The machine may be busy: how long an example takes says nothing of the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

APT = re.compile(r"apt(?:-get)? install ([a-z0-9.+-]+)")


def is_set(name: str) -> bool:
    return os.environ.get(name, "0") not in {"", "0"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if is_set("UBMC_SOAK"):
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    forbid_skip(report)
    return report


def forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Makes a failure of a skip; an expected failure, which pytest reports as a skip too, stays what it is."""
    if report.skipped and is_set("UBMC_NO_SKIP") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"UBMC_NO_SKIP is set, but this was skipped: {reason(report)}"


def reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why it was skipped, without the place."""
    told = report.longrepr
    return (told[2] if isinstance(told, tuple) else str(told)).removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(reason(report) for report in terminalreporter.stats.get("skipped", []))
    if not reasons:
        return
    terminalreporter.section("optional tests that did not run")
    for why, count in sorted(reasons.items()):
        terminalreporter.line(f"{count:4} {'test ' if count == 1 else 'tests'}  {why}")
    if packages := sorted({name for why in reasons for name in APT.findall(why)}):
        terminalreporter.line(f"To run them, on Debian: apt install {' '.join(packages)}")
