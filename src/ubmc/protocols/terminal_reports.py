"""What a terminal answers by itself when a host asks it. Pure.

A host that asks again and again must not look like somebody who types. Left out are the reports of a mouse: somebody
moves that.
"""

from __future__ import annotations

import re

_REPORTS = re.compile(
    rb"(?:\x1b(?:"
    rb"\[[?>=][0-9;]*c"  # device attributes (ECMA-48 section 8.3.24, and xterm's)
    rb"|\[\??[0-9;]+n"  # device status (ECMA-48 section 8.3.35)
    rb"|\[\??[0-9]+;[0-9;]+R"  # where the cursor is (ECMA-48 section 8.3.14)
    rb"|\[\??[0-9;]+\$y"  # modes
    rb"|\[[0-9;]+[tx]"  # size of the window, parameters of the terminal
    rb"|\[\?[0-9]+u"  # how keys are told
    rb"|\[[IO]"  # the focus came or went
    rb"|/Z"  # what a VT52 is
    rb"|[PX^_][^\x07\x1b]*\x1b\\"  # strings: settings, version
    rb"|\][^\x07\x1b]*(?:\x07|\x1b\\)"  # colours
    rb"))+"
)


def only_reports(data: bytes) -> bool:
    """Whether a terminal says all of this by itself; a key that looks the same (Shift-F3 does) passes for that."""
    return _REPORTS.fullmatch(data) is not None
