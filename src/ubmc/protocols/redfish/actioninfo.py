"""ActionInfo resources, made of what the action offers, so that the two always say the same."""

from __future__ import annotations

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
