"""docs/redfish-map.md is what the table of resources says, and that table is whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ubmc.protocols.redfish.resource import Resource
from ubmc.protocols.redfish.tree import TREE
from ubmc.protocols.redfish.types import VERSIONS
from ubmc.services.websrv.redfish.context import By, Families, Family
from ubmc.services.websrv.redfish.families import families
from ubmc.services.websrv.redfish.mount import offered

ROOT = Path(__file__).parent.parent.parent


def test_the_map_is_written_from_the_table() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "redfish_docs.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_resource_says_what_it_is() -> None:
    for resource in TREE:
        assert resource.about, resource.template
        assert resource.collection or resource.type in VERSIONS, resource.type


def test_whatever_is_offered_is_done() -> None:
    Families(families(), offered(TREE))  # raises otherwise


def test_what_is_offered_and_not_done_stops_the_door() -> None:
    more = Resource("/redfish/v1/Nobody", "ComputerSystem", lambda _view, _params: {}, delete=True)
    with pytest.raises(ValueError, match="Nobody"):
        Families(families(), offered([*TREE, more]))
    with pytest.raises(ValueError, match="Nowhere"):
        Families((*families(), Family(deletes={"/redfish/v1/Nowhere": By(_delete, None)})), offered(TREE))


async def _delete(_context: object) -> None:
    raise AssertionError("nothing calls this")
