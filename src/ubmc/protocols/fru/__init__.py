"""The content of FRU storage: IPMI Platform Management FRU Information Storage Definition 1.0, revision 1.3.

`parse` never fails on content: it gives what can be read and says, with offsets, what is wrong with the rest. `build`
makes the bytes of a new one, `update` replaces fields in an existing one and leaves everything else as it is. Texts are
as they are stored: whoever shows them makes them safe.
"""

from ubmc.protocols.fru.areas import FIELDS, Area, Fault, Fru, InfoArea, Parsed
from ubmc.protocols.fru.build import build, build_info
from ubmc.protocols.fru.fields import Encoding, Field, encode_text
from ubmc.protocols.fru.parse import parse
from ubmc.protocols.fru.times import from_minutes, to_minutes
from ubmc.protocols.fru.update import update

__all__ = [
    "FIELDS",
    "Area",
    "Encoding",
    "Fault",
    "Field",
    "Fru",
    "InfoArea",
    "Parsed",
    "build",
    "build_info",
    "encode_text",
    "from_minutes",
    "parse",
    "to_minutes",
    "update",
]
