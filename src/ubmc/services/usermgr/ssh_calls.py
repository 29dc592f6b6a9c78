"""The calls about SSH keys, and the session of who proved to have one."""

from __future__ import annotations

import time

from ubmc.kit.errors import Exhausted, Exists, NotFound, Refused, Unauthenticated
from ubmc.kit.service import rpc
from ubmc.services.usermgr import rules, shapes, ssh_keys
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.core import Core
from ubmc.services.usermgr.sessions import Moment, open_session
from ubmc.services.usermgr.ssh_keys import SshKey
from ubmc.services.usermgr.store import Change, State
from ubmc.services.usermgr.user_calls import about
from ubmc.v1alpha1.session_pb import (
    CheckSshKeyRequest,
    CheckSshKeyResponse,
    LoginSshKeyRequest,
    LoginSshKeyResponse,
)
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.user_pb import (
    AddSshKeyRequest,
    AddSshKeyResponse,
    DeleteSshKeyRequest,
    DeleteSshKeyResponse,
    ListSshKeysRequest,
    ListSshKeysResponse,
    UserChange,
)
from ubmc.v1alpha1.user_rpc import UserService

ADDED = "given an SSH key"
REMOVED = "relieved of an SSH key"
KEY_DELETED = "SSH key deleted"


class SshCalls(Core):
    """What `UserManager` answers about SSH keys."""

    @rpc(UserService.ListSshKeys)
    async def list_ssh_keys(self, request: ListSshKeysRequest) -> ListSshKeysResponse:
        """The keys of an account."""
        about(self._store.state, request.name)
        keys = self._store.state.ssh_keys.get(request.name, ())
        return ListSshKeysResponse(keys=[shapes.ssh_key(key) for key in keys])

    @rpc(UserService.AddSshKey)
    async def add_ssh_key(self, request: AddSshKeyRequest) -> AddSshKeyResponse:
        """Let an account in with a key; with it somebody may do all that the role may."""
        key = ssh_keys.parse(request.public_key, request.name, time.time())

        def decide(state: State) -> Change:
            asker, _ = about(state, request.name)
            account = rules.find(state, request.name)
            asker.check_covers(state.held(account))
            if not account.local:
                raise Refused(f"{account.name} comes from the directory; keys are for local accounts")
            known = state.ssh_keys.get(account.name, ())
            if any(each.key == key.key for each in known):
                raise Exists(f"{account.name} has this key already")
            if len(known) >= ssh_keys.PER_USER:
                raise Exhausted(
                    f"{account.name} has {ssh_keys.PER_USER} keys already; delete one first", retry_seconds=0
                )
            return Change(added_key=key, news=(UserChange(name=account.name, what=ADDED),))

        await self._change(decide)
        return AddSshKeyResponse(key=shapes.ssh_key(key))

    @rpc(UserService.DeleteSshKey)
    async def delete_ssh_key(self, request: DeleteSshKeyRequest) -> DeleteSshKeyResponse:
        """Take a key away; the sessions that were opened with it end."""

        def decide(state: State) -> Change:
            about(state, request.name)
            key = _find(state, request.name, request.id)
            change = Change(removed_key=key, news=(UserChange(name=key.user, what=REMOVED),))
            opened = (each for each in state.sessions.of(key.user) if each.ssh_key == key.id)
            return rules.ending(change, opened, KEY_DELETED)

        await self._change(decide)
        return DeleteSshKeyResponse()

    # --- for the door ---------------------------------------------------------------------------------------------

    @rpc(SessionService.CheckSshKey)
    async def check_ssh_key(self, request: CheckSshKeyRequest) -> CheckSshKeyResponse:
        """Whether a key would do. Failures are not counted: nobody guesses a key, and clients try all they have."""
        _owner(self._store.state, request.user, request.key)
        return CheckSshKeyResponse()

    @rpc(SessionService.LoginSshKey)
    async def login_ssh_key(self, request: LoginSshKeyRequest) -> LoginSshKeyResponse:
        """Open a session for who has a key."""
        account, key = _owner(self._store.state, request.user, request.key)
        session, token = open_session(account.name, request.source, Moment.now(), self._options, key.id)
        await self._change(lambda state: rules.login(state, account, session, self._options))
        state, now = self._store.state, time.time()
        latest = state.accounts.get(account.name, account)
        return LoginSshKeyResponse(
            token=token,
            session=shapes.session(session, latest, Moment.now()),
            must_change_password=state.policy.must_change(latest, now),
            must_set_up_second_factor=state.policy.must_set_up(latest),
        )


def _find(state: State, name: str, key_id: str) -> SshKey:
    for key in state.ssh_keys.get(name, ()):
        if key.id == key_id:
            return key
    raise NotFound(f"{name} has no SSH key {key_id}")


def _owner(state: State, name: str, blob: bytes) -> tuple[Account, SshKey]:
    """The account that is let in with a key, and the key.

    Raises:
        Unauthenticated: there is none.
    """
    account = state.accounts.get(name)
    key = next((each for each in state.ssh_keys.get(name, ()) if each.key == blob), None)
    if account is None or not account.enabled or key is None:
        raise Unauthenticated("this key belongs to no such account")
    return account, key
