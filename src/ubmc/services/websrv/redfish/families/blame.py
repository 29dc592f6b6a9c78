"""Telling which property of a body a service's refusal is about, where the two call it by different names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from ubmc.kit.errors import UbmcError
from ubmc.protocols.redfish.messages import of_error


@contextlib.contextmanager
def blaming(path: str, names: Mapping[str, str], otherwise: tuple[str, ...] = ()) -> Iterator[None]:
    """Turn the errors of calls within into refusals about properties.

    Args:
        path: of the request.
        names: the properties by the fields of the call, in the form of its JSON: `newPassword`, `user.role`.
        otherwise: what it is about if the error does not say.

    Raises:
        RedfishError: instead of what the service raised.
    """
    try:
        yield
    except UbmcError as error:
        if error.name in ("unauthenticated", "denied", "unavailable"):
            raise
        said = [violation.field for violation in error.violations]
        found = [names.get(field) or names.get(field.rpartition(".")[2], "") for field in said]
        raise of_error(error, path, tuple(dict.fromkeys(each for each in found if each)) or otherwise) from None
