"""Session sequence numbers and the window in which they may come (Spec section 6.12.13)."""

from __future__ import annotations

WINDOW = 32
"""How far back a number may lie: what comes out of order is taken, once."""
AHEAD = 2**31
"""How far ahead one may lie."""
_MODULUS = 2**32


def following(number: int) -> int:
    """The number after this one; 0 is for packets outside of sessions and is left out (Spec section 6.12.8)."""
    return (number % (_MODULUS - 1)) + 1


class Window:
    """Which numbers of a direction have been seen: each is taken once, and none that is too old.

    The specification lets a receiver drop what is more than 16 ahead. This one takes any number ahead: the packet's
    authentication code is checked before, so nobody else can move the window, and a client whose last hundred packets
    were lost on the way is not locked out for good.
    """

    def __init__(self) -> None:
        self._highest = 0
        self._seen = 1  # bit n: the number n below the highest has come

    def take(self, number: int) -> bool:
        """Whether this number may come now; if so, it has come."""
        if not 0 < number < _MODULUS:
            return False
        ahead = (number - self._highest) % _MODULUS
        if 0 < ahead < AHEAD:
            self._seen = (self._seen << min(ahead, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self._highest = number
            return True
        behind = _MODULUS - ahead if ahead else 0
        if behind >= WINDOW or self._seen >> behind & 1:
            return False
        self._seen |= 1 << behind
        return True
