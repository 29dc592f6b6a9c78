"""A test that fails beside others gets one more chance; one that is broken fails."""

from __future__ import annotations

from pathlib import Path

import pytest

import suite

ONCE = """
from pathlib import Path
SEEN = Path(__file__).with_name("seen")

def test_right():
    pass

def test_fails_the_first_time():
    first = not SEEN.exists()
    SEEN.touch()
    assert not first
"""
ALWAYS = "def test_broken():\n    assert False\n"
MANY = "import pytest\n@pytest.mark.parametrize('n', range(30))\ndef test_broken(n):\n    assert False\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # starts faster
    (tmp_path / "tests").mkdir()
    return tmp_path


def play(place: Path, **files: str) -> int:
    for name, content in files.items():
        (place / "tests" / f"test_{name}.py").write_text(content)
    return suite.twice(place / "tmp", place / "cache", ("tests", "-q"), place)


def test_all_is_well(place: Path) -> None:
    assert play(place, right="def test_right():\n    pass\n") == 0


def test_what_passes_alone_is_named(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert play(place, once=ONCE) == 0
    said = capfd.readouterr().out
    assert "2 passed" not in said
    assert said.endswith("worth a look:\n    tests/test_once.py::test_fails_the_first_time\n")


def test_what_is_broken_fails(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert play(place, once=ONCE, always=ALWAYS) == 1
    assert capfd.readouterr().out.endswith("worth a look:\n    tests/test_once.py::test_fails_the_first_time\n")


def test_many_failures_are_no_accident(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert play(place, many=MANY) == 1
    assert "now alone" not in capfd.readouterr().out


def test_what_cannot_be_read_fails(place: Path) -> None:
    assert play(place, torn="def test(:\n") not in {0, 1}
