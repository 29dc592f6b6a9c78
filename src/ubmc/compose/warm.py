"""What is done once in the parent so that no child has to: its pages are shared, and the children start sooner.

Only what more than one child needs, or what costs a child pages of the parent, is worth a line here.
"""

from __future__ import annotations

from ubmc.boards.drivers import import_drivers
from ubmc.boards.spec import BoardSpec
from ubmc.kit.keys import BusKey
from ubmc.kit.release import version
from ubmc.kit.schema import Schema
from ubmc.kit.subjects import kind_of


def warm(spec: BoardSpec, schema: Schema) -> None:
    """Call once, before the first fork."""
    import_drivers(spec)
    for event in schema.events.values():
        kind_of(event)  # remembered
    version()  # remembered
    key = BusKey()  # OpenSSL makes itself ready at its first key, 1 MiB; its random numbers know of forks
    key.sign(key.public)
