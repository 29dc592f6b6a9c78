"""How this BMC shall behave: the model of the owner's file, `/etc/ubmc/ubmc.toml`.

What the hardware is stands in the board file; besides these two there are only command-line flags, which win.
Durations are seconds here and "5m" in the file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from ubmc.boards.kinds import Choice, Duration, FilePath, Many, Section
from ubmc.boards.load import mistakes, parse, read_toml
from ubmc.kit.errors import Invalid, Violation

OWNER_FILE = Path("/etc/ubmc/ubmc.toml")

_ENDPOINT = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[A-Za-z0-9_.-]+)):(?P<port>\d{1,5})")


def parse_endpoint(text: str) -> tuple[str, int]:
    """Split `HOST:PORT`; an IPv6 address stands in brackets: `[::1]:8443`. Port 0 lets the kernel choose.

    Raises:
        ValueError: it is neither; the text says what to write instead.
    """
    match = _ENDPOINT.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(f'"{text}" is no address and port; write for example "127.0.0.1:8443" or "[::1]:8443"')
    return match["six"] or match["host"], int(match["port"])


def _endpoint(text: str) -> str:
    parse_endpoint(text)
    return text


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f'"{text}" is no URL of a collector; write for example "http://127.0.0.1:4318"')
    return text


class RestorePolicy(Enum):
    """What a host does when mains comes back."""

    ALWAYS_ON = "always-on"
    ALWAYS_OFF = "always-off"
    LAST_STATE = "last-state"


class LogFormat(Enum):
    """How log lines look."""

    HUMAN = "human"
    JSON = "json"


class LogLevel(Enum):
    """The least important line that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class PowerPolicy(Section):
    """How hosts are switched."""

    restore_policy: Choice[RestorePolicy] = Field(
        default=RestorePolicy.LAST_STATE,
        description="What hosts do when mains comes back, until an operator sets it for a host",
        examples=["last-state"],
    )
    soft_off_patience: Annotated[Duration, Field(ge=1.0, le=86400.0)] = Field(
        default=300.0, description="How long an operating system may take to shut down", examples=["5m"]
    )
    power_on_patience: Annotated[Duration, Field(ge=1.0, le=3600.0)] = Field(
        default=60.0, description="How long a host may take to show power-good", examples=["60s"]
    )


class LogSettings(Section):
    """What is logged, and how."""

    format: Choice[LogFormat] = Field(default=LogFormat.HUMAN, examples=["json"])
    level: Choice[LogLevel] = Field(default=LogLevel.INFO, examples=["info"])
    access: bool = Field(default=False, description="One line for each request at the door", examples=[True])


class TelemetrySettings(Section):
    """Where traces and metrics are sent."""

    otlp_endpoint: Annotated[str, AfterValidator(_http_url)] | None = Field(
        default=None, description="An OpenTelemetry collector, OTLP over HTTP", examples=["http://127.0.0.1:4318"]
    )


class SessionLimits(Section):
    """How long a login lasts."""

    idle: Annotated[Duration, Field(ge=30.0, le=86400.0)] = Field(default=1800.0, examples=["30m"])
    absolute: Annotated[Duration, Field(ge=60.0, le=30 * 86400.0)] = Field(default=43200.0, examples=["12h"])

    @model_validator(mode="after")
    def _idle_is_shorter(self) -> Self:
        if self.idle > self.absolute:
            raise ValueError("idle must not be longer than absolute")
        return self


def _network(text: str) -> str:
    ipaddress.ip_network(text)  # its ValueError says what is wrong
    return text


class WebSettings(Section):
    """The door to the network, besides where it listens."""

    redirect: Many[Annotated[str, AfterValidator(_endpoint)]] = Field(
        default=(),
        max_length=4,
        description="Where plain HTTP listens, to send people to HTTPS and to answer ACME challenges",
        examples=[["0.0.0.0:80"]],
    )
    trusted_proxies: Many[Annotated[str, AfterValidator(_network)]] = Field(
        default=(),
        max_length=16,
        description="Networks of proxies whose X-Forwarded-For is believed",
        examples=[["192.0.2.0/28"]],
    )


class SshSettings(Section):
    """Consoles over SSH."""

    listen: Many[Annotated[str, AfterValidator(_endpoint)]] = Field(
        default=(), max_length=4, description="Where SSH listens; nowhere by default", examples=[["0.0.0.0:2222"]]
    )


class GuestPolicy(Enum):
    """What the operating system of the host may do through its own IPMI interface."""

    OFF = "off"
    RESTRICTED = "restricted"
    FULL = "full"


