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

    def add(self, user: str, kind: CredentialKind, until: float, now: float, visit_id: str = "") -> Visit:
        """Let somebody in; the id is random unless it is that of a token."""
        while self._by_id:
            oldest = next(iter(self._by_id.values()))
            if oldest.until > now and len(self._by_id) < _MOST:
                break
            del self._by_id[oldest.id]
        visit = Visit(visit_id or secrets.token_hex(_ID_BYTES), user, kind, until)
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

    def discard(self, visit_id: str) -> None:
        """Forget one."""
        self._by_id.pop(visit_id, None)
