"""Accounts: AccountService, ManagerAccounts, Roles. They are read with the caller's own rights, never kept."""

from __future__ import annotations

from ubmc.protocols.redfish.privileges import NAMES
from ubmc.protocols.redfish.resource import (
    MANAGER,
    NULL,
    SELF,
    USERS,
    Action,
    Body,
    Resource,
    known,
    link,
)
from ubmc.protocols.redfish.shape import Prop, Shape
from ubmc.protocols.redfish.types import ROOT
from ubmc.protocols.redfish.when import stamp
from ubmc.v1alpha1.account_pb import AccountPolicy, Ldap, LdapSecurity
from ubmc.v1alpha1.security_pb import ClientCertificates, SecurityPolicy
from ubmc.v1alpha1.user_pb import Role, User

SERVICE = f"{ROOT}/AccountService"
ACCOUNTS = f"{SERVICE}/Accounts"
ROLES = f"{SERVICE}/Roles"
PRIVILEGE_MAP = f"{SERVICE}/PrivilegeMap"
CLIENT_CERTIFICATES = f"{SERVICE}/MultiFactorAuth/ClientCertificate/Certificates"

MAX_PASSWORD_LENGTH = 128
TOTP_STEP_SECONDS = 30
_TYPES = ("Redfish", "WebUI")
_DAY = 86400


def account_service(policy: AccountPolicy, security: SecurityPolicy, ldap: Ldap | None) -> Body:
    """What holds for all accounts.

    Args:
        policy: of passwords and logins.
        security: of the door.
        ldap: the directory; None for somebody who may not see it.
    """
    mode = security.client_certificates
    directory = ldap is not None and ldap.enabled
    return known(
        {
            "Id": "AccountService",
            "Name": "Account Service",
            "Status": {"State": "Enabled", "Health": "OK"},
            "ServiceEnabled": True,
            "MinPasswordLength": policy.min_password_length,
            "MaxPasswordLength": MAX_PASSWORD_LENGTH,
            "PasswordExpirationDays": policy.password_max_age_days or NULL,
            "EnforcePasswordHistoryCount": policy.password_history,
            "AccountLockoutThreshold": policy.lockout_failures,
            "AccountLockoutDuration": policy.lockout_seconds,
            "AccountLockoutCounterResetAfter": policy.lockout_window_seconds,
            "AccountLockoutCounterResetEnabled": True,
            "HTTPBasicAuth": "Enabled" if security.basic_auth or not security.has_field("basic_auth") else "Disabled",
            "HTTPBasicAuth@Redfish.AllowableValues": ["Enabled", "Disabled"],
            "LocalAccountAuth": "LocalFirst" if directory else "Enabled",
            "RequireChangePasswordAction": False,
            "SupportedAccountTypes": [*_TYPES, "IPMI", "HostConsole"],
            "MultiFactorAuth": _multi_factor(policy, mode),
            "LDAP": _ldap(ldap) if ldap is not None else None,
            "Accounts": link(ACCOUNTS),
            "Roles": link(ROLES),
            "PrivilegeMap": link(PRIVILEGE_MAP),
        }
    )


def _multi_factor(policy: AccountPolicy, mode: ClientCertificates) -> Body:
    return {
        "TimeBasedOneTimePassword": {"Enabled": True, "TimeStepSeconds": TOTP_STEP_SECONDS},
        "ClientCertificate": {
            "Enabled": mode in (ClientCertificates.OPTIONAL, ClientCertificates.REQUIRED),
            "RespondToUnauthenticatedClients": mode is not ClientCertificates.REQUIRED,
            "CertificateMappingAttribute": "CommonName" if policy.certificate_common_names else None,
            "Certificates": link(CLIENT_CERTIFICATES),
        },
    }


def _ldap(ldap: Ldap) -> Body:
    return {
        "ServiceEnabled": ldap.enabled,
        "ServiceAddresses": [f"{_scheme(ldap)}://{server}" for server in ldap.servers],
        "Authentication": {
            "AuthenticationType": "UsernameAndPassword",
            "Username": ldap.bind_dn,
            "Password": None,
        },
        "PasswordSet": ldap.has_bind_password,
        "TimeoutSeconds": ldap.timeout_seconds or 5,
        "LDAPService": {
            "SearchSettings": {
                "BaseDistinguishedNames": [ldap.user_base_dn] if ldap.user_base_dn else [],
                "UsernameAttribute": ldap.user_attribute or "uid",
                "GroupsAttribute": ldap.group_attribute or "member",
            }
        },
        "RemoteRoleMapping": [
            {"RemoteGroup": mapping.group, "LocalRole": mapping.role} for mapping in ldap.role_mappings
        ],
    }


def _scheme(ldap: Ldap) -> str:
    return "ldap" if ldap.security is LdapSecurity.STARTTLS else "ldaps"


