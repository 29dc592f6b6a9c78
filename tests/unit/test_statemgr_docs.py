"""docs/state.md is what the tables say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_state_document_is_drawn_from_the_tables() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "state_docs.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
