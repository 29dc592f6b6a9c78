"""Accounts, roles and the policy that holds for them, read and changed with the caller's own rights."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from protobuf.wkt import FieldMask

from ubmc.kit.errors import NotFound
from ubmc.protocols.redfish import accounts
from ubmc.protocols.redfish.certificates import certificate
from ubmc.protocols.redfish.messages import Message, RedfishError
from ubmc.protocols.redfish.privileges import BY_NAME, privilege_registry
from ubmc.protocols.redfish.query import Query
from ubmc.protocols.redfish.resource import Body, members
from ubmc.protocols.redfish.shape import Values
from ubmc.protocols.redfish.tree import TREE
from ubmc.services.websrv.peer import Basic
from ubmc.services.websrv.redfish.context import By, Context, Done, Family, Made, Unit
from ubmc.services.websrv.redfish.families.blame import blaming
from ubmc.services.websrv.redfish.families.managers import change_security
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.account_pb import (
    AccountPolicy,
    GetAccountPolicyRequest,
    GetLdapRequest,
    Ldap,
    LdapRoleMapping,
    LdapSecurity,
    UpdateAccountPolicyRequest,
    UpdateLdapRequest,
)
from ubmc.v1alpha1.account_rpc import AccountService
from ubmc.v1alpha1.security_pb import (
    AddTrustedCertificateRequest,
    ClientCertificates,
    DeleteTrustedCertificateRequest,
    GetSecurityPolicyRequest,
    ListTrustedCertificatesRequest,
    SecurityPolicy,
)
from ubmc.v1alpha1.security_rpc import SecurityService
from ubmc.v1alpha1.user_pb import (
    ChangePasswordRequest,
    CreateRoleRequest,
    CreateUserRequest,
    DeleteRoleRequest,
    DeleteUserRequest,
    GetUserRequest,
    ListRolesRequest,
    ListUsersRequest,
    RemoveTotpRequest,
    Role,
    UnlockUserRequest,
    UpdateRoleRequest,
    UpdateUserRequest,
    User,
)
from ubmc.v1alpha1.user_rpc import UserService

PAGE = 1000
_POLICY = {
    "MinPasswordLength": "min_password_length",
    "PasswordExpirationDays": "password_max_age_days",
    "EnforcePasswordHistoryCount": "password_history",
    "AccountLockoutThreshold": "lockout_failures",
    "AccountLockoutDuration": "lockout_seconds",
    "AccountLockoutCounterResetAfter": "lockout_window_seconds",
}
_USER_FIELDS = {"password": "Password", "newPassword": "Password", "role": "RoleId", "name": "UserName"}
_LDAP_FIELDS = {
    "servers": "LDAP/ServiceAddresses",
    "bind_dn": "LDAP/Authentication/Username",
    "bind_password": "LDAP/Authentication/Password",
    "timeout_seconds": "LDAP/TimeoutSeconds",
    "user_base_dn": "LDAP/LDAPService/SearchSettings/BaseDistinguishedNames",
    "user_attribute": "LDAP/LDAPService/SearchSettings/UsernameAttribute",
    "group_attribute": "LDAP/LDAPService/SearchSettings/GroupsAttribute",
    "role_mappings": "LDAP/RemoteRoleMapping",
}
_CLIENT = "MultiFactorAuth/ClientCertificate"
_SEARCH = "LDAP/LDAPService/SearchSettings"


# --- the service --------------------------------------------------------------------------------------------------


async def _service(context: Context, _query: Query) -> Body:
    policy = (await context.call(AccountService.GetAccountPolicy, GetAccountPolicyRequest())).policy
    security = (await context.call(SecurityService.GetSecurityPolicy, GetSecurityPolicyRequest())).policy
    ldap = None
    if context.may(Privilege.CONFIGURE_USERS):
        ldap = (await context.call(AccountService.GetLdap, GetLdapRequest())).ldap
    return accounts.account_service(policy or AccountPolicy(), security or SecurityPolicy(), ldap)


async def _change_policy(context: Context, values: Values) -> None:
    paths = [_POLICY[name] for name in values]
    policy = AccountPolicy()
    for name, value in values.items():
        setattr(policy, _POLICY[name], value or 0)
    request = UpdateAccountPolicyRequest(policy=policy, update_mask=FieldMask(paths=paths))
    with blaming(context.path, {field: name for name, field in _POLICY.items()}, tuple(values)):
        answer = await context.call(AccountService.UpdateAccountPolicy, request)
    context.model.put("policy", "", answer.policy)


async def _change_basic(context: Context, values: Values) -> None:
    policy = SecurityPolicy(basic_auth=values["HTTPBasicAuth"] == "Enabled")
    await change_security(context, policy, "basic_auth")


async def _change_client_certificates(context: Context, values: Values) -> None:
    now = (await context.call(SecurityService.GetSecurityPolicy, GetSecurityPolicyRequest())).policy or SecurityPolicy()
    mode = now.client_certificates
    enabled = values.get(f"{_CLIENT}/Enabled", mode in (ClientCertificates.OPTIONAL, ClientCertificates.REQUIRED))
    respond = values.get(f"{_CLIENT}/RespondToUnauthenticatedClients", mode is not ClientCertificates.REQUIRED)
    wanted = ClientCertificates.OPTIONAL if respond else ClientCertificates.REQUIRED
    policy = SecurityPolicy(client_certificates=wanted if enabled else ClientCertificates.OFF)
    await change_security(context, policy, "client_certificates")


async def _change_ldap(context: Context, values: Values) -> None:
    ldap = Ldap()
    paths: list[str] = []

    def take(name: str, field: str, value: Any = None) -> None:
        if name in values:
            setattr(ldap, field, values[name] if value is None else value)
            paths.append(field)

    take("LDAP/ServiceEnabled", "enabled")
    take("LDAP/Authentication/Username", "bind_dn")
    take("LDAP/Authentication/Password", "bind_password", values.get("LDAP/Authentication/Password") or "")
    take("LDAP/TimeoutSeconds", "timeout_seconds")
    take(f"{_SEARCH}/UsernameAttribute", "user_attribute")
    take(f"{_SEARCH}/GroupsAttribute", "group_attribute")
    take(
        f"{_SEARCH}/BaseDistinguishedNames",
        "user_base_dn",
        "".join(values.get(f"{_SEARCH}/BaseDistinguishedNames", [])),
    )
    if "LDAP/ServiceAddresses" in values:
        ldap.servers, ldap.security = _servers(values["LDAP/ServiceAddresses"])
        paths += ["servers", "security"]
    if "LDAP/RemoteRoleMapping" in values:
        ldap.role_mappings = [_mapping(each) for each in values["LDAP/RemoteRoleMapping"]]
        paths.append("role_mappings")
    with blaming(context.path, _LDAP_FIELDS, tuple(values)):
        await context.call(AccountService.UpdateLdap, UpdateLdapRequest(ldap=ldap, update_mask=FieldMask(paths=paths)))


def _servers(addresses: list[str]) -> tuple[list[str], LdapSecurity]:
    """Servers and how they are spoken to: `ldaps://` from the first byte, `ldap://` by StartTLS, never without TLS."""
    property_ = "LDAP/ServiceAddresses"
    wrong = RedfishError(400, Message("PropertyValueError", (property_,), (f"/{property_}",)))
    try:
        found = [urlsplit(address if "://" in address else f"ldaps://{address}") for address in addresses]
    except ValueError:
        raise wrong from None
    schemes = {each.scheme for each in found}
    if len(schemes) > 1 or not schemes <= {"ldap", "ldaps"}:
        raise wrong
    security = LdapSecurity.STARTTLS if schemes == {"ldap"} else LdapSecurity.LDAPS
    return [each.netloc for each in found], security


def _mapping(each: Any) -> LdapRoleMapping:
    group, role = (each.get("RemoteGroup"), each.get("LocalRole")) if isinstance(each, dict) else (None, None)
    if not isinstance(group, str) or not isinstance(role, str):
        property_ = "LDAP/RemoteRoleMapping"
        raise RedfishError(400, Message("PropertyValueFormatError", (str(each)[:100], property_), (f"/{property_}",)))
    return LdapRoleMapping(group=group, role=role)


# --- accounts -----------------------------------------------------------------------------------------------------


async def _list(context: Context, _query: Query) -> Body:
    """All accounts; for somebody who may not see others, the own one."""
    names = [context.user]
    if context.may(Privilege.CONFIGURE_USERS):
        names = [
            user.name for user in (await context.call(UserService.ListUsers, ListUsersRequest(page_size=PAGE))).users
        ]
    return {"Name": "Accounts", **members(accounts.ACCOUNTS, names)}


async def _account(context: Context, _query: Query) -> Body | None:
    user = (await context.call(UserService.GetUser, GetUserRequest(name=context.params["account"]))).user
    return accounts.account(user) if user is not None else None


async def _create_account(context: Context, values: Values) -> Made:
    user = User(name=values["UserName"], role=values["RoleId"], enabled=values.get("Enabled", True))
    user.must_change_password = values.get("PasswordChangeRequired", False)
    with blaming(context.path, _USER_FIELDS, ("UserName",)):
        await context.call(UserService.CreateUser, CreateUserRequest(user=user, password=values["Password"]))
    return Made(f"{accounts.ACCOUNTS}/{user.name}")


async def _delete_account(context: Context) -> None:
    await context.call(UserService.DeleteUser, DeleteUserRequest(name=context.params["account"]))


async def _change_account(context: Context, values: Values) -> None:
    user = User(name=context.params["account"])
    paths = []
    if "RoleId" in values:
        user.role = values["RoleId"]
        paths.append("role")
    if "Enabled" in values:
        user.enabled = values["Enabled"]
        paths.append("enabled")
    if "PasswordChangeRequired" in values:
        user.must_change_password = values["PasswordChangeRequired"]
        paths.append("must_change_password")
    with blaming(context.path, _USER_FIELDS, tuple(values)):
        await context.call(UserService.UpdateUser, UpdateUserRequest(user=user, update_mask=FieldMask(paths=paths)))


async def _change_password(context: Context, values: Values) -> None:
    """A new password. Somebody else's is for good too, unless PasswordChangeRequired comes along."""
    name = context.params["account"]
    shown = context.identity.shown if context.identity is not None else None
    own = name == context.user
    current = shown.password if own and isinstance(shown, Basic) else ""
    request = ChangePasswordRequest(name=name, current_password=current, new_password=values["Password"])
    with blaming(context.path, {**_USER_FIELDS, "currentPassword": "Password"}, ("Password",)):
        await context.call(UserService.ChangePassword, request)
    if not own:
        await _change_account(context, {"PasswordChangeRequired": False})


