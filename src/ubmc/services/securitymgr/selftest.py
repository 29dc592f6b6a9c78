"""The security self-test: facts in, a verdict for each control out. Pure.

The ids follow the points of "Harden Baseboard Management Controllers" (NSA and CISA, Cybersecurity Information Sheet,
14 June 2023): 1 credentials, 2 network separation, 3 configuration, 4 updates, 5 integrity, 6 sensitive workloads,
7 firmware scanning, 8 unmanaged BMCs. The number after the dot is ours. A fact that is not known makes a control
skipped, never passed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ubmc.v1alpha1.account_pb import AccountPolicy
from ubmc.v1alpha1.security_pb import ControlState, SecurityControl, SecurityPolicy

PASS, FAIL, SKIPPED = ControlState.PASS, ControlState.FAIL, ControlState.SKIPPED
SHORTEST_PASSWORD = 8
LONGEST_IDLE_SECONDS = 3600
SOON_DAYS = 14
KEPT_CAPABILITIES = 1 << 1 | 1 << 10  # CAP_DAC_OVERRIDE, CAP_NET_BIND_SERVICE
KEEPERS = frozenset({"ubmc-guardian"})
"""They take over what the others leave behind, so they stay who the operator is."""
Verdict = tuple[ControlState, str]


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the BMC, as the kernel shows it."""

    name: str
    uid: int
    no_new_privileges: bool
    capabilities: int
    core_bytes: int | None
    """How large a core dump may be; None if that cannot be read."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found; None is what could not be found out."""

    first_password_kept: bool | None = None
    """The file with the first password still lies there."""
    unclaimed: tuple[str, ...] | None = None
    """Accounts whose password somebody else has chosen."""
    accounts: AccountPolicy | None = None
    policy: SecurityPolicy | None = None
    proxies: tuple[str, ...] | None = None
    strangers: tuple[str, ...] | None = None
    """Sockets of ours that listen where nobody has asked for it."""
    ipmi: tuple[str, ...] | None = None
    """Where IPMI listens."""
    redirects: tuple[str, ...] | None = None
    """Plain HTTP listeners that answer with anything but a redirect."""
    certificate_days: int | None = None
    certificate_begun: bool = False
    own_key: bool | None = None
    """The certificate's key was made here or given for it, and fits it."""
    processes: tuple[Process, ...] = ()
    why_not_separate: str = ""
    landlock_version: int = 0
    enclosed: bool | None = None
    open_files: tuple[str, ...] | None = None
    """Files of the state directory that others can read or write."""
    device_key_mode: int | None = None
    device_key_sealed: bool = False
    """The owner gives the device key, for example unsealed by a TPM."""
    version: str = ""
    audit_intact: bool | None = None
    audit_follows: bool | None = None
    clock_synchronised: bool | None = None
    unready: tuple[str, ...] | None = None
    """Services that do not work."""


@dataclass(frozen=True, slots=True)
class Control:
    """One line of the self-test."""

    id: str
    title: str
    judge: Callable[[Facts], Verdict]


def judge(facts: Facts) -> list[SecurityControl]:
    """All controls, in order."""
    found = []
    for control in CONTROLS:
        state, detail = control.judge(facts)
        found.append(SecurityControl(id=control.id, title=control.title, state=state, detail=detail))
    return found


def _when(known: bool | None, bad: str, good: str = "") -> Verdict:
    """Fails with `bad` if true, passes with `good` if false."""
    if known is None:
        return SKIPPED, "this cannot be found out here"
    return (FAIL, bad) if known else (PASS, good)


def _none(found: tuple[str, ...] | None, bad: str, good: str = "") -> Verdict:
    return _when(None if found is None else bool(found), f"{bad}: {', '.join(found or ())}", good)


def _accounts(weak: Callable[[AccountPolicy], bool], bad: str, good: str) -> Callable[[Facts], Verdict]:
    return lambda f: _when(None if f.accounts is None else weak(f.accounts), bad, good)


def _policy(weak: Callable[[SecurityPolicy], bool], bad: str, good: str) -> Callable[[Facts], Verdict]:
    return lambda f: _when(None if f.policy is None else weak(f.policy), bad, good)


def _not_here(why: str) -> Callable[[Facts], Verdict]:
    return lambda _facts: (SKIPPED, why)


def _password_policy_weak(policy: AccountPolicy) -> bool:
    return policy.min_password_length < SHORTEST_PASSWORD or not policy.deny_common_passwords


def _lockout_off(policy: AccountPolicy) -> bool:
    return not policy.lockout_failures or not policy.source_lockout_failures


