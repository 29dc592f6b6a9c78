"""`ubmc` for network, clock, set-ups, subscriptions and reports, against the whole program on the simulated board."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.harness.program import ADMIN_PASSWORD, KILLS_PEERS, Program, until
from tests.harness.receiver import receiver

from ubmc.cli.main import cli

pytestmark = [pytest.mark.e2e, KILLS_PEERS]

Ubmc = Callable[..., Result]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("states") / "state") as made:
        made.login()
        yield made


@pytest.fixture
def ubmc(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ubmc:
    """Run commands as somebody who has logged in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("UBMC_URL", "UBMC_TOKEN", "UBMC_CACERT", "UBMC_FINGERPRINT"):
        monkeypatch.delenv(name, raising=False)
    trust = ["--fingerprint", program.fingerprint]
    done = CliRunner().invoke(cli, ["login", program.url, *trust, "--password-stdin"], input=ADMIN_PASSWORD)
    assert done.exit_code == 0, done.output
    return lambda *args, **more: CliRunner().invoke(cli, [str(arg) for arg in args], **more)


def facts(result: Result) -> dict[str, str]:
    assert result.exit_code == 0, result.output
    rows = [re.split(r"\s{2,}", line) for line in result.stdout.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) > 1}


def test_the_network_is_shown_and_changed(ubmc: Ubmc) -> None:
    assert facts(ubmc("network", "set", "host_name=rack7", "domain=example.org"))["host name"] == "rack7"
    assert facts(ubmc("network", "show"))["domain"] == "example.org"
    done = facts(ubmc("network", "address", "eth0", "198.51.100.7/24", "--gateway", "198.51.100.1"))
    assert done["addresses"].startswith("198.51.100.7/24")
    assert facts(ubmc("network", "show"))["IPv4 gateway"] == "198.51.100.1"
    assert facts(ubmc("network", "configure", "eth0", "vlan.enabled=true", "vlan.id=7"))["VLAN"] == "7"
    assert facts(ubmc("network", "address", "eth0", "dhcp"))["IPv4 by DHCP"] == "yes"
    refused = ubmc("network", "configure", "eth0", "mtu=1")
    assert refused.exit_code != 0
    assert "mtu" in refused.output
    assert ubmc("network", "configure", "eth0", "colour=red").exit_code != 0
    assert "https" in ubmc("network", "protocols").stdout
    assert "eth0" in ubmc("network", "interfaces").stdout


def test_the_clock_is_set_once_ntp_is_off(ubmc: Ubmc) -> None:
    assert ubmc("time", "set", "2031-05-06T07:08:09Z").exit_code != 0
    assert ubmc("time", "ntp", "off").exit_code == 0
    assert ubmc("time", "set", "2031-05-06T07:08:09Z").stdout.startswith("2031-05-06 07:08:")
    assert ubmc("time", "zone", "60").exit_code == 0
    shown = facts(ubmc("time", "show"))
    assert shown["time"].startswith("2031-05-06 07:0")
    assert shown["minutes ahead of UTC"] == "60"
    assert ubmc("time", "ntp", "ntp.example.org").exit_code == 0
    assert facts(ubmc("time", "show"))["NTP servers"] == "ntp.example.org"


def test_a_set_up_is_changed_by_the_next_boot(ubmc: Ubmc) -> None:
    assert "BootMode" in ubmc("bios", "show").stdout
    said = ubmc("bios", "set", "QuietBoot=true", "ProcActiveCores=16")
    assert said.stdout == "host.0: the next boot changes ProcActiveCores=16, QuietBoot=true\n"
    wrong = ubmc("bios", "set", "ProcActiveCores=99")
    assert wrong.exit_code != 0
    assert "at most 32" in wrong.output
    assert ubmc("host", "on", "--wait").exit_code == 0
    row = next(line for line in ubmc("bios", "show").stdout.splitlines() if line.startswith("ProcActiveCores"))
    assert re.split(r"\s{2,}", row)[1:3] == ["16", "-"]
    assert "ProcActiveCores=32" in ubmc("bios", "reset").stdout
    assert ubmc("bios", "discard").stdout == "host.0: the next boot changes nothing\n"


