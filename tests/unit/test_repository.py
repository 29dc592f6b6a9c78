"""The rules of the repository itself: lock files, the wheel's data, the tools of `make check`, the tests' own rules."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import check
import check_style

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {name: ROOT / "requirements" / f"{name}.txt" for name in ("run", "dev")}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)")


def locked(name: str) -> dict[str, str]:
    """Package to version, as one lock file has them."""
    found = (PIN.match(line) for line in LOCKS[name].read_text("utf-8").splitlines())
    return {match[1]: match[2] for match in found if match}


def wanted(name: str) -> list[Requirement]:
    groups = PROJECT["dependency-groups"]
    asked = [*PROJECT["project"]["dependencies"], *groups["build"]]
    if name == "dev":
        asked += PROJECT["project"]["optional-dependencies"]["otlp"]
        asked += [entry for entry in groups["dev"] if isinstance(entry, str)]
    return [Requirement(entry) for entry in asked]


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes(name: str) -> None:
    text = LOCKS[name].read_text("utf-8").replace("\\\n", "")
    pins = [line for line in text.splitlines() if PIN.match(line)]
    assert len(pins) > 20
    assert [line for line in pins if "--hash=sha256:" not in line] == []


@pytest.mark.parametrize("name", LOCKS)
def test_lock_files_hold_no_address(name: str) -> None:
    lines = LOCKS[name].read_text("utf-8").splitlines()
    told = re.compile(r"://|^--|\bindex-url\b|find-links")
    assert [line for line in lines if told.search(line)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_lock_files_hold_what_the_project_asks_for(name: str) -> None:
    pins = locked(name)
    for requirement in wanted(name):
        version = pins.get(canonicalize_name(requirement.name))
        assert version, f"{requirement} is not locked: make lock"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} against {version}: make lock"


def test_development_has_the_versions_that_users_get() -> None:
    dev = locked("dev")
    assert {name: dev.get(name) for name in locked("run")} == locked("run")


def test_the_build_back_end_is_locked() -> None:
    asked = {canonicalize_name(Requirement(entry).name) for entry in PROJECT["build-system"]["requires"]}
    assert asked <= set(locked("run"))


def test_the_package_carries_boards_and_documents() -> None:
    package = ROOT / "src" / "ubmc"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["ubmc"]
    data = {path.relative_to(package) for pattern in patterns for path in package.glob(pattern)}
    boards = {path.relative_to(ROOT) for path in (ROOT / "targets").glob("**/board.toml")}
    assert {Path("targets/sim/board.toml"), Path("targets/qemu/board.toml")} <= boards
    assert {(package / board).resolve() for board in boards} == {(ROOT / board).resolve() for board in boards}
    assert Path("v1alpha1/openapi.json") in data


def test_every_service_and_layer_is_under_contract() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")
    assert layers["exhaustive"] is True
    assert next(contract for contract in contracts if contract["type"] == "independence")["modules"] == [
        "ubmc.services.*"
    ]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("src/ubmc/app.py", "x = 1  # TO" + "DO: later"),
        ("docs/api.md", "- FIX" + "ME this"),
        ("schema/ubmc/v1alpha1/host.proto", "// X" + "XX"),
        ("docs/architecture.md", "see TO" + "DO(me)"),
        ("README.md", "cd /ro" + "ot/u-bmc"),
        ("tests/unit/test_a.py", "PATH = '/ho" + "me/somebody/u-bmc'"),
        ("requirements/run.txt", "--index-url somewhere"),
        ("requirements/run.txt", "x @ https" + "://example.org/x.whl"),
        ("Makefile", "pip --index-url py" + "pi.org"),
    ],
)
def test_style_finds(name: str, line: str) -> None:
    assert [fault.split(": ")[0] for fault in check_style.faults(name, f"fine\n{line}\n")] == [f"{name}:2"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("docs/roadmap.md", "# TO" + "DO: everything"),
        ("CONTRIBUTING.md", "No TO" + "DO outside the roadmap."),
        ("tests/unit/test_a.py", 'cache / "ro' + 'ot/boot"'),
        ("docs/api.md", "https" + "://bmc.example.org/work/x"),
        ("src/ubmc/app.py", "path = '/etc/ubmc/ubmc.toml'"),
    ],
)
def test_style_lets_pass(name: str, line: str) -> None:
    assert list(check_style.faults(name, f"fine\n{line}\n")) == []


def test_style_limits_the_length_of_files() -> None:
    long = "pass\n" * (check_style.MOST_LINES + 1)
    assert len(list(check_style.faults("src/ubmc/long.py", long))) == 1
    assert not list(check_style.faults("src/ubmc/v1alpha1/long_pb.py", long))


def test_check_shows_a_failed_step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(check.STEPS, "good", "{bin}/python --version")
    monkeypatch.setitem(check.STEPS, "bad", "{bin}/python -m no_such_module")
    monkeypatch.setattr(sys, "argv", ["check", "good", "bad"])
    with pytest.raises(SystemExit, match=r"1 of 2 failed in .*: bad"):
        check.main()
    told = capsys.readouterr().out
    assert re.search(r"^ok +good .* Python 3", told, re.MULTILINE)
    assert re.search(r"^FAILED bad", told, re.MULTILINE)
    assert "No module named" in told


def test_check_refuses_a_step_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["check", "nonsense"])
    with pytest.raises(SystemExit, match="no step nonsense"):
        check.main()


SUITE = """
import pytest

def test_good(): pass

def test_skipped(): pytest.skip("no foo (apt install foo)")

@pytest.mark.skipif(True, reason="needs curl: apt-get install curl")
def test_marked(): pass

@pytest.mark.xfail(strict=True)
def test_expected(): assert False

@pytest.mark.soak
def test_long(): pass
"""


def outcome(directory: Path, **env: str) -> tuple[int, str]:
    """Runs a suite below our `conftest.py` in a process of its own: exit code and what it printed."""
    (directory / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text("utf-8"), "utf-8")
    (directory / "pytest.ini").write_text("[pytest]\nmarkers = soak: long\n", "utf-8")
    (directory / "test_suite.py").write_text(textwrap.dedent(SUITE), "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(directory)]
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_skips_are_told_with_what_to_install(tmp_path: Path) -> None:
    code, told = outcome(tmp_path)
    assert code == 0
    assert "1 passed, 2 skipped, 1 deselected, 1 xfailed" in told
    assert "apt install curl foo" in told


def test_ci_allows_no_skip(tmp_path: Path) -> None:
    code, told = outcome(tmp_path, UBMC_NO_SKIP="1")
    assert code == 1
    assert "1 failed, 1 passed, 1 deselected, 1 xfailed, 1 error" in told
    assert "this was skipped: no foo" in told


def test_soak_runs_the_long_ones(tmp_path: Path) -> None:
    assert "2 passed, 2 skipped, 1 xfailed" in outcome(tmp_path, UBMC_SOAK="1")[1]


def test_a_module_that_skips_itself_is_not_allowed_either(tmp_path: Path) -> None:
    (tmp_path / "test_whole.py").write_text("import pytest\npytest.importorskip('no_such_module')\n", "utf-8")
    code, told = outcome(tmp_path, UBMC_NO_SKIP="1")
    assert code != 0
    assert "test_whole.py" in told
    assert "no_such_module" in told
