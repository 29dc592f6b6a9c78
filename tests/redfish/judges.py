"""Other people's Redfish validators and clients, in an environment of their own, and how to run one.

They are locked in requirements/judges.txt and never installed into .venv, because they pin what the program does not.
The environment is kept in $UBMC_JUDGES, by default below ~/.cache/ubmc/judges, under the digest of the lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
LOCK = CHECKOUT / "requirements" / "judges.txt"
SHARED = CHECKOUT.parent / "shared" / "redfish"
MISSING = "the folder ../shared/redfish, with DMTF's schemas and profiles, is missing beside the checkout"
INSTALL_SECONDS = 600.0
# `requests` reads these before its callers' own wish not to verify.
TRUST = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True, slots=True)
class Door:
    """Where a Redfish service is, and who may enter."""

    url: str
    user: str
    password: str
    namespace: int = 0
    """A process whose network namespace the service is in; zero is ours."""


def cache() -> Path:
    """Where the environment and the unpacked schemas are kept, under the digest of the lock."""
    chosen = os.environ.get("UBMC_JUDGES")
    where = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ubmc/judges"
    return where / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]


def installed() -> Path:
    """The environment's folder of programs; made when it is not there, by one process at a time."""
    home = cache()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            shutil.rmtree(home / "venv", ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True, timeout=INSTALL_SECONDS)
            pip = [str(home / "venv" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
            pip += ["install", "--no-compile", "--require-hashes", "--requirement", str(LOCK)]
            subprocess.run(pip, check=True, timeout=INSTALL_SECONDS)
            (home / "complete").touch()
    return home / "venv" / "bin"


def schemas() -> Path:
    """DMTF's CSDL files, unpacked."""
    home = cache()
    home.mkdir(parents=True, exist_ok=True)
    bundle = SHARED / "csdl.tar.xz"
    where = home / f"csdl-{hashlib.sha256(bundle.read_bytes()).hexdigest()[:16]}"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not where.exists():
            part = where.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            with tarfile.open(bundle) as archive:
                archive.extractall(part, filter="data")
            part.rename(where)
    return where / "csdl"


def environment() -> dict[str, str]:
    """Ours, without what makes a client trust or ask others; with the judges' programs first in the path."""
    hidden = {name for one in (*TRUST, *PROXIES) for name in (one, one.upper(), one.lower())}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    kept["PATH"] = f"{installed()}:{kept.get('PATH', '/usr/bin:/bin')}"
    kept["PYTHONWARNINGS"] = "ignore"
    kept.pop("PYTHONPATH", None)
    return kept


def run(
    door: Door, program: str, arguments: Sequence[str], folder: Path, seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a judge's program in `folder`, in the service's network namespace, for `seconds` at most."""
    command = [str(installed() / program), *arguments]
    if door.namespace:
        command = ["nsenter", "--target", str(door.namespace), "--net", *command]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=seconds, check=False
    )