async def _lock(context: Context, values: Values) -> None:
    if values["Locked"]:
        raise RedfishError(
            400, Message("PropertyValueError", ("Locked",), ("/Locked",), "only wrong passwords lock an account")
        )
    await context.call(UserService.UnlockUser, UnlockUserRequest(name=context.params["account"]))


async def _act_password(context: Context, values: Values) -> Done:
    """The action takes the password of the session that asks, as a proof; for the own account it is the current one."""
    request = ChangePasswordRequest(
        name=context.params["account"],
        current_password=values["SessionAccountPassword"],
        new_password=values["NewPassword"],
    )
    names = {"currentPassword": "SessionAccountPassword", "newPassword": "NewPassword", "password": "NewPassword"}
    with blaming(context.path, names):
        await context.call(UserService.ChangePassword, request)
    return Done()


async def _clear_totp(context: Context, _values: Values) -> Done:
    await context.call(UserService.RemoveTotp, RemoveTotpRequest(name=context.params["account"]))
    return Done()


# --- roles --------------------------------------------------------------------------------------------------------


async def _all_roles(context: Context) -> list[Role]:
    return list((await context.call(UserService.ListRoles, ListRolesRequest())).roles)


async def _list_roles(context: Context, _query: Query) -> Body:
    return {"Name": "Roles", **members(accounts.ROLES, [role.name for role in await _all_roles(context)])}


