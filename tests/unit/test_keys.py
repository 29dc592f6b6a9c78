"""Keys of processes in NATS's text form, and the signature of principals."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ubmc.kit.errors import Unauthenticated
from ubmc.kit.keys import BusKey, PrincipalSigner, PrincipalVerifier
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.session_pb import Principal

# A published pair: the seed SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY of the documentation of NATS.
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def crc16(data: bytes) -> int:
    """CRC-16/XMODEM bit by bit, so that it shares nothing with the library that the code uses."""
    crc = 0
    for byte in data:
        for bit in range(8):
            carry = (crc >> 15) ^ ((byte >> (7 - bit)) & 1)
            crc = ((crc << 1) & 0xFFFF) ^ (0x1021 if carry else 0)
    return crc


def seed_bytes(text: str) -> bytes:
    raw = base64.b32decode(text + "=" * (-len(text) % 8))
    assert crc16(raw[:-2]) == int.from_bytes(raw[-2:], "little")
    return raw[2:34]


def test_the_published_vector() -> None:
    key = BusKey()
    key._private = Ed25519PrivateKey.from_private_bytes(seed_bytes(SEED))
    assert key.public == PUBLIC


def test_every_key_is_new_and_well_formed() -> None:
    keys = [BusKey().public for _ in range(20)]
    assert len(set(keys)) == 20
    for text in keys:
        raw = base64.b32decode(text)
        assert len(text) == 56
        assert text[0] == "U"
        assert raw[0] == 20 << 3
        assert crc16(raw[:33]) == int.from_bytes(raw[33:], "little")


def test_the_challenge_is_answered_with_the_key() -> None:
    key = BusKey()
    signature = base64.b64decode(key.sign("a nonce"))
    Ed25519PublicKey.from_public_bytes(base64.b32decode(key.public)[1:33]).verify(signature, b"a nonce")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def principal(user: str = "olga", expires: float = 160.0) -> Principal:
    return Principal(user=user, role="Operator", privileges=[Privilege.LOGIN], session="s", expires=expires)


def verifier(*signers: PrincipalSigner) -> tuple[PrincipalVerifier, Clock]:
    clock = Clock()
    made = PrincipalVerifier(clock)
    made.trust([signer.public for signer in signers])
    return made, clock


def test_a_signed_principal_is_believed_until_it_expires() -> None:
    signer = PrincipalSigner()
    made, clock = verifier(signer)
    signed = signer.sign(principal())
    assert made.verify(signed).user == "olga"
    clock.now = 160.0
    assert made.verify(signed).privileges == [Privilege.LOGIN]
    clock.now = 160.1
    with pytest.raises(Unauthenticated, match="expired"):
        made.verify(signed)
    assert made.verify(signed, expired=True).user == "olga"
    clock.now = 100.0
    assert made.verify(signed).user == "olga"


def test_no_byte_can_be_changed() -> None:
    signer = PrincipalSigner()
    made, _clock = verifier(signer)
    signed = signer.sign(principal())
    assert made.verify(signed).user
    for position in range(len(signed)):
        changed = bytearray(signed)
        changed[position] ^= 1
        with pytest.raises(Unauthenticated):
            made.verify(bytes(changed))


def test_nothing_can_be_cut_off_or_added() -> None:
    signer = PrincipalSigner()
    made, _clock = verifier(signer)
    signed = signer.sign(principal())
    for wrong in [*(signed[:length] for length in range(len(signed))), signed + b"\0", b"\0" + signed]:
        with pytest.raises(Unauthenticated):
            made.verify(wrong)


def test_expired_ones_are_still_signed() -> None:
    made, _clock = verifier(PrincipalSigner())
    with pytest.raises(Unauthenticated, match="not signed"):
        made.verify(PrincipalSigner().sign(principal(expires=0)), expired=True)


def test_trusting_other_keys_forgets_what_was_verified() -> None:
    old, new = PrincipalSigner(), PrincipalSigner()
    made, _clock = verifier(old)
    signed = old.sign(principal())
    assert made.verify(signed).user
    made.trust([old.public, new.public])
    assert made.verify(signed).user
    made.trust([new.public])
    with pytest.raises(Unauthenticated, match="not signed"):
        made.verify(signed)
    assert made.verify(new.sign(principal("other"))).user == "other"


def test_nobody_is_believed_before_a_key_is_trusted() -> None:
    made = PrincipalVerifier(Clock())
    with pytest.raises(Unauthenticated):
        made.verify(PrincipalSigner().sign(principal()))
    with pytest.raises(Unauthenticated):
        made.verify(b"")


def test_what_is_remembered_is_bounded_and_a_refusal_is_not_remembered() -> None:
    signer = PrincipalSigner()
    made, _clock = verifier(signer)
    for count in range(600):
        made.verify(signer.sign(principal(f"user{count}")))
        with pytest.raises(Unauthenticated):
            made.verify(b"x" * 64 + str(count).encode())
    assert len(made._known) == 256
    assert made.verify(signer.sign(principal("user0"))).user == "user0"
