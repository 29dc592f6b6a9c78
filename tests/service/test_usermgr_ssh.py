"""usermgr on a real bus: SSH keys."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.service.usermgr_house import SOURCE, SSHSRV, House, house

from ubmc.kit.bus import Bus
from ubmc.kit.errors import Denied, Exhausted, Exists, Invalid, NotFound, Unauthenticated
from ubmc.services.usermgr.roles import OPERATOR
from ubmc.services.usermgr.ssh_keys import PER_USER
from ubmc.v1alpha1.session_pb import (
    CheckSshKeyRequest,
    ExchangeTokenRequest,
    LoginSshKeyRequest,
    LoginSshKeyResponse,
    SessionEnd,
)
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.user_pb import (
    AddSshKeyRequest,
    DeleteSshKeyRequest,
    DeleteUserRequest,
    ListSshKeysRequest,
    SshKey,
)
from ubmc.v1alpha1.user_rpc import UserService

# Made by `ssh-keygen -t ed25519 -C olga@desk`; the fingerprint is what `ssh-keygen -lf` says.
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM7/vmAjH9DfjqfipAIHAKovXqScjAd/+ien80s6Egjm olga@desk"
FINGERPRINT = "SHA256:m9CCE8OF8s0b7VFd6CaBE4OtxWOvxT+/TUVJ44Cbhc4"


def line(key: object, comment: str = "") -> str:
    public = key.public_key()  # type: ignore[attr-defined]
    return f"{public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} {comment}".strip()


async def add(made: House, token: str, name: str, public: str) -> SshKey:
    answer = await made.ask(token, UserService.AddSshKey, AddSshKeyRequest(name=name, public_key=public))
    assert answer.key is not None
    return answer.key


async def keys(made: House, token: str, name: str) -> list[SshKey]:
    return list((await made.ask(token, UserService.ListSshKeys, ListSshKeysRequest(name=name))).keys)


async def enter(bus: Bus, user: str, public: str) -> LoginSshKeyResponse:
    key = base64.b64decode(public.split()[1])
    await bus.ask(SessionService.CheckSshKey, CheckSshKeyRequest(user=user, key=key))
    return await bus.ask(SessionService.LoginSshKey, LoginSshKeyRequest(user=user, key=key, source=SOURCE))


async def test_a_key_opens_a_session_that_goes_on_by_its_token() -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga", OPERATOR)
        ssh = await made.world.place("sshsrv", *(service() for service in SSHSRV.services))
        with pytest.raises(Unauthenticated):
            await enter(ssh, "olga", PUBLIC)
        key = await add(made, olga, "olga", PUBLIC)
        assert (key.kind, key.comment, key.fingerprint) == ("ssh-ed25519", "olga@desk", FINGERPRINT)
        await made.restart()
        assert [each.id for each in await keys(made, admin, "olga")] == [key.id]
        opened = await enter(ssh, "olga", PUBLIC.rsplit(" ", 1)[0])
        assert opened.session is not None
        request = ExchangeTokenRequest(token=opened.token, source=SOURCE)
        principal = made.verified((await ssh.ask(SessionService.ExchangeToken, request)).principal)
        assert (principal.user, principal.role, principal.session) == ("olga", OPERATOR, opened.session.id)
        with pytest.raises(Unauthenticated):
            await enter(ssh, "admin", PUBLIC)
        await made.ask(admin, UserService.DeleteSshKey, DeleteSshKeyRequest(name="olga", id=key.id))
        session_id = opened.session.id
        ended = await made.keeper.until(SessionEnd, lambda news: news.id == session_id)
        assert ended.reason == "SSH key deleted"
        with pytest.raises(Unauthenticated):
            await ssh.ask(SessionService.ExchangeToken, request)
        assert (await made.exchange(olga)).principal


async def test_keys_belong_to_accounts() -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga", OPERATOR)
        await add(made, olga, "olga", PUBLIC)
        with pytest.raises(Exists):
            await add(made, olga, "olga", PUBLIC)
        await add(made, admin, "admin", PUBLIC)
        with pytest.raises(Denied):
            await keys(made, olga, "admin")
        with pytest.raises(Denied):
            await add(made, olga, "admin", line(ed25519.Ed25519PrivateKey.generate()))
        with pytest.raises(NotFound):
            await made.ask(admin, UserService.DeleteSshKey, DeleteSshKeyRequest(name="olga", id="0" * 16))
        for _ in range(PER_USER - 1):
            await add(made, olga, "olga", line(ed25519.Ed25519PrivateKey.generate()))
        with pytest.raises(Exhausted):
            await add(made, olga, "olga", line(ed25519.Ed25519PrivateKey.generate()))
        await made.ask(admin, UserService.DeleteUser, DeleteUserRequest(name="olga"))
        await made.create(admin, "olga")
        assert await keys(made, admin, "olga") == []


async def test_only_keys_that_are_good_enough() -> None:
    async with house() as made:
        admin = await made.admin()
        await add(made, admin, "admin", line(ec.generate_private_key(ec.SECP384R1()), "two words"))
        await add(made, admin, "admin", line(rsa.generate_private_key(65537, 3072)))
        assert [(key.kind, key.comment) for key in await keys(made, admin, "admin")] == [
            ("ecdsa-sha2-nistp384", "two words"),
            ("ssh-rsa", ""),
        ]
        weak = line(rsa.generate_private_key(65537, 2048))
        with pytest.raises(Invalid, match="RSA needs 3072"):
            await add(made, admin, "admin", weak)
        for wrong in (
            "",
            "ssh-ed25519",
            "ssh-ed25519 !!!!",
            f'command="/bin/sh" {PUBLIC}',
            f"{PUBLIC}\n{PUBLIC}",
            "ssh-rsa " + PUBLIC.split()[1],
        ):
            with pytest.raises(Invalid):
                await add(made, admin, "admin", wrong)
