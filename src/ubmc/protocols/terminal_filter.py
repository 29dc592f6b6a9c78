"""What a host may do to the terminal of somebody who looks at its console. Pure.

Text, colours, cursor movements and erasing pass. What reaches out of the screen does not: strings to the terminal
(titles, clipboard, links, files), questions, whose answers the terminal would type into the host, and all that is not
known to be harmless. The forms are those of ECMA-48, sections 5.3 to 5.6, the private ones those of xterm.
"""

from __future__ import annotations

import codecs
import re

LONGEST = 4096
"""Characters of a sequence that has not ended; of a longer one nothing is kept but that it goes on."""

# What a control character cuts off, or a string that the next sequence does, has ended: it must not hide what follows.
_ESCAPE = (
    r"\x1b(?:\[[ -?]*(?:[@-~]|(?=[^ -~]))"  # control sequences
    r"|[PX\]^_][^\x07\x18\x1a\x1b\n]*(?:\x07|\x1b\\|(?=[\x18\x1a\n]|\x1b[^\\]))"  # strings
    r"|[ -/]*(?:[0-OQ-WYZ\\`-~]|(?=[^ -~])))"  # all others
)
_PART = re.compile(rf"{_ESCAPE}|[\x00-\x06\x10-\x1a\x1c-\x1f\x7f-\x9f]|(?P<begun>\x1b)")
_HARMLESS = re.compile(
    r"\x1b(?:\[[0-9;:]*[@A-HJ-MPSTXZ`abdefgmrsu]"  # cursor, erasing, inserting, scrolling, tabs, colours
    r"|\[\?(?:1|7|12|25|47|1047|1048|1049)[hl]"  # cursor keys, wrapping, the cursor, the other screen
    r"|[78DEHM=>]|[()][AB0-2])"  # saving the cursor, line feeds, the keypad, character sets
)


class TerminalFilter:
    """Lets what is harmless pass, however the bytes are cut; they are UTF-8, and what is not is replaced."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""  # a sequence that has not ended

    def feed(self, data: bytes) -> bytes:
        """What a terminal may be given of this, and of what was held back before."""
        text = self._rest + self._decoder.decode(data)
        self._rest = ""
        shown, at = [], 0
        for found in _PART.finditer(text):
            shown.append(text[at : found.start()])
            at = found.end()
            if found["begun"]:
                at = len(text)
                self._rest = text[found.start() :]
                break
            if _HARMLESS.fullmatch(found[0]):
                shown.append(found[0])
        if len(self._rest) > LONGEST:
            self._rest = self._rest[:2]
        return ("".join(shown) + text[at:]).encode()
