"""The examples of docs/api.md and docs/certificates.md are typed into a shell, in their order, and must succeed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.authority import Authority
from tests.harness.pages import ROOT, commands
from tests.harness.program import Program

MISSING = [tool for tool in ("bash", "curl", "openssl", "awk") if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(MISSING), reason=f"apt install {' '.join(MISSING)}"),
]
API, CERTIFICATES = ROOT / "docs" / "api.md", ROOT / "docs" / "certificates.md"
TYPED = ("$", "export ", "read ", "alias ", "my ", "curl ", "openssl ", "printf ", "echo ")
ASSIGNED = re.compile(r"[A-Z]+=")
STREAM = re.compile(r"^my -N ")
WATCHED = "--max-time 2"
CUT_OFF = 28
"""What curl exits with when its time is over."""
LAST_SECONDS = 240.0
# Another server, what was not made here, or the end of what the next examples need.
LEFT_OUT = re.compile(r"^my .*sessions:logout|/acme|changePassword|trusted-certificates/5f3c|bmc\.key")


def totp(secret: str) -> str:
    """The six digits that an app shows now (RFC 6238 with HMAC-SHA-1 and 30 s)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, (int(time.time()) // 30).to_bytes(8), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at : at + 4]) & 0x7FFFFFFF) % 10**6:06}"


def typed(page: Path) -> Iterator[str]:
    for line in commands(page):
        if line.startswith(TYPED) or ASSIGNED.match(line):
            yield line


def script(program: Program, pages: tuple[Path, ...]) -> str:
    """The examples as a script that says which one fails."""
    said = ["shopt -s expand_aliases", "CURSOR="]
    for page in pages:
        for line in typed(page):
            if LEFT_OUT.search(line):
                continue
            here = line.replace("~/.local/state/ubmc", str(program.state)).replace(
                "https://127.0.0.1:8443", program.url
            )
            here = here.replace('"123456"', '"\'"$(python3 totp.py "$SECRET")"\'"')
            if STREAM.match(here):
                here = f"{here} {WATCHED}; [ $? -eq {CUT_OFF} ]"
            if "--cert client.pem" in here:  # the door hears of a new policy a moment later
                here = f"for i in 1 2 3 4 5; do {here} && break; sleep 1; done; [ $i -lt 5 ]"
            number = len(said)
            said += [f"{here}", f'if [ $? -ne 0 ]; then echo "FAILED {number}" >&2; exit 1; fi']
            if line.endswith("bmc.csr"):
                said.append(f"{sys.executable} sign.py")
    return "\n".join([*said, 'echo; echo "$TOKEN"']) + "\n"


TOTP = """
import sys
sys.path.insert(0, {root!r})
from tests.e2e.test_api_docs import totp
print(totp(sys.argv[1]))
"""
SIGN = """
import pathlib, sys
sys.path.insert(0, {root!r})
from tests.harness.authority import Authority
ours = Authority("ours")
request = pathlib.Path("bmc.csr").read_bytes()
pathlib.Path("bmc.pem").write_bytes(ours.sign_request(request) + ours.pem)
"""


def play(program: Program, folder: Path, *pages: Path) -> subprocess.CompletedProcess[str]:
    """Type the examples; the password is asked for once."""
    (folder / "totp.py").write_text(TOTP.format(root=str(ROOT)))
    (folder / "sign.py").write_text(SIGN.format(root=str(ROOT)))
    text = script(program, pages)
    (folder / "examples.sh").write_text(text)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-v", "examples.sh"], cwd=folder, input=f"{program.password}\n", text=True, capture_output=True,
        timeout=LAST_SECONDS, check=False, env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path / "s") as running:
        running.login()
        yield running


def test_every_way_to_log_in_is_as_the_page_says(program: Program, tmp_path: Path) -> None:
    done = play(program, tmp_path, API)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert '"user":"admin"' in done.stdout
    program.token = done.stdout.splitlines()[-1]  # the second factor has ended all other sessions
    user = program.get("/api/v1alpha1/users/admin")["user"]
    assert user["secondFactor"]
    assert user["certificateIdentities"] == ["email:nightly@example.org"]
    assert [each["name"] for each in program.get("/api/v1alpha1/tokens")["tokens"]] == ["nightly report"]


def test_a_certificate_comes_as_the_page_says(program: Program, tmp_path: Path) -> None:
    first = list(typed(API))[:5]
    assert first[-1].startswith("alias my=")
    login = tmp_path / "login.md"
    login.write_text("```console\n" + "".join(f"$ {line}\n" for line in first) + "```\n")
    (tmp_path / "ca.pem").write_bytes(Authority("of clients").pem)
    before = program.fingerprint
    reset = CERTIFICATES.read_text().split("## Self-signed")[0]
    upload = tmp_path / "upload.md"
    upload.write_text(reset)
    done = play(program, tmp_path, login, upload)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    shown = (program.state / "tls" / "server.pem").read_text()
    assert shown.count("BEGIN CERTIFICATE") == 2
    assert before not in done.stdout


def test_a_wrong_example_is_found(program: Program, tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    first = "".join(f"$ {line}\n" for line in list(typed(API))[:5])
    page.write_text(f"```console\n{first}$ my $BMC/api/v1alpha1/nonsense\n```\n")
    done = play(program, tmp_path, page)
    assert done.returncode == 1
    assert "FAILED" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["code"] == "not_found"
