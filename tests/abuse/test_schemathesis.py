"""Schemathesis over the OpenAPI document: no 5xx, no answer that the document does not describe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.harness.program import Program

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance",
)  # fmt: skip
# What would end the test itself: streams never end, a restart takes the door away, a login out or another certificate
# takes our own access.
LEFT_OUT = (
    ":watch$", "sessions:log(in|out)$", "sessions/", "management-controllers/.*", "certificates/", "trusted-",
    "security-policy$", "users/", "roles", "ldap", "account-policy", "acme",
)  # fmt: skip
CALLS_FOR_ALL = 6
RUN_SECONDS = 400.0


def test_no_server_error_and_no_undocumented_answer(tmp_path: Path) -> None:
    with Program(tmp_path / "s") as program:
        program.login()
        program.request("PATCH", "/api/v1alpha1/security-policy", {"requestsPerSecond": 10000})
        document = tmp_path / "openapi.json"
        document.write_bytes(program.request("GET", "/api/v1alpha1/openapi.json").content)
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "run", str(document), "--url", program.url,
            "--tls-verify", str(program.state / "tls" / "server.pem"),
            "--header", f"Authorization: Bearer {program.token}",
            "--checks", ",".join(CHECKS), "--max-examples", str(CALLS_FOR_ALL), "--phases", "examples,coverage,fuzzing",
            "--seed", "7", "--no-color", "--request-timeout", "20", "--generation-database", "none",
            "--warnings", "off",
        ]  # fmt: skip
        command += ["--exclude-path-regex", "|".join(LEFT_OUT)]  # of several options only the last one counts
        found = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, cwd=tmp_path, check=False)
        assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
        assert program.request("GET", "/api/v1alpha1/hosts").status_code == 200
