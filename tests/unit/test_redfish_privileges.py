"""What a resource says that a change needs is what the calls behind the change ask for."""

from __future__ import annotations

from collections.abc import Iterator

from ubmc.kit import schema
from ubmc.protocols.redfish.privileges import NAMES, privilege_registry
from ubmc.protocols.redfish.tree import TREE
from ubmc.services.websrv.redfish.context import Families, Rpc
from ubmc.services.websrv.redfish.families import families
from ubmc.services.websrv.redfish.mount import offered
from ubmc.v1alpha1.access_pb import Privilege

FAMILIES = Families(families(), offered(TREE))


def _changes() -> Iterator[tuple[str, tuple[Privilege, ...], list[Rpc]]]:
    """What can be changed, which privileges it is said to need, and the calls that do it."""
    for resource in TREE:
        at = resource.template
        for action in resource.actions:
            yield f"{at} {action.name}", action.needs, _known(FAMILIES.actions[(at, action.name)].rpc)
        if resource.patch is not None:
            rpcs = [rpc for unit in FAMILIES.patches[at] for rpc in _known(unit.rpc)]
            yield f"{at} PATCH", resource.needs("PATCH"), rpcs
        if resource.create is not None and not resource.open_create:
            yield f"{at} POST", resource.needs("POST"), _known(FAMILIES.creates[at].rpc)
        if resource.delete:
            yield f"{at} DELETE", resource.needs("DELETE"), _known(FAMILIES.deletes[at].rpc)


def _known(rpc: Rpc | None) -> list[Rpc]:
    return [rpc] if rpc is not None else []


def test_no_privilege_is_asked_for_that_opens_nothing_and_none_is_missing() -> None:
    known = schema.load()
    seen = 0
    for what, needs, rpcs in _changes():
        if not rpcs:
            continue
        seen += 1
        asked = {known.method(rpc).privilege for rpc in rpcs}
        assert set(needs) <= asked, f"{what} names a privilege with which nothing of it can be done"
        if not what.endswith(" PATCH"):
            assert asked == set(needs), what
    assert seen > 30


def test_the_registry_says_it_for_each_method() -> None:
    mappings = {each["Entity"]: each["OperationMap"] for each in privilege_registry(TREE)["Mappings"]}
    assert mappings["ManagerAccount"]["PATCH"] == [{"Privilege": ["ConfigureSelf"]}]
    assert mappings["ManagerAccount"]["DELETE"] == [{"Privilege": ["ConfigureUsers"]}]
    assert mappings["SessionService"]["PATCH"] == [{"Privilege": ["ConfigureUsers"]}]
    assert mappings["SessionCollection"]["POST"] == [{"Privilege": []}]  # to log in
    assert mappings["EthernetInterface"]["PATCH"] == [
        {"Privilege": ["ConfigureManager"]}
    ]  # those of a system take none
    assert mappings["CertificateService"]["POST"] == [{"Privilege": ["ConfigureManager"]}]
    assert mappings["LogEntry"]["GET"] == [{"Privilege": ["Login"]}]
    for resource in TREE:
        if resource.delete and resource.read:
            said = [each["Privilege"] for each in mappings[resource.type]["DELETE"]]
            assert all(len(each) == 1 and each[0] in NAMES.values() for each in said), resource.type


def test_the_registry_names_what_needs_more_than_others_of_its_type() -> None:
    """For every method of every resource it says what the door asks for."""
    entities = {each["Entity"]: each for each in privilege_registry(TREE)["Mappings"]}
    audit = "/redfish/v1/Managers/{manager}/LogServices/Audit"
    (override,) = entities["LogService"]["ResourceURIOverrides"]
    assert override["Targets"] == [audit]
    assert override["OperationMap"]["GET"] == [{"Privilege": ["ConfigureManager"]}]
    for resource in TREE:
        if not resource.read:
            continue
        entity = entities[resource.type]
        own = [each for each in entity.get("ResourceURIOverrides", []) if resource.template in each["Targets"]]
        said = own[0]["OperationMap"] if own else entity["OperationMap"]
        for method in {*resource.methods} - {"OPTIONS"}:
            needs = [[NAMES[one]] for one in resource.needs(method)] or [[]]
            assert [each["Privilege"] for each in said[method]] == needs, f"{method} {resource.template}"
