"""IPMI: commands over one session, a hundred sessions at once, and opening them; beside ipmi_sim and a pyghmi server.

One client, written from the specification, drives all three in alternating rounds with cipher suite 3, the strongest
that the others have. The packets of a round are sealed before its clock runs, so that the client is not what is
measured; all answers are opened and checked after it.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness.ipmi import Remote
from tests.harness.program import Program
from tests.redfish import judges

from bench import processes
from bench.figures import Figure

NAME, SECRET = "admin", "secret-of-bench1"
OURS, SIM, PYGHMI = "u-bmc", "ipmi_sim", "pyghmi"
COMMANDS = 2000
AHEAD = 8
"""Requests that are under way at once, where the rate of the server is wanted."""
SESSIONS = 100
OPENED = 20
START_SECONDS = 20.0
SETTLE_SECONDS = 5.0
"""What starts does more than what runs."""
PYGHMI_SERVER = """
import sys
from pyghmi.ipmi.bmc import Bmc

class Machine(Bmc):
    def get_power_state(self):
        return "on"

Machine({sys.argv[2]: sys.argv[3]}, port=int(sys.argv[1]), address="127.0.0.1").listen()
"""
"""Get Device ID is answered by pyghmi itself."""
LAN_CONF = f"""name "bench"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 %d
    priv_limit admin
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  user 2 true "{NAME}" "{SECRET}" admin 10 none md2 md5 straight
"""
SIM_COMMANDS = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
"""


@dataclass(frozen=True, slots=True)
class Server:
    """One that is measured."""

    name: str
    port: int
    pid: int
    secret: bytes

    def remote(self, suite: int = 3) -> Remote:
        """A remote console for it."""
        return Remote(("127.0.0.1", self.port), NAME, self.secret, suite=suite, timeout=5.0)


def free_port() -> int:
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


@contextlib.contextmanager
def _process(arguments: Sequence[str]) -> Iterator[int]:
    # In a session of its own, as the program is: the kernel shares out processor time among sessions first.
    nothing = subprocess.DEVNULL
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, start_new_session=True
    ) as it:
        try:
            yield it.pid
        finally:
            it.kill()


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[Server]:
    """The whole program, with the IPMI door."""
    port = free_port()
    owner = folder / "ubmc.toml"
    owner.write_text("[ipmi]\ncipher_suites = [3, 17]\n")
    with Program(folder / "state", "--ipmi", f"127.0.0.1:{port}", "--config", str(owner)) as program:
        program.login()
        answer = program.request("POST", f"/api/v1alpha1/users/{NAME}:resetIpmiSecret", {})
        yield Server(OURS, port, program.processes()["ipmisrv"], answer.json()["secret"].encode())


@contextlib.contextmanager
def ipmi_sim(folder: Path) -> Iterator[Server]:
    """OpenIPMI's simulator."""
    binary = shutil.which("ipmi_sim")
    if binary is None:
        raise RuntimeError("ipmi_sim is not installed (apt install openipmi)")
    port = free_port()
    (folder / "sim").mkdir()
    (folder / "lan.conf").write_text(LAN_CONF % port)
    (folder / "commands").write_text(SIM_COMMANDS)
    files = ("-c", str(folder / "lan.conf"), "-f", str(folder / "commands"), "-s", str(folder / "sim"))
    with _process((binary, *files, "-n")) as pid:
        yield Server(SIM, port, pid, SECRET.encode())


@contextlib.contextmanager
def pyghmi() -> Iterator[Server]:
    """A server on pyghmi."""
    port = free_port()
    python = judges.installed() / "python"
    with _process((str(python), "-c", PYGHMI_SERVER, str(port), NAME, SECRET)) as pid:
        yield Server(PYGHMI, port, pid, SECRET.encode())


