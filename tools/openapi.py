"""Writes the OpenAPI document of the REST form to the file that is named; run by tools/generate.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from image import compiled
from ubmc.protocols.openapi.build import build


def main() -> None:
    """Compiles the schema and writes the document."""
    target = Path(sys.argv[1])
    schema, _ = compiled()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(build(schema), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
