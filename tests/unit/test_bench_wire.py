from __future__ import annotations

import pytest
from bench.wire import parse, request

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"


def test_a_get_has_no_length_and_everything_else_has() -> None:
    get = request("GET", "/a", {"x": "y"})
    assert get == b"GET /a HTTP/1.1\r\nhost: 127.0.0.1\r\nx: y\r\n\r\n"
    assert request("POST", "/a", {}, b"{}").endswith(b"\r\ncontent-length: 2\r\n\r\n{}")
    assert request("POST", "/a", {}).endswith(b"\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize(("data", "status"), [(PLAIN, 200), (CHUNKED, 404)])
def test_an_answer_is_found_once_it_is_whole(data: bytes, status: int) -> None:
    for length in range(len(data)):
        assert parse(data[:length]) is None
    answer = parse(data + b"HTTP/1.1 2")
    assert answer is not None
    assert (answer.status, answer.body, answer.size) == (status, b"hello", len(data))


def test_an_empty_body_is_whole_with_its_head() -> None:
    answer = parse(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 0\r\n\r\n")
    assert answer is not None
    assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize("data", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"])
def test_what_cannot_be_timed_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="answer"):
        parse(data)
