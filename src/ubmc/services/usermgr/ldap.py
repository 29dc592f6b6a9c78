"""The directory: who somebody is and which groups they are in, asked by LDAP over TLS, never without.

Nothing here is asynchronous: it runs in a thread, with a deadline for every step. Names that people give are escaped
(RFC 4514, RFC 4515); an empty password never reaches a server, because that is a login as nobody in particular which
servers answer with success (RFC 4513, 5.1.2). Referrals are not followed.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ubmc.kit.errors import Refused, UbmcError, Unavailable
from ubmc.services.usermgr.ldap_settings import LdapSettings

with warnings.catch_warnings():  # it uses names of pyasn1 that were renamed
    warnings.simplefilter("ignore", DeprecationWarning)
    import ldap3  # type: ignore[import-untyped]
    from ldap3.core.exceptions import LDAPException  # type: ignore[import-untyped]
    from ldap3.utils.conv import escape_filter_chars  # type: ignore[import-untyped]
    from ldap3.utils.dn import escape_rdn  # type: ignore[import-untyped]

log = logging.getLogger("ubmc.usermgr")

MAX_GROUPS = 256
_SUCCESS = 0
_INVALID_CREDENTIALS = 49
_NO_SUCH_OBJECT = 32
_PORTS = {"ldaps": 636, "starttls": 389}

CheckPeer = Callable[[socket.socket], None]


@dataclass(frozen=True, slots=True)
class Found:
    """Somebody whom the directory knows."""

    server: str
    dn: str
    groups: tuple[str, ...]
    role: str
    """Empty if none of the groups means a role."""


def authenticate(
    settings: LdapSettings, bind_password: str, user: str, password: str, check_peer: CheckPeer
) -> Found | None:
    """Whom a name and a password belong to; None if the directory says that they are wrong.

    Args:
        settings: how it is asked.
        bind_password: the password of `settings.bind_dn`.
        user: the login name.
        password: theirs.
        check_peer: raises `Refused` for a server that must not be talked to.

    Raises:
        Unavailable: no server answers as it should.
        Refused: a server has an address that must not be used, or the settings do not fit the directory.
    """
    if not user or not password or not user.isprintable():
        return None
    return _ask_servers(
        settings, lambda server: _authenticate(settings, bind_password, server, user, password, check_peer)
    )


def reach(settings: LdapSettings, bind_password: str, check_peer: CheckPeer) -> Found | None:
    """Connect, and bind as who searches; says which server answered. Raises as `authenticate` does."""

    def ask(server: str) -> Found:
        with _connected(settings, server, check_peer) as connection:
            _bind_searcher(connection, settings, bind_password)
        return Found(server, "", (), "")

    return _ask_servers(settings, ask)


def _ask_servers(settings: LdapSettings, ask: Callable[[str], Found | None]) -> Found | None:
    if not settings.servers:
        raise Refused("no server of the directory is set; name one in the LDAP settings")
    problem: UbmcError = Unavailable("no server of the directory answers")
    for server in settings.servers:
        try:
            return ask(server)
        except Unavailable as error:
            problem = error
        except (LDAPException, OSError, ssl.SSLError, ValueError) as error:
            problem = Unavailable(f"the directory at {server} does not answer: {_reason(error)}")
    raise problem


def _reason(error: BaseException) -> str:
    """What went wrong; never what was sent."""
    text = str(error) or type(error).__name__
    return text[:200]


def _authenticate(
    settings: LdapSettings, bind_password: str, server: str, user: str, password: str, check_peer: CheckPeer
) -> Found | None:
    with _connected(settings, server, check_peer) as connection:
        if settings.user_dn_template:
            dn = settings.user_dn_template.replace("{user}", escape_rdn(user))
        else:
            _bind_searcher(connection, settings, bind_password)
            dn = _find_user(connection, settings, user)
        if not dn or not _bind(connection, dn, password):
            return None
        if settings.bind_dn and settings.group_base_dn:  # whoever searches may see more than users may
            _bind_searcher(connection, settings, bind_password)
        groups = _groups(connection, settings, dn)
    return Found(server, dn, groups, settings.role_of(groups))


class _Guarded:
    """TLS as Python does it now (the library calls functions that are gone), and a look at who answers before it."""

    def __init__(self, ca_pem: str, check_peer: CheckPeer) -> None:
        self._context = ssl.create_default_context(cadata=ca_pem or None)  # verifies chain and name
        self._check_peer = check_peer
        self.refusal: Refused | None = None
        """Why the peer must not be talked to; the library would lose that."""

    def wrap(self, connection: Any, do_handshake: bool = True) -> None:
        """Take the place of the library's own `Tls.wrap_socket`."""
        try:
            self._check_peer(connection.socket)
        except Refused as error:
            self.refusal = error
            raise
        host = connection.server.host
        connection.socket = self._context.wrap_socket(connection.socket, server_hostname=host)


