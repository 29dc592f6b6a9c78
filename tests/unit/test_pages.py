"""Pages of lists: every item once, in the order in which people count, whatever changes in between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.kit.errors import Invalid, NotFound
from ubmc.kit.pages import find, natural, page, page_size


def name(item: str) -> str:
    return item


def test_numbers_count_as_numbers() -> None:
    names = ["host.10", "host.9", "cpu10_temp", "cpu9_temp", "cpu", "host.1"]
    assert sorted(names, key=natural) == ["cpu", "cpu9_temp", "cpu10_temp", "host.1", "host.9", "host.10"]


@given(st.sets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)), st.integers(1, 5), st.booleans())
def test_pages_together_are_the_list(items: set[str], size: int, reverse: bool) -> None:
    seen: list[str] = []
    token = ""
    while True:
        shown, token = page(items, size, token, key=name, reverse=reverse)
        assert len(shown) <= size
        seen += shown
        if not token:
            break
    assert seen == sorted(items, key=natural, reverse=reverse)


def test_a_token_survives_the_end_of_its_item() -> None:
    shown, token = page(["a", "b", "c", "d"], 2, "", key=name)
    assert shown == ["a", "b"]
    assert page(["a", "c", "d"], 2, token, key=name) == (["c", "d"], "")


def test_nothing_is_one_empty_page() -> None:
    assert page([], 0, "", key=name) == ([], "")


@pytest.mark.parametrize("token", ["!", "a", "\u00e4", "_w"])
def test_a_token_that_is_none_of_ours(token: str) -> None:
    with pytest.raises(Invalid, match="pageToken"):
        page(["a"], 1, token, key=name)


def test_sizes() -> None:
    assert (page_size(0), page_size(7), page_size(1000)) == (100, 7, 1000)
    for size in (-1, 1001):
        with pytest.raises(Invalid, match="pageSize"):
            page(["a"], size, "", key=name)


def test_what_is_not_there_is_told_with_what_is() -> None:
    assert find({"a": 1}, "a") == 1
    with pytest.raises(NotFound, match=r"there is no x; there is led\.2, led\.10$"):
        find({"led.10": 1, "led.2": 2}, "x")
    with pytest.raises(NotFound, match="nothing of that kind"):
        find({}, "x")
    with pytest.raises(NotFound, match=r"and 5 more$"):
        find({f"s{n}": n for n in range(25)}, "x")
