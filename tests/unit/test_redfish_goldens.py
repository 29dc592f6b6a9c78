"""What is made of the simulated board's facts, compared with golden files; and that no link leads nowhere."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from tests.unit.redfish_world import body, check_golden, facts, links_in, walk

from ubmc.protocols.redfish import (
    bios,
    boot,
    chassis,
    controls,
    managers,
    media,
    network,
    parts,
    power,
    root,
    sensors,
    sessions,
    systems,
    thermal,
)
from ubmc.protocols.redfish.facts import Facts
from ubmc.protocols.redfish.tree import TREE
from ubmc.v1alpha1.inventory_pb import Asset, AssetKind

FAMILIES = (
    bios, boot, chassis, controls, managers, media, network, parts, power, root, sensors, sessions, systems, thermal,
)  # fmt: skip


@pytest.mark.parametrize("state", ["off", "on"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_golden(family: ModuleType, state: str) -> None:
    templates = {resource.template for resource in family.RESOURCES}
    made = {path: found for path, (resource, found) in walk(facts(state)).items() if resource.template in templates}
    built = {resource.template for resource in family.RESOURCES if resource.build is not None}
    assert made or not built
    check_golden(f"{family.__name__.rpartition('.')[2]}_{state}", made)


@pytest.mark.parametrize("state", ["off", "on"])
def test_no_link_leads_nowhere(state: str) -> None:
    check_links(facts(state))


@pytest.mark.parametrize("kind", [kind for kind in AssetKind if kind is not AssetKind.UNSPECIFIED])
def test_no_link_leads_to_what_was_pulled(kind: AssetKind) -> None:
    known = facts("on")
    for name, part in list(known.rows("asset").items()):
        if part.kind is kind:
            known.put("asset", name, Asset(name=name, kind=kind, parent=part.parent, present=False))
    check_links(known)


def check_links(known: Facts) -> None:
    for path, (_, made) in walk(known).items():
        for target in links_in(made):
            bare, _, pointer = target.partition("#")
            found = TREE.find(bare)
            assert found is not None, f"{path} links to {target}"
            if found.resource.build is not None:
                there: Any = body(known, bare)
                assert there is not None, f"{path} links to {target}"
                for step in pointer.strip("/").split("/") if pointer else []:
                    there = there[int(step)] if isinstance(there, list) else there[step]


def test_every_action_leads_to_itself() -> None:
    for path, (resource, made) in walk(facts("on")).items():
        for name, action in made.get("Actions", {}).items():
            found = TREE.find(action["target"])
            assert found is not None, f"{path} offers {name}"
            assert found.action is not None
            assert f"#{found.action.name}" == name
            assert found.resource is resource
