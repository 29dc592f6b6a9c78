"""The truth, asked by another door than Redfish: our REST API, by nothing but the standard library."""

from __future__ import annotations

import json
import os
import ssl
import time
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

URL = os.environ.get("UBMC_URL", "")
USER = os.environ.get("UBMC_USER", "")
PASSWORD = os.environ.get("UBMC_PASSWORD", "")
TOKEN = os.environ.get("UBMC_TOKEN", "")


def get(path: str) -> Any:
    """What our REST API says: `get("hosts/host.0")`."""
    request = urllib.request.Request(f"{URL}/api/v1alpha1/{path}", headers={"Authorization": f"Bearer {TOKEN}"})
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return json.loads(answer.read())


def host() -> Any:
    """The host."""
    return get("hosts/host.0")["host"]


def state() -> str:
    """`ON`, `OFF`, ..."""
    return str(host()["state"]).removeprefix("HOST_STATE_")


def until(what: Callable[[], T], seconds: float = 45.0) -> T:
    """Wait until `what` gives something."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; it is {state()}")
        time.sleep(0.1)
