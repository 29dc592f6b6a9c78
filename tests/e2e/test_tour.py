"""What README.md shows is what the program does: its tour is typed, and what is printed is compared."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import tour

pytestmark = [pytest.mark.e2e, pytest.mark.qemu]

REFRESH = "the program and README.md differ; if the program is right: python tools/tour.py --write"


@pytest.fixture(scope="module")
def page() -> str:
    return tour.PAGE.read_text(encoding="utf-8")


@pytest.fixture
def at_home() -> Iterator[tour.Tour]:
    with tempfile.TemporaryDirectory(prefix="tour-") as home, tour.Tour(Path(home)) as played:
        yield played


@pytest.mark.skipif(bool(tour.missing()), reason=f"install {' '.join(tour.missing())}")
def test_the_readme_shows_what_the_program_does(page: str) -> None:
    assert "$ make run\n\nu-bmc" in page
    assert tour.played(page).splitlines() == page.splitlines(), REFRESH


def test_the_picture_is_that_of_the_readme(page: str) -> None:
    shown = tour.PICTURE.read_text(encoding="utf-8")
    assert shown == tour.picture(page), REFRESH
    assert "ubmc&#160;host&#160;on" in shown
    assert re.search(r"@font-face|@import|url\((?!#)|<image|href=", shown) is None
    assert tour.PICTURE.relative_to(tour.ROOT).as_posix() in page


@pytest.mark.skipif(bool(tour.missing()), reason=f"install {' '.join(tour.missing())}")
def test_a_false_output_is_found(at_home: tour.Tour) -> None:
    true = (
        "```console\n$ ubmc host list\nubmc: not logged in; run: ubmc login URL (or set UBMC_URL and UBMC_TOKEN)\n```\n"
    )
    path = '```console\n$ export PATH="$PWD/.venv/bin:$PATH"\n```\n'
    assert at_home.play(path + true) == path + true
    assert at_home.play(true.replace("logged", "locked")) == true


def test_what_differs_each_time_is_shown_by_example() -> None:
    first = "at 127.0.0.1:4711: 17  2026-11-22 23:02:15Z  01M82QXWKJQTZKGDRMB6T4S021\n17  2026-11-22 23:02:15Z  ok  \n"
    other = "at 127.0.0.1:8443: 17  2027-01-01 00:00:00Z  01M82QXZDZM5FYYPYAQ1AJ552E\n9   2027-01-01 00:00:00Z  ok\n"
    assert tour.with_examples(first) == tour.with_examples(other)
    assert tour.with_examples("host.0  off") != tour.with_examples("host.0  on")
