"""Ordering a certificate from an ACME server (RFC 8555), with the kept `acme` library. Blocks: run it in a thread.

Proofs are made by whoever calls: HTTP-01 by an answer that the doors give, DNS-01 by a command of the owner's.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import josepy
from acme import challenges, client, errors, messages
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwa import ES256
from josepy.jwk import JWKEC
from requests import RequestException
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from ubmc.kit import outgoing
from ubmc.kit.errors import Invalid, Refused, TimedOut, Unavailable

USER_AGENT = "u-bmc"
NETWORK_SECONDS = 30
ORDER_SECONDS = 120.0
NONCE_TRIES = 4
HOOK_SECONDS = 120.0
_HOOK_ENVIRONMENT = ("PATH", "HOME", "LANG")


class _GuardedAdapter(HTTPAdapter):
    """HTTPS to addresses that the guard for outgoing requests lets pass."""

    def __init__(self, *, allow_local: bool) -> None:
        self._allow_local = allow_local
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make connections that look at their peer before anything is sent."""
        super().init_poolmanager(*arguments, **options)
        allow_local = self._allow_local

        class Connection(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                connected = super()._new_conn()
                try:
                    outgoing.check_peer(connected, allow_local=allow_local)
                except Refused as error:
                    connected.close()
                    raise NewConnectionError(self, error.message) from error
                return connected

        class Pool(HTTPSConnectionPool):
            ConnectionCls = Connection

        self.poolmanager.pool_classes_by_scheme = {"https": Pool}


class _Closed(HTTPAdapter):
    """Nothing goes out in clear."""

    def send(self, request: Any, *_arguments: Any, **_options: Any) -> Any:
        """Refuse."""
        raise RequestException(f"{request.url} is not https")


@dataclass(frozen=True, slots=True)
class Order:
    """What is ordered, and from whom."""

    directory_url: str
    account_key: bytes
    """PEM of an EC key."""
    email: str
    csr: bytes
    """The signing request, PEM."""
    ca_pem: str = ""
    dns_hook: tuple[str, ...] = ()
    """The owner's command for DNS-01; empty for HTTP-01."""
    allow_local: bool = False
    """The server may be on loopback or link-local."""


@dataclass(frozen=True, slots=True)
class Answers:
    """How an HTTP-01 answer is put up and taken down."""

    put: Callable[[str, str], None]
    take: Callable[[str], None]


def new_account_key() -> bytes:
    """A new key for an account, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def obtain(order: Order, answers: Answers) -> bytes:
    """Order a certificate; gives it with its chain, PEM. Blocks for up to a few minutes.

    Raises:
        Invalid: the directory, the names or the account are refused by the server.
        Refused: a proof was not accepted; the text has the server's reason.
        TimedOut: the server did not decide in time.
        Unavailable: the server cannot be reached.
    """
    with _verifying(order.ca_pem) as verify:
        try:
            return _patiently(order, answers, verify)
        except errors.TimeoutError as error:
            raise TimedOut("the ACME server did not decide in time") from error
        except errors.ValidationError as error:
            raise Refused(f"the ACME server could not check the names: {_why(error)}") from error
        except (errors.Error, messages.Error, josepy.errors.Error) as error:
            raise Invalid(f"the ACME server refused: {error}") from error
        except RequestException as error:
            raise Unavailable(f"the ACME server cannot be reached: {error}") from error


def _patiently(order: Order, answers: Answers, verify: bool | str) -> bytes:
    """Begin anew when the server disliked a nonce (RFC 8555, 6.5): the library tries just once more by itself."""
    for _ in range(NONCE_TRIES):
        try:
            return _obtain(order, answers, verify)
        except messages.Error as error:
            if error.code != "badNonce":
                raise
    return _obtain(order, answers, verify)


def _obtain(order: Order, answers: Answers, verify: bool | str) -> bytes:
    loaded = serialization.load_pem_private_key(order.account_key, None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise Invalid("the key of the ACME account is no EC key")
    key = JWKEC(key=loaded)
    network = client.ClientNetwork(
        key, alg=ES256, user_agent=USER_AGENT, timeout=NETWORK_SECONDS, verify_ssl=bool(verify)
    )
    network.session.mount("https://", _GuardedAdapter(allow_local=order.allow_local))
    network.session.mount("http://", _Closed())
    if isinstance(verify, str):
        network.verify_ssl = verify  # type: ignore[assignment]  # requests takes a path here, and acme hands it on
    directory = client.ClientV2.get_directory(order.directory_url, network)
    acme = client.ClientV2(directory, network)
    _account(acme, order.email)
    ordered = acme.new_order(order.csr)
    with contextlib.ExitStack() as proofs:
        for authorization in ordered.authorizations:
            if authorization.body.status != messages.STATUS_VALID:
                challenge = _choose(authorization, dns=bool(order.dns_hook))
                proofs.enter_context(_proof(order, answers, authorization, challenge, key))
                acme.answer_challenge(challenge, challenge.chall.response(key))
        deadline = dt.datetime.now() + dt.timedelta(seconds=ORDER_SECONDS)  # noqa: DTZ005  the library compares with local time
        finished = acme.poll_and_finalize(ordered, deadline)
    return finished.fullchain_pem.encode("ascii")


def _account(acme: client.ClientV2, email: str) -> None:
    registration = messages.NewRegistration.from_data(email=email or None, terms_of_service_agreed=True)
    try:
        acme.new_account(registration)
    except errors.ConflictError as known:  # the key has an account already
        acme.net.account = messages.RegistrationResource(uri=known.location, body=messages.Registration())
        acme.net.account = acme.query_registration(acme.net.account)


def _choose(authorization: messages.AuthorizationResource, *, dns: bool) -> messages.ChallengeBody:
    wanted = challenges.DNS01 if dns else challenges.HTTP01
    for body in authorization.body.challenges:
        if isinstance(body.chall, wanted):
            return body
    name = authorization.body.identifier.value
    raise Refused(f"the ACME server does not offer {wanted.typ} for {name}")


@contextlib.contextmanager
def _proof(
    order: Order,
    answers: Answers,
    authorization: messages.AuthorizationResource,
    challenge: messages.ChallengeBody,
    key: JWKEC,
) -> Iterator[None]:
    name = authorization.body.identifier.value
    if isinstance(challenge.chall, challenges.DNS01):
        arguments = (challenge.chall.validation_domain_name(name), challenge.chall.validation(key))
        _hook(order.dns_hook, "present", *arguments)
        try:
            yield
        finally:
            with contextlib.suppress(Refused, TimedOut):
                _hook(order.dns_hook, "cleanup", *arguments)
        return
    token = challenge.chall.encode("token")
    answers.put(token, challenge.chall.validation(key))
    try:
        yield
    finally:
        answers.take(token)


def _hook(command: tuple[str, ...], action: str, name: str, value: str) -> None:
    """Run the owner's command as `COMMAND... present|cleanup NAME VALUE`, with next to no environment."""
    environment = {each: os.environ[each] for each in _HOOK_ENVIRONMENT if each in os.environ}
    try:
        subprocess.run(
            [*command, action, name, value], check=True, capture_output=True, timeout=HOOK_SECONDS, env=environment,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"the DNS command did not end within {HOOK_SECONDS:.0f} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip()[-200:]
        raise Refused(f"the DNS command failed with status {error.returncode}: {said}") from error
    except OSError as error:
        raise Refused(f"the DNS command cannot be run: {error}") from error


def _why(error: errors.ValidationError) -> str:
    reasons = [
        f"{failed.body.identifier.value}: {body.error.detail or body.error.typ}"
        for failed in error.failed_authzrs
        for body in failed.body.challenges
        if body.error is not None
    ]
    return "; ".join(reasons) or "it gave no reason"


@contextlib.contextmanager
def _verifying(ca_pem: str) -> Iterator[bool | str]:
    """What `requests` takes as `verify`: the system's roots, or a file with the given one."""
    if not ca_pem:
        yield True
        return
    with tempfile.TemporaryDirectory(prefix="ubmc-acme-") as folder:
        path = Path(folder) / "root.pem"
        path.write_text(ca_pem, encoding="ascii")
        yield str(path)
