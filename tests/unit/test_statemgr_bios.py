"""Which values a set-up takes, and what a boot makes of them."""

from __future__ import annotations

import pytest

from ubmc.kit.errors import Invalid
from ubmc.services.statemgr.bios import Registry, Setup, booted
from ubmc.v1alpha1.bios_pb import BiosAttribute, BiosAttributeType, BiosAttributeValue

REGISTRY = Registry(
    [
        BiosAttribute(
            name="BootMode",
            type=BiosAttributeType.ENUMERATION,
            default_value="Uefi",
            values=[BiosAttributeValue(value="Uefi"), BiosAttributeValue(value="Legacy")],
        ),
        BiosAttribute(name="Cores", type=BiosAttributeType.INTEGER, default_value="8", minimum=2, maximum=16, step=2),
        BiosAttribute(name="Offset", type=BiosAttributeType.INTEGER, default_value="0"),
        BiosAttribute(name="Turbo", type=BiosAttributeType.BOOLEAN, default_value="true"),
        BiosAttribute(name="Tag", type=BiosAttributeType.STRING, default_value="", max_length=4),
        BiosAttribute(name="Version", type=BiosAttributeType.STRING, default_value="1.0", read_only=True, max_length=8),
    ]
)
DEFAULTS = {"BootMode": "Uefi", "Cores": "8", "Offset": "0", "Turbo": "true", "Tag": "", "Version": "1.0"}


def test_a_new_set_up_has_the_defaults() -> None:
    assert REGISTRY.known(Setup()).current == DEFAULTS


def test_a_boot_makes_what_was_wanted_so() -> None:
    setup = REGISTRY.known(Setup())
    setup = REGISTRY.wanted(setup, {"Cores": "4", "Turbo": "false"})
    assert setup.current == DEFAULTS
    setup = REGISTRY.wanted(setup, {"Turbo": "true", "Tag": "r1"})  # as it is: no boot is needed for that
    assert setup.pending == {"Cores": "4", "Tag": "r1"}
    setup = booted(setup, 7)
    assert setup == Setup({**DEFAULTS, "Cores": "4", "Tag": "r1"}, {}, 7)
    assert booted(setup, 9) == setup
    assert REGISTRY.defaults(setup).pending == {"Cores": "8", "Tag": ""}


def test_a_number_without_limits_takes_any() -> None:
    assert REGISTRY.wanted(REGISTRY.known(Setup()), {"Offset": "-40"}).pending == {"Offset": "-40"}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("BootMode", "Both", "one of Uefi, Legacy"),
        ("Cores", "1", "at least 2"),
        ("Cores", "18", "at most 16"),
        ("Cores", "5", "multiple of 2"),
        ("Cores", "08", "number in decimal"),
        ("Cores", "²", "number in decimal"),
        ("Cores", "", "number in decimal"),
        ("Cores", "9" * 30, "number in decimal"),
        ("Turbo", "True", "true or false"),
        ("Tag", "12345", "0 to 4 characters"),
        ("Tag", "a\nb", "control characters"),
        ("Version", "2.0", "read only"),
        ("Fans", "1", "no such attribute"),
    ],
)
def test_what_an_attribute_does_not_take_is_said(name: str, value: str, problem: str) -> None:
    setup = REGISTRY.known(Setup())
    with pytest.raises(Invalid, match=problem) as caught:
        REGISTRY.wanted(setup, {"BootMode": "Legacy", name: value})
    assert [violation.field for violation in caught.value.violations] == [f"attributes.{name}"]


def test_what_another_release_stored_is_left_out_where_it_does_not_fit() -> None:
    stored = Setup({"Cores": "64", "Turbo": "false", "Old": "x"}, {"Old": "y", "Cores": "4", "BootMode": "Both"}, 5)
    assert REGISTRY.known(stored) == Setup({**DEFAULTS, "Turbo": "false"}, {"Cores": "4"}, 5)


def test_the_version_is_that_of_the_list() -> None:
    fewer = Registry([REGISTRY.attributes["Tag"]])
    assert fewer.version != REGISTRY.version
    assert Registry(reversed(REGISTRY.attributes.values())).version == REGISTRY.version
