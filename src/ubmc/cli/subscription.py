"""`ubmc subscription`."""

from __future__ import annotations

import click
from protobuf.wkt import Duration, FieldMask

from ubmc.cli.event import SEVERITIES
from ubmc.cli.prompt import secret_line
from ubmc.cli.resource import Resource, add_list, add_show
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.span import Span
from ubmc.cli.terminal import printable
from ubmc.cli.text import columns
from ubmc.v1alpha1 import subscription_pb as s
from ubmc.v1alpha1.subscription_rpc import SubscriptionService

SUBSCRIPTIONS = Resource(
    noun="subscription",
    list=SubscriptionService.ListSubscriptions,
    items="subscriptions",
    get=SubscriptionService.GetSubscription,
    item="subscription",
    columns=columns("id", "destination", "state", "delivered", "why: failure_reason"),
    facts=columns(
        "id",
        "destination",
        "context",
        "state",
        "severities: filter.severities",
        "components: filter.components",
        "kinds: filter.message_ids",
        "headers: http_header_names",
        "retry_policy",
        "verify_certificate",
        "delivered",
        "missed",
        "failures",
        "why: failure_reason",
        "last delivery: delivery_time",
        "made by: user",
        "made: create_time",
    ),
    key="id",
)
POLICIES = {
    "terminate": s.RetryPolicy.TERMINATE_AFTER_RETRIES,
    "suspend": s.RetryPolicy.SUSPEND_RETRIES,
    "forever": s.RetryPolicy.RETRY_FOREVER,
}
DELIVERY = columns("enabled", "tried again: retry_attempts", "after: retry_interval", "at most: max_subscriptions")

subscription = Noun("subscription", help="Where events are pushed to.")
add_list(subscription, SUBSCRIPTIONS)
add_show(subscription, SUBSCRIPTIONS, optional=False)


@subscription.command("add")
@click.argument("destination")
@click.option("--severity", "severities", type=click.Choice(list(SEVERITIES)), multiple=True, help="Only these.")
@click.option("--component", "components", multiple=True, metavar="NAME", help="Only about these: host.0")
@click.option("--kind", "kinds", multiple=True, metavar="ID", help="Only of these: Host.StateChanged, or all of Host")
@click.option("--context", default="", help="A text that comes with every event.")
@click.option("--retry", type=click.Choice(list(POLICIES)), default="suspend", show_default=True,
              help="What becomes of it when the destination takes nothing.")  # fmt: skip
@click.option("--header-stdin", metavar="NAME", help="Send this header; its value is read from stdin.")
@click.option("--no-verify", "insecure", is_flag=True, help="Do not verify the certificate of the destination.")
@pass_settings
def add(
    settings: Settings, *, destination: str, severities: tuple[str, ...], components: tuple[str, ...],
    kinds: tuple[str, ...], context: str, retry: str, header_stdin: str | None, insecure: bool,
) -> None:  # fmt: skip
    """Push events to DESTINATION, an https:// or http:// URL, as Redfish has them."""
    wanted = s.Subscription(
        destination=destination,
        context=context,
        filter=s.SubscriptionFilter(
            severities=[SEVERITIES[each] for each in severities], components=list(components), message_ids=list(kinds)
        ),
        http_headers={header_stdin: secret_line()} if header_stdin else {},
        retry_policy=POLICIES[retry],
        verify_certificate=not insecure,
    )
    with settings.connect() as client:
        answer = client.ask(SubscriptionService.CreateSubscription, s.CreateSubscriptionRequest(subscription=wanted))
    made = answer.subscription or s.Subscription()
    settings.output.say(answer, f"{printable(made.id)}: events go to {printable(made.destination)}")


@subscription.command("delete")
@click.argument("id_", metavar="ID")
@pass_settings
def delete(settings: Settings, id_: str) -> None:
    """End a subscription."""
    with settings.connect() as client:
        answer = client.ask(SubscriptionService.DeleteSubscription, s.DeleteSubscriptionRequest(id=id_))
    settings.output.say(answer, f"{printable(id_)}: ended")


@subscription.command("resume")
@click.argument("id_", metavar="ID")
@click.option("--missed", is_flag=True, help="Deliver what came meanwhile too.")
@pass_settings
def resume(settings: Settings, id_: str, missed: bool) -> None:
    """Take up a suspended subscription again."""
    with settings.connect() as client:
        request = s.ResumeSubscriptionRequest(id=id_, deliver_buffered=missed)
        answer = client.ask(SubscriptionService.ResumeSubscription, request)
    settings.output.say(answer, f"{printable(id_)}: resumed")


@subscription.command("suspend")
@click.argument("id_", metavar="ID")
@pass_settings
def suspend(settings: Settings, id_: str) -> None:
    """Deliver nothing until it is resumed."""
    with settings.connect() as client:
        answer = client.ask(SubscriptionService.SuspendSubscription, s.SuspendSubscriptionRequest(id=id_))
    settings.output.say(answer, f"{printable(id_)}: suspended")


@subscription.command("test")
@click.option("--message", default="", help="What the event says.")
@pass_settings
def test(settings: Settings, message: str) -> None:
    """Put a test event into the log, which all subscribers get that want it."""
    with settings.connect() as client:
        answer = client.ask(SubscriptionService.SendTestEvent, s.SendTestEventRequest(message=message))
    settings.output.say(answer, "the test event is on its way")


@subscription.command("delivery")
@click.option("--on/--off", "enabled", default=None, help="Deliver, or nothing at all.")
@click.option("--attempts", type=click.IntRange(0, 100), help="Try again so often.")
@click.option("--interval", type=Span(86400), metavar="TIME", help="Wait so long in between: 30s, 5m.")
@pass_settings
def delivery(settings: Settings, enabled: bool | None, attempts: int | None, interval: float | None) -> None:
    """Show how deliveries are made, or change it."""
    wanted = s.Delivery(enabled=bool(enabled), retry_attempts=attempts or 0)
    if interval is not None:
        wanted.retry_interval = Duration.from_seconds(interval)
    given = {"enabled": enabled, "retry_attempts": attempts, "retry_interval": interval}
    paths = [name for name, value in given.items() if value is not None]
    with settings.connect() as client:
        if not paths:
            shown = client.ask(SubscriptionService.GetDelivery, s.GetDeliveryRequest())
            settings.output.show(shown, DELIVERY, shown.delivery or s.Delivery())
            return
        request = s.UpdateDeliveryRequest(delivery=wanted, update_mask=FieldMask(paths=paths))
        answer = client.ask(SubscriptionService.UpdateDelivery, request)
    settings.output.show(answer, DELIVERY, answer.delivery or s.Delivery())
