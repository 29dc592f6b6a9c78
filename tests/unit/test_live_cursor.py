"""One cursor for several streams: packing, unpacking, what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.kit.errors import Invalid
from ubmc.kit.schema import load
from ubmc.protocols.rest.encode import event
from ubmc.services.websrv.live import SOURCES
from ubmc.services.websrv.live_cursor import pack, unpack
from ubmc.services.websrv.validation import validate
from ubmc.v1alpha1.live_pb import LiveTopic, WatchLiveRequest, WatchLiveResponse

TOPICS: list[LiveTopic] = [each for each in LiveTopic if each is not LiveTopic.UNSPECIFIED]
PLACES = st.dictionaries(
    st.sampled_from(TOPICS), st.text("0123456789abcdefXYZ:_-", min_size=1, max_size=64), max_size=len(TOPICS)
)


@given(PLACES)
def test_what_was_packed_is_unpacked(places: dict[LiveTopic, str]) -> None:
    assert unpack(pack(places)) == places


def test_the_longest_cursor_is_taken_back_and_is_the_id_of_an_event() -> None:
    cursor = pack(dict.fromkeys(TOPICS, "x" * 64))
    validate(WatchLiveRequest(topics=TOPICS, cursor=cursor))
    assert event(WatchLiveResponse(cursor=cursor), cursor).startswith(b"id: 1." + b"x" * 64)


def test_it_does_not_depend_on_the_order_in_which_topics_were_told() -> None:
    assert pack({LiveTopic.LEDS: "b:2", LiveTopic.HOSTS: "a:1"}) == "1.a:1~6.b:2"
    assert pack({LiveTopic.HOSTS: "a:1", LiveTopic.LEDS: "b:2"}) == "1.a:1~6.b:2"


def test_topics_of_another_version_are_left_out() -> None:
    assert unpack("1.a:1~0.b:2~250.c:3") == {LiveTopic.HOSTS: "a:1"}


@pytest.mark.parametrize(
    "cursor",
    ["a:1", "1", "1.", ".a:1", "1.a:1~", "~1.a:1", "1.a 1", "1.a:1\n", "x.a:1", "1.a.b", "9999.a:1", "²²².a:1",
     "1." + "a" * 65, "\0"],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid, match="give the cursor of the last message") as raised:
        unpack(cursor)
    assert raised.value.violations[0].field == "cursor"


def test_every_topic_has_a_source_that_anybody_who_is_logged_in_may_watch() -> None:
    assert set(SOURCES) == set(TOPICS)
    schema, response = load(), WatchLiveResponse.desc()
    fields = {each.name: each for each in response.fields}
    for source in SOURCES.values():
        assert schema.method(source.token).side_effect_free
        assert fields[source.field].value.message is source.token.response.desc()  # type: ignore[union-attr]
        validate(source.request("abc:1", WatchLiveRequest(min_interval_seconds=2)))
