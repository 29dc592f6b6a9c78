"""The security self-test: what a good device looks like, and what each control sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ubmc.services.securitymgr.selftest import CONTROLS, Facts, Process, judge
from ubmc.v1alpha1.account_pb import AccountPolicy
from ubmc.v1alpha1.security_pb import ControlState, SecurityPolicy

ACCOUNTS = AccountPolicy(
    min_password_length=8,
    deny_common_passwords=True,
    lockout_failures=5,
    source_lockout_failures=20,
    session_idle_seconds=1800,
)
POLICY = SecurityPolicy(basic_auth=True)
TREE = (
    Process("ubmc-guardian", 0, True, 0xFF, 0),
    Process("ubmc-safety", 1, True, 0, 0),
    Process("ubmc-websrv", 2, True, 1 << 10, 0),
)
GOOD = Facts(
    first_password_kept=False,
    unclaimed=(),
    accounts=ACCOUNTS,
    policy=POLICY,
    proxies=(),
    strangers=(),
    ipmi=(),
    redirects=(),
    certificate_days=100,
    certificate_begun=True,
    own_key=True,
    processes=TREE,
    landlock_version=4,
    enclosed=True,
    open_files=(),
    device_key_mode=0o600,
    device_key_sealed=True,
    version="1.0",
    audit_intact=True,
    audit_follows=True,
    clock_synchronised=True,
    unready=(),
)


def states(facts: Facts) -> Mapping[str, ControlState]:
    return {control.id: control.state for control in judge(facts)}


def accounts(**changes: Any) -> Facts:
    values = {name: getattr(ACCOUNTS, name) for name in (
        "min_password_length", "deny_common_passwords", "lockout_failures", "source_lockout_failures",
        "session_idle_seconds",
    )}  # fmt: skip
    return replace(GOOD, accounts=AccountPolicy(**{**values, **changes}))


def policy(**changes: Any) -> Facts:
    return replace(GOOD, policy=SecurityPolicy(**{"basic_auth": True, **changes}))


def tree(**changes: Any) -> Facts:
    return replace(GOOD, processes=(*TREE[:2], replace(TREE[2], **changes)))


def test_ids_are_those_of_the_sheet_and_each_stands_once() -> None:
    ids = [control.id for control in CONTROLS]
    assert len(set(ids)) == len(ids)
    assert {each.partition(".")[0] for each in ids} == {f"CSI-{point}" for point in range(1, 9)}
    assert ids == sorted(ids, key=lambda each: [int(part) for part in each[4:].split(".")])


def test_nothing_fails_on_a_good_device() -> None:
    found = states(GOOD)
    assert ControlState.FAIL not in found.values()
    assert {each for each, state in found.items() if state is ControlState.SKIPPED} == {"CSI-4.2", "CSI-5.4", "CSI-7.1"}


def test_what_is_not_known_is_never_passed() -> None:
    found = states(Facts())
    assert ControlState.PASS not in found.values()


@pytest.mark.parametrize(
    ("facts", "failing"),
    [
        (replace(GOOD, first_password_kept=True, unclaimed=("admin",)), {"CSI-1.1", "CSI-8.1"}),
        (accounts(min_password_length=6), {"CSI-1.2"}),
        (accounts(deny_common_passwords=False), {"CSI-1.2"}),
        (accounts(lockout_failures=0), {"CSI-1.3", "CSI-3.6"}),
        (accounts(source_lockout_failures=0), {"CSI-1.3", "CSI-3.6"}),
        (accounts(session_idle_seconds=7200), {"CSI-1.4"}),
        (accounts(session_idle_seconds=0), {"CSI-1.4"}),
        (replace(GOOD, device_key_mode=0o640), {"CSI-1.5"}),
        (replace(GOOD, strangers=("TCP port 80",)), {"CSI-2.1"}),
        (replace(GOOD, proxies=("192.0.2.0/28",)), {"CSI-2.2"}),
        (policy(outgoing_to_local=True), {"CSI-2.3"}),
        (policy(tls_1_2=True), {"CSI-3.1"}),
        (replace(GOOD, certificate_days=-1), {"CSI-3.2"}),
        (replace(GOOD, certificate_days=None), {"CSI-3.2"}),
        (replace(GOOD, certificate_begun=False), {"CSI-3.2"}),
        (replace(GOOD, own_key=False), {"CSI-3.3"}),
        (replace(GOOD, ipmi=("192.0.2.10:6230",)), {"CSI-3.4"}),
        (policy(allowed_origins=["https://a.example"]), {"CSI-3.5"}),
        (replace(GOOD, redirects=("0.0.0.0:80 (status 200)",)), {"CSI-3.7"}),
        (replace(GOOD, why_not_separate="it runs as a plain user"), {"CSI-3.8"}),
        (tree(uid=1), {"CSI-3.8"}),
        (tree(uid=0), {"CSI-3.8", "CSI-3.9"}),
        (tree(capabilities=1 << 21), {"CSI-3.9"}),
        (tree(no_new_privileges=False), {"CSI-3.10"}),
        (replace(GOOD, processes=(replace(TREE[0], no_new_privileges=False), *TREE[1:])), {"CSI-3.10"}),
        (tree(core_bytes=-1), {"CSI-3.11"}),
        (tree(core_bytes=None), {"CSI-3.11"}),
        (replace(GOOD, enclosed=False), {"CSI-3.12"}),
        (replace(GOOD, open_files=("/state/managers/precious.db",)), {"CSI-3.13"}),
        (replace(GOOD, version=""), {"CSI-4.1"}),
        (replace(GOOD, audit_intact=False), {"CSI-5.1"}),
        (replace(GOOD, audit_follows=False), {"CSI-5.2"}),
        (replace(GOOD, clock_synchronised=False), {"CSI-5.3"}),
        (replace(GOOD, unclaimed=("admin",)), {"CSI-8.1"}),
        (replace(GOOD, unready=("statemgr",)), {"CSI-8.2"}),
        (replace(GOOD, processes=TREE[1:]), {"CSI-8.3"}),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else "",
)
def test_each_control_sees_what_it_is_there_for(facts: Facts, failing: set[str]) -> None:
    found = judge(facts)
    assert {control.id for control in found if control.state is ControlState.FAIL} == failing
    assert all(control.detail for control in found if control.state is not ControlState.PASS), "says what to do"


def test_a_kernel_without_landlock_is_not_a_failure_of_ours() -> None:
    assert states(replace(GOOD, landlock_version=0, enclosed=False))["CSI-3.12"] is ControlState.SKIPPED


def test_basic_authentication_may_be_off() -> None:
    off = replace(accounts(lockout_failures=0), policy=SecurityPolicy(basic_auth=False))
    assert states(off)["CSI-3.6"] is ControlState.PASS


def test_the_file_of_a_password_that_was_changed_opens_nothing() -> None:
    assert states(replace(GOOD, first_password_kept=True))["CSI-1.1"] is ControlState.PASS


def test_every_failing_control_can_fail() -> None:
    """The table above covers all that can be judged."""
    rows = next(
        mark.args[1] for mark in test_each_control_sees_what_it_is_there_for.pytestmark  # type: ignore[attr-defined]
    )  # fmt: skip
    covered = {each for _facts, failing in rows for each in failing}
    assert {control.id for control in CONTROLS} - covered == {"CSI-4.2", "CSI-5.4", "CSI-6.1", "CSI-7.1"}
