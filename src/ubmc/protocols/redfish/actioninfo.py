"""ActionInfo resources, made of what the action offers, so that the two always say the same."""

from __future__ import annotations

from collections.abc import Iterable

from ubmc.protocols.redfish.resource import Body

_VALUES = "@Redfish.AllowableValues"


def action_info(name: str, identifier: str, *, required: bool = True, **offers: Body) -> Body:
    """The body of an ActionInfo.

    Args:
        name: for people.
        identifier: the last segment of its path.
        required: whether the parameters must be given.
        offers: by parameter, the object under `Actions` of the resource that has its allowable values.
    """
    parameters = [
        {
            "Name": parameter,
            "Required": required,
            "DataType": "String",
            "AllowableValues": offer[f"{parameter}{_VALUES}"],
        }
        for parameter, offer in offers.items()
    ]
    return {"Id": identifier, "Name": name, "Parameters": parameters}


def reset_offer(resource: str, action: str, resets: Iterable[str]) -> Body:
    """What the action Reset of a resource can do.

    Args:
        resource: its path.
        action: as `Chassis.Reset`.
        resets: the allowable values.
    """
    return {
        "target": f"{resource}/Actions/{action}",
        "@Redfish.ActionInfo": f"{resource}/ResetActionInfo",
        "ResetType@Redfish.AllowableValues": list(resets),
    }
