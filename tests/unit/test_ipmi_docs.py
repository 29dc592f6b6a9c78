"""docs/ipmi-commands.md is what the dispatch table says, and what it names is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ubmc.kit.schema import load

ROOT = Path(__file__).parent.parent.parent


def test_document_is_written_from_the_table() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "ipmi_docs.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_calls_behind_commands_are_in_the_schema() -> None:
    known = {method.name for method in load().methods}
    rows = [line.split("|") for line in (ROOT / "docs" / "ipmi-commands.md").read_text().splitlines() if "h | " in line]
    named = {each for row in rows for each in row[5].replace(",", " ").replace("`", " ").split() if "." in each}
    assert len(rows) > 90
    assert named
    assert named <= known, named - known
