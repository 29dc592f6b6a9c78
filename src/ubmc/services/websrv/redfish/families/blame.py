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
        names: the properties by the fields of the call, as in its JSON (`newPassword`, `user.role`) or in the schema
            (`new_password`): services say either.
        otherwise: what it is about if the error does not say.

    Raises:
        RedfishError: instead of what the service raised.
    """
    try:
        yield
    except UbmcError as error:
        if error.name in ("unauthenticated", "denied", "unavailable", "exhausted"):  # no property is to blame
            raise
        raise of_error(error, path, blamed(error, names) or otherwise) from None


def blamed(error: UbmcError, names: Mapping[str, str]) -> tuple[str, ...]:
    """The properties that an error is about, as far as it says; each once.

    Args:
        error: of a service; it names the fields of the call.
        names: the properties by these fields, as for `blaming`.
    """
    known = {same(field): name for field, name in names.items()} | dict(names)
    found = []
    for violation in error.violations:
        for field in (violation.field, violation.field.rpartition(".")[2]):
            name = known.get(field) or known.get(same(field))
            if name:
                found.append(name)
                break
    return tuple(dict.fromkeys(found))


def same(field: str) -> str:
    """The same for `http_headers`, `httpHeaders` and `http_headers["X-A"]`."""
    return field.partition("[")[0].replace("_", "").lower()
