"""The OpenAPI document of the REST form: generated with the code (tools/generate.py), served as it is.

`document()` is what a door serves; `ubmc.protocols.openapi.build` made it and is not needed at run time.
"""

from __future__ import annotations

from importlib.resources import files


def document() -> bytes:
    """The OpenAPI 3.1 document, JSON."""
    return files("ubmc.v1alpha1").joinpath("openapi.json").read_bytes()
