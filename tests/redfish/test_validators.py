"""DMTF's four validators: no failure, and no warning that docs/redfish.md does not explain."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.redfish import verdicts
from tests.redfish.conftest import Bmc
from tests.redfish.judges import CHECKOUT
from tests.redfish.verdicts import Verdict

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

EXPLAINED = re.compile(r"^\| `(?P<judge>service|protocol|interop)` \| `(?P<text>[^`]+)` \|", re.MULTILINE)


def explained(judge: str) -> set[str]:
    """The patterns of warnings that the documentation explains."""
    page = (CHECKOUT / "docs" / "redfish.md").read_text()
    return {found["text"] for found in EXPLAINED.finditer(page) if found["judge"] == judge}


def check(judge: str, verdict: Verdict) -> None:
    assert verdict.good, "\n".join([*verdict.failures, verdict.said[-2000:]])
    known = explained(judge)
    unknown = [line for line in verdict.warnings if not any(text in line for text in known)]
    assert not unknown, "not explained in docs/redfish.md:\n" + "\n".join(unknown)
    idle = [text for text in known if not any(text in line for line in verdict.warnings)]
    assert not idle, f"docs/redfish.md explains warnings of {judge} that there are not: {idle}"


def test_every_resource_is_as_its_schema_says(bmc: Bmc, shared: Path, tmp_path: Path) -> None:
    check("service", verdicts.service(bmc.door, tmp_path))


@pytest.mark.parametrize("profile", verdicts.PROFILES)
def test_the_interop_profiles_hold(bmc: Bmc, shared: Path, tmp_path: Path, profile: str) -> None:
    verdict = verdicts.interop(bmc.door, tmp_path, profile)
    assert verdict.good, "\n".join([*verdict.failures, verdict.said[-2000:]])


def test_the_use_cases_work(bmc: Bmc, tmp_path: Path) -> None:
    verdict = verdicts.use_cases(bmc.door, tmp_path)
    assert verdict.good, "\n".join([*verdict.failures, verdict.said[-2000:]])


def test_the_protocol_is_kept(network: None, tmp_path: Path) -> None:
    command = ["unshare", "--net", sys.executable, "-m", "tests.redfish.enclosed", str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    check("protocol", Verdict(**json.loads(done.stdout.splitlines()[-1])))
