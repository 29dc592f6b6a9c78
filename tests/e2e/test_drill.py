"""`ubmc drill fan` as people run it: every limit of cooling holds on the whole program."""

from __future__ import annotations

import json
import subprocess
import sys

LIMITS = {1.0, 3.0, 10.0}


def test_every_limit_of_cooling_holds() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ubmc", "drill", "fan", "--json"],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.stdout, done.stderr
    answer = json.loads(done.stdout)
    assert answer["held"], answer
    assert done.returncode == 0
    assert len(answer["exercises"]) == 9
    assert {each["limitSeconds"] for each in answer["exercises"]} == LIMITS
    assert all(each["seconds"] <= each["limitSeconds"] for each in answer["exercises"])
