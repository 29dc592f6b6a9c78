"""Who was let in without a session: by a token, by password with each request, or by a certificate. In memory only.

A principal names the visit that it was made for, so that what somebody may do ends with their account, and doors can
be told what to forget.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass

from ubmc.v1alpha1.session_pb import CredentialKind

_MOST = 1024
_ID_BYTES = 8
_SEPARATOR = "."


def token_of(visit_id: str) -> str:
    """The id of the token of a visit; empty if it is not by a token."""
    token, separator, _ = visit_id.partition(_SEPARATOR)
    return token if separator else ""


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody whose principal may still be good."""

    id: str
    user: str
    kind: CredentialKind
    until: float
    """Monotonic seconds."""

    @property
    def kept(self) -> bool:
        """Doors may keep its principal for a while."""
        return self.kind is not CredentialKind.BASIC


class Visits:
    """Those of the last seconds."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, Visit] = OrderedDict()

    def add(self, user: str, kind: CredentialKind, until: float, now: float, token: str = "") -> Visit:
        """Let somebody in. A token goes on with the visit that it makes already.

        The id of a visit that ended never comes back, though its token may: doors do not take it any more.
        """
        while self._by_id:
            oldest = next(iter(self._by_id.values()))
            if oldest.until > now and len(self._by_id) < _MOST:
                break
            del self._by_id[oldest.id]
        present = next(iter(self.by_token(token)), None) if token else None
        nonce = secrets.token_hex(_ID_BYTES)
        fresh = f"{token}{_SEPARATOR}{nonce}" if token else nonce
        visit = Visit(present.id if present is not None else fresh, user, kind, until)
        self._by_id[visit.id] = visit
        self._by_id.move_to_end(visit.id)
        return visit

    def get(self, visit_id: str, now: float) -> Visit | None:
        """The visit of an id, while it lasts."""
        visit = self._by_id.get(visit_id)
        return visit if visit is not None and visit.until > now else None

    def of(self, user: str) -> list[Visit]:
        """All visits of one user."""
        return [visit for visit in self._by_id.values() if visit.user == user]

    def by_token(self, token: str) -> list[Visit]:
        """The visits that a token makes; there is one at most."""
        return [visit for visit in self._by_id.values() if token_of(visit.id) == token]

    def discard(self, visit_id: str) -> None:
        """Forget one."""
        self._by_id.pop(visit_id, None)