@contextlib.contextmanager
def _connected(settings: LdapSettings, address: str, check_peer: CheckPeer) -> Iterator[Any]:
    host, port = split_server(address, settings.security)
    guarded, tls = _Guarded(settings.ca_pem, check_peer), ldap3.Tls(validate=ssl.CERT_REQUIRED)
    tls.wrap_socket = guarded.wrap
    server = ldap3.Server(
        host,
        port=port,
        use_ssl=settings.security == "ldaps",
        tls=tls,
        get_info=ldap3.NONE,
        connect_timeout=settings.timeout_seconds,
    )
    connection = ldap3.Connection(
        server,
        auto_referrals=False,
        receive_timeout=settings.timeout_seconds,
        raise_exceptions=False,
        auto_bind=ldap3.AUTO_BIND_NONE,
    )
    try:
        _open(connection, settings, check_peer)
        yield connection
    except (LDAPException, OSError):
        if guarded.refusal is not None:
            raise guarded.refusal from None
        raise
    finally:
        opened = connection.socket  # it is not closed there when connecting or TLS failed
        with contextlib.suppress(LDAPException, OSError):
            connection.unbind()
        if opened is not None:
            opened.close()


def _open(connection: Any, settings: LdapSettings, check_peer: CheckPeer) -> None:
    connection.open(read_server_info=False)
    if settings.security == "starttls":
        check_peer(connection.socket)  # before a word is said
        if not connection.start_tls(read_server_info=False):
            raise Unavailable("the directory does not begin TLS")
    if not isinstance(connection.socket, ssl.SSLSocket):
        raise Unavailable("the connection to the directory is not protected")


def split_server(address: str, security: str) -> tuple[str, int]:
    """Host and port of `HOST`, `HOST:PORT` or `[IPV6]:PORT`."""
    host, port = address, ""
    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        port = port.removeprefix(":")
    elif address.count(":") == 1:
        host, _, port = address.partition(":")
    return host, int(port) if port else _PORTS[security]


def _bind(connection: Any, dn: str, password: str) -> bool:
    """Whether the directory takes this name and password.

    Raises:
        Unavailable: it answers neither yes nor no.
    """
    if not password:
        return False
    connection.rebind(user=dn, password=password, authentication=ldap3.SIMPLE, read_server_info=False)
    result = connection.result or {}
    if result.get("result") == _SUCCESS:
        return True
    if result.get("result") in (_INVALID_CREDENTIALS, _NO_SUCH_OBJECT):
        return False
    raise Unavailable(f"the directory refuses to bind: {result.get('description', 'no answer')}")


def _bind_searcher(connection: Any, settings: LdapSettings, bind_password: str) -> None:
    if settings.bind_dn and not _bind(connection, settings.bind_dn, bind_password):
        raise Refused("the directory does not take bindDn with its password; set bindPassword anew")


def _find_user(connection: Any, settings: LdapSettings, user: str) -> str:
    """The one entry of a login name; empty if there is none, or more than one."""
    wanted = f"({settings.user_attribute}={escape_filter_chars(user)})"
    dns = [dn for dn, _ in _search(connection, settings.user_base_dn, wanted, [settings.user_attribute], 2)]
    if len(dns) > 1:
        log.warning("the directory has several entries for a login name; nobody is let in", extra={"user": user})
    return dns[0] if len(dns) == 1 else ""


def _groups(connection: Any, settings: LdapSettings, dn: str) -> tuple[str, ...]:
    if settings.group_base_dn:
        wanted = f"({settings.group_attribute}={escape_filter_chars(dn)})"
        found = _search(connection, settings.group_base_dn, wanted, ["1.1"], MAX_GROUPS)
        return tuple(each for each, _ in found)
    entries = _search(connection, dn, "(objectClass=*)", ["memberOf"], 1, scope=ldap3.BASE)
    return tuple(group for _, attributes in entries for group in attributes.get("memberOf", ()))[:MAX_GROUPS]


def _search(
    connection: Any, base: str, wanted: str, attributes: list[str], most: int, *, scope: Any = ldap3.SUBTREE
) -> list[tuple[str, dict[str, list[str]]]]:
    connection.search(base, wanted, search_scope=scope, attributes=attributes, size_limit=most)
    result = connection.result or {}
    # 4: the limit of entries; 10: a referral, which is not followed.
    if result.get("result") not in (_SUCCESS, 4, 10, _NO_SUCH_OBJECT):
        raise Unavailable(f"the directory refuses to search: {result.get('description', 'no answer')}")
    return [
        (str(entry["dn"]), {name: [str(each) for each in values] for name, values in entry["attributes"].items()})
        for entry in connection.response or ()
        if entry.get("type") == "searchResEntry"
    ]
