"""The last power action, if it failed: how long that is worth a word. Pure."""

from __future__ import annotations

from ubmc.v1alpha1.host_pb import HostPowerFailure, HostState


def kept(
    failure: HostPowerFailure | None, remembered: HostState, before: HostState, after: HostState, *, begun: bool
) -> HostPowerFailure | None:
    """What is left of a failure after a step.

    While nobody saw the host, nothing is known to have changed: only a host that is found otherwise than it was
    remembered has outlived its failure.

    Args:
        failure: as it was; None if the last action did not fail.
        remembered: on or off, as it was seen last.
        before: the state that was left.
        after: the state that was entered.
        begun: whether the step begins another action.
    """
    found_again = before is HostState.UNKNOWN and after is remembered
    same = before is after or after is HostState.UNKNOWN or found_again
    return failure if same and not begun else None
