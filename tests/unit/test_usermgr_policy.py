"""What holds for all accounts, and how the directory is asked: what may be changed, and how it is stored."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ubmc.kit.errors import Invalid
from ubmc.services.usermgr import ldap_settings, policy
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.ldap_settings import LdapSettings
from ubmc.services.usermgr.policy import AccountPolicy
from ubmc.services.usermgr.sessions import SessionOptions
from ubmc.v1alpha1.account_pb import AccountPolicy as PolicyMessage
from ubmc.v1alpha1.account_pb import Ldap, LdapRoleMapping, LdapSecurity

OLGA = Account("olga", "ReadOnly", True, False, False, "hash", 1.0, 1000.0)
DEFAULTS = AccountPolicy()


def test_only_what_was_changed_is_stored_and_the_rest_follows_the_owner() -> None:
    stored = policy.changes(DEFAULTS, {}, PolicyMessage(password_history=9), ["password_history"])
    assert stored == {"password_history": 9}
    owner = replace(DEFAULTS, lockout_failures=7)
    made = policy.overlaid(owner, json.loads(json.dumps(stored)))
    assert (made.password_history, made.lockout_failures) == (9, 7)
    assert policy.overlaid(owner, {"of another version": 1}) == owner


@pytest.mark.parametrize(
    ("wanted", "paths", "field"),
    [
        (PolicyMessage(min_password_length=7), ["min_password_length"], "policy.minPasswordLength"),
        (PolicyMessage(), ["min_password_length"], "policy.minPasswordLength"),
        (PolicyMessage(lockout_failures=101), ["lockout_failures"], "policy.lockoutFailures"),
        (PolicyMessage(session_idle_seconds=50000), ["session_idle_seconds"], "policy.sessionIdleSeconds"),
        (PolicyMessage(lockout_seconds=3600), ["lockout_seconds"], "policy.lockoutSeconds"),
        (PolicyMessage(), [], "updateMask"),
        (PolicyMessage(), ["nonsense"], "updateMask"),
    ],
)
def test_policies_that_cannot_be(wanted: PolicyMessage, paths: list[str], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        policy.changes(DEFAULTS, {}, wanted, paths)
    assert caught.value.violations[0].field == field


def test_every_field_of_the_schema_is_there_and_back() -> None:
    made = replace(DEFAULTS, second_factor_roles=("Administrator",), certificate_common_names=True)
    shown = policy.message(made)
    fields = [field.name for field in PolicyMessage.desc().fields]
    assert sorted(fields) == sorted(policy.FIELDS)
    assert policy.overlaid(DEFAULTS, policy.changes(DEFAULTS, {}, shown, fields)) == made


def test_passwords_expire_by_policy() -> None:
    strict = replace(DEFAULTS, password_max_age_days=1)
    assert not strict.must_change(OLGA, 1000.0 + 86399)
    assert strict.must_change(OLGA, 1000.0 + 86400)
    assert not DEFAULTS.must_change(OLGA, 1e12)
    assert DEFAULTS.must_change(replace(OLGA, must_change=True), 0.0)
    for other in (replace(OLGA, source="ldap", password=""), replace(OLGA, service=True)):
        assert not strict.must_change(other, 1e12)


def test_a_second_factor_can_be_demanded_of_roles() -> None:
    strict = replace(DEFAULTS, second_factor_roles=("ReadOnly",))
    assert strict.must_set_up(OLGA)
    assert not strict.must_set_up(replace(OLGA, totp=b"x"))
    assert not strict.must_set_up(replace(OLGA, role="Operator"))
    assert not strict.must_set_up(replace(OLGA, service=True))


def test_session_limits_follow_the_policy() -> None:
    options = SessionOptions(idle_seconds=60, absolute_seconds=600, per_user=2, in_all=3)
    made = replace(AccountPolicy().with_sessions(options), session_idle_seconds=90.0, sessions_per_user=5)
    limits = made.session_options(options)
    assert (limits.idle_seconds, limits.absolute_seconds, limits.per_user, limits.in_all) == (90, 600, 5, 5)


# --- directory --------------------------------------------------------------------------------------------------------

WHOLE = Ldap(
    enabled=True,
    servers=["ldap.example.org", "[2001:db8::1]:1636"],
    security=LdapSecurity.STARTTLS,
    user_dn_template="uid={user},ou=people,dc=example,dc=org",
    user_attribute="",
    bind_dn="cn=bmc,dc=example,dc=org",
    bind_password="canary",
    group_base_dn="ou=groups,dc=example,dc=org",
    role_mappings=[LdapRoleMapping(group="cn=Admins, ou=groups,dc=example,dc=org", role="Administrator")],
)


def change(before: LdapSettings, wanted: Ldap, *paths: str) -> LdapSettings:
    return ldap_settings.updated(before, wanted, paths or ldap_settings.CHANGEABLE, lambda data: data[::-1])


def test_settings_are_stored_sealed_and_shown_without_the_password() -> None:
    made = change(LdapSettings(), WHOLE)
    assert ldap_settings.from_text(ldap_settings.to_text(made)) == made
    assert "canary" not in ldap_settings.to_text(made) + repr(made)
    shown = ldap_settings.message(made)
    assert (shown.bind_password, shown.has_bind_password) == ("", True)
    assert (shown.security, shown.user_attribute, shown.timeout_seconds) == (LdapSecurity.STARTTLS, "uid", 5)
    assert shown.role_mappings == WHOLE.role_mappings


def test_another_server_does_not_get_the_password_of_the_one_before() -> None:
    made = change(LdapSettings(), WHOLE)
    assert change(made, Ldap(servers=["evil.example.org"]), "servers").bind_password == ""
    assert change(made, Ldap(timeout_seconds=9), "timeout_seconds").bind_password == made.bind_password


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"servers": []}, "ldap.servers"),
        ({"role_mappings": []}, "ldap.roleMappings"),
        ({"user_dn_template": ""}, "ldap.userDnTemplate"),
        ({"user_dn_template": "uid=olga,dc=example"}, "ldap.userDnTemplate"),
        ({"ca_pem": "no certificate"}, "ldap.caPem"),
    ],
)
def test_settings_that_cannot_be(values: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        change(change(LdapSettings(), WHOLE), Ldap(**values), *values)
    assert caught.value.violations[0].field == field


@pytest.mark.parametrize("path", ["has_bind_password", "nonsense"])
def test_what_cannot_be_changed(path: str) -> None:
    with pytest.raises(Invalid, match=path):
        change(LdapSettings(), WHOLE, path)


def test_groups_are_compared_without_case_and_space_and_the_first_counts() -> None:
    made = LdapSettings(role_mappings=(("CN=Admins, OU=Groups,dc=x", "Administrator"), ("cn=all,dc=x", "ReadOnly")))
    assert made.role_of(["cn=all,dc=x", "cn=admins,ou=groups,dc=x"]) == "Administrator"
    assert made.role_of(["cn=ALL , dc=x"]) == "ReadOnly"
    assert made.role_of(["cn=admins,ou=groups,dc=x,dc=evil", "xcn=all,dc=x", ""]) == ""
