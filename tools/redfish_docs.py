"""Writes docs/redfish-map.md, every resource that is served, from their table; `--check` says if it is stale."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from ubmc.protocols.redfish.resource import Resource
from ubmc.protocols.redfish.shape import leaves
from ubmc.protocols.redfish.tree import FAMILIES
from ubmc.protocols.redfish.types import VERSIONS

TARGET = Path(__file__).parent.parent / "docs" / "redfish-map.md"

INTRO = """\
# Resource map of Redfish

Every resource that [Redfish](redfish.md) serves, which schema it is of, what it takes, and who may. Written from the
table of resources by `python tools/redfish_docs.py` and checked by the unit tests: what stands here is what runs.

Reading needs the privilege in the column *Read*, changing the one in *Change*, as DMTF's privilege registry has them;
the call behind a change asks the [schema](api-reference.md) once more. All resources take GET, HEAD and OPTIONS.
Not all are there on every board: a machine without power supplies has none.
"""


def _privileges(resource: Resource) -> tuple[str, str]:
    def named(privileges: tuple[object, ...]) -> str:
        names = [getattr(each, "name", "").title().replace("_", "") for each in privileges]
        return " or ".join(names) or "everybody"

    changes = bool(set(resource.methods) - {"GET", "HEAD", "OPTIONS"}) or resource.actions
    changing = named(resource.needs("POST") if resource.open_create else resource.write)
    changing += f"; DELETE: {named(resource.remove)}" if resource.remove else ""
    return named(resource.read), changing if changes else ""


def _takes(resource: Resource) -> Iterator[str]:
    if resource.patch is not None:
        yield "PATCH " + ", ".join(f"`{path}`" for path in leaves(resource.patch))
    if resource.create is not None:
        yield "POST " + ", ".join(f"`{path}`" for path in leaves(resource.create))
    if resource.delete:
        yield "DELETE"
    for action in resource.actions:
        parameters = ", ".join(f"`{name}`" for name in action.parameters)
        yield f"the action {action.name.partition('.')[2]}" + (f" ({parameters})" if parameters else "")


def page() -> str:
    """The whole page."""
    lines = [INTRO]
    for family in FAMILIES:
        title = family.__name__.rpartition(".")[2].replace("actioninfo", "actions")
        lines += [f"## {title.capitalize()}", "", "| Resource | Schema | Read | Change |", "| --- | --- | --- | --- |"]
        notes = []
        for resource in family.RESOURCES:
            version = VERSIONS.get(resource.type, "").lstrip("v").replace("_", ".")
            read, change = _privileges(resource)
            lines.append(f"| `{resource.template}`: {resource.about} | {resource.type} {version} | {read} | {change} |")
            takes = "; ".join(_takes(resource))
            if takes:
                notes.append(f"- `{resource.template}` takes {takes}")
        lines += ["", *notes, ""] if notes else [""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Write the page, or say that it is stale."""
    made = page()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(made, encoding="utf-8")
        return 0
    if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != made:
        print("docs/redfish-map.md is stale; write it anew: python tools/redfish_docs.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