def _sessions_stay(policy: AccountPolicy) -> bool:
    return not 0 < policy.session_idle_seconds <= LONGEST_IDLE_SECONDS


def _first_password(facts: Facts) -> Verdict:
    if facts.first_password_kept is None:
        return SKIPPED, "the state directory cannot be seen from here"
    if not facts.first_password_kept:
        return PASS, ""
    if facts.unclaimed == ():
        return PASS, "it was changed; the file first-password in the state directory may go"
    return FAIL, "it lies in the file first-password of the state directory; log in, change it, remove the file"


def _device_key(facts: Facts) -> Verdict:
    if facts.device_key_mode is None:
        return SKIPPED, "the device key's file cannot be seen from here"
    return _when(bool(facts.device_key_mode & 0o077), "others can read the device key; make its mode 0600")


def _basic(facts: Facts) -> Verdict:
    if facts.policy is None or facts.accounts is None:
        return SKIPPED, "this cannot be found out here"
    if facts.policy.basic_auth is False:
        return PASS, "it is off"
    bad = "it is on and nothing locks: switch it off (ubmc security policy set --no-basic) or the lockout on"
    return _when(_lockout_off(facts.accounts), bad, "it is on, for Redfish, and guarded by the lockout")


def _certificate(facts: Facts) -> Verdict:
    days = facts.certificate_days
    if days is None:
        return FAIL, "there is no certificate; run: ubmc security cert reset"
    if not facts.certificate_begun:
        return FAIL, "it is not good yet; check the clock"
    if days < 0:
        return FAIL, "it has expired; upload another, or run: ubmc security cert reset"
    return PASS, f"{days} days left" + ("; renew it soon" if days <= SOON_DAYS else "")


def _separate(facts: Facts) -> Verdict:
    if facts.why_not_separate:
        return FAIL, facts.why_not_separate
    seen: dict[int, str] = {}
    for process in _walled(facts):
        if process.uid in seen or process.uid == 0:
            shared = seen.get(process.uid, "root")
            return FAIL, f"{process.name} runs as the same user as {shared}"
        seen[process.uid] = process.name
    return (PASS, f"{len(seen)} processes, {len(seen)} users") if seen else (SKIPPED, "no process was found")


def _walled(facts: Facts) -> list[Process]:
    return [process for process in facts.processes if process.name not in KEEPERS]


def _each(wrong: Callable[[Process], bool], bad: str, *, keepers: bool = True) -> Callable[[Facts], Verdict]:
    def decide(facts: Facts) -> Verdict:
        looked_at = list(facts.processes) if keepers else _walled(facts)
        if not looked_at:
            return SKIPPED, "no process was found"
        return _none(tuple(each.name for each in looked_at if wrong(each)), bad)

    return decide


def _powers(facts: Facts) -> Verdict:
    if any(process.uid == 0 for process in _walled(facts)):
        return FAIL, "processes run as root: see the control about users"
    return _each(lambda each: bool(each.capabilities & ~KEPT_CAPABILITIES), "these keep root's power", keepers=False)(
        facts
    )


def _landlock(facts: Facts) -> Verdict:
    if not facts.landlock_version:
        return SKIPPED, "this kernel has no Landlock, or it is switched off; add landlock to lsm= at boot"
    bad = f"the kernel offers Landlock (version {facts.landlock_version}) and it does not hold"
    return _when(None if facts.enclosed is None else not facts.enclosed, bad, f"version {facts.landlock_version}")


def _sealed(facts: Facts) -> Verdict:
    if facts.device_key_sealed:
        return PASS, "the owner gives it"
    return SKIPPED, "it lies in the state directory; give the key that a TPM unseals: [security] device_key"


