from __future__ import annotations

import os

import pytest
from bench.processes import Mapped, Stat, alone, descendants, parse_maps, parse_memory, parse_stat, tree

ROLLUP = """55d0c8a5e000-7ffd0a9f7000 ---p 00000000 00:00 0    [rollup]
Rss:               80788 kB
Pss:               21313 kB
Pss_Dirty:         15000 kB
Shared_Clean:      30000 kB
Private_Clean:      1024 kB
Private_Dirty:      3072 kB
"""


def test_stat_with_a_name_of_parentheses_and_spaces() -> None:
    fields = ["S", "7"] + ["0"] * 9 + ["150", "50"] + ["0"] * 30
    stat = parse_stat(f"42 (a) b (c) {' '.join(fields)}\n")
    assert (stat.name, stat.state, stat.parent) == ("a) b (c", "S", 7)
    assert stat.cpu_seconds == pytest.approx(200 / os.sysconf("SC_CLK_TCK"))


def test_what_is_no_stat_is_refused() -> None:
    with pytest.raises(ValueError, match="not found"):
        parse_stat("nothing")


def test_memory_is_in_mebibytes() -> None:
    memory = parse_memory(ROLLUP)
    assert memory.resident == pytest.approx(80788 / 1024)
    assert memory.proportional == pytest.approx(21313 / 1024)
    assert memory.private == pytest.approx(4.0)


def test_descendants_are_found_at_every_depth_without_zombies() -> None:
    stats = {
        1: Stat("init", "S", 0, 0.0),
        5: Stat("operator", "S", 1, 0.0),
        9: Stat("grandchild", "S", 7, 0.0),
        7: Stat("child", "S", 5, 0.0),
        6: Stat("dead", "Z", 5, 0.0),
        8: Stat("stranger", "S", 1, 0.0),
    }
    assert descendants(stats, 5) == [5, 7, 9]


def test_this_process_is_the_root_of_its_tree() -> None:
    assert os.getpid() in tree(os.getpid())


SMAPS = """7f0000000000-7f0000001000 r-xp 00000000 fe:00 1234                       /usr/lib/lib a.so
Rss:                2048 kB
Pss:                1024 kB
Private_Dirty:         0 kB
7f0000002000-7f0000003000 rw-p 00000000 fe:00 1234                       /usr/lib/lib a.so
Rss:                1024 kB
Pss:                1024 kB
Private_Dirty:      1024 kB
7f0000004000-7f0000005000 rw-p 00000000 00:00 0
Rss:                3072 kB
Pss:                3072 kB
Private_Dirty:      3072 kB
VmFlags: rd wr mr mw me ac sd
7ffc00000000-7ffc00001000 rw-p 00000000 00:00 0                          [stack]
Rss:                1024 kB
Pss:                 512 kB
Private_Dirty:         0 kB
"""


def test_maps_are_added_up_by_file_and_what_is_in_none_together() -> None:
    assert parse_maps(SMAPS) == {"/usr/lib/lib a.so": Mapped(3.0, 2.0, 1.0), "": Mapped(4.0, 3.5, 3.0)}


def test_alone_a_file_counts_once_and_strangers_do_not_count() -> None:
    one = {"/a": Mapped(resident=6.0, proportional=0.5, dirty=1.0), "": Mapped(10.0, 8.0, 7.0)}
    other = {"/a": Mapped(resident=4.0, proportional=0.5, dirty=2.0), "/b": Mapped(3.0, 0.1, 0.0)}
    assert alone([one, other]) == (1.0 + 2.0 + 5.0) + 3.0 + 8.0
