"""What an epoch of mains proves, and what a host does then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.services.statemgr.restore import Mains, believe, compare, wants_power
from ubmc.v1alpha1.host_pb import RestorePolicy
from ubmc.v1alpha1.internal_pb import PowerLevel

BOOT_A, BOOT_B = "6f1c-a", "6f1c-b"


@pytest.mark.parametrize(
    ("stored", "told", "mains", "store"),
    [
        ("", "", Mains.UNPROVEN, ""),
        ("a:1", "", Mains.UNPROVEN, "a:1"),
        ("", "a:1", Mains.NEW, "a:1"),
        ("", "a:1!", Mains.AWAY, "a:1"),
        ("a:1", "a:1", Mains.PRESENT, "a:1"),
        ("a:1", "a:1!", Mains.AWAY, "a:1"),
        ("a:1", "a:2", Mains.BACK, "a:2"),
        ("a:1", "a:3!", Mains.AWAY, "a:1"),
        ("a:9", "a:10", Mains.BACK, "a:10"),
        ("a:2", "a:1", Mains.NEW, "a:1"),
        ("a:2", "b:3", Mains.NEW, "b:3"),
        ("a:2", "b:3!", Mains.AWAY, "b:3"),
        ("a:x", "a:y", Mains.NEW, "a:y"),
        ("", BOOT_A, Mains.NEW, BOOT_A),
        (BOOT_A, BOOT_A, Mains.PRESENT, BOOT_A),
        (BOOT_A, BOOT_B, Mains.BACK, BOOT_B),
        (BOOT_A, "a:1", Mains.NEW, "a:1"),
        ("a:1", BOOT_A, Mains.NEW, BOOT_A),
    ],
)
def test_epochs(stored: str, told: str, mains: Mains, store: str) -> None:
    assert compare(stored, told) == (mains, store)


@given(st.text(), st.text())
def test_a_loss_is_acted_upon_once(stored: str, told: str) -> None:
    """Once the epoch is stored, the same telling proves no loss."""
    _, store = compare(stored, told)
    again, _ = compare(store, told)
    assert again is not Mains.BACK


@pytest.mark.parametrize(
    ("policy", "desired", "power"),
    [
        (RestorePolicy.ALWAYS_ON, None, True),
        (RestorePolicy.ALWAYS_ON, False, True),
        (RestorePolicy.ALWAYS_OFF, True, False),
        (RestorePolicy.LAST_STATE, True, True),
        (RestorePolicy.LAST_STATE, False, False),
        (RestorePolicy.LAST_STATE, None, False),
        (RestorePolicy.UNSPECIFIED, True, False),
    ],
)
def test_policies(policy: RestorePolicy, desired: bool | None, power: bool) -> None:
    assert wants_power(policy, desired) is power


@pytest.mark.parametrize(
    ("desired", "level", "mains", "restoring", "then"),
    [
        (False, PowerLevel.ON, Mains.PRESENT, False, True),
        (None, PowerLevel.ON, Mains.UNPROVEN, False, True),
        (True, PowerLevel.OFF, Mains.PRESENT, False, False),
        (None, PowerLevel.OFF, Mains.NEW, False, False),
        (True, PowerLevel.OFF, Mains.AWAY, False, True),
        (True, PowerLevel.OFF, Mains.BACK, False, True),
        (True, PowerLevel.OFF, Mains.UNPROVEN, False, True),
        (True, PowerLevel.OFF, Mains.PRESENT, True, True),
        (True, PowerLevel.UNKNOWN, Mains.PRESENT, False, True),
    ],
)
def test_what_is_believed(desired: bool | None, level: PowerLevel, mains: Mains, restoring: bool, then: bool) -> None:
    assert believe(desired, level, mains, restoring=restoring) is then
