"""Runs what `make check` promises, two steps at a time, and says what failed.

The steps are the table below. Names as arguments run only those: `tools/check.py types lint`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
# Two, because the steps are bound by the processor, and the smallest machine that we build on has two.
AT_ONCE = 2
STEP_TIMEOUT_SECONDS = 600.0

# The longest are first, so that the short ones fill the gap beside them. {bin} is where the tools are installed.
STEPS: dict[str, str] = {
    "unit": "{bin}/python -m pytest tests/unit -q",
    "types": "{bin}/mypy",
    "webui-types": "{bin}/python tools/webui.py types",
    "webui-test": "{bin}/python tools/webui.py test",
    "webui-lint": "{bin}/python tools/webui.py lint",
    "generated": "{bin}/python tools/generate.py --check",
    "imports": "{bin}/lint-imports --no-logo",
    "schema": "{bin}/buf lint",
    "breaking": "{bin}/python tools/check_breaking.py",
    "lint": "{bin}/ruff check --quiet --output-format concise",
    "format": "{bin}/ruff format --check --quiet --output-format concise",
    "style": "{bin}/python tools/check_style.py",
}


@dataclass(frozen=True)
class Result:
    """How one step ended."""

    name: str
    passed: bool
    output: str
    seconds: float


def run(name: str) -> Result:
    """Runs one step, which fails when it does not end in time."""
    started = time.monotonic()
    command = STEPS[name].format(bin=BIN).split()
    # Tools that start other tools (buf its plugins) find those of the same environment.
    env = {**os.environ, "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=STEP_TIMEOUT_SECONDS,
            check=False,
        )
        passed, output = done.returncode == 0, done.stdout
    except subprocess.TimeoutExpired as late:
        passed, output = False, f"not done after {late.timeout:.0f} s"
    except OSError as error:
        passed, output = False, f"cannot be run: {error}; `make setup` installs it"
    return Result(name, passed, output.strip(), time.monotonic() - started)


def show(result: Result) -> None:
    """Prints all that a failed step said, and the last line of a good one."""
    lines = result.output.splitlines()
    told = lines[-1].strip("= ") if result.passed and lines else ""
    print(f"{'ok    ' if result.passed else 'FAILED'} {result.name:12}{result.seconds:6.1f} s  {told}", flush=True)
    if not result.passed:
        print("\n".join(f"       {line}" for line in lines), flush=True)


def main() -> None:
    """Runs the steps and exits 1 if one failed."""
    wanted = sys.argv[1:] or list(STEPS)
    if unknown := [name for name in wanted if name not in STEPS]:
        sys.exit(f"check: no step {', '.join(unknown)}; there are {', '.join(STEPS)}")
    started = time.monotonic()
    failed = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in as_completed([pool.submit(run, name) for name in wanted]):
            result = done.result()
            show(result)
            if not result.passed:
                failed.append(result.name)
    took = f"{time.monotonic() - started:.0f} s"
    if failed:
        sys.exit(f"check: {len(failed)} of {len(wanted)} failed in {took}: {', '.join(sorted(failed))}")
    print(f"check: all {len(wanted)} passed in {took}")


if __name__ == "__main__":
    main()