class IpmiSettings(Section):
    """IPMI over LAN and inside the host."""

    listen: Many[Annotated[str, AfterValidator(_endpoint)]] = Field(
        default=(), max_length=4, description="Where IPMI listens (UDP); nowhere by default", examples=[["0.0.0.0:623"]]
    )
    cipher_suites: Many[Literal[3, 17]] = Field(
        default=(17,), min_length=1, description="3 is weak and only for tools that know no other", examples=[[17, 3]]
    )
    in_band: Choice[GuestPolicy] = Field(
        default=GuestPolicy.RESTRICTED,
        description="What the host may do from inside: restricted is reading and its watchdog",
        examples=["off"],
    )


class SecuritySettings(Section):
    """What security needs of the machine."""

    device_key: FilePath | None = Field(
        default=None,
        description="The unsealed key of this device, 32 bytes, such as a TPM gave it; without it the state directory"
        " has one of its own",
        examples=["/run/ubmc/device.key"],
    )
    acme_dns_hook: Many[str] = Field(
        default=(),
        max_length=16,
        description="The command that sets and removes DNS records for ACME, called with present|cleanup NAME VALUE",
        examples=[["/usr/local/bin/set-txt"]],
    )


class AccountDefaults(Section):
    """What holds for all accounts until somebody changes the account policy."""

    min_password_length: Annotated[int, Field(ge=8, le=64)] = Field(
        default=8, description="How many characters a password has at least", examples=[12]
    )
    lockout_failures: Annotated[int, Field(ge=0, le=100)] = Field(
        default=5, description="So many wrong passwords lock an account; 0 means never", examples=[5]
    )
    lockout: Annotated[Duration, Field(ge=1.0, le=1800.0)] = Field(
        default=300.0, description="How long it is locked the first time", examples=["5m"]
    )
    second_factor_roles: Many[Annotated[str, Field(min_length=1, max_length=32)]] = Field(
        default=(), description="Roles that can do nothing without a second factor", examples=[["Administrator"]]
    )


class OwnerSpec(Section):
    """A whole owner's file; every key may be left out."""

    board: str | None = Field(default=None, min_length=1, description="A board's name or file", examples=["asus/iec"])
    listen: Many[Annotated[str, AfterValidator(_endpoint)]] = Field(
        default=("127.0.0.1:8443",), min_length=1, max_length=16, examples=[["0.0.0.0:8443"]]
    )
    state: FilePath | None = Field(default=None, description="The state directory", examples=["/var/lib/ubmc"])
    ephemeral: bool = Field(
        default=False, description="End simulated and virtual machines with this program", examples=[True]
    )
    power: PowerPolicy = PowerPolicy()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    sessions: SessionLimits = SessionLimits()
    accounts: AccountDefaults = AccountDefaults()
    web: WebSettings = WebSettings()
    security: SecuritySettings = SecuritySettings()
    ssh: SshSettings = SshSettings()
    ipmi: IpmiSettings = IpmiSettings()


def load_owner(path: Path | None = None, flags: Mapping[str, object] | None = None) -> OwnerSpec:
    """Read the owner's file and lay the command-line flags over it.

    Args:
        path: the file; None for `/etc/ubmc/ubmc.toml`, which need not exist.
        flags: values by key path as written in the file (`{"listen": [...], "log.level": "debug"}`); None values
            are flags that were not given.

    Raises:
        Invalid: the file or a flag has mistakes; its violations are all of them, each with the key path.
        Unavailable: the file cannot be read.
    """
    data: dict[str, object] = {}
    file = OWNER_FILE if path is None else path
    if path is not None or file.exists():
        data = read_toml(file)
    for key, value in (flags or {}).items():
        if value is not None:
            _lay_over(data, key, value)
    try:
        return parse(OwnerSpec, data, folder=file.parent if path else None)
    except Invalid as error:
        given = {key for key, value in (flags or {}).items() if value is not None}
        raise mistakes(file, [_name_flag(violation, given) for violation in error.violations]) from None


def _lay_over(data: dict[str, object], key: str, value: object) -> None:
    *sections, last = key.split(".")
    table = data
    for section in sections:
        inner = table.get(section)
        if not isinstance(inner, dict):
            if section in table:
                return  # no table in the file: the model reports it
            inner = table[section] = {}
        table = inner
    table[last] = value


def _name_flag(violation: Violation, given: set[str]) -> Violation:
    key = violation.field.partition("[")[0]
    if key not in given:
        return violation
    return Violation(violation.field, violation.rule, f"{violation.message} (given on the command line)")
