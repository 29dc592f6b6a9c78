"""What is to be told when assets are not as they were. Pure: a table of what was and what is in, events out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ubmc.services.inventorymgr.memory import Known
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.inventory_pb import AssetAdded, AssetChanged, AssetRemoved

_MAX_TEXT = 300


@dataclass(frozen=True, slots=True)
class Event:
    """One event."""

    news: AssetAdded | AssetRemoved | AssetChanged
    severity: Severity = Severity.UNSPECIFIED
    """Unspecified: that of its kind."""


def written(fields: Iterable[str]) -> str:
    """Somebody changed these fields of a storage."""
    return f"its FRU storage was changed: {', '.join(sorted(fields))}"


def tagged(tag: str) -> str:
    """Somebody gave it an asset tag."""
    return f'its asset tag is now "{tag}"' if tag else "its asset tag was taken away"


def events(name: str, before: Known | None, now: Known | None) -> Iterator[Event]:
    """What happened to an asset.

    Args:
        name: of the asset.
        before: how it was; None: nobody knew of it.
        now: how it is; None: nobody knows of it any more.
    """
    if now is None or now.present is False:
        if before is not None and before.present:
            yield Event(AssetRemoved(name=name, description=before.description))
        return
    if now.present is None:
        return
    if before is None or before.present is False:
        yield Event(AssetAdded(name=name, description=now.description))
    elif before.serial_number and now.serial_number and before.serial_number != now.serial_number:
        what = f"it was replaced: serial number {now.serial_number}, before it {before.serial_number}"
        yield Event(AssetChanged(name=name, what=what))
    old = before.faults if before is not None and before.present is not False else ""
    if now.faults and now.faults != old:
        what = f"its data is damaged: {now.faults}"[:_MAX_TEXT]
        yield Event(AssetChanged(name=name, what=what), Severity.WARNING)
    elif old and not now.faults:
        yield Event(AssetChanged(name=name, what="its data is right again"))