def wait_for(server: Server) -> None:
    """Until it lets somebody in."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            remote = server.remote()
            remote.socket.settimeout(0.5)
            with remote:
                return
        except (OSError, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def rate(remote: Remote, count: int, ahead: int) -> float:
    """Get Device ID so many times, some of them under way at once; commands in a second."""
    requests = [remote.request(0x06, 0x01) for _ in range(count)]
    first = remote.sequence + 1
    sealed = [remote.keys.seal(0, request, first + number) for number, request in enumerate(requests)]
    remote.sequence += count
    answers: list[bytes] = []
    began = time.perf_counter()
    for datagram in sealed[:ahead]:
        remote.socket.send(datagram)
    for datagram in sealed[ahead:]:
        answers.append(remote.socket.recv(1024))
        remote.socket.send(datagram)
    while len(answers) < count:
        answers.append(remote.socket.recv(1024))
    took = time.perf_counter() - began
    for request, answer in zip(requests, answers, strict=True):
        _kind, _sequence, payload = remote.keys.unseal(answer)
        if payload[4:6] != request[4:6] or payload[6] != 0 or len(payload) < 19:
            raise RuntimeError("an answer is not the one that was asked for")
    return count / took


def crowd(server: Server) -> float:
    """A hundred sessions, each with a command under way; commands in a second, all of them answered."""
    with contextlib.ExitStack() as stack:
        remotes = [stack.enter_context(server.remote()) for _ in range(SESSIONS)]
        rounds = 5
        began = time.perf_counter()
        for _ in range(rounds):
            requests = [(remote, remote.request(0x06, 0x01)) for remote in remotes]
            for remote, request in requests:
                remote.send(request)
            for remote, request in requests:
                code, _data = remote.answer(request)
                if code != 0:
                    raise RuntimeError(f"a session among {SESSIONS} was answered {code:02X}h")
        return rounds * SESSIONS / (time.perf_counter() - began)


def opening(server: Server) -> float:
    """Sessions that are opened in a second, one after another."""
    took, done = 0.0, 0
    for _ in range(3 * OPENED):
        began = time.perf_counter()
        # A pyghmi server now and then answers an Open Session Request as if it were part of an earlier session.
        with contextlib.suppress(AssertionError), server.remote():
            took += time.perf_counter() - began
            done += 1
        if done == OPENED:
            return done / took
    raise RuntimeError(f"{server.name} does not let anybody in")


def with_ipmitool(server: Server, folder: Path) -> float:
    """Commands in a second of `ipmitool exec`, its own start included."""
    script = folder / "script"
    script.write_text("raw 6 1\n" * COMMANDS)
    base = ("ipmitool", "-I", "lanplus", "-C", "3", "-H", "127.0.0.1", "-p", str(server.port))
    began = time.perf_counter()
    subprocess.run(
        (*base, "-U", NAME, "-P", server.secret.decode(), "exec", str(script)),
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )
    return COMMANDS / (time.perf_counter() - began)


def _alternating(servers: Sequence[Server], rounds: int, measure: Callable[[Server], float]) -> dict[str, float]:
    seen: dict[str, list[float]] = {server.name: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            seen[server.name].append(measure(server))
    return {name: statistics.median(rates) for name, rates in seen.items()}


def _figure(name: str, found: dict[str, float], reference: str = PYGHMI) -> list[Figure]:
    details = {each: round(value) for each, value in found.items()}
    figures = [Figure(f"IPMI, {name}", "1/s", found[OURS], found.get(reference), details)]
    if SIM in found and reference == PYGHMI:
        figures.append(Figure(f"IPMI, {name}, beside ipmi_sim", "1/s", found[OURS], found[SIM], details))
    return figures


def one_session(servers: Sequence[Server], rounds: int) -> list[Figure]:
    """Commands over one session of each."""
    with contextlib.ExitStack() as stack:
        remotes = {server.name: stack.enter_context(server.remote()) for server in servers}
        before = processes.cpu_seconds(server.pid for server in servers)
        busy = _alternating(servers, rounds, lambda server: rate(remotes[server.name], COMMANDS, AHEAD))
        after = processes.cpu_seconds(server.pid for server in servers)
        cpu = {each.name: (after[each.pid] - before[each.pid]) / rounds / COMMANDS * 1e6 for each in servers}
        figures = _figure(f"one session, {AHEAD} commands under way, rate", busy)
        figures.append(Figure("IPMI, one session, CPU of a command", "us", cpu[OURS], cpu[PYGHMI], cpu))
        singly = _alternating(servers, rounds, lambda server: rate(remotes[server.name], COMMANDS, 1))
        figures += _figure("one session, one command at a time, rate", singly)
    with servers[0].remote(17) as strong:
        best = rate(strong, COMMANDS, AHEAD)
    return [*figures, Figure("IPMI, one session, cipher suite 17, rate", "1/s", best, busy[OURS], {})]


def measure(rounds: int) -> list[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="ubmc-bench-ipmi-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        servers = [stack.enter_context(each) for each in (ours(folder), ipmi_sim(folder), pyghmi())]
        for server in servers:
            wait_for(server)
        time.sleep(SETTLE_SECONDS)
        figures = one_session(servers, rounds)
        tool = _alternating(servers, rounds, lambda server: with_ipmitool(server, folder))
        figures += _figure("ipmitool exec, rate", tool)
        figures += _figure("sessions opened", _alternating(servers, rounds, opening))
        figures += _figure(f"{SESSIONS} sessions at once, rate", {OURS: crowd(servers[0])})
        return figures
