"""Texts that a part tells of itself are anybody's: they are shown, never obeyed."""

from __future__ import annotations

MAX_TEXT = 256


def shown(text: str, limit: int = MAX_TEXT) -> str:
    r"""The text with everything that is not plainly visible written out (`\x1b`, `\u202e`), cut at the limit."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    if cut.isprintable():
        return cut
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in cut
    )
