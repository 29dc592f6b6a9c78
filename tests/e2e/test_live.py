"""Watch calls of the whole program: each says when its snapshot is complete, and one stream tells them all."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from tests.harness.parts import API, Parts, Stream
from tests.harness.program import KILLS_PEERS, Program

from ubmc.kit.schema import Method, load
from ubmc.v1alpha1.live_pb import LiveTopic

pytestmark = [pytest.mark.e2e, KILLS_PEERS]

TOPICS = [each.name for each in LiveTopic if each is not LiveTopic.UNSPECIFIED]
SNAPSHOTS = {
    method.name: method
    for method in load().methods
    if method.streams and not method.internal and any(each.name == "snapshot" for each in method.desc.output.fields)
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with Program(tmp_path_factory.mktemp("live") / "state") as program:
        program.login()
        made = Parts(program)
        made.on()  # which is a task, too
        made.post("report-definitions", {"name": "r", "sensors": ["*"], "kind": "REPORT_KIND_ON_REQUEST"})
        yield made


def live(program: Program, *topics: str, cursor: str = "") -> Stream:
    query = "&".join(f"topics=LIVE_TOPIC_{each}" for each in topics)
    return Stream(program, f"live:watch?{query}", cursor)


def states(stream: Stream) -> list[tuple[str, str]]:
    """Topic and state, in the order in which they were told."""
    told = [each["state"] for each in list(stream.updates) if "state" in each]
    return [(each["topic"].removeprefix("LIVE_TOPIC_"), each["state"].removeprefix("LIVE_STATE_")) for each in told]


def told(stream: Stream, kind: str, item: str) -> set[str]:
    """The names that came of one topic."""
    found: list[Any] = [each[kind][item] for each in list(stream.updates) if kind in each]
    return {each["name"] for one in found for each in (one if isinstance(one, list) else [one])}


@pytest.mark.parametrize("method", SNAPSHOTS.values(), ids=SNAPSHOTS)
def test_every_watch_says_when_its_snapshot_is_complete(parts: Parts, method: Method) -> None:
    assert method.http is not None
    assert method.http.pattern is not None
    with Stream(parts.program, str(method.http.pattern.value).removeprefix(f"{API}/")) as stream:
        stream.wait(lambda update: update["complete"], why="the end of the snapshot")
        updates = list(stream.updates)
    ends = [update["complete"] for update in updates]
    count = ends.index(True) + 1
    assert all(update["snapshot"] for update in updates[:count])
    assert not any(update["snapshot"] for update in updates[count:])


def test_one_stream_tells_all_there_is_and_goes_on_where_it_was(parts: Parts) -> None:
    program = parts.program
    with live(program, *TOPICS) as stream:
        for topic in TOPICS:
            stream.wait(lambda _, topic=topic: (topic, "SETTLED") in states(stream), why=f"{topic} is settled")
        assert len(states(stream)) == len(TOPICS)
        assert told(stream, "host", "host") == {each["name"] for each in program.get(f"{API}/hosts")["hosts"]}
        assert told(stream, "sensors", "sensors") == set(parts.sensors())
        assets = program.get(f"{API}/assets?pageSize=1000")["assets"]
        assert told(stream, "asset", "asset") == {each["name"] for each in assets}
    parts.off()
    with live(program, "HOSTS", "CHASSIS", "EVENTS", cursor=stream.cursor) as again:
        again.wait(lambda update: update.get("host", {}).get("host", {}).get("state") == "HOST_STATE_OFF")
        again.wait(lambda update: update.get("event", {}).get("event", {}).get("messageId") == "Host.StateChanged")
        assert not any(each.get("host", {}).get("snapshot") for each in again.updates)
        last = next(each["event"]["event"] for each in reversed(again.updates) if "event" in each.get("event", {}))
    with live(program, "SENSORS", "EVENTS", cursor=again.cursor) as third:
        third.wait(lambda update: "sensors" in update)
        assert not any(each.get("sensors", {}).get("snapshot") for each in third.updates)
        events = [each["event"]["event"] for each in list(third.updates) if "event" in each.get("event", {})]
        assert all(int(each["id"]) > int(last["id"]) for each in events)


def test_the_death_of_a_process_takes_its_topics_away_and_brings_them_back(parts: Parts) -> None:
    program = parts.program
    with live(program, "HOSTS", "SENSORS", "THERMAL_ZONES") as stream:
        for topic in ("HOSTS", "SENSORS", "THERMAL_ZONES"):
            stream.wait(lambda _, topic=topic: (topic, "SETTLED") in states(stream), why=f"{topic} is settled")
        os.kill(program.processes()["safety"], signal.SIGKILL)
        for topic in ("SENSORS", "THERMAL_ZONES"):
            wanted = [(topic, state) for state in ("SETTLED", "AWAY", "SETTLED")]
            stream.wait(
                lambda _, wanted=wanted: [each for each in states(stream) if each[0] == wanted[0][0]] == wanted,
                why=f"{topic} was away and is back",
            )
        assert ("HOSTS", "AWAY") not in states(stream)
