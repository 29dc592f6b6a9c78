"""What is known of every service, and the news about it."""

from __future__ import annotations

import time

from ubmc.services.operator.health import DEGRADED, FAILED, MAX_NEWS, READY, STARTING, HealthBook


def book() -> HealthBook:
    made = HealthBook()
    made.expect("managers", ("usermgr", "statemgr"), 1.0)
    made.expect("websrv", ("websrv",), 1.0)
    return made


def told(made: HealthBook) -> list[tuple[str, str]]:
    return [(news["name"], news["state"]) for news in made.news]


def test_all_ready() -> None:
    made = book()
    for name in ("usermgr", "statemgr"):
        assert made.report(name, READY, 2.0)
        assert not made.all_ready()
    assert made.report("websrv", READY, 2.0)
    assert made.all_ready()
    assert told(made) == [], "a first start is no news"
    assert not made.report("websrv", READY, 3.0)
    assert not made.report("stranger", READY, 3.0)


def test_a_service_that_fails_again_and_again_is_told_once_at_each_step() -> None:
    made = book()
    for restarts in range(1, 20):
        state = DEGRADED if restarts >= 5 else FAILED
        made.report("usermgr", state, 1.0 + restarts, restarts=restarts, reason="broken")
        made.report("usermgr", STARTING, 1.5 + restarts, restarts=restarts)
    assert told(made) == [("usermgr", FAILED), ("usermgr", DEGRADED)]
    made.report("usermgr", READY, 60.0, restarts=19)
    made.report("usermgr", FAILED, 61.0, restarts=20)
    assert told(made)[2:] == [("usermgr", READY), ("usermgr", FAILED)]


def test_a_process_that_ends_takes_its_services_along() -> None:
    made = book()
    for name in ("usermgr", "statemgr", "websrv"):
        made.report(name, READY, 2.0)
    made.process_ended("managers", "killed", 3.0, degraded=False)
    assert told(made) == [("usermgr", FAILED), ("statemgr", FAILED)]
    states = {entry["name"]: (entry["state"], entry["restarts"], entry["since"]) for entry in made.snapshot()}
    assert states["usermgr"] == (FAILED, 1, 3.0)
    assert states["websrv"] == (READY, 0, 2.0)
    made.report("usermgr", READY, 4.0)
    assert made.entries["usermgr"].restarts == 1, "the process was restarted once, the service never"
    made.report("usermgr", FAILED, 5.0, restarts=1)
    assert made.entries["usermgr"].restarts == 2


def test_degraded_is_not_made_good_by_a_mere_failure() -> None:
    made = book()
    made.process_ended("websrv", "killed", 3.0, degraded=True)
    made.process_ended("websrv", "killed", 4.0, degraded=False)
    assert told(made) == [("websrv", DEGRADED)]


def test_news_are_kept_until_they_were_told() -> None:
    made = book()
    made.process_ended("managers", "killed", 3.0, degraded=False)
    first, second = (news["seq"] for news in made.news)
    made.told(first)
    assert [news["seq"] for news in made.news] == [second]
    made.told(second + 100)
    assert not made.news
    made.process_ended("websrv", "killed", 3.0, degraded=False)
    assert made.news[0]["seq"] == second + 1


def test_news_are_bounded() -> None:
    made = book()
    for count in range(500):
        made.report("websrv", READY, time.time())
        made.process_ended("websrv", f"killed {count}", time.time(), degraded=False)
    assert len(made.news) == MAX_NEWS
    assert made.news[-1]["reason"] == "killed 499"
