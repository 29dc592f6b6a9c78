"""`ubmc login`, `logout`, `whoami`.

The certificate is checked before a password is asked for. A self-signed one is shown and asked about as `ssh` does
with host keys, and remembered as a pin.
"""

from __future__ import annotations

import hashlib

import click

from ubmc.cli import session
from ubmc.cli.exits import explain
from ubmc.cli.prompt import ask_consent, ask_secret, ask_text, is_terminal, secret_line
from ubmc.cli.settings import Leaf, Settings, pass_settings, warn_insecure
from ubmc.cli.terminal import note, printable
from ubmc.cli.text import columns
from ubmc.client import Client, Insecure, NotTrusted, Pinned, SystemTrust, Trust
from ubmc.client.trust import fetch_leaf, split_url
from ubmc.kit.errors import Denied, Invalid, TimedOut, Unauthenticated, Unavailable
from ubmc.v1alpha1.session_pb import GetCurrentSessionRequest, LoginRequest, LoginResponse, LogoutRequest
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.user_pb import ChangePasswordRequest
from ubmc.v1alpha1.user_rpc import UserService

FACTS = columns(
    "user: session.user",
    "role: session.role",
    "privileges",
    "session: session.id",
    "logged in: session.create_time",
    "ends: session.expire_time",
    "source: session.source",
    "must_change_password",
)


@click.command("login", cls=Leaf)
@click.argument("address", metavar="URL")
@click.option("--user", "-u", help="The login name; admin unless given.")
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from stdin.",
)
@pass_settings
def login(settings: Settings, address: str, user: str | None, password_stdin: bool) -> None:
    """Log in to the BMC at URL and store the session.

    The certificate has to be trusted: by the system, or by --fingerprint, --cacert or --insecure. On stdin stand,
    each on a line, the password, the code if there is a second factor, and the new password if it has to be changed.
    """
    if not password_stdin and not is_terminal():
        raise click.UsageError("there is no terminal to ask for the password; give it on stdin with --password-stdin")
    url, host, _ = split_url(address)
    trust = _establish(url, settings.trust())
    if not user:
        user = ask_text(f"User at {host}", "admin") if not password_stdin else "admin"
    password = secret_line() if password_stdin else ask_secret("Password")
    with Client(url, trust=trust) as client:
        try:
            answer = _log_in(client, user, password, from_stdin=password_stdin)
        except Unauthenticated as error:
            raise Denied(error.message) from error  # the advice to log in would be none here
        client.token = answer.token
        session.save(session.Stored(url=url, user=user, trust=trust, token=answer.token))
        if answer.must_change_password:
            _change_password(client, user, password, from_stdin=password_stdin)
        if answer.must_set_up_second_factor:
            note("a second factor must be set up before anything else is allowed; run: ubmc user second-factor set")
    answer.token = ""  # it is in the session file, and shall not be in a log
    answer.must_change_password = False
    settings.output.say(answer, _greeting(answer, url))


def _log_in(client: Client, user: str, password: str, *, from_stdin: bool) -> LoginResponse:
    """Log in; who has a second factor is asked for its code when the password was right."""
    request = LoginRequest(user=user, password=password)
    try:
        return client.ask(SessionService.Login, request)
    except Unauthenticated as error:
        if not any(violation.rule == "required" for violation in error.violations):
            raise
    request.one_time_code = secret_line() if from_stdin else ask_secret("Code, or a recovery code")
    return client.ask(SessionService.Login, request)


def _greeting(answer: LoginResponse, url: str) -> str:
    who = answer.session
    return f"logged in at {url} as {printable(who.user)} ({printable(who.role)})" if who else f"logged in at {url}"


