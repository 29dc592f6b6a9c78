"""usermgr on a real bus: second factor, tokens, Basic, certificates, IPMI secrets; no secret gets out."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest
from protobuf.wkt import Duration, FieldMask, Timestamp
from tests.service.usermgr_house import FIRST, IPMISRV, WRONG, House, house

from ubmc.kit.errors import Denied, Exists, Invalid, NotFound, Refused, UbmcError, Unauthenticated, Unavailable
from ubmc.services.usermgr.policy import AccountPolicy
from ubmc.services.usermgr.roles import ADMINISTRATOR, OPERATOR, READ_ONLY, ROLES
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.account_pb import Ldap, LdapRoleMapping, UpdateLdapRequest
from ubmc.v1alpha1.account_rpc import AccountService
from ubmc.v1alpha1.session_pb import (
    CredentialKind,
    GetCurrentSessionRequest,
    ListSessionsRequest,
    LoginAttempt,
    LogoutRequest,
    SessionEnd,
)
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.token_pb import (
    CreateTokenRequest,
    CreateTokenResponse,
    DeleteTokenRequest,
    ListTokensRequest,
    Token,
    TokenChange,
)
from ubmc.v1alpha1.token_rpc import TokenService
from ubmc.v1alpha1.user_pb import (
    ChangePasswordRequest,
    ConfirmTotpRequest,
    CreateUserRequest,
    DeleteIpmiSecretRequest,
    DeleteUserRequest,
    GetIpmiKeyRequest,
    GetUserRequest,
    ListUsersRequest,
    RegenerateRecoveryCodesRequest,
    RemoveTotpRequest,
    ResetIpmiSecretRequest,
    SecondFactorChange,
    StartTotpRequest,
    UpdateUserRequest,
    User,
)
from ubmc.v1alpha1.user_rpc import UserService


def code_of(seed: str, steps: int = 0) -> str:
    return pyotp.TOTP(seed).at(int(time.time()) + 30 * steps)


async def set_up(made: House, token: str, user: str = "admin", password: str = FIRST) -> tuple[str, list[str]]:
    """A second factor; the code of this step and those before it are spent by that."""
    start = StartTotpRequest(name=user, current_password=password)
    seed = (await made.ask(token, UserService.StartTotp, start)).secret
    confirm = ConfirmTotpRequest(name=user, one_time_code=code_of(seed))
    return seed, (await made.ask(token, UserService.ConfirmTotp, confirm)).recovery_codes


async def user_of(made: House, token: str, name: str) -> User:
    user = (await made.ask(token, UserService.GetUser, GetUserRequest(name=name))).user
    assert user is not None
    return user


async def make_token(
    made: House, by: str, *scopes: Privilege, user: str = "", expire_time: Timestamp | None = None
) -> CreateTokenResponse:
    token = Token(user=user, name="for a test", scopes=list(scopes), expire_time=expire_time)
    return await made.ask(by, TokenService.CreateToken, CreateTokenRequest(token=token))


async def make_service(made: House, by: str, name: str, role: str = OPERATOR) -> None:
    request = CreateUserRequest(user=User(name=name, role=role, service_account=True))
    await made.ask(by, UserService.CreateUser, request)


# --- second factor ----------------------------------------------------------------------------------------------------


async def test_second_factor_from_setup_to_removal() -> None:
    async with house() as made:
        token, other = await made.admin(), await made.admin()
        seed, codes = await set_up(made, token)
        assert len(codes) == 10
        with pytest.raises(Unauthenticated):
            await made.exchange(other)
        assert (await made.principal(token)).user == "admin"
        await made.restart()
        with pytest.raises(Unauthenticated) as caught:
            await made.login("admin")
        assert [(each.field, each.rule) for each in caught.value.violations] == [("oneTimeCode", "required")]
        with pytest.raises(Unauthenticated) as caught:
            await made.login("admin", "not the password")
        assert (caught.value.message, caught.value.violations) == (WRONG, ())
        for wrong in ("000000", code_of(seed), "nonsense"):
            with pytest.raises(Unauthenticated) as caught:
                await made.login("admin", FIRST, wrong)
            assert caught.value.violations[0].field == "oneTimeCode"
        await made.login("admin", FIRST, code_of(seed, 1))
        shown = await user_of(made, token, "admin")
        assert (shown.second_factor, shown.recovery_codes_left) == (True, 10)
        await made.login("admin", FIRST, codes[0])
        with pytest.raises(Unauthenticated):
            await made.login("admin", FIRST, codes[0])
        await made.keeper.until(SecondFactorChange, lambda news: news.what == "recovery code used")
        remove = RemoveTotpRequest(name="admin", one_time_code="123")
        with pytest.raises(Denied, match="oneTimeCode"):
            await made.ask(token, UserService.RemoveTotp, remove)
        remove.one_time_code = codes[1]
        await made.ask(token, UserService.RemoveTotp, remove)
        await made.login("admin")
        told = [news.what for news in made.keeper.of(SecondFactorChange)]
        assert "set up" in told


async def test_wrong_codes_lock_as_wrong_passwords_do() -> None:
    async with house(policy=AccountPolicy(lockout_failures=3)) as made:
        seed, codes = await set_up(made, await made.admin())
        for _ in range(3):
            with pytest.raises(Unauthenticated):
                await made.login("admin", FIRST, "000000")
        for code in (code_of(seed, 1), codes[0], ""):
            with pytest.raises(Unauthenticated) as caught:
                await made.login("admin", FIRST, code)
            assert (caught.value.message, caught.value.violations) == (WRONG, ())


async def test_new_recovery_codes_need_a_code_and_end_the_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as made:
        token = await made.admin()
        seed, old = await set_up(made, token)
        request = RegenerateRecoveryCodesRequest(name="admin", one_time_code=code_of(seed))
        with pytest.raises(Denied):
            await made.ask(token, UserService.RegenerateRecoveryCodes, request)
        request.one_time_code = code_of(seed, 1)
        new = (await made.ask(token, UserService.RegenerateRecoveryCodes, request)).recovery_codes
        assert not set(new) & set(old)
        with pytest.raises(Unauthenticated):
            await made.login("admin", FIRST, old[0])
        await made.login("admin", FIRST, new[0])


async def test_a_second_factor_is_its_owners_but_an_administrator_can_take_it_away() -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga")
        with pytest.raises(Denied, match="its owner"):
            await made.ask(admin, UserService.StartTotp, StartTotpRequest(name="olga", current_password=FIRST))
        with pytest.raises(Denied, match="currentPassword"):
            await made.ask(olga, UserService.StartTotp, StartTotpRequest(name="olga", current_password="wrong"))
        with pytest.raises(Refused, match="nothing to confirm"):
            await made.ask(olga, UserService.ConfirmTotp, ConfirmTotpRequest(name="olga", one_time_code="123456"))
        await set_up(made, olga, "olga", "olga password")
        with pytest.raises(Denied):
            await made.ask(olga, UserService.RemoveTotp, RemoveTotpRequest(name="admin"))
        await made.ask(admin, UserService.RemoveTotp, RemoveTotpRequest(name="olga"))
        await made.login("olga", "olga password")
        with pytest.raises(Refused, match="no second factor"):
            await made.ask(admin, UserService.RemoveTotp, RemoveTotpRequest(name="olga"))


async def test_a_role_can_be_made_to_need_a_second_factor() -> None:
    async with house(policy=AccountPolicy(second_factor_roles=(ADMINISTRATOR,))) as made:
        login = await made.login("admin")
        assert login.must_set_up_second_factor
        assert (await made.principal(login.token)).privileges == [Privilege.CONFIGURE_SELF]
        with pytest.raises(Denied, match="ConfigureUsers"):
            await made.ask(login.token, UserService.ListUsers, ListUsersRequest())
        with pytest.raises(Denied, match="second factor"):
            await made.basic("admin")
        await set_up(made, login.token)
        assert (await made.principal(login.token)).privileges == list(ROLES[ADMINISTRATOR])


# --- Basic and certificates -------------------------------------------------------------------------------------------


async def test_basic_is_good_for_seconds_and_not_with_a_second_factor() -> None:
    async with house() as made:
        answer = await made.basic("admin")
        principal = made.verified(answer.principal)
        assert (principal.user, principal.kind, answer.keep_seconds) == ("admin", CredentialKind.BASIC, 15)
        assert principal.privileges == list(ROLES[ADMINISTRATOR])
        users = await made.ask_as(answer.principal, UserService.ListUsers, ListUsersRequest())
        assert [user.name for user in users.users] == ["admin"]
        who = await made.ask_as(answer.principal, SessionService.GetCurrentSession, GetCurrentSessionRequest())
        assert who.session is not None
        assert (who.session.user, who.session.create_time) == ("admin", None)
        with pytest.raises(Refused, match="no session"):
            await made.ask_as(answer.principal, SessionService.Logout, LogoutRequest())
        with pytest.raises(Unauthenticated, match=WRONG):
            await made.basic("admin", "not the password")
        token = await made.admin()
        await set_up(made, token)
        with pytest.raises(Denied, match="second factor"):
            await made.basic("admin")
        with pytest.raises(Unauthenticated, match=WRONG):
            await made.basic("admin", "not the password")
        user = User(name="olga", role=OPERATOR, must_change_password=True)
        await made.ask(token, UserService.CreateUser, CreateUserRequest(user=user, password="olga password"))
        restricted = await made.basic("olga", "olga password")
        assert made.verified(restricted.principal).privileges == [Privilege.CONFIGURE_SELF]
        assert restricted.keep_seconds == 0  # they may do more as soon as they have changed it


async def test_what_somebody_does_by_basic_ends_with_their_account() -> None:
    async with house() as made:
        admin = await made.admin()
        await made.create(admin, "ruth", ADMINISTRATOR)
        signed = (await made.basic("ruth", "ruth password")).principal
        await made.ask(admin, UserService.ChangePassword, ChangePasswordRequest(name="ruth", new_password="for a day"))
        with pytest.raises(Unauthenticated):
            await made.ask_as(signed, UserService.DeleteUser, DeleteUserRequest(name="admin"))


async def test_certificates_are_mapped_by_exact_identities() -> None:
    async with house() as made:
        admin = await made.admin()
        identities = ["email:olga@example.org", "cn:olga"]
        user = User(name="olga", role=OPERATOR, certificate_identities=identities)
        await made.ask(admin, UserService.CreateUser, CreateUserRequest(user=user, password="olga password"))
        answer = await made.certificate("dns:other.example.org", "email:olga@example.org")
        principal = made.verified(answer.principal)
        assert (principal.user, principal.kind) == ("olga", CredentialKind.CERTIFICATE)
        assert answer.keep_seconds == 15
        for shown in (
            ["email:olga@example.or"],
            ["email:olga@example.org.evil.org"],
            ["EMAIL:olga@example.org"],
            ["upn:olga@example.org"],
            ["cn:olga"],
            ["email:OLGA@example.org"],
            [""],
            [],
        ):
            with pytest.raises(Unauthenticated, match="no account"):
                await made.certificate(*shown)
        second = User(name="otto", role=OPERATOR, certificate_identities=["email:otto@example.org"])
        await made.ask(admin, UserService.CreateUser, CreateUserRequest(user=second, password="otto password"))
        with pytest.raises(Unauthenticated, match="more than one"):
            await made.certificate("email:olga@example.org", "email:otto@example.org")
        mask = FieldMask(paths=["certificate_identities"])
        taken = User(name="otto", certificate_identities=["email:olga@example.org"])
        with pytest.raises(Exists, match="olga"):
            await made.ask(admin, UserService.UpdateUser, UpdateUserRequest(user=taken, update_mask=mask))
        cleared = UpdateUserRequest(user=User(name="olga"), update_mask=mask)
        await made.ask(admin, UserService.UpdateUser, cleared)
        await made.keeper.until(SessionEnd, lambda news: news.id == principal.session)
        with pytest.raises(Unauthenticated):
            await made.ask_as(answer.principal, SessionService.GetCurrentSession, GetCurrentSessionRequest())


async def test_common_names_count_only_by_policy() -> None:
    async with house(policy=AccountPolicy(certificate_common_names=True)) as made:
        user = User(name="olga", role=OPERATOR, certificate_identities=["cn:olga"])
        await made.ask(
            await made.admin(), UserService.CreateUser, CreateUserRequest(user=user, password="olga password")
        )
        assert made.verified((await made.certificate("cn:olga")).principal).user == "olga"


# --- tokens -----------------------------------------------------------------------------------------------------------


async def test_token_has_its_scopes_of_the_role_and_survives_a_restart() -> None:
    async with house() as made:
        admin = await made.admin()
        answer = await make_token(made, admin, Privilege.LOGIN, Privilege.CONFIGURE_USERS)
        assert answer.secret.startswith("ubmc_pat_")
        assert answer.token is not None
        assert answer.token.expire_time is not None
        assert 89 < (answer.token.expire_time.to_seconds() - time.time()) / 86400 < 91
        await made.restart()
        principal = await made.principal(answer.secret)
        assert (principal.user, principal.kind) == ("admin", CredentialKind.TOKEN)
        assert principal.session.startswith(answer.token.id)
        assert principal.privileges == [Privilege.LOGIN, Privilege.CONFIGURE_USERS]
        assert len((await made.ask(answer.secret, UserService.ListUsers, ListUsersRequest())).users) == 1
        with pytest.raises(Denied, match="ConfigureSelf"):
            await made.ask(answer.secret, SessionService.ListSessions, ListSessionsRequest())
        (listed,) = (await made.ask(admin, TokenService.ListTokens, ListTokensRequest())).tokens
        assert listed.last_used_time is not None
        assert listed.last_used_time.to_seconds() % 3600 == 0
        await made.keeper.until(TokenChange, lambda news: news.what == "used for the first time")
        await made.exchange(answer.secret)
        assert [news.what for news in made.keeper.of(TokenChange)].count("used for the first time") == 1
        raw = b"".join(path.read_bytes() for path in made.world.state.glob("precious.db*"))
        assert answer.secret.encode() not in raw


async def test_tokens_cannot_touch_the_credentials_of_their_account() -> None:
    async with house() as made:
        admin = await made.admin()
        token = (await make_token(made, admin)).secret
        change = ChangePasswordRequest(name="admin", current_password=FIRST, new_password="taken over for good")
        attempts: tuple[tuple[Any, Any], ...] = (
            (UserService.ChangePassword, change),
            (TokenService.CreateToken, CreateTokenRequest(token=Token(name="another"))),
            (UserService.StartTotp, StartTotpRequest(name="admin", current_password=FIRST)),
            (UserService.RemoveTotp, RemoveTotpRequest(name="admin")),
            (UserService.ResetIpmiSecret, ResetIpmiSecretRequest(name="admin")),
            (AccountService.UpdateLdap, UpdateLdapRequest(ldap=Ldap(), update_mask=FieldMask(paths=["enabled"]))),
        )
        for what, request in attempts:
            with pytest.raises(Denied, match="token"):
                await made.ask(token, what, request)
        await made.create(token, "olga")  # what the role may is fine


async def test_a_token_gives_no_more_than_it_has() -> None:
    async with house() as made:
        admin = await made.admin()
        token = (await make_token(made, admin, Privilege.LOGIN, Privilege.CONFIGURE_USERS)).secret
        request = CreateUserRequest(user=User(name="otto", role=ADMINISTRATOR), password="otto password")
        with pytest.raises(Denied, match="ConfigureManager"):
            await made.ask(token, UserService.CreateUser, request)


async def test_deleted_expired_and_foreign_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga", OPERATOR)
        first = await make_token(made, olga)
        assert first.token is not None
        signed = (await made.exchange(first.secret)).principal
        visit = made.verified(signed).session
        otto = await made.member(admin, "otto", OPERATOR)
        with pytest.raises(NotFound):
            await made.ask(otto, TokenService.DeleteToken, DeleteTokenRequest(id=first.token.id))
        with pytest.raises(Denied, match="ConfigureUsers"):
            await made.ask(otto, TokenService.ListTokens, ListTokensRequest(user="olga"))
        await made.ask(olga, TokenService.DeleteToken, DeleteTokenRequest(id=first.token.id))
        await made.keeper.until(SessionEnd, lambda news: news.id == visit)
        for secret in (first.secret, "ubmc_pat_nonsense", first.secret + "x"):
            with pytest.raises(Unauthenticated, match="token"):
                await made.exchange(secret)
        with pytest.raises(Unauthenticated):
            await made.ask_as(signed, SessionService.GetCurrentSession, GetCurrentSessionRequest())
        second = await make_token(made, olga)
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + 91 * 86400)
        with pytest.raises(Unauthenticated, match="expired"):
            await made.exchange(second.secret)
        await made.restart()
        await made.keeper.until(TokenChange, lambda news: news.what == "expired")
        monkeypatch.undo()
        with pytest.raises(Unauthenticated):
            await made.exchange(second.secret)


async def test_tokens_die_with_the_right_of_their_owner() -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga", OPERATOR)
        secret = (await make_token(made, olga)).secret
        before = await made.principal(secret)
        assert Privilege.CONFIGURE_COMPONENTS in before.privileges
        demote = UpdateUserRequest(user=User(name="olga", role=READ_ONLY))
        await made.ask(admin, UserService.UpdateUser, demote)
        await made.keeper.until(SessionEnd, lambda news: news.id == before.session)
        after = await made.principal(secret)
        assert after.privileges == list(ROLES[READ_ONLY])
        assert after.session != before.session  # doors have heard that the other one ended
        mask = FieldMask(paths=["enabled"])
        disable = UpdateUserRequest(user=User(name="olga"), update_mask=mask)
        await made.ask(admin, UserService.UpdateUser, disable)
        with pytest.raises(Unauthenticated):
            await made.exchange(secret)
        await made.ask(admin, UserService.DeleteUser, DeleteUserRequest(name="olga"))
        assert (await made.ask(admin, TokenService.ListTokens, ListTokensRequest())).tokens == []


@pytest.mark.parametrize("seconds", [-1, 400 * 86400])
async def test_a_token_ends_within_a_year(seconds: int) -> None:
    async with house() as made:
        when = Timestamp.from_datetime(datetime.now(UTC) + timedelta(seconds=seconds))
        with pytest.raises(Invalid, match="expireTime"):
            await make_token(made, await made.admin(), expire_time=when)


async def test_a_lifetime_is_reckoned_by_the_clock_of_the_bmc() -> None:
    async with house() as made:
        admin = await made.admin()
        request = CreateTokenRequest(token=Token(name="for a week"), lifetime=Duration.from_seconds(7 * 86400))
        token = (await made.ask(admin, TokenService.CreateToken, request)).token
        assert token is not None
        assert token.create_time is not None
        assert token.expire_time is not None
        assert token.expire_time.to_seconds() - token.create_time.to_seconds() == pytest.approx(7 * 86400)
        both = Token(name="for a week", expire_time=Timestamp.from_datetime(datetime.now(UTC) + timedelta(days=7)))
        request = CreateTokenRequest(token=both, lifetime=request.lifetime)
        with pytest.raises(Invalid, match=r"token\.expireTime exclude each other"):
            await made.ask(admin, TokenService.CreateToken, request)


async def test_service_accounts_use_tokens_only() -> None:
    async with house() as made:
        admin = await made.admin()
        await make_service(made, admin, "robot")
        for password in ("", "robot password"):
            with pytest.raises(Unauthenticated, match=WRONG):
                await made.login("robot", password)
        with pytest.raises(Invalid, match="must be left out"):
            request = CreateUserRequest(user=User(name="r2", role=OPERATOR, service_account=True), password="x" * 9)
            await made.ask(admin, UserService.CreateUser, request)
        with pytest.raises(Invalid, match="no password"):
            change = ChangePasswordRequest(name="robot", new_password="now it has one")
            await made.ask(admin, UserService.ChangePassword, change)
        secret = (await make_token(made, admin, user="robot")).secret
        assert (await made.principal(secret)).privileges == list(ROLES[OPERATOR])
        with pytest.raises(Invalid, match="CONFIGURE_MANAGER"):
            await make_token(made, admin, Privilege.CONFIGURE_MANAGER, user="robot")
        await made.create(admin, "olga")
        with pytest.raises(Denied, match="their own tokens"):
            await make_token(made, admin, user="olga")
        olga = (await made.login("olga", "olga password")).token
        with pytest.raises(Denied, match="ConfigureUsers"):
            await make_token(made, olga, user="robot")
        assert (await user_of(made, admin, "robot")).service_account


# --- IPMI -------------------------------------------------------------------------------------------------------------


async def test_ipmi_secret_is_random_shown_once_and_for_its_door_only() -> None:
    async with house() as made:
        admin = await made.admin()
        ipmi = await made.world.place("ipmisrv", *(service() for service in IPMISRV.services))
        key = GetIpmiKeyRequest(name="admin")
        with pytest.raises(NotFound):
            await ipmi.ask(UserService.GetIpmiKey, key)
        secret = (await made.ask(admin, UserService.ResetIpmiSecret, ResetIpmiSecretRequest(name="admin"))).secret
        short = ResetIpmiSecretRequest(name="admin", short=True)
        assert (len(secret), len((await made.ask(admin, UserService.ResetIpmiSecret, short)).secret)) == (20, 16)
        again = (await made.ask(admin, UserService.ResetIpmiSecret, ResetIpmiSecretRequest(name="admin"))).secret
        assert again != secret
        await made.restart()
        answer = await ipmi.ask(UserService.GetIpmiKey, key)
        assert (answer.key, list(answer.privileges)) == (again.encode(), list(ROLES[ADMINISTRATOR]))
        assert (await user_of(made, admin, "admin")).ipmi_enabled
        raw = b"".join(path.read_bytes() for path in made.world.state.glob("precious.db*"))
        assert again.encode() not in raw
        with pytest.raises(Unavailable, match="forbids"):
            await made.door.ask(UserService.GetIpmiKey, key)
        with pytest.raises(Unauthenticated):
            await made.login("admin", again)
        await made.ask(admin, UserService.DeleteIpmiSecret, DeleteIpmiSecretRequest(name="admin"))
        with pytest.raises(NotFound):
            await ipmi.ask(UserService.GetIpmiKey, key)
        await made.create(admin, "a_name_of_17_chars")
        with pytest.raises(Invalid, match="16 characters"):
            long = ResetIpmiSecretRequest(name="a_name_of_17_chars")
            await made.ask(admin, UserService.ResetIpmiSecret, long)


async def test_no_ipmi_secret_before_the_password_is_changed_or_the_second_factor_set_up() -> None:
    own = ResetIpmiSecretRequest(name="admin")
    async with house(policy=AccountPolicy(second_factor_roles=(ADMINISTRATOR,))) as made:
        token = (await made.login("admin")).token
        with pytest.raises(Denied, match="privileges"):
            await made.ask(token, UserService.ResetIpmiSecret, own)
        await set_up(made, token)
        assert (await made.ask(token, UserService.ResetIpmiSecret, own)).secret


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_no_secret_is_told_logged_or_in_an_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    errors: list[UbmcError] = []
    secrets = {FIRST, "canary bird one", "canary bird two", "canary bird three", "canary-bind-password"}
    async with house() as made:

        async def refused(what: Any, request: Any, token: str = "") -> None:
            with pytest.raises(UbmcError) as caught:
                await (made.ask(token, what, request) if token else made.door.forward(what, request, made.public()))
            errors.append(caught.value)

        admin = await made.admin()
        secrets.add(admin)
        user = User(name="olga", role=OPERATOR)
        await made.ask(admin, UserService.CreateUser, CreateUserRequest(user=user, password="canary bird one"))
        await refused(UserService.CreateUser, CreateUserRequest(user=user, password="canary bird two"), admin)
        olga = (await made.login("olga", "canary bird one")).token
        seed, codes = await set_up(made, olga, "olga", "canary bird one")
        secrets |= {olga, seed, *codes}
        for password, code in (("canary bird two", ""), ("canary bird one", ""), ("canary bird one", codes[0] + "x")):
            with pytest.raises(UbmcError) as caught:
                await made.login("olga", password, code)
            errors.append(caught.value)
        await made.login("olga", "canary bird one", codes[0])
        token = (await make_token(made, olga)).secret
        ipmi = (await made.ask(admin, UserService.ResetIpmiSecret, ResetIpmiSecretRequest(name="olga"))).secret
        secrets |= {token, ipmi}
        await made.exchange(token)
        with pytest.raises(UbmcError) as caught:
            await made.exchange(token + "x")
        errors.append(caught.value)
        change = ChangePasswordRequest(
            name="olga", current_password="canary bird two", new_password="canary bird three"
        )
        await refused(UserService.ChangePassword, change, olga)
        change.current_password = "canary bird one"
        await made.ask(olga, UserService.ChangePassword, change)
        change = ChangePasswordRequest(
            name="olga", current_password="canary bird three", new_password="canary bird one"
        )
        await refused(UserService.ChangePassword, change, olga)
        ldap = Ldap(
            enabled=True,
            servers=["127.0.0.1:9"],
            user_dn_template="uid={user},dc=x",
            bind_dn="cn=bmc,dc=x",
            bind_password="canary-bind-password",
            role_mappings=[LdapRoleMapping(group="cn=all,dc=x", role=READ_ONLY)],
            timeout_seconds=1,
        )
        paths = ["enabled", "servers", "user_dn_template", "bind_dn", "bind_password", "role_mappings"]
        await made.ask(
            admin, AccountService.UpdateLdap, UpdateLdapRequest(ldap=ldap, update_mask=FieldMask(paths=paths))
        )
        with pytest.raises(Unavailable) as unavailable:
            await made.login("otto", "canary bird one")
        errors.append(unavailable.value)
        await made.keeper.until(LoginAttempt, lambda news: news.outcome == "second factor missing")
        told = b"".join(news.to_binary() for news in made.keeper.news)
        raw = b"".join(path.read_bytes() for path in made.world.state.glob("precious.db*"))
    assert len(errors) >= 7
    logged = "\n".join(str(record.__dict__) for record in caplog.records)
    said = "\n".join(repr((error.message, error.violations)) for error in errors)
    places = {"told": told, "logged": logged.encode(), "said": said.encode(), "kept": raw}
    assert [(place, each) for place, text in places.items() for each in secrets if each.encode() in text] == []
