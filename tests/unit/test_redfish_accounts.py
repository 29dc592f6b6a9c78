"""Accounts, roles and their policy as Redfish shows them, and the registry of privileges."""

from __future__ import annotations

import datetime as dt

from protobuf.wkt import Timestamp
from tests.unit.redfish_world import check_golden

from ubmc.protocols.redfish import accounts
from ubmc.protocols.redfish.privileges import BY_NAME, NAMES, privilege_registry
from ubmc.protocols.redfish.shape import check_new, check_patch
from ubmc.protocols.redfish.tree import TREE
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.account_pb import AccountPolicy, Ldap, LdapRoleMapping, LdapSecurity
from ubmc.v1alpha1.security_pb import ClientCertificates, SecurityPolicy
from ubmc.v1alpha1.user_pb import Role, User

POLICY = AccountPolicy(
    min_password_length=10,
    password_history=4,
    password_max_age_days=90,
    lockout_failures=5,
    lockout_window_seconds=60,
    lockout_seconds=120,
)
LDAP = Ldap(
    enabled=True,
    servers=["ldap.example.org:389"],
    security=LdapSecurity.STARTTLS,
    user_base_dn="ou=people,dc=example,dc=org",
    bind_dn="cn=bmc,dc=example,dc=org",
    has_bind_password=True,
    role_mappings=[LdapRoleMapping(group="cn=ops,dc=example,dc=org", role="Operator")],
)
WHEN = Timestamp.from_datetime(dt.datetime(2026, 11, 23, 5, 0, 0, tzinfo=dt.UTC))


def test_the_service() -> None:
    required = SecurityPolicy(client_certificates=ClientCertificates.REQUIRED, basic_auth=False)
    content = {
        "an administrator sees": accounts.account_service(POLICY, required, LDAP),
        "anybody sees": accounts.account_service(AccountPolicy(min_password_length=8), SecurityPolicy(), None),
    }
    check_golden("accounts_service", content)
    assert "LDAP" not in content["anybody sees"]
    assert "cn=bmc" not in str(content["anybody sees"])


def test_accounts_and_roles() -> None:
    users = [
        User(name="admin", role="Administrator", enabled=True, second_factor=True, ipmi_enabled=True),
        User(name="olga", role="Operator", enabled=False, locked_until=WHEN, password_expire_time=WHEN),
        User(
            name="new", role="ReadOnly", enabled=True, must_change_password=True, ipmi_enabled=True, ipmi_disabled=True
        ),
    ]
    roles = [
        Role(name="Operator", privileges=[Privilege.LOGIN, Privilege.CONFIGURE_SELF], built_in=True),
        Role(name="Night", privileges=[Privilege.LOGIN, Privilege.CONFIGURE_COMPONENTS]),
    ]
    made = {user.name: accounts.account(user) for user in users}
    check_golden("accounts", {"accounts": made, "roles": [accounts.role(role) for role in roles]})
    assert all(account["Password"] is None for account in made.values())
    assert "IPMI" in made["admin"]["AccountTypes"]
    assert "IPMI" not in made["new"]["AccountTypes"]


def test_what_can_be_sent() -> None:
    problems = check_new(accounts.CREATE_ACCOUNT, {"UserName": "Olga!", "RoleId": "Operator"}).problems
    assert {(each.key, each.related[0]) for each in problems} == {
        ("PropertyValueFormatError", "/UserName"),
        ("CreateFailedMissingReqProperties", "/Password"),
    }
    now = accounts.account(User(name="olga", role="Operator", enabled=True))
    changed = check_patch(accounts.PATCH_ACCOUNT, {"UserName": "helga", "Locked": False, "Shoe": 44}, now)
    assert changed.values == {"Locked": False}
    assert [each.key for each in changed.problems] == ["PropertyNotWritable", "PropertyUnknown"]


def test_every_privilege_has_the_name_of_the_standard() -> None:
    assert {*NAMES} == {each for each in Privilege if each is not Privilege.UNSPECIFIED}
    assert {name: BY_NAME[name] for name in NAMES.values()} == {name: key for key, name in NAMES.items()}


def test_the_registry_of_privileges_says_what_the_resources_demand() -> None:
    made = privilege_registry(TREE)
    mappings = {each["Entity"]: each["OperationMap"] for each in made["Mappings"]}
    assert mappings["ManagerAccount"]["PATCH"] == [{"Privilege": ["ConfigureSelf"]}]
    assert mappings["ComputerSystem"]["GET"] == [{"Privilege": ["Login"]}]
    assert mappings["EventDestinationCollection"]["POST"] == [{"Privilege": ["ConfigureManager"]}]
    assert {resource.type for resource in TREE if resource.read} == set(mappings)