CONTROLS: tuple[Control, ...] = (
    # 1: protect credentials
    Control("CSI-1.1", "No default password; the first one is not kept", _first_password),
    Control(
        "CSI-1.2",
        "Passwords are long enough, and common ones refused",
        _accounts(
            _password_policy_weak,
            f"ask for at least {SHORTEST_PASSWORD} characters and refuse common passwords (account policy)",
            "",
        ),
    ),
    Control(
        "CSI-1.3",
        "Wrong passwords lock accounts and addresses",
        _accounts(_lockout_off, "switch the lockout on, for accounts and for addresses (account policy)", ""),
    ),
    Control(
        "CSI-1.4",
        "Unused sessions end",
        _accounts(_sessions_stay, "let sessions end within an hour of disuse (account policy)", ""),
    ),
    Control("CSI-1.5", "Only we can read the device key", _device_key),
    # 2: separate the management network
    Control(
        "CSI-2.1",
        "Nothing listens but what the owner's file lists",
        lambda f: _none(f.strangers, "these listen and nobody asked for it"),
    ),
    Control(
        "CSI-2.2",
        "No header says where a request comes from",
        lambda f: _none(
            f.proxies, "proxies are believed; empty web.trusted_proxies unless one stands before every door"
        ),
    ),
    Control(
        "CSI-2.3",
        "Requests that users name do not go to this machine",
        _policy(lambda p: p.outgoing_to_local, "they may; run: ubmc security policy set --no-outgoing-to-local", ""),
    ),
    # 3: harden the configuration
    Control(
        "CSI-3.1",
        "TLS 1.3 and nothing older",
        _policy(lambda p: p.tls_1_2, "TLS 1.2 is accepted; run: ubmc security policy set --no-tls-1-2", ""),
    ),
    Control("CSI-3.2", "The certificate is good now", _certificate),
    Control(
        "CSI-3.3",
        "The certificate's key is this device's own",
        lambda f: _when(
            None if f.own_key is None else not f.own_key, "it has none of its own; run: ubmc security cert reset"
        ),
    ),
    Control(
        "CSI-3.4",
        "IPMI over the network is off",
        lambda f: _none(f.ipmi, "switch it off if nobody needs it; it listens here"),
    ),
    Control(
        "CSI-3.5",
        "No other origin calls from a browser",
        lambda f: _none(
            None if f.policy is None else tuple(f.policy.allowed_origins),
            "these may; run: ubmc security policy set --no-origins",
        ),
    ),
    Control("CSI-3.6", "Basic authentication is off or guarded", _basic),
    Control(
        "CSI-3.7",
        "Plain HTTP only sends people to HTTPS",
        lambda f: _none(f.redirects, "these answer with something else than a redirect"),
    ),
    Control("CSI-3.8", "Each process has a user of its own", _separate),
    Control("CSI-3.9", "No process keeps more of root's power than it needs", _powers),
    Control(
        "CSI-3.10",
        "No process can gain privileges",
        _each(lambda each: not each.no_new_privileges, "no_new_privs is not set for these"),
    ),
    Control(
        "CSI-3.11",
        "No process leaves a core dump",
        _each(lambda each: each.core_bytes != 0, "these could"),
    ),
    Control("CSI-3.12", "Processes can open only the files they need", _landlock),
    Control(
        "CSI-3.13",
        "Only we can read the state directory",
        lambda f: _none(f.open_files, "others can read or write these; make files 0600 and folders 0700"),
    ),
    # 4: check for updates
    Control(
        "CSI-4.1",
        "The version is known",
        lambda f: _when(not f.version, "no version is known: install the package", f.version),
    ),
    Control(
        "CSI-4.2",
        "Updates are signed and cannot go backwards",
        _not_here("this installation is updated by whoever installed it; images bring signed updates"),
    ),
    # 5: monitor integrity
    Control(
        "CSI-5.1",
        "The audit trail is whole",
        lambda f: _when(
            None if f.audit_intact is None else not f.audit_intact,
            "a record was changed or taken out; run: ubmc security audit verify",
        ),
    ),
    Control(
        "CSI-5.2",
        "The audit trail follows the event log",
        lambda f: _when(
            None if f.audit_follows is None else not f.audit_follows,
            "it does not; run: ubmc health, and look at eventlog",
        ),
    ),
    Control(
        "CSI-5.3",
        "The clock is synchronised",
        lambda f: _when(
            None if f.clock_synchronised is None else not f.clock_synchronised,
            "certificates and the log need the right time; run an NTP client",
        ),
    ),
    Control("CSI-5.4", "What was booted is measured", _not_here("images bring verified and measured boot")),
    # 6: sensitive workloads
    Control("CSI-6.1", "The device key is sealed in hardware", _sealed),
    # 7: scan firmware
    Control(
        "CSI-7.1",
        "There is a list of parts to scan",
        _not_here("images bring an SBOM and the hashes of their files"),
    ),
    # 8: do not ignore BMCs
    Control(
        "CSI-8.1",
        "Somebody has taken this BMC over",
        lambda f: _none(f.unclaimed, "these have not changed the password that was given to them"),
    ),
    Control(
        "CSI-8.2",
        "Every service works",
        lambda f: _none(f.unready, "these do not; run: ubmc health"),
    ),
    Control(
        "CSI-8.3",
        "The guardian stands by for fans and buttons",
        lambda f: _when(
            None if not f.processes else not any(each.name in KEEPERS for each in f.processes),
            "no guardian runs; restart u-bmc and look into its log",
        ),
    ),
)
