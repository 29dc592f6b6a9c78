"""One field of an area: a type/length byte and the bytes behind it (section 13).

The one thing to know: C1h ends the fields of an area, so a text of one byte cannot be stored as such; it is packed in
six bits where that can be, else a blank is added, which reading takes away again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ubmc.kit.errors import Invalid

END = 0xC1
MAX_LENGTH = 63
ENGLISH = (0, 25)
"""Language codes (section 15) in which text is of 8 bits; in all others it is of 16 bits, low byte first."""
_BCD_PLUS = "0123456789 -.:,_"


class Encoding(IntEnum):
    """How the bytes of a field are meant: bits 7 and 6 of its type/length byte."""

    BINARY = 0
    BCD_PLUS = 1
    SIX_BIT = 2  # characters 20h to 5Fh, four in three bytes
    TEXT = 3  # depends on the language of the area


@dataclass(frozen=True, slots=True)
class Field:
    """The bytes of one field."""

    encoding: Encoding
    data: bytes = b""

    def text(self, language: int = 0) -> str:
        """What it says, without padding at its end; binary data as hexadecimal digits. Never fails."""
        found = self.data.hex().upper()
        match self.encoding:
            case Encoding.BCD_PLUS:
                found = "".join(_BCD_PLUS[byte >> 4] + _BCD_PLUS[byte & 0x0F] for byte in self.data)
            case Encoding.SIX_BIT:
                found = unpack_six_bit(self.data)
            case Encoding.TEXT:
                found = self.data.decode("latin-1" if language in ENGLISH else "utf-16-le", errors="replace")
        return found.rstrip(" \0")

    def encode(self) -> bytes:
        """The type/length byte and the data."""
        return bytes([self.encoding << 6 | len(self.data)]) + self.data


EMPTY = Field(Encoding.TEXT)


def unpack_six_bit(data: bytes) -> str:
    """Characters of six bits, the first one in the lowest bits."""
    bits = int.from_bytes(data, "little")
    return "".join(chr((bits >> 6 * index & 0x3F) + 0x20) for index in range(len(data) * 8 // 6))


def pack_six_bit(text: str) -> bytes:
    """The other way round, for characters from 20h to 5Fh."""
    bits = sum(ord(character) - 0x20 << 6 * index for index, character in enumerate(text))
    return bits.to_bytes((len(text) * 6 + 7) // 8, "little")


def encode_text(text: str, language: int = 0, *, what: str = "the text") -> Field:
    """The field of a text. Blanks at its end are not kept.

    Args:
        text: what it shall say.
        language: the language code of its area.
        what: how the error calls it.

    Raises:
        Invalid: it is too long, or has characters that cannot be stored.
    """
    text = text.rstrip(" \0")
    if not text:
        return EMPTY
    if not all(character.isprintable() for character in text):
        raise Invalid(f"{what}: control characters cannot be stored in a FRU")
    wide = language not in ENGLISH
    try:
        data = text.encode("utf-16-le" if wide else "latin-1")
    except UnicodeEncodeError as error:
        character = text[error.start]
        raise Invalid(f'{what}: "{character}" cannot be stored in a FRU; use the characters of ISO 8859-1') from error
    if len(data) > MAX_LENGTH:
        raise Invalid(f"{what}: {len(data)} bytes; a field of a FRU takes {MAX_LENGTH}")
    if len(data) == 1:
        if 0x20 <= data[0] <= 0x5F:
            return Field(Encoding.SIX_BIT, pack_six_bit(text))
        data += b" "
    return Field(Encoding.TEXT, data)
