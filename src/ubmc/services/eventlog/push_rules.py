"""Event subscriptions: what can be asked for, and which events each one wants. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from ubmc.kit.errors import Invalid, Violation
from ubmc.protocols.redfish.event_payload import event_type, named, place
from ubmc.v1alpha1.event_pb import Event
from ubmc.v1alpha1.subscription_pb import RetryPolicy, Subscription, SubscriptionFilter, SubscriptionProtocol

SCHEMES = ("https", "http")
CHANGEABLE = ("context", "filter", "http_headers", "retry_policy", "verify_certificate")
DELIVERY_FIELDS = ("enabled", "retry_attempts", "retry_interval")
MAX_SUBSCRIPTIONS = 20
_OURS = frozenset(
    {
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "odata-version",
    }
)
"""Headers that say how a request is made, which is not the subscriber's to choose (RFC 9110, section 7.6.1)."""
_MOST_BACK_OFF = 6
BACK_OFF_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often a delivery is tried, and how long is waited in between."""

    again: int
    interval_seconds: float

    def wait_seconds(self, failures: int) -> float:
        """Until the next attempt, after so many failures in a row: longer and longer once the attempts are used up."""
        beyond = max(0, failures - self.again)
        longer = self.interval_seconds * 2.0 ** min(beyond, _MOST_BACK_OFF)
        return min(longer, max(BACK_OFF_SECONDS, self.interval_seconds))

    def used_up(self, failures: int) -> bool:
        """Whether the retry policy decides now."""
        return failures > self.again


def checked(wanted: Subscription) -> Subscription:
    """A new subscription, with what was left out. Raises `Invalid`."""
    if not wanted.destination:
        raise _wrong("destination", "say where the events go")
    check_headers(wanted.http_headers)
    return Subscription(
        destination=wanted.destination,
        context=wanted.context,
        protocol=SubscriptionProtocol.REDFISH,
        filter=wanted.filter,
        http_headers=dict(wanted.http_headers),
        retry_policy=wanted.retry_policy or RetryPolicy.TERMINATE_AFTER_RETRIES,
        verify_certificate=verifies(wanted),
    )


def verifies(subscription: Subscription) -> bool:
    """Whether the certificate of the destination must be trusted: unless somebody said that it need not."""
    return subscription.verify_certificate or not subscription.has_field("verify_certificate")


def check_headers(headers: dict[str, str]) -> None:
    """Raises `Invalid` for headers that a subscriber cannot have."""
    for name, value in headers.items():
        if name.lower() in _OURS:
            raise _wrong("http_headers", f"{name} is set by the BMC")
        if not value.isascii() or not value.isprintable():
            raise _wrong("http_headers", f"the value of {name} has characters that no header can have")


def wants(filter_: SubscriptionFilter | None, event: Event) -> bool:
    """Whether a subscription wants this event."""
    if filter_ is None:
        return True
    prefix, key = _message(event)
    wanted = (
        (filter_.severities, lambda each: each is event.severity),
        (filter_.components, lambda each: _covers(each, event.component)),
        (filter_.message_ids, lambda each: _is_message(each, event, prefix, key)),
        (filter_.registry_prefixes, lambda each: each == prefix),
        (filter_.resource_types, lambda each: each == place(event)[0]),
        (filter_.event_types, lambda each: each == event_type(event)),
    )
    if not all(any(is_one(each) for each in asked) for asked, is_one in wanted if asked):
        return False
    unwanted = any(_is_message(each, event, prefix, key) for each in filter_.exclude_message_ids)
    return not unwanted and prefix not in filter_.exclude_registry_prefixes


def _message(event: Event) -> tuple[str, str]:
    """The registry and the key of its message: `Ubmc`, `HostStateChanged`."""
    parts = named(event).split(".")
    return parts[0], parts[-1]


def _covers(wanted: str, name: str) -> bool:
    return name == wanted or name.startswith(f"{wanted}.")


def _is_message(wanted: str, event: Event, prefix: str, key: str) -> bool:
    """Whether a message is meant: by `Host.StateChanged`, `Host`, or with its registry `Ubmc.1.0.HostStateChanged`."""
    if _covers(wanted, event.message_id):
        return True
    first, _, last = wanted.partition(".")
    return first == prefix and last.rpartition(".")[2] == key


def sealed_headers(headers: dict[str, str]) -> bytes:
    """Headers as bytes to be sealed."""
    return orjson.dumps(headers)


def opened_headers(data: bytes) -> dict[str, str]:
    """The reverse."""
    return dict(orjson.loads(data)) if data else {}


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", violations=[Violation(f"subscription.{field}", "subscription", message)])