def test_a_host_boots_by_http_and_is_power_cycled(ubmc: Ubmc) -> None:
    said = ubmc("host", "boot", "http", "--firmware", "uefi", "--uri", "http://192.0.2.9/x.efi")
    assert said.stdout == "host.0: boot override once, http\n"
    assert ubmc("host", "boot", "pxe", "--uri", "http://192.0.2.9/x.efi").exit_code == 2
    if facts(ubmc("host", "show"))["state"] != "on":
        assert ubmc("host", "on", "--wait").exit_code == 0
    done = ubmc("host", "power-cycle", "--wait", "--timeout", "60")
    assert done.exit_code == 0, done.output
    shown = facts(ubmc("host", "show"))
    assert (shown["boot override"], shown["restart cause"]) == ("disabled", "chassis control")
    until(lambda: facts(ubmc("host", "show"))["boot"] == "os running", 20)


def test_reports_and_triggers(ubmc: Ubmc) -> None:
    assert ubmc("report", "add", "temps", "cpu*_temp", "--every", "1s").exit_code == 0
    until(lambda: "cpu0_temp" in ubmc("report", "show", "temps").output, 20)
    assert ubmc("report", "trigger", "hot", "inlet_temp", "--upper-critical", "35", "--report", "temps").exit_code == 0
    assert ubmc("sim", "ambient", "45").exit_code == 0
    until(lambda: "Trigger.Fired" in ubmc("event", "list", "--kind", "Trigger").stdout, 60)
    assert ubmc("sim", "ambient", "22").exit_code == 0
    assert ubmc("report", "untrigger", "hot").exit_code == 0
    assert ubmc("report", "delete", "temps").exit_code == 0
    assert "temps" not in ubmc("report", "list").stdout


def test_events_are_pushed_to_who_subscribed(ubmc: Ubmc) -> None:
    async def body() -> None:
        async with receiver() as to:

            async def run(*args: str) -> Result:
                return await asyncio.to_thread(ubmc, *args)

            url = f"http://127.0.0.1:{to.port}/events"
            refused = await run("subscription", "add", url)
            assert refused.exit_code != 0
            assert "loopback" in refused.output
            assert (await run("security", "policy", "set", "--outgoing-to-local")).exit_code == 0
            made = await run("subscription", "add", url, "--kind", "EventLog.TestEvent", "--context", "here")
            assert made.exit_code == 0, made.output
            assert (await run("subscription", "test", "--message", "hello")).exit_code == 0
            await to.until(lambda r: r.texts() == ["hello"])
            assert to.bodies[0]["Context"] == "here"
            name = made.stdout.partition(":")[0]
            assert (await run("subscription", "suspend", name)).exit_code == 0
            assert facts(await run("subscription", "show", name))["state"] == "suspended"
            assert (await run("subscription", "resume", name, "--missed")).exit_code == 0
            assert (await run("subscription", "delivery", "--attempts", "5", "--interval", "10s")).exit_code == 0
            assert (await run("subscription", "delete", name)).exit_code == 0
            assert (await run("security", "policy", "set", "--no-outgoing-to-local")).exit_code == 0

    asyncio.run(body())


def test_what_was_set_outlives_a_kill_of_everything(program: Program, ubmc: Ubmc) -> None:
    assert ubmc("network", "set", "host_name=kept").exit_code == 0
    assert ubmc("report", "add", "kept", "*").exit_code == 0
    assert ubmc("bios", "set", "BootTimeout=9").exit_code == 0
    before = program.host()
    program.kill()
    program.start()
    program.login()
    assert program.get("/api/v1alpha1/network")["network"]["hostName"] == "kept"
    kept = program.get("/api/v1alpha1/report-definitions")["reportDefinitions"]
    assert [each["name"] for each in kept] == ["kept"]
    assert program.get("/api/v1alpha1/hosts/host.0/bios")["bios"]["pending"] == {"BootTimeout": "9"}
    after = program.host()
    assert (after["restartCause"], after["restartTime"]) == (before["restartCause"], before["restartTime"])
