"""Subjects are derived from the schema, and nothing that a person typed can bend them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.kit import subjects
from ubmc.kit.schema import load
from ubmc.v1alpha1.host_pb import GetHostRequest, HostStateChange
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.session_pb import SessionEnd
from ubmc.v1alpha1.system_pb import AuditedCall
from ubmc.v1alpha1.task_pb import TaskChange


def test_calls() -> None:
    assert subjects.rpc(HostService.GetHost) == "rpc.HostService.GetHost"
    assert subjects.peer(HostService.GetHost) == "peer.HostService.GetHost"


def test_no_two_calls_share_a_subject() -> None:
    methods = load().methods
    assert len({subjects.rpc(method.token) for method in methods}) == len(tuple(methods))


def test_news() -> None:
    assert subjects.event(HostStateChange) == "event.host.*.host_state_change"
    assert subjects.event(HostStateChange, "host.0") == "event.host.host-0.host_state_change"
    assert subjects.event(HostStateChange, "") == "event.host.-.host_state_change"
    assert subjects.event(TaskChange, "x").startswith("signal.")
    assert subjects.event(SessionEnd).split(".")[2] == "*"


def test_what_is_no_news_has_no_subject() -> None:
    with pytest.raises(ValueError, match="no event option"):
        subjects.event(GetHostRequest)


@given(st.text(max_size=300))
def test_a_component_is_one_word_whatever_it_is(component: str) -> None:
    subject = subjects.event(AuditedCall, component)
    _root, _domain, place, what = subject.split(".")
    assert what == "audited_call"
    assert component == "*" or re.fullmatch(r"[A-Za-z0-9_-]{1,64}", place)


def test_ways_back() -> None:
    assert subjects.stream("managers", "1-2") == "stream.managers.1-2"
    assert subjects.inbox("websrv") == "_INBOX_websrv"