async def _role(context: Context, _query: Query) -> Body | None:
    found = next((role for role in await _all_roles(context) if role.name == context.params["role"]), None)
    return accounts.role(found) if found is not None else None


async def _create_role(context: Context, values: Values) -> Made:
    role = Role(name=values["RoleId"], privileges=[BY_NAME[name] for name in values.get("AssignedPrivileges", [])])
    with blaming(context.path, {"name": "RoleId", "privileges": "AssignedPrivileges"}, ("RoleId",)):
        await context.call(UserService.CreateRole, CreateRoleRequest(role=role))
    return Made(f"{accounts.ROLES}/{role.name}")


async def _change_role(context: Context, values: Values) -> None:
    role = Role(name=context.params["role"], privileges=[BY_NAME[name] for name in values["AssignedPrivileges"]])
    request = UpdateRoleRequest(role=role, update_mask=FieldMask(paths=["privileges"]))
    with blaming(context.path, {"privileges": "AssignedPrivileges"}, ("AssignedPrivileges",)):
        await context.call(UserService.UpdateRole, request)


async def _delete_role(context: Context) -> None:
    await context.call(UserService.DeleteRole, DeleteRoleRequest(name=context.params["role"]))


async def _privilege_map(_context: Context, _query: Query) -> Body:
    return privilege_registry(TREE)


