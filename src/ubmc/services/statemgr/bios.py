"""The set-up of a host's firmware: which values attributes take, and what a boot makes of them. Pure.

All values are texts, as in the schema: a number in decimal, a switch as `true` or `false`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ubmc.kit.errors import Invalid, Violation
from ubmc.v1alpha1.bios_pb import BiosAttribute, BiosAttributeType

SWITCH = ("true", "false")
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Setup:
    """What a set-up is, and what the next boot makes of it."""

    current: Mapping[str, str] = field(default_factory=dict)
    pending: Mapping[str, str] = field(default_factory=dict)
    applied_time_us: int = 0
    faults: tuple[str, ...] = ()


class Registry:
    """The attributes of one host's firmware."""

    def __init__(self, attributes: Iterable[BiosAttribute]) -> None:
        """Make it of the board's list; each name is there once."""
        self.attributes = {each.name: each for each in attributes}
        listed = b"".join(self.attributes[name].to_binary() for name in sorted(self.attributes))
        self.version = hashlib.blake2b(listed, digest_size=6).hexdigest()
        """Changes whenever the list does."""

    def known(self, setup: Setup) -> Setup:
        """A set-up that was stored, as far as these attributes go: another release may have had others."""
        current = {
            name: value
            for name, attribute in self.attributes.items()
            for value in [setup.current.get(name, attribute.default_value)]
        }
        current = {
            name: value if not self._problem(self.attributes[name], value) else self.attributes[name].default_value
            for name, value in current.items()
        }
        pending = {
            name: value
            for name, value in setup.pending.items()
            if name in self.attributes and not self._problem(self.attributes[name], value)
        }
        return replace(setup, current=current, pending=pending)

    def wanted(self, setup: Setup, values: Mapping[str, str]) -> Setup:
        """The set-up after somebody asked for these values with the next boot.

        Raises:
            Invalid: an attribute is not known, cannot be changed, or does not take its value; names all that is wrong.
        """
        wrong = [
            Violation(f"attributes.{name}", "bios", problem)
            for name, value in values.items()
            if (problem := self._unwanted(name, value))
        ]
        if wrong:
            raise Invalid(f"{wrong[0].field.partition('.')[2]}: {wrong[0].message}", violations=wrong)
        return self._pending(setup, {**setup.pending, **values})

    def defaults(self, setup: Setup) -> Setup:
        """The set-up after somebody asked for all defaults with the next boot."""
        return self._pending(setup, {name: each.default_value for name, each in self.attributes.items()})

    def _pending(self, setup: Setup, values: Mapping[str, str]) -> Setup:
        """What is as it is to be already needs no boot."""
        pending = {name: value for name, value in values.items() if setup.current.get(name) != value}
        return replace(setup, pending=dict(sorted(pending.items())))

    def _unwanted(self, name: str, value: str) -> str:
        attribute = self.attributes.get(name)
        if attribute is None:
            return "the firmware has no such attribute"
        if attribute.read_only:
            return "can be read only"
        return self._problem(attribute, value)

    def _problem(self, attribute: BiosAttribute, value: str) -> str:
        """Why an attribute does not take a value; empty if it does."""
        match attribute.type:
            case BiosAttributeType.ENUMERATION:
                values = [each.value for each in attribute.values]
                return "" if value in values else f"has to be one of {', '.join(values)}"
            case BiosAttributeType.BOOLEAN:
                return "" if value in SWITCH else "has to be true or false"
            case BiosAttributeType.INTEGER:
                return _number_problem(attribute, value)
            case _:
                return _text_problem(attribute, value)


def booted(setup: Setup, now_us: int) -> Setup:
    """The set-up after a boot: what was to be is."""
    if not setup.pending:
        return setup
    return Setup({**setup.current, **setup.pending}, {}, now_us)


def _number_problem(attribute: BiosAttribute, value: str) -> str:
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _MAX_DIGITS or str(int(value)) != value:
        return "has to be a number in decimal"
    number = int(value)
    if attribute.has_field("minimum") and number < attribute.minimum:
        return f"has to be at least {attribute.minimum}"
    if attribute.has_field("maximum") and number > attribute.maximum:
        return f"has to be at most {attribute.maximum}"
    low = attribute.minimum if attribute.has_field("minimum") else 0
    if attribute.step > 1 and (number - low) % attribute.step:
        return f"has to be {low} and a multiple of {attribute.step}"
    return ""


def _text_problem(attribute: BiosAttribute, value: str) -> str:
    if not value.isprintable():
        return "has to be text without control characters"
    if not attribute.min_length <= len(value) <= (attribute.max_length or len(value)):
        return f"has to have {attribute.min_length} to {attribute.max_length} characters"
    return ""
