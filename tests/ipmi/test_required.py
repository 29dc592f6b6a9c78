"""Every line of REQUIRED.md is covered by a row or a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.ipmi import freeipmi_rows, ipmitool_rows, matrix, pyghmi_rows, required
from tests.ipmi.freeipmi_rows import CACHE

CHECKOUT = Path(__file__).resolve().parents[2]
REQUIRED = CHECKOUT.parent / "shared" / "ipmi" / "REQUIRED.md"


def commands() -> set[str]:
    """All that clients are told to do."""
    groups = [*ipmitool_rows.GROUPS.values(), *freeipmi_rows.GROUPS.values(), *pyghmi_rows.GROUPS.values()]
    groups += [freeipmi_rows.PINGS, matrix.USERS, matrix.STRANGERS, matrix.REFUSED, *matrix.RESTART.values()]
    return {row.command for group in groups for row in group}


def known_tests() -> set[str]:
    """All tests of IPMI."""
    files = [CHECKOUT / "tests/ipmi/matrix.py", *CHECKOUT.glob("tests/*/test_ipmi*.py")]
    return {name for file in files for name in re.findall(r"def (test_\w+)\(", file.read_text("utf-8"))}


def test_what_is_said_to_cover_a_line_exists() -> None:
    told, names = commands(), known_tests()
    for lines in required.LINES.values():
        for line in lines:
            for where in line.covered.values():
                begins = where.replace("{cache}", CACHE)
                assert where in names or any(f"{command} ".startswith(f"{begins} ") for command in told), where


@pytest.mark.skipif(not REQUIRED.exists(), reason="../shared/ipmi/REQUIRED.md is missing beside the checkout")
def test_every_line_is_covered() -> None:
    left = {(heading, line.begins) for heading, lines in required.LINES.items() for line in lines}
    for heading, text in required.bullets(REQUIRED.read_text("utf-8")):
        found = [line for line in required.LINES.get(heading, ()) if text.startswith(line.begins)]
        assert len(found) == 1, f"{heading}: {text}"
        left.discard((heading, found[0].begins))
        missing = [each for each in required.asked(text) if each not in found[0].covered and each != "pwfile"]
        assert not missing, f"{text}\nlacks {missing}"
        strange = [each for each in found[0].covered if each not in text]
        assert not strange, f"{text}\nsays nothing of {strange}"
    assert not left
