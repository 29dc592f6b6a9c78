"""Run one validator against a board that runs, and print what failed.

python -m tests.redfish.judge service --url https://127.0.0.1:8443 --password-file FILE
python -m tests.redfish.judge usecase PowerControl BootOverride
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.redfish import verdicts
from tests.redfish.judges import Door


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.redfish.judge", description=__doc__)
    parser.add_argument("judge", choices=["service", "protocol", "interop", "usecase"])
    parser.add_argument("only", nargs="*", help="profiles or use cases, instead of all")
    parser.add_argument("--url", default="https://127.0.0.1:8443")
    parser.add_argument("--auth", choices=["Session", "Basic"], default="Session", help="for the service validator")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--netns-of", type=int, default=0, help="a process in the service's network namespace")
    parser.add_argument("--folder", type=Path, help="where reports are kept; else they are thrown away")
    parser.add_argument("--said", action="store_true", help="print all that the judge said")
    told = parser.parse_args()
    door = Door(told.url, told.user, told.password_file.read_text().strip(), told.netns_of)
    with tempfile.TemporaryDirectory() as scratch:
        folder = told.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        found = _judge(told.judge, tuple(told.only), door, folder, told.auth)
        for name, verdict in found.items():
            _print(name, verdict, said=told.said)
        print(f"{time.monotonic() - started:.0f} s")
    return 0 if all(verdict.good for verdict in found.values()) else 1


def _judge(judge: str, only: tuple[str, ...], door: Door, folder: Path, auth: str) -> dict[str, verdicts.Verdict]:
    if judge == "service":
        return {"service": verdicts.service(door, folder, auth=auth)}
    if judge == "protocol":
        return {"protocol": verdicts.protocol(door, folder)}
    if judge == "usecase":
        return {"usecase": verdicts.use_cases(door, folder, only or verdicts.USE_CASES)}
    found = {}
    for profile in only or verdicts.PROFILES:
        (folder / profile).mkdir()
        found[profile] = verdicts.interop(door, folder / profile, profile)
    return found


def _print(name: str, verdict: verdicts.Verdict, *, said: bool) -> None:
    print(
        f"{name}: {verdict.passed} passed, {verdict.failed} failed, {verdict.warned} warned, {verdict.skipped} skipped"
    )
    for line in verdict.failures:
        print(f"  FAIL {line}")
    for line in verdict.warnings:
        print(f"  warn {line}")
    if said or verdict.failures == ["it ended before its report"]:
        print(verdict.said)


if __name__ == "__main__":
    sys.exit(main())
