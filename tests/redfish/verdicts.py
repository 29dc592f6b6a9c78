"""What DMTF's four validators say of a Redfish service: how each is run, and its report as data."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.redfish.judges import SHARED, Door, run, schemas

PROFILES = ("OpenStackIronicProfile.v1_2_0.json", "OCPBaselineHardwareManagement.v1_1_1.json")
USE_CASES = ("AccountManagement", "PowerControl", "BootOverride", "ManagerEthernetInterfaces", "QueryParameters")
SECONDS = 600.0
NOWHERE = "http://127.0.0.1:9"  # the port "discard": nobody answers there
TABLE = re.compile(r"^\|" + r"\s*(?:\x1b\[\d+m)?\s*(\d+)\s*(?:\x1b\[\d+m)?\s*\|" * 4, re.MULTILINE)
LOGGED = re.compile(r"^[\d-]+ [\d:,]+ - .*? - (ERROR|WARNING|CRITICAL|INFO) - (.*)$")
VALIDATING = re.compile(r"^Validating (\S+)\.\.\.$")


@dataclass(slots=True)
class Verdict:
    """A report: how many checks passed, and each that did not with where."""

    passed: int = 0
    failed: int = 0
    warned: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    said: str = ""

    @property
    def good(self) -> bool:
        """Whether something was checked and nothing failed."""
        return self.passed > 0 and self.failed == 0 and not self.failures


def _counted(said: str) -> Verdict:
    found = TABLE.search(said)
    if found is None:
        return Verdict(failures=["it ended before its report"], said=said)
    passed, warned, failed, skipped = (int(number) for number in found.groups())
    return Verdict(passed, failed, warned, skipped, said=said)


def _from_log(verdict: Verdict, logs: Path) -> Verdict:
    """The lines of a log that tell failures and warnings, with the resource that was looked at."""
    where = ""
    for log in sorted(logs.rglob("*Debug_*.log")):
        for line in log.read_text().splitlines():
            logged = LOGGED.match(line)
            if logged is None:
                continue
            level, text = logged.groups()
            if looked := VALIDATING.match(text):
                where = looked[1]
            elif level == "WARNING":
                verdict.warnings.append(f"{where} {text}".strip())
            elif level in {"ERROR", "CRITICAL"}:
                verdict.failures.append(f"{where} {text}".strip())
    return verdict


def _credentials(door: Door) -> list[str]:
    return ["-u", door.user, "-p", door.password, "-r", door.url]


def service(door: Door, folder: Path, *, fetch: bool = False, auth: str = "Session") -> Verdict:
    """Redfish Service Validator: every resource against its schema.

    With `fetch` it takes schemas of ours from the service too, and asks nobody else: DMTF's site is not reached.
    """
    (folder / "empty.ini").touch()
    local = folder / "schemas"
    local.mkdir(exist_ok=True)
    for file in schemas().glob("*.xml"):
        (local / file.name).write_bytes(file.read_bytes())
    arguments = ["-c", "empty.ini", *_credentials(door), "--authtype", auth, "--logdir", "logs"]
    arguments += ["--schema_directory", str(local)]
    arguments += ["--ext_http_proxy", NOWHERE, "--ext_https_proxy", NOWHERE] if fetch else ["--skipschema"]
    done = run(door, "rf_service_validator", arguments, folder, SECONDS)
    return _from_log(_counted(done.stdout + done.stderr), folder / "logs")


def interop(door: Door, folder: Path, profile: str) -> Verdict:
    """Redfish Interop Validator with one of DMTF's or others' profiles."""
    arguments = [*_credentials(door), "--authtype", "Session", "--logdir", "logs", str(SHARED / "profiles" / profile)]
    done = run(door, "rf_interop_validator", arguments, folder, SECONDS)
    return _from_log(_counted(done.stdout + done.stderr), folder / "logs")


def use_cases(door: Door, folder: Path, only: tuple[str, ...] = USE_CASES) -> Verdict:
    """Redfish Use Case Checkers: what people do with a service, and whether it does what it says."""
    arguments = [*_credentials(door), "--report-dir", "logs", "--test-list", *only]
    done = run(door, "rf_use_case_checkers", arguments, folder, SECONDS)
    return _from_log(_counted(done.stdout + done.stderr), folder / "logs")


def protocol(door: Door, folder: Path) -> Verdict:
    """Redfish Protocol Validator: methods, headers, ETags, sessions, privileges, events, discovery."""
    (folder / "empty.ini").touch()
    arguments = ["-c", "empty.ini", *_credentials(door), "--no-cert-check", "--avoid-http-redirect"]
    arguments += ["--report-dir", "logs", "--report-type", "both"]
    done = run(door, "rf_protocol_validator", arguments, folder, SECONDS)
    verdict = Verdict(said=done.stdout + done.stderr)
    for report in sorted((folder / "logs").rglob("*.tsv")):
        with report.open() as rows:
            for row in csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE):
                _count_row(verdict, row)
    if not verdict.passed:
        verdict.failures.append("it ended before its report")
    return verdict


def _count_row(verdict: Verdict, row: dict[str, str]) -> None:
    line = f"{row['Assertion']} {row['Method']} {row['Status code']} {row['URI']}: {row['Message']}"
    match row["Result"]:
        case "PASS":
            verdict.passed += 1
        case "FAIL":
            verdict.failed += 1
            verdict.failures.append(line)
        case "WARN":
            verdict.warned += 1
            verdict.warnings.append(line)
        case _:
            verdict.skipped += 1
