"""Who has a place at a console when they are all taken. Pure.

Nobody can take all places, and whoever may write gets in: a host in trouble must be reached by those who can help it.
The writer never has to leave for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ubmc.kit.errors import Exhausted
from ubmc.services.consolesrv.attachment import Attachment, Who

MOST_ATTACHMENTS = 32
"""At one console."""
MOST_OF_ONE = 8
"""Of them: of one account."""
MOST_CONNECTIONS = 4 * MOST_ATTACHMENTS
MOST_CONNECTIONS_OF_ONE = 2 * MOST_OF_ONE
"""With those that are being let in or out."""


def who_leaves(there: Iterable[Attachment], writer: Attachment | None, who: Who) -> Attachment | None:
    """Whose place somebody gets who wants to come; None if there is one left.

    Args:
        there: everybody at the console, who came first is first.
        writer: the one who writes.
        who: wants to come.

    Raises:
        Exhausted: they may only read, and there is no place for them.
    """
    staying = [each for each in there if not each.ending]
    own = [each for each in staying if each.who.user == who.user]
    if len(own) >= MOST_OF_ONE:
        crowd, full = own, f"{who.user} is attached to this console {MOST_OF_ONE} times already; end one of them"
    elif len(staying) >= MOST_ATTACHMENTS:
        crowd, full = staying, f"{MOST_ATTACHMENTS} are attached to this console already; try again later"
    else:
        return None
    if not who.may_write:
        raise Exhausted(full)
    readers = [each for each in crowd if each is not writer]
    places = Counter(each.who.user for each in readers)
    return max(readers, key=lambda each: places[each.who.user])  # of several the one that came first
