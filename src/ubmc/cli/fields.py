"""Messages from the words of a command line: `FIELD=VALUE`, where a field may be one of an inner message."""

from __future__ import annotations

import json
from typing import Any

from protobuf.wkt import FieldMask

from ubmc.kit.errors import Invalid


def parsed(kind: Any, values: tuple[str, ...]) -> tuple[Any, FieldMask]:
    """A message of the values of `field=value` or `outer.inner=value`, and the mask of these fields.

    Values are JSON, or plain text.

    Raises:
        Invalid: a field does not exist, or does not take its value.
    """
    names = {field.name for field in kind.desc().fields}
    content: dict[str, Any] = {}
    paths: list[str] = []
    for each in values:
        path, equals, text = each.partition("=")
        path = path.strip().replace("-", "_")
        *outer, last = path.split(".")
        if not equals or not last or path.partition(".")[0] not in names:
            raise Invalid(f"{each} is no FIELD=VALUE; fields are {', '.join(sorted(names))}")
        place = content
        for name in outer:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise Invalid(f"{each}: {name} is given as a whole already")
        place[last] = _value(text)
        paths.append(path)
    try:
        return kind.from_json(json.dumps(content)), FieldMask(paths=paths)
    except (ValueError, TypeError) as error:
        raise Invalid(f"a value does not fit its field: {error}") from error


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