# --- authorities of client certificates ---------------------------------------------------------------------------


async def _list_authorities(context: Context, _query: Query) -> Body:
    found = await context.call(SecurityService.ListTrustedCertificates, ListTrustedCertificatesRequest())
    names = [each.fingerprint for each in found.certificates]
    return {"Name": "Authorities of Client Certificates", **members(accounts.CLIENT_CERTIFICATES, names)}


async def _authority(context: Context, _query: Query) -> Body | None:
    found = await context.call(SecurityService.ListTrustedCertificates, ListTrustedCertificatesRequest())
    wanted = context.params["certificate"]
    one = next((each for each in found.certificates if each.fingerprint == wanted), None)
    return {**certificate(one, "User"), "Id": wanted} if one is not None else None


async def _add_authority(context: Context, values: Values) -> Made:
    request = AddTrustedCertificateRequest(pem=values["CertificateString"])
    with blaming(context.path, {"pem": "CertificateString"}, ("CertificateString",)):
        answer = await context.call(SecurityService.AddTrustedCertificate, request)
    if answer.certificate is None:
        raise NotFound("the certificate is not there any more")
    return Made(f"{accounts.CLIENT_CERTIFICATES}/{answer.certificate.fingerprint}")


async def _delete_authority(context: Context) -> None:
    request = DeleteTrustedCertificateRequest(fingerprint=context.params["certificate"])
    await context.call(SecurityService.DeleteTrustedCertificate, request)


_ACCOUNT = f"{accounts.ACCOUNTS}/{{account}}"
_ROLE = f"{accounts.ROLES}/{{role}}"
_AUTHORITY = f"{accounts.CLIENT_CERTIFICATES}/{{certificate}}"
_LDAP_PATHS = (
    "LDAP/ServiceEnabled", "LDAP/ServiceAddresses", "LDAP/Authentication/Username", "LDAP/Authentication/Password",
    "LDAP/TimeoutSeconds", f"{_SEARCH}/BaseDistinguishedNames", f"{_SEARCH}/UsernameAttribute",
    f"{_SEARCH}/GroupsAttribute", "LDAP/RemoteRoleMapping",
)  # fmt: skip

FAMILY = Family(
    loads={
        accounts.SERVICE: _service,
        accounts.ACCOUNTS: _list,
        _ACCOUNT: _account,
        accounts.ROLES: _list_roles,
        _ROLE: _role,
        accounts.PRIVILEGE_MAP: _privilege_map,
        accounts.CLIENT_CERTIFICATES: _list_authorities,
        _AUTHORITY: _authority,
    },
    patches={
        accounts.SERVICE: (
            Unit(tuple(_POLICY), _change_policy, AccountService.UpdateAccountPolicy),
            Unit(("HTTPBasicAuth",), _change_basic, SecurityService.UpdateSecurityPolicy),
            Unit(
                (f"{_CLIENT}/Enabled", f"{_CLIENT}/RespondToUnauthenticatedClients"),
                _change_client_certificates,
                SecurityService.UpdateSecurityPolicy,
            ),
            Unit(_LDAP_PATHS, _change_ldap, AccountService.UpdateLdap),
        ),
        _ACCOUNT: (
            Unit(("Password",), _change_password, UserService.ChangePassword),
            Unit(("RoleId", "Enabled", "PasswordChangeRequired"), _change_account, UserService.UpdateUser),
            Unit(("Locked",), _lock, UserService.UnlockUser),
        ),
        _ROLE: (Unit(("AssignedPrivileges",), _change_role, UserService.UpdateRole),),
    },
    creates={
        accounts.ACCOUNTS: By(_create_account, UserService.CreateUser),
        accounts.ROLES: By(_create_role, UserService.CreateRole),
        accounts.CLIENT_CERTIFICATES: By(_add_authority, SecurityService.AddTrustedCertificate),
    },
    deletes={
        _ACCOUNT: By(_delete_account, UserService.DeleteUser),
        _ROLE: By(_delete_role, UserService.DeleteRole),
        _AUTHORITY: By(_delete_authority, SecurityService.DeleteTrustedCertificate),
    },
    actions={
        (_ACCOUNT, "ManagerAccount.ChangePassword"): By(_act_password, UserService.ChangePassword),
        (_ACCOUNT, "ManagerAccount.ClearSecretKey"): By(_clear_totp, UserService.RemoveTotp),
    },
)