def _establish(url: str, given: Trust | None) -> Trust:
    """Whom to trust at this URL: as told, else as the last time, else the system, else as a person decides."""
    if isinstance(given, Insecure):
        warn_insecure(url)
    stored = session.load()
    known = stored.trust if given is None and stored is not None and stored.url == url else None
    trust = given or (known if isinstance(known, Pinned) else SystemTrust())
    try:
        fetch_leaf(url, trust)
    except NotTrusted as error:
        if given is not None:
            raise NotTrusted(f"{_shown(url)}, which is not the one that is trusted; nothing was sent") from error
        if known is trust:
            raise NotTrusted(
                f"{_shown(url)}, but it was {known} at the last login: somebody may sit between, or the BMC made a new "
                f"certificate; if the new one is right, run: ubmc login {url} --fingerprint SHA256"
            ) from error
        return _decide(url, error)
    return trust


def _shown(url: str) -> str:
    sha256 = hashlib.sha256(fetch_leaf(url, Insecure())).digest()
    return f"the certificate of {url} has the fingerprint {Pinned(sha256)}"


def _decide(url: str, error: NotTrusted) -> Trust:
    """Show the certificate, and let a person decide."""
    from cryptography import x509

    leaf = fetch_leaf(url, Insecure())
    pin = Pinned(hashlib.sha256(leaf).digest())
    command = f"ubmc login {url} --fingerprint {pin}"
    if not is_terminal():
        raise NotTrusted(
            f"the certificate of {url} is not trusted; compare its fingerprint with the one that the BMC shows, then "
            f"run: {command}"
        ) from error
    try:
        certificate = x509.load_der_x509_certificate(leaf)
        names = {x509.NameOID.SERIAL_NUMBER: "serialNumber"}
        subject, issuer = (name.rfc4514_string(names) for name in (certificate.subject, certificate.issuer))
        until = certificate.not_valid_after_utc.strftime("%Y-%m-%d")
    except ValueError as broken:
        raise NotTrusted(f"the certificate of {url} cannot be read, so it is not trusted") from broken
    kind = "self-signed" if subject == issuer else f"signed by {printable(issuer)}"
    note(f"the certificate of {url} is not known: {printable(subject)}, {kind}, valid until {until}")
    note(f"its SHA-256 fingerprint is {pin}")
    if not ask_consent("Does the BMC show the same fingerprint, and shall it be trusted from now on?"):
        raise NotTrusted(f"not trusted, nothing was sent; later: {command}") from error
    return pin


def _change_password(client: Client, user: str, password: str, *, from_stdin: bool) -> None:
    note(f"the password of {printable(user)} must be changed before anything else is allowed")
    while True:
        new = secret_line() if from_stdin else ask_secret("New password", twice=True)
        if not new:
            raise Denied("logged in, but the password must be changed first; run: ubmc user password")
        request = ChangePasswordRequest(name=user, current_password=password, new_password=new)
        try:
            client.ask(UserService.ChangePassword, request)
        except Invalid as error:
            if from_stdin:
                raise
            note(explain(error))  # and ask again, as whoever sits there would have to log in once more otherwise
        else:
            note("the password is changed")
            return


@click.command("logout", cls=Leaf)
@pass_settings
def logout(settings: Settings) -> None:
    """End the stored session, here and at the BMC."""
    stored = session.load()
    if stored is None:
        raise Unauthenticated("there is no stored session, so there is nothing to log out of")
    session.forget()
    try:
        with Client(stored.url, token=stored.token, trust=settings.trust() or stored.trust) as client:
            answer = client.ask(SessionService.Logout, LogoutRequest())
    except Unauthenticated:
        note("the session had ended already")
        return
    except (NotTrusted, TimedOut, Unavailable) as error:
        text = "the session is forgotten here, but goes on at the BMC until it expires"
        raise Unavailable(f"{text}: {error.message}") from error
    settings.output.say(answer, f"logged out of {stored.url}")


@click.command("whoami", cls=Leaf)
@pass_settings
def whoami(settings: Settings) -> None:
    """Show who is logged in, and what they may do."""
    with settings.connect() as client:
        answer = client.ask(SessionService.GetCurrentSession, GetCurrentSessionRequest())
    settings.output.show(answer, FACTS, answer)
