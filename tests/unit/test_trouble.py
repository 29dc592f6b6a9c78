"""When something that goes wrong is said."""

from __future__ import annotations

from ubmc.kit.trouble import Trouble


def test_it_is_said_once_after_some_patience() -> None:
    trouble = Trouble(5.0)
    assert [now for now in range(20) if trouble.fails(100.0 + now)] == [5]
    assert trouble.ends()
    assert not trouble.ends()


def test_what_ends_before_is_never_said_and_counts_anew() -> None:
    trouble = Trouble(5.0)
    assert not trouble.fails(0.0)
    assert not trouble.fails(4.9)
    assert not trouble.ends()
    assert not trouble.fails(6.0)
    assert trouble.fails(11.0)
