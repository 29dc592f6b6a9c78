"""What is kept of rendered resources: nothing that is not there, and no more than there is room for."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from tests.unit.redfish_world import body, facts, walk

from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.messages import RedfishError
from ubmc.protocols.redfish.resource import Found, Resource, Tree
from ubmc.protocols.redfish.tree import TREE
from ubmc.services.websrv.redfish import cache as caching
from ubmc.services.websrv.redfish.cache import Cache
from ubmc.services.websrv.redfish.model import Model

OF = facts("on")
WALKED = walk(OF)
BUILT = sorted({resource.template for resource, _ in WALKED.values() if "{" in resource.template})


def kept(tree: Tree = TREE) -> Cache:
    """A cache over the simulated board."""
    model = Model(cast("Any", None), {})  # it asks nobody before its first use
    model.facts = OF
    return Cache(tree, model, lambda: 0.0)


def found(path: str) -> Found:
    at = TREE.find(path)
    assert at is not None
    return at


@pytest.mark.parametrize("template", BUILT)
def test_nothing_is_made_of_a_name_that_is_not_there(template: str) -> None:
    """Each place of each template in turn, the other places as they are."""
    places = [number for number, segment in enumerate(template.split("/")) if segment.startswith("{")]
    paths = [path for path, (resource, _) in WALKED.items() if resource.template == template]
    cache = kept()
    for place in places:
        segments = paths[0].split("/")
        segments[place] = "nope"
        path = "/".join(segments)
        assert body(OF, path) is None, path
        with pytest.raises(RedfishError):
            cache.render(path, found(path))
        assert cache.kept(path) is None


def test_nearly_all_templates_are_looked_at() -> None:
    templates = {resource.template for resource in TREE if resource.build is not None and "{" in resource.template}
    assert len(templates - {*BUILT}) < 8, sorted(templates - {*BUILT})


def test_the_latest_are_kept_and_no_more_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "MOST_KEPT", 3)

    def build(_view: View, params: Any) -> dict[str, Any]:
        return {"Id": params["thing"]}

    tree = Tree([Resource("/redfish/v1/Things/{thing}", "Chassis", build)])
    cache = kept(tree)
    paths = [f"/redfish/v1/Things/{number}" for number in range(5)]
    for path in paths:
        at = tree.find(path)
        assert at is not None
        made = cache.render(path, at)
        assert json.loads(made.data)["Id"] == path[-1]
    assert [cache.kept(path) is not None for path in paths] == [False, False, True, True, True]
