"""Compares the schema with that of the last release, which is the last git tag; VERSIONING.md says what may change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_SECONDS = 60.0


def last_release() -> str | None:
    """The last tag of a version before HEAD, or None if there is none, or no git."""
    command = ["git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    except FileNotFoundError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def main() -> None:
    """Exits with the code of `buf breaking`."""
    tag = last_release()
    if tag is None:
        print("there is no release to compare with")
        return
    buf = shutil.which("buf", path=str(Path(sys.executable).parent)) or shutil.which("buf")
    if buf is None:
        sys.exit("buf is not installed; run make setup")
    against = f".git#tag={tag}"
    done = subprocess.run([buf, "breaking", "--against", against], cwd=ROOT, check=False, timeout=TIMEOUT_SECONDS)
    if done.returncode == 0:
        print(f"compatible with {tag}")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
