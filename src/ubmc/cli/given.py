"""A message as it was given: a number that is absent is None here, where the message itself would say 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protobuf import Message


@dataclass(frozen=True, slots=True)
class Given:
    """A message of which absent `optional` fields are None, also in messages within it."""

    message: Message[Any]

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.message, name)
        if isinstance(value, Message) and value.desc().type_name.startswith("ubmc."):
            return Given(value)
        if isinstance(value, float) and name in _optional(self.message) and not self.message.has_field(name):
            return None
        return value


def _optional(message: Message[Any]) -> set[str]:
    """The fields that can be absent, by the presence that the schema says (`optional`)."""
    return {field.local_name for field in message.desc().fields if field.presence.name == "EXPLICIT"}
