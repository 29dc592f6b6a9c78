"""Page tokens and cursors of the event log; the filters are tried on the tables in test_eventlog_store.py."""

from __future__ import annotations

import pytest

from ubmc.kit.errors import Invalid
from ubmc.services.eventlog.query import Paging, cursor, resume
from ubmc.v1alpha1.event_pb import EventFilter


def test_token_leads_to_the_next_page_of_the_same_query_only() -> None:
    paging = Paging("e", EventFilter(component="host.0"), newest_first=False)
    token = paging.token(2**62 - 1)
    assert len(token) <= 64
    assert paging.position("") is None
    assert paging.position(paging.token(17)) == 17
    for other in (
        Paging("e", EventFilter(component="host.1"), newest_first=False),
        Paging("e", EventFilter(component="host.0"), newest_first=True),
        Paging("e", None, newest_first=False),
        Paging("f", EventFilter(component="host.0"), newest_first=False),
    ):
        with pytest.raises(Invalid) as caught:
            other.position(paging.token(17))
        assert caught.value.violations[0].field == "pageToken"


@pytest.mark.parametrize("token", ["x", "..", "e.1", "e.-1.0", "e.²." + "0" * 12, "." * 60])
def test_invented_token_is_refused(token: str) -> None:
    with pytest.raises(Invalid):
        Paging("e", None, newest_first=False).position(token)


def test_resume() -> None:
    assert resume("", "e", 9) == 9
    assert resume(cursor("e", 4), "e", 9) == 4
    assert resume(cursor("e", 9), "e", 9) == 9
    assert resume(cursor("other", 4), "e", 9) == 0
    assert resume(cursor("e", 10), "e", 9) == 0


@pytest.mark.parametrize("text", ["nonsense", "e:", "e:x", "e:-1", "e:" + "9" * 19])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="cursor"):
        resume(text, "e", 9)
