"""Passwords that people choose again and again, found by rules instead of by a long list.

A password is brought to its plain letters (small, without what is put in for a letter, without digits and signs at
its ends) and then looked up among a few words, alone, doubled or joined. Rows of keys, rising and falling digits,
repetitions and dates are found by what they are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

_WORDS = frozenset(
    """
    abc access account admin administrator adm asdf baseball basic batman bmc board boss calvin change changeme
    changethis charlie cheese chocolate cisco company computer config console controller correcthorse database debug
    default demo dragon easy enter factory firmware flower football freedom friend ghost guest hallo hello home
    hunter idrac ilo installer internet ipmi jordan key killer king letmein login love lovely iloveyou machine
    management manager master me michael monkey monitor my mypass nothing office openbmc operator oracle pass passwd
    password passwort pass phrase please power princess private qwerty qwertz rack raritan readonly remote root
    sample samsung secret secure security server service shadow silver soccer spring starwars summer autumn winter
    super superman superuser supermicro supervisor support sunshine switch sysadmin system tech temp temporary test
    tester testing thunder toor toto trustno ubmc ubuntu unknown user username vmware welcome whatever world work
    monday tuesday wednesday thursday friday saturday sunday january february march april june july august september
    october november december
    """.split()  # noqa: SIM905  a list of a hundred words reads better as text
)
_ROWS: tuple[str, ...] = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "zxcvbnm",
)
_ROWS += ("yxcvbnm", "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "1q2w3e4r5t6y7u8i9o0p", "qazwsxedcrfvtgb", "1qay2wsx3edc4rfv")
_LETTERS = tuple(str.maketrans("0134578@$!|+", f"o{one}eastbasi{one}t") for one in "li")
_SHORTEST_NUMBER = 13
_RUN = 4
_MOST_PARTS = 3


def is_common(password: str) -> bool:
    """Whether a password is one that somebody who guesses tries early."""
    text = unicodedata.normalize("NFKC", password).casefold().strip()
    packed = "".join(character for character in text if character.isalnum())
    if not packed or len(set(packed)) <= 2:
        return True
    if packed.isdecimal() and len(packed) < _SHORTEST_NUMBER:
        return True
    return _repeats(packed) or _is_rows(packed) or any(_is_words(form, _MOST_PARTS) for form in _forms(text))


def _forms(text: str) -> Iterator[str]:
    """The plain letters of a password, with digits at its ends taken away before and after letters are put back."""
    packed = "".join(character for character in text if not character.isspace() and character not in "-_.,")
    signs = "0123456789!@#$%^&*()+=?/\\|~<>'\""
    for form in (packed.strip(signs), packed.rstrip(signs.replace("@", "").replace("$", "")), packed):
        for letters in _LETTERS:
            yield "".join(character for character in form.translate(letters) if character.isalnum())


def _is_words(text: str, parts: int) -> bool:
    if not text:
        return False
    if text in _WORDS:
        return True
    return parts > 1 and any(
        text[:cut] in _WORDS and _is_words(text[cut:], parts - 1) for cut in range(2, len(text) - 1)
    )


def _repeats(text: str) -> bool:
    """It is one piece of up to four characters over and over."""
    return any(text == (text[:size] * len(text))[: len(text)] for size in range(1, 5) if len(text) >= 2 * size)


def _is_rows(text: str) -> bool:
    """It is put together of runs along the keyboard, the alphabet or the digits, forwards or backwards."""
    at = 0
    while at < len(text):
        longest = max((_run(text[at:], row) for each in _ROWS for row in (each, each[::-1])), default=0)
        if longest < _RUN and not (at and longest == len(text) - at):
            return False
        at += longest
    return True


def _run(text: str, row: str) -> int:
    length = 0
    while length < len(text) and text[: length + 1] in row:
        length += 1
    return length