def account(user: User) -> Body:
    """An account. Its password is never shown."""
    own = f"{ACCOUNTS}/{user.name}"
    types = [*_TYPES, *(["IPMI"] if user.ipmi_enabled and not user.ipmi_disabled else [])]
    return {
        "Id": user.name,
        "Name": f"Account of {user.name}",
        "UserName": user.name,
        "Password": None,
        "RoleId": user.role,
        "Enabled": user.enabled or not user.has_field("enabled"),
        "Locked": user.locked_until is not None,
        "PasswordChangeRequired": user.must_change_password,
        "PasswordExpiration": stamp(user.password_expire_time),
        "AccountTypes": types,
        "StrictAccountTypes": False,
        "SecretKeySet": user.second_factor,
        "Links": {"Role": link(f"{ROLES}/{user.role}")},
        "Actions": {
            f"#{name}": {"target": f"{own}/Actions/{name}"}
            for name in ("ManagerAccount.ChangePassword", "ManagerAccount.ClearSecretKey")
        },
    }


def role(of: Role) -> Body:
    """A role."""
    return {
        "Id": of.name,
        "Name": f"Role {of.name}",
        "RoleId": of.name,
        "IsPredefined": of.built_in,
        "AssignedPrivileges": [NAMES[privilege] for privilege in of.privileges if privilege in NAMES],
        "OemPrivileges": [],
    }


_NAME = "[a-z_][a-z0-9_.-]{0,31}"
_GROUP = Prop(longest=512)
_PRIVILEGES = Prop("strings", values=tuple(NAMES.values()), longest=16)

PATCH_SERVICE: Shape = {
    "MinPasswordLength": Prop("integer", minimum=8, maximum=64),
    "PasswordExpirationDays": Prop("integer", minimum=0, maximum=3650, nullable=True),
    "EnforcePasswordHistoryCount": Prop("integer", minimum=0, maximum=12),
    "AccountLockoutThreshold": Prop("integer", minimum=0, maximum=100),
    "AccountLockoutDuration": Prop("integer", minimum=1, maximum=_DAY),
    "AccountLockoutCounterResetAfter": Prop("integer", minimum=10, maximum=_DAY),
    "HTTPBasicAuth": Prop(values=("Enabled", "Disabled")),
    "MultiFactorAuth": {
        "ClientCertificate": {
            "Enabled": Prop("boolean"),
            "RespondToUnauthenticatedClients": Prop("boolean"),
        }
    },
    "LDAP": {
        "ServiceEnabled": Prop("boolean"),
        "ServiceAddresses": Prop("strings", longest=3),
        "Authentication": {"Username": Prop(longest=512), "Password": Prop(longest=256, nullable=True)},
        "TimeoutSeconds": Prop("integer", minimum=1, maximum=30),
        "LDAPService": {
            "SearchSettings": {
                "BaseDistinguishedNames": Prop("strings", longest=1),
                "UsernameAttribute": Prop(longest=64),
                "GroupsAttribute": Prop(longest=64),
            }
        },
        "RemoteRoleMapping": Prop("array", longest=32, items={"RemoteGroup": _GROUP, "LocalRole": _GROUP}),
    },
}
PATCH_ACCOUNT: Shape = {
    "Password": Prop(longest=MAX_PASSWORD_LENGTH),
    "RoleId": Prop(longest=32),
    "Enabled": Prop("boolean"),
    "Locked": Prop("boolean"),
    "PasswordChangeRequired": Prop("boolean"),
}
CREATE_ACCOUNT: Shape = {
    "UserName": Prop(required=True, longest=32, pattern=_NAME),
    "Password": Prop(required=True, longest=MAX_PASSWORD_LENGTH),
    "RoleId": Prop(required=True, longest=32),
    "Enabled": Prop("boolean"),
    "PasswordChangeRequired": Prop("boolean"),
}
CREATE_ROLE: Shape = {"RoleId": Prop(required=True, longest=32), "AssignedPrivileges": _PRIVILEGES}

RESOURCES = (
    Resource(
        SERVICE,
        "AccountService",
        write=(*USERS, *MANAGER),
        patch=PATCH_SERVICE,
        about="Policy of accounts; the directory.",
    ),
    Resource(ACCOUNTS, "ManagerAccountCollection", write=USERS, create=CREATE_ACCOUNT, about="Accounts."),
    Resource(
        f"{ACCOUNTS}/{{account}}",
        "ManagerAccount",
        read=SELF,
        write=SELF,
        patch=PATCH_ACCOUNT,
        delete=True,
        remove=USERS,
        actions=(
            Action(
                "ManagerAccount.ChangePassword",
                {"SessionAccountPassword": Prop(required=True, longest=128), "NewPassword": Prop(required=True)},
                SELF,
            ),
            Action("ManagerAccount.ClearSecretKey", {}, SELF),
        ),
        about="One account: role, password, lock, second factor.",
    ),
    Resource(PRIVILEGE_MAP, "PrivilegeRegistry", about="Which privilege each type of resource needs."),
    Resource(ROLES, "RoleCollection", write=USERS, create=CREATE_ROLE, about="Roles."),
    Resource(
        f"{ROLES}/{{role}}",
        "Role",
        write=USERS,
        patch={"AssignedPrivileges": _PRIVILEGES},
        delete=True,
        about="One role and its privileges.",
    ),
    Resource(
        CLIENT_CERTIFICATES,
        "CertificateCollection",
        write=MANAGER,
        create={
            "CertificateString": Prop(required=True, longest=32768),
            "CertificateType": Prop(required=True, values=("PEM",)),
        },
        about="Authorities whose client certificates are accepted.",
    ),
    Resource(
        f"{CLIENT_CERTIFICATES}/{{certificate}}", "Certificate", write=MANAGER, delete=True, about="One authority."
    ),
)
