"""Every test but the unit ones, two at a time; what fails beside others is run once more, alone.

The tests start whole programs, virtual machines and other people's servers, and grant them deadlines. On a machine that
others use too, such a deadline passes now and then though nothing is wrong. So a test that failed gets one more chance,
with the machine to itself. It passes only if it passes then; what needed the second chance is named at the end, to be
looked at. More than `FEW` failures are no accident, and get none.

    python tools/suite.py FOLDER [PYTEST OPTION ...]
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAILED = Path("v/cache/lastfailed")
FEW = 24
TESTS_FAILED = 1
"""The exit code of pytest that means: some tests ran and failed. Others mean that it could not do its work."""


def run(folder: Path, cache: Path, *options: str, root: Path = ROOT) -> int:
    """Pytest's exit code.

    Args:
        folder: for temporary files; short, because the path of a unix socket has 107 bytes at most.
        cache: where pytest remembers what failed.
        options: more of its options.
        root: where it runs.
    """
    command = [sys.executable, "-m", "pytest", "--basetemp", str(folder), "-o", f"cache_dir={cache}", *options]
    return subprocess.run(command, cwd=root, check=False).returncode


def failed(cache: Path) -> list[str]:
    """The ids of the tests that failed when pytest ran last."""
    try:
        return sorted(json.loads((cache / FAILED).read_text("utf-8")))
    except FileNotFoundError:
        return []


def twice(folder: Path, cache: Path, first: tuple[str, ...], root: Path = ROOT) -> int:
    """Run all, and once more what failed; an exit code."""
    (cache / FAILED).unlink(missing_ok=True)
    code = run(folder, cache, *first, root=root)
    again = failed(cache)
    if code != TESTS_FAILED or not 0 < len(again) <= FEW:
        return code
    print(f"\n{len(again)} failed beside others; now alone:", *again, sep="\n    ", flush=True)
    code = run(folder, cache, *again, root=root)
    left = set(failed(cache))
    print("\nPassed only alone, and is worth a look:", *(each for each in again if each not in left), sep="\n    ")
    return code


def main() -> int:
    """What `make test` calls."""
    folder, *more = sys.argv[1:]
    parallel = ("--numprocesses", "2", "--dist", "loadfile", "--durations", "60", "--durations-min", "5")
    first = ("tests", "--ignore", "tests/unit", *parallel, *more)
    return twice(Path(folder), ROOT / "build" / "suite", first)


if __name__ == "__main__":
    raise SystemExit(main())
