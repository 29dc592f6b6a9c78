"""The calls of AccountService: the policy, and the directory."""

from __future__ import annotations

from collections.abc import Sequence

from protobuf.wkt import FieldMask

from ubmc.kit.service import rpc
from ubmc.services.usermgr import credential_rules, ldap_settings, policy
from ubmc.services.usermgr.asker import asking
from ubmc.services.usermgr.core import Core, invalid
from ubmc.services.usermgr.store import Change, State
from ubmc.v1alpha1.account_pb import (
    AccountPolicyChange,
    GetAccountPolicyRequest,
    GetAccountPolicyResponse,
    GetLdapRequest,
    GetLdapResponse,
    TestLdapRequest,
    TestLdapResponse,
    UpdateAccountPolicyRequest,
    UpdateAccountPolicyResponse,
    UpdateLdapRequest,
    UpdateLdapResponse,
)
from ubmc.v1alpha1.account_rpc import AccountService


class AccountCalls(Core):
    """What `UserManager` answers about what holds for all accounts."""

    @rpc(AccountService.GetAccountPolicy)
    async def get_account_policy(self, request: GetAccountPolicyRequest) -> GetAccountPolicyResponse:
        """The policy."""
        return GetAccountPolicyResponse(policy=policy.message(self._store.state.policy))

    @rpc(AccountService.UpdateAccountPolicy)
    async def update_account_policy(self, request: UpdateAccountPolicyRequest) -> UpdateAccountPolicyResponse:
        """Change the policy."""
        wanted = request.policy
        if wanted is None:
            raise invalid("policy", "required", "is needed")

        def decide(state: State) -> Change:
            asker = asking(state, users=True)
            # Whoever may weaken it can reach every account, so only who may do what all may.
            asker.check_covers(privilege for held in state.roles.values() for privilege in held)
            after = policy.changes(state.defaults, state.overrides, wanted, _paths(request.update_mask))
            made = policy.overlaid(state.defaults, after)
            credential_rules.check_roles_exist(state, made.second_factor_roles, "policy.secondFactorRoles")
            fields = [name for name in policy.FIELDS if getattr(made, name) != getattr(state.policy, name)]
            if not fields:
                return Change()
            return Change(policy=after, news=(AccountPolicyChange(what="account policy", fields=", ".join(fields)),))

        await self._change(decide)
        return UpdateAccountPolicyResponse(policy=policy.message(self._store.state.policy))

    @rpc(AccountService.GetLdap)
    async def get_ldap(self, request: GetLdapRequest) -> GetLdapResponse:
        """How the directory is asked."""
        asking(self._store.state, users=True)
        return GetLdapResponse(ldap=ldap_settings.message(self._store.state.ldap))

    @rpc(AccountService.UpdateLdap)
    async def update_ldap(self, request: UpdateLdapRequest) -> UpdateLdapResponse:
        """Change how the directory is asked."""
        wanted = request.ldap
        if wanted is None:
            raise invalid("ldap", "required", "is needed")

        def decide(state: State) -> Change:
            asker = asking(state, users=True, in_person=True)
            asker.check_covers(privilege for held in state.roles.values() for privilege in held)
            after = ldap_settings.updated(
                state.ldap,
                wanted,
                _paths(request.update_mask),
                lambda data: self._key.seal(data, ldap_settings.CONTEXT),
            )
            credential_rules.check_roles_exist(
                state, tuple(role for _, role in after.role_mappings), "ldap.roleMappings"
            )
            return credential_rules.new_ldap(state, after)

        await self._change(decide)
        return UpdateLdapResponse(ldap=ldap_settings.message(self._store.state.ldap))

    @rpc(AccountService.TestLdap)
    async def test_ldap(self, request: TestLdapRequest) -> TestLdapResponse:
        """Ask the directory, and say what it answers."""
        asking(self._store.state, users=True)
        from ubmc.services.usermgr import ldap

        settings = self._store.state.ldap
        secret = self._bind_password(settings)
        if not request.user:
            found = await self._in_thread(lambda: ldap.reach(settings, secret, self._check_peer))
        else:
            if not self._in_directory(request.user):
                raise invalid("user", "name", "cannot be the login name of an account, or the directory is off")
            if request.user in self._store.state.accounts and self._store.state.accounts[request.user].local:
                raise invalid("user", "local", "is a local account, for which the directory is never asked")
            found = await self._in_thread(
                lambda: ldap.authenticate(settings, secret, request.user, request.password, self._check_peer)
            )
        if found is None:
            raise invalid("password", "right", "is wrong, or the directory does not know the name")
        return TestLdapResponse(server=found.server, dn=found.dn, groups=list(found.groups), role=found.role)


def _paths(mask: FieldMask | None) -> Sequence[str]:
    return mask.paths if mask is not None else ()
