"""Which u-bmc this is."""

from __future__ import annotations

import importlib.metadata
from functools import cache


@cache
def version() -> str:
    """The version of this program. Read once, before processes are forked: reading it parses a file of some pages."""
    return importlib.metadata.version("ubmc")
