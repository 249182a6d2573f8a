"""Tables of numbers hold what a dict holds, and forget what was not asked for longest."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detect.table import ABSENT, Recent, Table

keys = st.integers(0, 2**64 - 1) | st.integers(0, 40)


@given(st.lists(st.dictionaries(keys, st.integers(0, ABSENT - 1), max_size=50), max_size=6), st.lists(keys))
def test_a_table_holds_what_a_dict_holds(updates: list[dict[int, int]], others: list[int]) -> None:
    table, plain = Table(), dict[int, int]()
    for update in updates:
        table.put(np.array(list(update), np.uint64), np.array(list(update.values()), np.uint32))
        plain |= update
        asked = [*plain, *others]
        found = table.get(np.array(asked, np.uint64)).tolist()
        assert found == [plain.get(key, ABSENT) for key in asked]
        assert len(table) == len(plain)


def test_keys_that_want_one_place_all_find_one() -> None:
    # multiples of 2^54 and the like meet in few places whatever they are multiplied with
    wanted = np.arange(3000, dtype=np.uint64) << np.uint64(52)
    wanted = np.unique(wanted)
    table = Table()
    table.put(wanted, np.arange(len(wanted), dtype=np.uint32))
    assert (table.get(wanted) == np.arange(len(wanted))).all()


def test_what_is_asked_for_stays_and_the_rest_is_forgotten() -> None:
    table = Recent(10, {7: 70})
    for key in range(1000, 1100):
        table.put(np.array([key]), np.array([key + 1]))
        assert table.get(np.array([1000, 7, key])).tolist() == [1001, 70, key + 1]
        assert len(table) <= 2 * (10 + 1)
    assert table.get(np.array([1001]))[0] == ABSENT
    assert table.forgotten >= 80
