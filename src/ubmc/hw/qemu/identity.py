"""Who a virtual machine is: a UUID and a serial number, drawn once and kept in its directory.

They must not change over restarts: operating systems tie licences and network leases to them, and Redfish, FRU and the
guest's own view of SMBIOS must agree.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from ubmc.hw.qemu.files import write_durably
from ubmc.kit.errors import Invalid


@dataclass(frozen=True, slots=True)
class Identity:
    """The UUID and the serial number of one machine."""

    uuid: uuid.UUID
    serial: str


def load_or_draw(directory: Path) -> Identity:
    """The identity kept in the directory; a new one is drawn, and kept, when there is none.

    Raises:
        Invalid: the file is there and cannot be understood. It is never replaced: the guest would become another one.
        OSError: the directory cannot be read or written.
    """
    path = directory / "identity.json"
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        drawn = uuid.uuid4()
        identity = Identity(drawn, f"UBMC{drawn.hex[:12].upper()}")
        write_durably(path, json.dumps({"uuid": str(identity.uuid), "serial": identity.serial}).encode())
        return identity
    try:
        data = json.loads(text)
        return Identity(uuid.UUID(data["uuid"]), str(data["serial"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(f'{path}: not an identity; it must read {{"uuid": "...", "serial": "..."}}') from error
